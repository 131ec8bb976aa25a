"""Builds a classifier from a pre-trained encoder."""

import keras
import numpy as np

from keras_vit import arguments
from keras_vit.ablations import positions
from keras_vit.pretraining import vit_stages as stages
from keras_vit.training.adaptation import merge_lora

POSITIONS = "patch_encoder/position_embedding"
# Weights that may be new: the head, and those that depend on `pooling`
FRESH = ("head/", "pre_logits/", "pooling/", "patch_encoder/class_token")


def build_classifier(encoder, num_classes, **overrides):
    """Builds a new ViT with an encoder's weights and a head of zeros, to be fine-tuned.

    If the image size changes, the positions are resized, as in section 3.2.

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
    stages.check(encoder)
    new = {"num_classes": num_classes, "representation_size": None, **overrides}
    model = type(encoder).from_config({**encoder.get_config(), **new})
    values = {w.path: keras.ops.convert_to_numpy(w) for w in merge_lora(encoder).weights}
    fresh = {w.path: keras.ops.convert_to_numpy(w) for w in model.weights}
    if POSITIONS in values and POSITIONS in fresh:
        values[POSITIONS] = _positions(values[POSITIONS], fresh[POSITIONS], encoder, model)
    fits = {
        path
        for path, value in fresh.items()
        if path in values and values[path].shape == value.shape and not path.startswith("head/")
    }
    if any(path not in fits and not path.startswith(FRESH) for path in (*fresh, *values)):
        want = "the classifier must have the layers of the encoder"
        advice = "Change image_size, pooling, dropout and the like, but not the encoder's sizes or "
        advice += "positions; only learned 1-D positions can be resized."
        arguments.refuse(want, overrides, advice)
    for weight in model.weights:
        if weight.path in fits:
            weight.assign(values[weight.path])
    return model


def _positions(table, fresh, encoder, model):
    """Returns the encoder's positions for the model's grid and prefix tokens."""
    if table.shape[-1] != fresh.shape[-1]:
        return table  # refused afterwards
    before, after = encoder.prefix_tokens, model.prefix_tokens
    if stages.grid(encoder) != stages.grid(model):
        table = positions.resize(table, stages.grid(encoder), stages.grid(model))
    first = table[:, :before] if before == after else fresh[:, :after]
    return np.concatenate([first, table[:, before:]], axis=1)
