"""Published weights: reading and writing them under the names of every source."""

from keras_vit import startup

if not startup.postpone(__name__):
    from keras_vit.checkpoints import catalogue
    from keras_vit.checkpoints.catalogue import Entry, entries
    from keras_vit.checkpoints.describe import Description, describe
    from keras_vit.checkpoints.loading import Report, class_names, load_pretrained, load_weights
    from keras_vit.checkpoints.saving import save_weights

__all__ = [
    "Description", "Entry", "Report", "catalogue", "class_names", "describe", "entries",
    "load_pretrained", "load_weights", "save_weights",
]  # fmt: skip
