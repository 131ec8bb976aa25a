"""Draws images with their classes."""

import numpy as np

from keras_vit import figures

COLUMNS = 8
LONGEST = 18  # letters of a class name that a title shows


def grid(images, labels, class_names):
    """Draws images in rows of eight, each under the name of its class.

    Args:
        images: (images, height, width, 1 or 3), pixels 0 to 255.
        labels: (images,), or (images, classes) shares of mixed images.
        class_names: name of every class.

    Returns:
        A `matplotlib.figure.Figure`.

    Example:
    >>> figure = keras_vit.data.grid.grid(np.zeros((2, 8, 8, 1)), [0, 1], ("cat", "dog"))
    >>> [axes.get_title() for axes in figure.axes]
    ['cat', 'dog']
    """
    columns = min(COLUMNS, len(images))
    rows = -(-len(images) // columns)
    height, width = images.shape[1:3]
    figure = figures.figure(1.2 * columns, (1.2 * height / width + 0.35) * rows)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for place, image, label in zip(axes, images, labels, strict=False):
        pixels = np.asarray(image).astype("uint8")
        grey = {"cmap": "gray", "vmin": 0, "vmax": 255} if pixels.shape[-1] == 1 else {}
        place.imshow(pixels[..., 0] if grey else pixels, **grey)
        place.set_title(title(label, class_names), fontsize=10)
        place.set_axis_off()
    for place in axes[len(images) :]:
        place.remove()
    return figure


def title(label, class_names):
    """Returns a class name, or the names of the classes that a mixed image has, and shares."""
    if np.ndim(label) == 0:
        return short_name(class_names[label])
    largest = np.argsort(-label, kind="stable")[: np.count_nonzero(label)]
    if len(largest) == 1:
        return short_name(class_names[largest[0]])
    return "\n".join(f"{short_name(class_names[i])} {100 * label[i]:.0f} %" for i in largest[:2])


def short_name(name, longest=LONGEST):
    """A name that stays within the width of its image."""
    return name if len(name) <= longest else name[: longest - 1] + "…"
