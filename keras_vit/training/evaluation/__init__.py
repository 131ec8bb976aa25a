"""Evaluation of models on labeled images, in numbers, words and figures."""
