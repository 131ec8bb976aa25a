"""Everything that can be seen of a model and some images, on one page."""

from keras_vit import startup

if not startup.postpone(__name__):
    from keras_vit.explain.reporting.building import report

__all__ = ["report"]
