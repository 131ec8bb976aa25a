"""Occlusion: how much the probability of a class falls if a patch is covered."""

import math

import numpy as np
from keras import ops

from keras_vit import arguments
from keras_vit.explain import computing, encoder, forward, removing, targets

GRID = 14  # patches along a side for models without patches, as ViT-B/16 has at 224 pixels


def occlusion(model, images, classes=None, patch_size=None, batch_size=32):
    """Covers one patch after the other with grey and measures the fall of the class's probability.

    It uses nothing of the model but its output, so it checks the views that look inside. Grey is
    the mean colour of the image. The model computes as many images as there are patches.

    Args:
        model: a Keras model with an output (batch, classes): logits, or probabilities (see
            `keras_vit.explain.targets`).
        images: (batch, height, width, channels) as the model takes them, pixels 0 to 255.
        classes: None for the most probable class of each image, one number for all, or one each.
        patch_size: side of the patches to cover in pixels, or (height, width); it divides the
            image. None for the patches of the model's encoder; a model without one gets a grid of
            14 x 14.
        batch_size: covered images computed at once; no more than these are in memory.

    Returns:
        (batch, rows, columns), float32: probability of the class in the whole image less that
        without the patch. Below 0 the patch is evidence against the class.

    Raises:
        ValueError: the patch does not divide the image; the model takes other images or has no
            such class.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=(16, 32), num_classes=5)
    >>> keras_vit.explain.occlusion(model, np.zeros((1, 16, 32, 3)), patch_size=4).shape
    (1, 4, 8)

    Reference: Zeiler and Fergus, https://arxiv.org/abs/1311.2901, section 4.2.
    """
    images = computing.check_images(model, images)
    grid = _grid(model, images.shape[1:3], patch_size)
    batch_size = arguments.positive_integer("batch_size", batch_size)
    classes = forward.chosen_classes(model, images, classes, batch_size)
    pairs = zip(images, classes, strict=True)
    return np.stack([_falls(model, *one, grid, batch_size) for one in pairs])


def _falls(model, image, label, grid, batch_size):
    """The map of one image."""
    numbers = np.arange(-1, grid[0] * grid[1], dtype="int32")  # -1 covers nothing
    batches = math.ceil(len(numbers) / batch_size)
    color = removing.mean_color(image[None])[0]
    repeated = (np.broadcast_to(x, (len(numbers), *np.shape(x))) for x in (image, label, color))
    whole, *covered = computing.run(
        _covered,
        model,
        *repeated,
        numbers,
        batch_size=math.ceil(len(numbers) / batches),  # equal batches: hardly one to fill up
        grid=grid,
    )
    return (whole - np.stack(covered)).reshape(grid)


def _covered(model, images, classes, colors, numbers, grid):
    images = ops.cast(images, "float32")
    patches = removing.patch_numbers(images.shape[1:3], grid)[None, :, :, None]
    here = ops.equal(patches, numbers[:, None, None, None])  # (B, height, width, 1)
    covered = ops.where(here, colors, images)
    return targets.of_class(targets.probabilities(model, covered), classes)


def _grid(model, size, patch_size):
    if patch_size is not None:
        patch = arguments.height_width("patch_size", patch_size)
        arguments.divisible_image(size, patch)
        return tuple(side // p for side, p in zip(size, patch, strict=True))
    if encoder.has(model):
        return encoder.find(model).grid
    return tuple(min(GRID, side) for side in size)
