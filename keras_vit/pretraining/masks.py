"""Random masks that hide the same number of patches in every image."""

import math

import keras
from keras import ops

from keras_vit import arguments


def check_share(name, value):
    """Returns `value` as a `float`, or raises `ValueError` unless 0 < value < 1."""
    value = arguments.positive_number(name, value)
    if value >= 1:
        advice = f"{name}=0.75 hides three out of four patches."
        arguments.refuse(f"`{name}` must be a fraction below 1", {name: value}, advice)
    return value


def count_hidden(name, value, patches):
    """Returns the number of hidden patches, rounded up as in MAE and SimMIM.

    Raises:
        ValueError: all patches would be hidden.

    Example:
    >>> keras_vit.pretraining.masks.count_hidden("mask", 0.75, patches=196)
    147
    """
    number = math.ceil(patches * check_share(name, value) - 1e-9)  # 0.7 * 10 is a little above 7
    if number >= patches:
        received = {name: value, "patches": patches}
        arguments.refuse(f"`{name}` must leave at least one patch visible", received, "Lower it.")
    return number


def shuffle(random, batch, patches):
    """Returns a random order of each image's patches, and the position of each patch in it.

    Args:
        random: a `keras.random.SeedGenerator`.
        batch: number of images.
        patches: N.

    Returns:
        (order, places), both integers (batch, N), with order[b, places[b, i]] = i.
    """
    noise = keras.random.uniform((batch, patches), seed=random)
    order = ops.argsort(noise, axis=1)
    return order, ops.argsort(order, axis=1)


def draw_mask(random, batch, patches, number):
    """Returns bool (batch, N), True for `number` patches of each image."""
    _, places = shuffle(random, batch, patches)
    return places < number


def cover(x, mask, token):
    """Replaces x (batch, N, D) by a learned `token` (1, 1, D) where `mask` (batch, N) is True."""
    return ops.where(mask[..., None], ops.convert_to_tensor(token), x)


def take(x, indices):
    """Returns the tokens x[b, indices[b, i]]: (batch, indices, D) of x (batch, tokens, D)."""
    return ops.take_along_axis(x, ops.expand_dims(indices, -1), axis=1)
