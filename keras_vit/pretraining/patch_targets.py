"""The targets that are predicted for a patch: its colors in 3 bits, or its pixels."""

import math

import numpy as np
from keras import ops

from keras_vit import arguments

BITS = 3
LEVELS = 2**BITS  # of each channel
STEP = 256 // LEVELS  # pixel values in a level
SIDE = 4  # side of a downsized patch (Appendix B.1.2)


def quantize_mean(patches, patch_size, channels):
    """Returns the 3-bit mean color of each patch: Appendix B.1.2, target 1.

    Args:
        patches: (batch, N, P * P * channels), pixels 0 to 255, as `Patches` cuts them.
        patch_size: (height, width).
        channels: number of channels of the images.

    Returns:
        int32 (batch, N, 1): 64 red + 8 green + blue for RGB.

    Example:
    >>> patch = np.array([[[255, 0, 64, 255, 0, 64]]], "float32")
    >>> np.array(keras_vit.pretraining.patch_targets.quantize_mean(patch, (1, 2), channels=3))
    array([[[450]]], dtype=int32)
    """
    pixels = math.prod(patch_size)
    x = ops.reshape(patches, (-1, patches.shape[1], 1, pixels, channels))
    return _class(ops.sum(x, axis=3), pixels)  # (B, N, 1)


def quantize_downsized(patches, patch_size, channels):
    """Returns the 3-bit colors of each patch downsized to 4 x 4: Appendix B.1.2, target 2.

    As `quantize_mean`, but int32 (batch, N, 16), row by row; both sides are divisible by 4.
    """
    height, width = (side // SIDE for side in patch_size)
    x = ops.reshape(patches, (-1, patches.shape[1], SIDE, height, SIDE, width, channels))
    x = ops.reshape(ops.sum(x, axis=(3, 5)), (-1, patches.shape[1], SIDE**2, channels))
    return _class(x, height * width)  # (B, N, 16)


def check_divisible_by_4(patch_size):
    """Raises `ValueError` unless a patch can be downsized to 4 x 4."""
    if any(side % SIDE for side in patch_size):
        advice = 'Use target="mean-color", which takes any patch size.'
        want = 'the sides of patches must be divisible by 4 for target="downsized"'
        arguments.refuse(want, {"patch_size": tuple(patch_size)}, advice)


def to_color(classes, channels):
    """Returns the central color of each class, pixels 0 to 255: float32 (..., channels).

    Example:
    >>> keras_vit.pretraining.patch_targets.to_color(np.array([450]), channels=3)
    array([[240.,  16.,  80.]], dtype=float32)
    """
    digits = np.stack(np.unravel_index(classes, (LEVELS,) * channels), axis=-1)
    return ((digits + 0.5) * STEP).astype("float32")


def standardize(patches):
    """Standardizes patches (batch, N, length); also returns their means and deviations.

    As in MAE's `norm_pix_loss`, the variance is divided by n - 1, and 1e-6 is added to it.
    """
    patches = ops.convert_to_tensor(patches)
    mean = ops.mean(patches, axis=-1, keepdims=True)
    centered = patches - mean
    variance = ops.sum(ops.square(centered), axis=-1, keepdims=True) / (patches.shape[-1] - 1)
    deviation = ops.sqrt(variance + 1e-6)
    return centered / deviation, mean, deviation


def to_images(patches, grid, patch_size):
    """Assembles images from patches (batch, N, P * P * channels): the inverse of `Patches`."""
    (rows, columns), (height, width) = grid, patch_size
    x = np.reshape(patches, (len(patches), rows, columns, height, width, -1))
    x = np.transpose(x, (0, 1, 3, 2, 4, 5))  # (B, rows, P, columns, P, C)
    return x.reshape(len(x), rows * height, columns * width, -1)  # (B, height, width, C)


def _class(sums, pixels):
    """Returns the number of each color (...), from sums over `pixels` pixels (..., channels)."""
    # In integers, because a compiler may replace division by multiplication: 32 becomes 31.999.
    levels = ops.cast(ops.round(sums), "int32") // (STEP * pixels)
    levels = ops.clip(levels, 0, LEVELS - 1)
    places = LEVELS ** np.arange(sums.shape[-1])[::-1]
    return ops.sum(levels * ops.convert_to_tensor(places, "int32"), axis=-1)
