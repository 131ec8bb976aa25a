"""The colours of images as a few clusters: k-means, as Image GPT uses it."""

import numpy as np

from keras_vit import arguments

SAMPLE = 20_000  # pixels that are clustered
ROUNDS = 20


def palette(images, colors=512, seed=0):
    """Finds the colours that stand best for those of images, by k-means.

    Args:
        images: array (batch, height, width, channels), pixels 0 to 255. Of many pixels 20,000 are
            drawn.
        colors: how many to find. Image GPT takes 512.
        seed: of the pixels that are drawn and of the first centres.

    Returns:
        float32 array (colors, channels), sorted. Fewer rows where the images have no more
        colours.

    Example:
    >>> images = np.zeros((1, 2, 2, 1))
    >>> images[0, 0, :, 0] = 100, 104
    >>> keras_vit.pretraining.palette(images, colors=2).tolist()
    [[0.0], [102.0]]

    Reference: Chen et al., Generative Pretraining from Pixels, ICML 2020, section 3
    """
    arguments.positive_integer("colors", colors)
    rng = np.random.default_rng(seed)
    pixels = np.reshape(images, (-1, np.shape(images)[-1]))
    pixels = pixels[rng.permutation(len(pixels))[:SAMPLE]].astype("float32")
    distinct = np.unique(pixels, axis=0)
    if len(distinct) <= colors:
        return distinct
    centres = distinct[rng.permutation(len(distinct))[:colors]]
    for _ in range(ROUNDS):
        centres = _means(pixels, nearest(pixels, centres), centres)
    return centres[np.lexsort(centres.T[::-1])]


def nearest(pixels, centres):
    """Returns which centre is nearest to each pixel: integers (pixels,)."""
    # |pixel - centre|^2 without |pixel|^2, which is the same for all centres
    return np.argmin((centres**2).sum(axis=1) - 2 * pixels @ centres.T, axis=1)


def _means(pixels, groups, centres):
    """The mean of each group's pixels; a centre without pixels stays where it is."""
    counts = np.bincount(groups, minlength=len(centres))[:, None]
    sums = np.stack([np.bincount(groups, c, len(centres)) for c in pixels.T], axis=1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), centres).astype("float32")
