"""Removing patches from images: what `occlusion` and `deletion_curve` share."""

import numpy as np


def patch_numbers(size, grid):
    """Returns the number of the patch that each pixel is in, (height, width).

    Patches are counted row by row. If the grid does not divide the image, some patches are one
    pixel larger than others.

    Args:
        size: (height, width) in pixels.
        grid: (rows, columns) of patches.

    Example:
    >>> keras_vit.explain.removing.patch_numbers((2, 4), (1, 2))
    array([[0, 0, 1, 1],
           [0, 0, 1, 1]])
    """
    row, column = (np.arange(side) * n // side for side, n in zip(size, grid, strict=True))
    return row[:, None] * grid[1] + column


def mean_color(images):
    """Returns the mean colour of each image, float32 (batch, 1, 1, channels)."""
    return images.mean(axis=(1, 2), keepdims=True, dtype="float64").astype("float32")


def blurred(images, deviation):
    """Returns images after a Gaussian blur, float32.

    Args:
        images: (batch, height, width, channels).
        deviation: standard deviations in pixels, (down, across).
    """
    down, across = (_blur(side, d) for side, d in zip(images.shape[1:3], deviation, strict=True))
    rows = np.einsum("ij,bjkc->bikc", down, images, optimize=True)
    return np.einsum("lk,bikc->bilc", across, rows, optimize=True).astype("float32")


def _blur(side, deviation):
    """The matrix that blurs a line of pixels; at its ends the weights inside are scaled up."""
    distance = np.arange(side)[:, None] - np.arange(side)
    weights = np.exp(-(distance**2) / (2 * deviation**2))
    return (weights / weights.sum(axis=1, keepdims=True)).astype("float32")
