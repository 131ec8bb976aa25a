"""Elements of a page: filled templates, and images whose bytes are part of the page."""

import base64
import importlib.resources
import io

import numpy as np

from keras_vit import figures
from keras_vit.figures import show, to_pixels
from keras_vit.io import html_page

INCHES, DPI = 2.4, 140  # 336 pixels: sharp at 168 on a screen of double density
THUMBNAIL = 96  # pixels
COLORS = 256  # a palette takes a third of the bytes of full colors


def fill(name, /, **values):
    """Fills a fragment of `templates/fragments.html`, as `html_page.fill` does.

    Example:
    >>> keras_vit.explain.reporting.elements.fill("link", mark="a", title="Cats & dogs")
    '<li><a href="#a">Cats &amp; dogs</a></li>'
    """
    return html_page.fill(
        html_page.fragments(__package__, "templates/fragments.html")[name], **values
    )


def fill_page(**values):
    """Fills the fragment "page"; values as in `fill`."""
    style = importlib.resources.files(__package__) / "templates" / "style.css"
    style = html_page.Html(style.read_text(encoding="utf-8"))
    return html_page.page(f"Inside {values['model']}", style, fill("page", **values))


def show_image(image, name):
    """Returns an image, unchanged."""
    return _draw(image, lambda axes: show(axes, image), name)


def show_panel(image, values, panel, words):
    """Returns the panel of a view for one image, drawn by `panel(axes, image, values)`."""
    return _draw(image, lambda axes: panel(axes, image, values), words)


def show_thumbnail(image):
    """Returns a small image to show beside the text that describes it."""
    from PIL import Image

    small = Image.fromarray(to_pixels(image))
    small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return _embed(small, "")


def show_chart(figure, words):
    """Returns a Matplotlib figure as an element."""
    return _embed(_render(figure), words)


def _draw(image, draw, words):
    height, width = image.shape[:2]
    scale = INCHES / max(width, height / 1.5)  # a tall image is narrower than the others
    figure = figures.figure(width * scale, height * scale, DPI, layout=None)
    draw(figure.add_axes((0, 0, 1, 1)))
    return _embed(_render(figure).quantize(COLORS), words)


def _render(figure):
    """Returns the pixels of a figure; `savefig` would write a PNG that has to be read again."""
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
