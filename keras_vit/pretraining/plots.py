"""Images of what was hidden, and of what a model put in its place."""

import numpy as np

from keras_vit import arguments, figures
from keras_vit.figures import short_name

WIDTH, DPI, SMALL = 6, 140, 8
MOST = 8  # images side by side
ROWS = ("original", "hidden", "predicted")


def reconstruction(images, found, names=None):
    """Draws images, what was hidden of them, and what a model predicted, one under another.

    Args:
        images: (batch, height, width, channels), pixels 0 to 255; the first 8 are drawn.
        found: a `Reconstruction`, what an objective's `reconstruct` returns for them.
        names: title of each image.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: images and reconstruction do not belong together.

    Example:
    >>> encoder = keras_vit.create("ViT-Mini/8", image_size=32, num_classes=None)
    >>> model = keras_vit.pretraining.SimMIM(encoder)
    >>> images = np.full((2, 32, 32, 3), 99.0)
    >>> figure = keras_vit.pretraining.plots.reconstruction(images, model.reconstruct(images))
    """
    images = np.asarray(images)
    if images.shape != found.masked.shape:
        received = {"images shape": images.shape, "reconstruction shape": found.masked.shape}
        arguments.refuse("there must be a reconstruction of each image", received)
    count = min(len(images), MOST)
    cell = min(WIDTH / count, WIDTH / 4)
    aspect = images.shape[1] / images.shape[2]
    figure = figures.figure(0.3 + count * cell, 0.3 + 3 * cell * aspect, DPI)
    cells = figure.subplots(len(ROWS), count, squeeze=False)
    for row, title, shown in zip(cells, ROWS, (images, found.masked, found.predicted), strict=True):
        row[0].set_ylabel(title, fontsize=SMALL)
        for axes, image in zip(row, shown, strict=False):
            _image(axes, image)
    for axes, name in zip(cells[0], names or (), strict=False):
        axes.set_title(short_name(str(name), 12), fontsize=SMALL)
    return figure


def _image(axes, image):
    """Of more than 3 channels the first three are drawn, of two the first."""
    shown = image[..., :3] if image.shape[-1] >= 3 else image[..., 0]
    shown = np.clip(np.round(np.asarray(shown, "float32")), 0, 255).astype("uint8")
    axes.imshow(shown, cmap="gray", vmin=0, vmax=255)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
