"""Masking patches of the image: occlusion, and the deletion curve that compares maps.

Both use only the model's output, so they can check the views that look inside.
"""

import math

import numpy as np
from keras import ops

from keras_vit import arguments
from keras_vit.explain.inside import batched, class_logits, find_encoder, forward

GRID = 14  # rows and columns for a model without patches, as ViT-B/16 has at 224 pixels
FILLS = ("mean", "blur")


def occlusion(model, images, classes=None, patch_size=None, batch_size=32):
    """Covers one patch at a time and measures how far the probability of the class falls.

    Patches are covered with the mean color of the image. The model computes one masked image for
    each patch.

    Args:
        model: a Keras model with an output (batch, classes), logits or probabilities (see
            `keras_vit.explain.inside.class_logits`).
        images: (batch, height, width, channels) as the model takes them, pixels 0 to 255.
        classes: None for the most probable class of each image, one number for all images, or one
            number for each.
        patch_size: side of the patches to cover in pixels, or (height, width); it must divide the
            image. None for the patches of the model's encoder, or for a grid of 14 x 14 if the
            model has no encoder.
        batch_size: number of masked images computed at once; no more are in memory.

    Returns:
        (batch, rows, columns), float32: the probability of the class for the whole image, minus
        the probability without the patch. Patches with negative values are evidence against the
        class.

    Raises:
        ValueError: the patch does not divide the image, the model does not take these images, or a
            class does not exist.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=(16, 32), num_classes=5)
    >>> keras_vit.explain.occlusion(model, np.zeros((1, 16, 32, 3)), patch_size=4).shape
    (1, 4, 8)

    Reference: Zeiler and Fergus, https://arxiv.org/abs/1311.2901, section 4.2.
    """
    images = batched.check_images(model, images)
    grid = _choose_grid(model, images.shape[1:3], patch_size)
    batch_size = arguments.positive_integer("batch_size", batch_size)
    classes = forward.choose_classes(model, images, classes, batch_size)
    pairs = zip(images, classes, strict=True)
    return np.stack([_occlude(model, *pair, grid, batch_size) for pair in pairs])


def deletion_curve(model, images, maps, classes=None, steps=14, fill="mean", batch_size=8):
    """Deletes patches from images, the highest of a map first, and records the probability.

    The faster the probability of the class falls, the better the map found what the model uses.
    Random maps give a random order as a baseline; ties are deleted in reading order. After step k
    of n, the fraction k / n of the patches is deleted, rounded to whole patches.

    Args:
        model: a Keras model with an output (batch, classes), logits or probabilities (see
            `keras_vit.explain.inside.class_logits`).
        images: (batch, height, width, channels) as the model takes them, pixels 0 to 255.
        maps: (batch, rows, columns), on any grid that is not finer than the pixels.
        classes: None for the most probable class of each image, one number for all images, or one
            number for each.
        steps: number of steps from the whole image to an empty one.
        fill: replacement of a patch: "mean", the mean color of the image, or "blur", the image
            blurred with a standard deviation of one patch.
        batch_size: number of images computed at once.

    Returns:
        (steps + 1, batch), float32: the probability of the class, starting with the whole image.

    Raises:
        ValueError: the maps do not fit the images or are not finite, the model does not take these
            images, or a class does not exist.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=16, num_classes=5)
    >>> images, maps = np.zeros((3, 16, 16, 3)), np.random.default_rng(0).random((3, 2, 2))
    >>> keras_vit.explain.deletion_curve(model, images, maps, steps=4).shape
    (5, 3)

    Reference: the deletion metric of RISE, https://arxiv.org/abs/1806.07421, section 4.2, on
        patches as in Samek et al., https://arxiv.org/abs/1509.06321.
    """
    images = batched.check_images(model, images)
    maps = _check_maps(np.asarray(maps), images)
    steps = arguments.positive_integer("steps", steps)
    batch_size = arguments.positive_integer("batch_size", batch_size)
    arguments.one_of(*FILLS)("fill", fill)
    classes = forward.choose_classes(model, images, classes, batch_size)
    ranks = _rank(maps.reshape(len(maps), -1))
    curves = []
    for start in range(0, len(images), batch_size):
        batch = (array[start : start + batch_size] for array in (images, classes, ranks))
        curves.append(_delete(model, *batch, maps.shape[1:], steps, fill, batch_size))
    return np.concatenate(curves, axis=1)


