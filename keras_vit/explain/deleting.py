"""Deletion: is what a map calls important what the model needs?"""

import numpy as np
from keras import ops

from keras_vit import arguments
from keras_vit.explain import computing, removing, targets

FILLS = ("mean", "blur")


def deletion_curve(model, images, maps, classes=None, steps=14, fill="mean", batch_size=32):
    """Takes patches out of pictures, the highest of a map first, and watches the probability.

    The faster the probability of the class falls, the better the map knows what the model uses.
    Random maps give random order, to compare with; of equal values the first goes first. After
    step k of n the share k / n of the patches is gone, rounded to whole patches.

    Args:
        model: a Keras model with an output (batch, classes): logits, or probabilities (see
            `keras_vit.explain.targets`).
        images: (batch, height, width, channels) as the model takes them, pixels 0 to 255.
        maps: (batch, rows, columns), any grid that is no finer than the pixels.
        classes: None for the most probable class of each picture, one number for all, or one each.
        steps: number of steps from the whole picture to none of it.
        fill: what a patch becomes: "mean", the mean colour of the picture, or "blur", the picture
            blurred with a standard deviation of one patch.
        batch_size: pictures computed at once.

    Returns:
        (steps + 1, batch), float32: probability of the class, first of the whole picture.

    Raises:
        ValueError: the maps do not belong to the pictures or are not finite; the model takes other
            pictures or has no such class.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=16, num_classes=5)
    >>> images, maps = np.zeros((3, 16, 16, 3)), np.random.default_rng(0).random((3, 2, 2))
    >>> keras_vit.explain.deletion_curve(model, images, maps, steps=4).shape
    (5, 3)

    Reference: the deletion metric of RISE, https://arxiv.org/abs/1806.07421, section 4.2, on
        patches as in Samek et al., https://arxiv.org/abs/1509.06321.
    """
    images = computing.pictures(model, images)
    maps = _checked(np.asarray(maps), images)
    steps = arguments.positive_integer("steps", steps)
    arguments.one_of(*FILLS)("fill", fill)
    classes = targets.chosen(model, images, classes, batch_size)
    patches = maps[0].size
    ranks = _ranks(maps.reshape(len(maps), patches))
    settings = {"batch_size": batch_size, "grid": maps.shape[1:], "fill": fill}
    curve = []
    for step in range(steps + 1):
        gone = np.full(len(images), round(step / steps * patches), "int32")
        curve.append(computing.run(_without, model, images, classes, ranks, gone, **settings))
    return np.stack(curve)


def _ranks(maps):
    """0 for the patch that goes first, of (batch, patches)."""
    order = np.argsort(-maps, axis=1, kind="stable")
    return np.argsort(order, axis=1, kind="stable").astype("int32")


def _without(model, images, classes, ranks, gone, grid, fill):
    images = ops.cast(images, "float32")
    size = images.shape[1:3]
    rank = ops.take(ranks, removing.patch_numbers(size, grid), axis=1)  # (B, height, width)
    removed = (rank < gone[:, None, None])[..., None]  # (B, height, width, 1)
    if fill == "mean":
        instead = removing.mean_color(images)
    else:
        instead = removing.blurred(images, [s / n for s, n in zip(size, grid, strict=True)])
    pictures = ops.where(removed, instead, images)
    return targets.of_class(targets.probabilities(model, pictures), classes)


def _checked(maps, images):
    height, width = images.shape[1:3]
    fits = maps.ndim == 3 and len(maps) == len(images)
    if not fits or not 0 < maps.shape[1] <= height or not 0 < maps.shape[2] <= width:
        want = "`maps` must be (batch, rows, columns), one map for each picture, no finer than it"
        arguments.refuse(want, {"maps shape": maps.shape, "images shape": images.shape})
    if not np.isfinite(maps).all():
        arguments.refuse("`maps` must be finite", {"not finite": int((~np.isfinite(maps)).sum())})
    return maps
