"""Evaluation of models on labeled images, as metrics, text and figures."""
