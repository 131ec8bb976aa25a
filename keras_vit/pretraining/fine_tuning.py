"""Builds a classifier from a pre-trained encoder."""

from keras_vit import resizing
from keras_vit.pretraining import vit_stages as stages


def build_classifier(encoder, num_classes, **overrides):
    """Builds a new ViT with an encoder's weights and a head of zeros, to be fine-tuned.

    If the size of images or patches changes, the weights are resized as `keras_vit.resize` does.

    Args:
        encoder: a `ViT`, which is not changed.
        num_classes: length of the logits; None for no head.
        **overrides: arguments of `ViT` that change: `image_size`, `pooling`, `dropout`,
            `stochastic_depth`, ...

    Returns:
        A model of the encoder's class.

    Raises:
        ValueError: an argument needs weights that the encoder does not have.

    Example:
    >>> encoder = keras_vit.create("ViT-Mini/8", image_size=32, num_classes=None)
    >>> model = keras_vit.pretraining.build_classifier(encoder, num_classes=10, image_size=48)
    >>> tuple(model(np.zeros((2, 48, 48, 3))).shape)
    (2, 10)

    Reference: section 3.2
    """
    new = {"num_classes": num_classes, "representation_size": None, **overrides}
    return resizing.rebuild(stages.check(encoder), forget=("head/",), **new)
