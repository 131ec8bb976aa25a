"""Files: written completely or not at all, never trusted, downloaded once; and HTML pages.

This package does not interpret the tensors in a file; see `keras_vit.checkpoints`.
"""
