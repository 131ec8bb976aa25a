"""Files: written completely or not at all, read without trust, downloaded once; pages of HTML.

This package does not interpret the tensors in a file; see `keras_vit.checkpoints`.
"""
