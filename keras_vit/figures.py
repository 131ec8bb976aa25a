"""Figures that need no window and display themselves in notebooks, and images in them."""

import functools
import io
import os

import numpy as np

from keras_vit.io import writing

# Okabe and Ito's colors, which color-blind readers can distinguish.
BLUE, SKY, ORANGE, GREY = "#0072B2", "#56B4E9", "#D55E00", "#666666"


def figure(width, height, dpi=120, layout="constrained"):
    """Returns a new Matplotlib figure that `pyplot` does not manage.

    `pyplot` would open a window for each figure and keep all of them in memory. Notebooks only
    display figures of `pyplot`; this one displays itself.

    Args:
        width: in inches.
        height: in inches.
        dpi: pixels per inch.
        layout: Matplotlib's layout engine, or None.

    Example:
    >>> keras_vit.figures.figure(3, 2)._repr_png_()[1:4]
    b'PNG'
    """
    return _figure_class()(figsize=(width, height), dpi=dpi, layout=layout)


def to_pixels(image):
    """Converts an image to the pixels to draw: uint8, (height, width) if it is gray, RGB otherwise.

    If there are more than three channels, the first three are drawn; if there are two, the first.

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
def _figure_class():
    from matplotlib.figure import Figure

    class NotebookFigure(Figure):
        """A figure that a notebook can display; it writes files completely or not at all."""

        def savefig(self, fname, **kwargs):
            suffix = os.path.splitext(fname)[1] if isinstance(fname, (str, os.PathLike)) else ""
            if not suffix:  # a file object, or a name that Matplotlib completes
                return super().savefig(fname, **kwargs)
            with writing.replacing(fname, suffix) as partial:
                return super().savefig(partial, **kwargs)

        def _repr_png_(self):
            file = io.BytesIO()
            self.savefig(file, format="png")
            return file.getvalue()

    return NotebookFigure


def spread(number, most=14):
    """Returns at most `most` of the indices 0 to `number` - 1, evenly from first to last."""
    return np.unique(np.linspace(0, number - 1, min(number, most)).round().astype(int))


def short_name(name, longest=18):
    """Returns a name for a figure, which fits above a small image, in the form of `one_line`.

    Matplotlib would set what is between two dollar signs as a formula.
    """
    return one_line(name, longest).replace("$", r"\$")


def one_line(name, longest=18):
    """Returns a name on one line, of at most `longest` characters."""
    if not name.isprintable():  # names of folders may have line breaks
        name = "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)
    return name if len(name) <= longest else name[: longest - 1] + "…"
