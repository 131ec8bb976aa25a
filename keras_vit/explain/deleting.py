"""Deletion: does the model need the patches that a map ranks highest?"""

import numpy as np

from keras_vit import arguments
from keras_vit.explain import computing, forward, removing

FILLS = ("mean", "blur")


def deletion_curve(model, images, maps, classes=None, steps=14, fill="mean", batch_size=8):
    """Removes patches from images, the highest of a map first, and records the probability.

    The faster the probability of the class falls, the better the map found what the model uses.
    Random maps give a random order to compare with; of equal values the first goes first. After
    step k of n the share k / n of the patches is removed, rounded to whole patches.

    Args:
        model: a Keras model with an output (batch, classes): logits, or probabilities (see
            `keras_vit.explain.targets`).
        images: (batch, height, width, channels) as the model takes them, pixels 0 to 255.
        maps: (batch, rows, columns), any grid that is no finer than the pixels.
        classes: None for the most probable class of each image, one number for all, or one each.
        steps: number of steps from the whole image to none of it.
        fill: what replaces a patch: "mean", the mean colour of the image, or "blur", the image
            blurred with a standard deviation of one patch.
        batch_size: images computed at once.

    Returns:
        (steps + 1, batch), float32: probability of the class, first of the whole image.

    Raises:
        ValueError: the maps do not belong to the images or are not finite; the model takes other
            images or has no such class.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=16, num_classes=5)
    >>> images, maps = np.zeros((3, 16, 16, 3)), np.random.default_rng(0).random((3, 2, 2))
    >>> keras_vit.explain.deletion_curve(model, images, maps, steps=4).shape
    (5, 3)

    Reference: the deletion metric of RISE, https://arxiv.org/abs/1806.07421, section 4.2, on
        patches as in Samek et al., https://arxiv.org/abs/1509.06321.
    """
    images = computing.check_images(model, images)
    maps = _checked(np.asarray(maps), images)
    steps = arguments.positive_integer("steps", steps)
    batch_size = arguments.positive_integer("batch_size", batch_size)
    arguments.one_of(*FILLS)("fill", fill)
    classes = forward.chosen_classes(model, images, classes, batch_size)
    ranks = _ranks(maps.reshape(len(maps), -1))
    parts = []
    for start in range(0, len(images), batch_size):
        batch = (array[start : start + batch_size] for array in (images, classes, ranks))
        parts.append(_curve(model, *batch, maps.shape[1:], steps, fill, batch_size))
    return np.concatenate(parts, axis=1)


def _ranks(maps):
    """0 for the patch that goes first, of (batch, patches)."""
    order = np.argsort(-maps, axis=1, kind="stable")
    return np.argsort(order, axis=1, kind="stable").astype("int32")


def _curve(model, images, classes, ranks, grid, steps, fill, batch_size):
    """The curves of a batch of images, (steps + 1, batch)."""
    size, patches = images.shape[1:3], ranks.shape[1]
    rank = ranks[:, removing.patch_numbers(size, grid), None]  # (B, height, width, 1)
    if fill == "mean":
        instead = removing.mean_color(images)
    else:
        instead = removing.blurred(images, [s / n for s, n in zip(size, grid, strict=True)])
    curve = []
    for step in range(steps + 1):
        left = np.where(rank < round(step / steps * patches), instead, images)
        found = forward.probabilities(model, left.astype("float32"), batch_size)
        curve.append(found[np.arange(len(images)), classes])
    return np.stack(curve)


def _checked(maps, images):
    height, width = images.shape[1:3]
    fits = maps.ndim == 3 and len(maps) == len(images)
    if not fits or not 0 < maps.shape[1] <= height or not 0 < maps.shape[2] <= width:
        want = "`maps` must be (batch, rows, columns), one map for each image, no finer than it"
        arguments.refuse(want, {"maps shape": maps.shape, "images shape": images.shape})
    if not np.isfinite(maps).all():
        arguments.refuse("`maps` must be finite", {"not finite": int((~np.isfinite(maps)).sum())})
    return maps
