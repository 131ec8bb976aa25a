"""Files: written completely or not at all, read without trust, downloaded once.

What the tensors in a file mean is no concern of this package; see `keras_vit.checkpoints`.
"""
