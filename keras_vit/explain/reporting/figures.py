"""Images and figures as elements of a page, all of their bytes in it."""

import base64
import html
import io

import numpy as np

from keras_vit import figures
from keras_vit.explain.plots.charts import SHARP
from keras_vit.explain.plots.parts import bare, overlay, pixels, show

INCHES, DPI = 2.4, 140  # 336 pixels: sharp at 168 on a screen of double density
COLORS = 256  # of a palette: a third of the bytes of an image in full colours


def plain(image, name):
    """An image as it is."""
    return _drawn(image, lambda axes: show(axes, image), name)


def over(image, values, signed, words):
    """A map over its image."""
    return _drawn(image, lambda axes: overlay(axes, image, values, signed), words)


def colors(image, values, words):
    """Colours of patches."""

    def draw(axes):
        axes.imshow(values, extent=(0, image.shape[1], image.shape[0], 0), **SHARP)
        bare(axes)

    return _drawn(image, draw, words)


def thumbnail(image, side=96):
    """A small image beside words that say the same."""
    from PIL import Image

    small = Image.fromarray(pixels(image))
    small.thumbnail((side, side), Image.Resampling.BOX)
    return _element(small, "")


def chart(figure, words):
    """A Matplotlib figure."""
    return _element(_rendered(figure), words)


def _drawn(image, draw, words):
    height, width = image.shape[:2]
    scale = INCHES / max(width, height / 1.5)  # a tall image is not as wide as the others
    figure = figures.figure(width * scale, height * scale, DPI, layout=None)
    draw(figure.add_axes((0, 0, 1, 1)))
    return _element(_rendered(figure).quantize(COLORS), words)


def _rendered(figure):
    """The pixels of a figure, encoded once: `savefig` would write a PNG to be read again."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def _element(shown, words):
    file = io.BytesIO()
    shown.save(file, "png")  # searching for the smallest file triples the time for 3 % less
    data = base64.b64encode(file.getvalue()).decode()
    size = f'width="{shown.width}" height="{shown.height}"'
    return f'<img alt="{html.escape(words)}" {size} src="data:image/png;base64,{data}">'
