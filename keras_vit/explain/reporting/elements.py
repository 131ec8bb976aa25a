"""Elements of a page: filled templates, and images whose bytes are part of the page."""

import base64
import functools
import html
import importlib.resources
import io
import re
import string

import numpy as np

from keras_vit import figures
from keras_vit.figures import show, to_pixels

INCHES, DPI = 2.4, 140  # 336 pixels: sharp at 168 on a screen of double density
COLORS = 256  # a palette takes a third of the bytes of full colors


class Html(str):
    """A string that is HTML already; all other values of a template are escaped."""


def fill(name, /, **values):
    """Fills a fragment of `templates/fragments.html`.

    Args:
        name: name of the fragment.
        **values: what replaces $name in it. `Html` is inserted as it is, lists of `Html` are
            joined, and other values are escaped.

    Example:
    >>> keras_vit.explain.reporting.elements.fill("link", mark="a", title="Cats & dogs")
    '<li><a href="#a">Cats &amp; dogs</a></li>'
    """
    return _substitute(_fragments()[name], values)


def fill_page(**values):
    """Fills `templates/page.html`; values as in `fill`."""
    return _substitute(_read("page.html"), {**values, "style": Html(_read("style.css"))})


def show_image(image, name):
    """An image, unchanged."""
    return _draw(image, lambda axes: show(axes, image), name)


def show_panel(image, values, panel, words):
    """What a view shows of one image, drawn by `panel(axes, image, values)`."""
    return _draw(image, lambda axes: panel(axes, image, values), words)


def show_thumbnail(image, side=96):
    """A small image beside words that say the same."""
    from PIL import Image

    small = Image.fromarray(to_pixels(image))
    small.thumbnail((side, side), Image.Resampling.BOX)
    return _embed(small, "")


def show_chart(figure, words):
    """A Matplotlib figure."""
    return _embed(_render(figure), words)


def _substitute(template, values):
    return Html(string.Template(template).substitute({k: _escape(v) for k, v in values.items()}))


def _escape(value):
    if isinstance(value, list):
        return "".join(map(_escape, value))
    if isinstance(value, Html):
        return value
    return html.escape(str(value).encode("utf-8", "replace").decode())


@functools.cache
def _fragments():
    """{name: fragment}; each follows a comment with its name."""
    _, *parts = re.split(r"<!-- (\w+) -->\n", _read("fragments.html"))
    return {name: text.rstrip("\n") for name, text in zip(parts[::2], parts[1::2], strict=True)}


@functools.cache
def _read(name):
    folder = importlib.resources.files("keras_vit.explain.reporting") / "templates"
    return (folder / name).read_text(encoding="utf-8")


def _draw(image, draw, words):
    height, width = image.shape[:2]
    scale = INCHES / max(width, height / 1.5)  # a tall image is narrower than the others
    figure = figures.figure(width * scale, height * scale, DPI, layout=None)
    draw(figure.add_axes((0, 0, 1, 1)))
    return _embed(_render(figure).quantize(COLORS), words)


def _render(figure):
    """The pixels of a figure; `savefig` would write a PNG to be read again."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def _embed(image, words):
    file = io.BytesIO()
    image.save(file, "png")  # optimizing would take three times as long for 3 % fewer bytes
    data = base64.b64encode(file.getvalue()).decode()
    return fill("img", words=words, width=image.width, height=image.height, data=data)
