"""Figures that need no window and show themselves in a notebook, and their colours."""

import functools
import io

# Okabe and Ito's colours, which colour-blind readers can tell apart.
BLUE, SKY, ORANGE, GREY = "#0072B2", "#56B4E9", "#D55E00", "#666666"


def figure(width, height, dpi=120, layout="constrained"):
    """Returns a new Matplotlib figure that `pyplot` does not manage.

    `pyplot` would open a window for each figure and keep all of them in memory. Notebooks only
    display figures of `pyplot`; this one displays itself.

    Args:
        width: in inches.
        height: in inches.
        dpi: pixels per inch.
        layout: Matplotlib's layout engine; None for none.

    Example:
    >>> keras_vit.figures.figure(3, 2)._repr_png_()[1:4]
    b'PNG'
    """
    return _figure_class()(figsize=(width, height), dpi=dpi, layout=layout)


@functools.cache
def _figure_class():
    from matplotlib.figure import Figure

    class NotebookFigure(Figure):
        """A figure that a notebook can display."""

        def _repr_png_(self):
            file = io.BytesIO()
            self.savefig(file, format="png")
            return file.getvalue()

    return NotebookFigure


def spread(number, most=14):
    """Returns at most `most` of the indices 0 to `number` - 1, evenly from first to last."""
    import numpy as np

    return np.unique(np.linspace(0, number - 1, min(number, most)).round().astype(int))


def short_name(name, longest=18):
    """Returns a name that fits above a small image: at most `longest` characters."""
    return name if len(name) <= longest else name[: longest - 1] + "…"
