"""Plots images beside what a model reconstructs of them."""

import numpy as np

from keras_vit import arguments, figures
from keras_vit.figures import short_name

WIDTH, DPI, SMALL = 6, 140, 8
MOST = 8  # images side by side
ROWS = ("original", "hidden", "predicted")


def plot_reconstruction(images, found, names=None):
    """Draws images, the images with hidden patches, and the prediction, in three rows.

    Args:
        images: (batch, height, width, channels), pixels 0 to 255; the first 8 are drawn.
        found: a `Reconstruction`, what an objective's `reconstruct` returns for the images.
        names: titles of the images.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: the reconstruction is not of these images.

    Example:
    >>> encoder = keras_vit.create("ViT-Mini/8", image_size=32, num_classes=None)
    >>> model = keras_vit.pretraining.SimMIM(encoder)
    >>> images = np.full((2, 32, 32, 3), 99.0)
    >>> figure = keras_vit.pretraining.plot_reconstruction(images, model.reconstruct(images))
    """
    images = np.asarray(images)
    if images.shape != found.masked.shape:
        received = {"images shape": images.shape, "reconstruction shape": found.masked.shape}
        arguments.refuse("there must be a reconstruction for each image", received)
    count = min(len(images), MOST)
    cell = min(WIDTH / count, WIDTH / 4)
    aspect = images.shape[1] / images.shape[2]
    figure = figures.figure(0.3 + count * cell, 0.3 + 3 * cell * aspect, DPI)
    cells = figure.subplots(len(ROWS), count, squeeze=False)
    for row, title, shown in zip(cells, ROWS, (images, found.masked, found.predicted), strict=True):
        row[0].set_ylabel(title, fontsize=SMALL)
        for axes, image in zip(row, shown, strict=False):
            figures.show(axes, image)
    for axes, name in zip(cells[0], names or (), strict=False):
        axes.set_title(short_name(str(name), 12), fontsize=SMALL)
    return figure
