"""Figures that need no window and show themselves in a notebook, and images in them."""

import functools
import io

import numpy as np


def figure(width, height, dpi=120, layout="constrained"):
    """Returns a new Matplotlib figure that `pyplot` does not know.

    `pyplot` would open a window for each, and keep all of them in memory. A notebook shows a
    figure of `pyplot` alone; this one shows itself.

    Args:
        width: in inches.
        height: in inches.
        dpi: pixels of an inch.
        layout: Matplotlib's way of placing what is drawn; None for none.

    Example:
    >>> keras_vit.figures.figure(3, 2)._repr_png_()[1:4]
    b'PNG'
    """
    return _kind()(figsize=(width, height), dpi=dpi, layout=layout)


def to_pixels(image):
    """Converts an image to what is drawn: uint8, (height, width) if it is gray, RGB otherwise.

    Of more than three channels the first three are drawn, of two the first.

    Args:
        image: (height, width, channels), pixels 0 to 255, integers or floats.

    Example:
    >>> keras_vit.figures.to_pixels(np.full((2, 2, 1), 99.6)).tolist()
    [[100, 100], [100, 100]]
    """
    image = np.asarray(image)
    shown = image[..., :3] if image.shape[-1] >= 3 else image[..., 0]
    return np.clip(np.round(np.asarray(shown, "float32")), 0, 255).astype("uint8")


def show(axes, image):
    """Draws an image without axes."""
    axes.imshow(to_pixels(image), cmap="gray", vmin=0, vmax=255)  # RGB ignores `cmap`
    remove_axes(axes)


def remove_axes(axes):
    """Removes ticks and frame."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


@functools.cache
def _kind():
    from matplotlib.figure import Figure

    class ShownFigure(Figure):
        """A figure that a notebook can show."""

        def _repr_png_(self):
            file = io.BytesIO()
            self.savefig(file, format="png")
            return file.getvalue()

    return ShownFigure
