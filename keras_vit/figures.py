"""Figures that need no window, and show themselves in a notebook."""

import functools
import io


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


def short_name(name, longest=18):
    """Returns a name that fits above a small image: at most `longest` characters."""
    return name if len(name) <= longest else name[: longest - 1] + "…"
