"""Which patches are hidden: the same number in every image, drawn at random."""

import math

import keras
from keras import ops

from keras_vit import arguments


def share(name, value):
    """Returns `value` as a `float`, or raises `ValueError` unless 0 < value < 1."""
    value = arguments.positive_number(name, value)
    if value >= 1:
        advice = f"{name}=0.75 hides three patches of four."
        arguments.refuse(f"`{name}` must be a share below 1", {name: value}, advice)
    return value


def hidden(name, value, patches):
    """Returns how many of `patches` a share is, rounded up as MAE and SimMIM do.

    Raises:
        ValueError: that would be all of them.

    Example:
    >>> keras_vit.pretraining.masks.hidden("mask", 0.75, patches=196)
    147
    """
    number = math.ceil(patches * share(name, value) - 1e-9)  # 0.7 * 10 is a little above 7
    if number >= patches:
        received = {name: value, "patches": patches}
        arguments.refuse(f"`{name}` must leave a patch to see", received, "Lower it.")
    return number


def shuffled(random, batch, patches):
    """Returns a random order of each image's patches, and the place of each patch in it.

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


def random_mask(random, batch, patches, number):
    """Returns bool (batch, N): `number` patches of each image are True."""
    _, places = shuffled(random, batch, patches)
    return places < number


def covered(x, mask, token):
    """Returns x (batch, N, D) with a learned `token` (1, 1, D) where `mask` (batch, N) is True."""
    return ops.where(mask[..., None], ops.convert_to_tensor(token), x)


def taken(x, indices):
    """Returns the tokens x[b, indices[b, i]]: (batch, indices, D) of x (batch, tokens, D)."""
    return ops.take_along_axis(x, ops.expand_dims(indices, -1), axis=1)
