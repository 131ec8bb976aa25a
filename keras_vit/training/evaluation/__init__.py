"""Evaluation of models on labelled images, in numbers, words and figures."""