def number_patches(size, grid):
    """Returns the number of the patch that contains each pixel, (height, width).

    Patches are numbered row by row. If the grid does not divide the image, some patches are one
    pixel larger than others.

    Args:
        size: (height, width) in pixels.
        grid: (rows, columns) of patches.

    Example:
    >>> keras_vit.explain.masking.number_patches((2, 4), (1, 2))
    array([[0, 0, 1, 1],
           [0, 0, 1, 1]])
    """
    row, column = (np.arange(side) * n // side for side, n in zip(size, grid, strict=True))
    return row[:, None] * grid[1] + column


def average_color(images):
    """Returns the mean color of each image, float32 (batch, 1, 1, channels)."""
    return images.mean(axis=(1, 2), keepdims=True, dtype="float64").astype("float32")


def blur(images, deviation):
    """Returns images after a Gaussian blur, float32.

    Args:
        images: (batch, height, width, channels).
        deviation: standard deviations in pixels, (vertical, horizontal).
    """
    down, across = (_blur(side, d) for side, d in zip(images.shape[1:3], deviation, strict=True))
    rows = np.einsum("ij,bjkc->bikc", down, images, optimize=True)
    return np.einsum("lk,bikc->bilc", across, rows, optimize=True).astype("float32")


def _occlude(model, image, label, grid, batch_size):
    """Returns the map of one image."""
    numbers = np.arange(-1, grid[0] * grid[1], dtype="int32")  # -1 masks nothing
    batches = math.ceil(len(numbers) / batch_size)
    color = average_color(image[None])[0]
    repeated = (np.broadcast_to(x, (len(numbers), *np.shape(x))) for x in (image, label, color))
    whole, *masked = batched.run(
        _masked_probability,
        model,
        *repeated,
        numbers,
        batch_size=math.ceil(len(numbers) / batches),  # batches of equal size need little padding
        grid=grid,
    )
    return (whole - np.stack(masked)).reshape(grid)


def _masked_probability(model, images, classes, colors, numbers, grid):
    images = ops.cast(images, "float32")
    patches = number_patches(images.shape[1:3], grid)[None, :, :, None]
    mask = ops.equal(patches, numbers[:, None, None, None])  # (B, height, width, 1)
    masked = ops.where(mask, colors, images)
    return class_logits.select(class_logits.probabilities(model, masked), classes)


def _choose_grid(model, size, patch_size):
    if patch_size is not None:
        patch = arguments.height_width("patch_size", patch_size)
        arguments.divisible_image(size, patch)
        return tuple(side // p for side, p in zip(size, patch, strict=True))
    if find_encoder.has_blocks(model):
        return find_encoder.find(model).grid
    return tuple(min(GRID, side) for side in size)


def _rank(maps):
    """Returns the order of deletion, (batch, patches): 0 for the patch that is deleted first."""
    order = np.argsort(-maps, axis=1, kind="stable")
    return np.argsort(order, axis=1, kind="stable").astype("int32")


def _delete(model, images, classes, ranks, grid, steps, fill, batch_size):
    """Returns the curves of a batch of images, (steps + 1, batch)."""
    size, patches = images.shape[1:3], ranks.shape[1]
    rank = ranks[:, number_patches(size, grid), None]  # (B, height, width, 1)
    if fill == "mean":
        filling = average_color(images)
    else:
        filling = blur(images, [s / n for s, n in zip(size, grid, strict=True)])
    curve = []
    for step in range(steps + 1):
        rest = np.where(rank < round(step / steps * patches), filling, images)
        shares = forward.probabilities(model, rest.astype("float32"), batch_size)
        curve.append(shares[np.arange(len(images)), classes])
    return np.stack(curve)


def _check_maps(maps, images):
    height, width = images.shape[1:3]
    fits = maps.ndim == 3 and len(maps) == len(images)
    if not fits or not 0 < maps.shape[1] <= height or not 0 < maps.shape[2] <= width:
        want = "`maps` must be (batch, rows, columns), one map for each image, no finer than it"
        arguments.refuse(want, {"maps shape": maps.shape, "images shape": images.shape})
    if not np.isfinite(maps).all():
        arguments.refuse("`maps` must be finite", {"not finite": int((~np.isfinite(maps)).sum())})
    return maps


def _blur(side, deviation):
    """Returns the matrix that blurs a line of pixels; the weights inside the image sum to 1."""
    distance = np.arange(side)[:, None] - np.arange(side)
    weights = np.exp(-(distance**2) / (2 * deviation**2))
    return (weights / weights.sum(axis=1, keepdims=True)).astype("float32")
