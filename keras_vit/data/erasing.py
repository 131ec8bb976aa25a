"""Random erasing (Zhong et al., arXiv:1708.04896): a rectangle of an image becomes noise."""

import math

import numpy as np

AREA = (0.02, 1 / 3)  # share of the image
ASPECT = 0.3  # height : width from here to its inverse
TRIES = 10  # a long rectangle may not fit; DeiT's code gives up after as many
MEAN, DEVIATION = 127.5, 57.5  # of ordinary photographs, so that the noise looks like their pixels


def erase(pixels, probability, rng):
    """Erases a rectangle, in place.

    Pixels become normal noise with the mean and spread of photographs, as DeiT does after
    normalisation; here they stay within 0..255.

    Args:
        pixels: uint8, (height, width, channels).
        probability: that anything is erased.
        rng: a NumPy random generator.

    Example:
    >>> pixels = np.zeros((50, 50, 3), "uint8")
    >>> keras_vit.data.erasing.erase(pixels, 1.0, np.random.default_rng(0))
    >>> bool(0.01 < np.any(pixels > 0, axis=-1).mean() < 0.34)
    True
    """
    if rng.random() >= probability:
        return
    height, width, channels = pixels.shape
    rows, columns = _rectangle(height, width, rng)
    if rows:
        top = rng.integers(height - rows, endpoint=True)
        left = rng.integers(width - columns, endpoint=True)
        noise = rng.standard_normal((rows, columns, channels), "float32") * DEVIATION + MEAN
        noise = np.clip(noise, 0, 255).astype("uint8")
        pixels[top : top + rows, left : left + columns] = noise


def _rectangle(height, width, rng):
    """Returns (rows, columns) smaller than the image, (0, 0) where none was found."""
    for _ in range(TRIES):
        area = rng.uniform(*AREA) * height * width
        aspect = math.exp(rng.uniform(math.log(ASPECT), -math.log(ASPECT)))
        rows, columns = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < rows < height and 0 < columns < width:
            return rows, columns
    return 0, 0
