"""Shared by all plots: images, maps over images, rows of cells, checks of the values."""

import numpy as np

from keras_vit import arguments, figures
from keras_vit.figures import ORANGE, remove_axes, short_name, show, to_pixels

WIDTH, DPI = 6, 140  # inches; on a page 700 pixels wide, 8-point letters are 13 pixels high
MOST = 16  # images in one figure
HEAD = 0.5  # inches for the title of a figure
SMALL, MEDIUM = 8, 9  # points
# Ordered by lightness and distinct for color-blind readers. Orange is positive, violet negative.
SEQUENTIAL, SIGNED = "viridis", "PuOr_r"
OPACITY = 0.6  # of a map over its image
PERCENTILE = 97  # of the values of a map: the upper end of its colors
LEAST = 0.01  # the smallest end of a scale around zero: noise below one point stays white
QUERY = ORANGE
SHARP = {"interpolation": "nearest"}  # each value fills its own cell


def resize(values, height, width):
    """Resizes a map to its image, bilinearly between the centers of patches.

    Args:
        values: (rows, columns).
        height: in pixels.
        width: in pixels.

    Returns:
        float32 array (height, width).
    """
    from PIL import Image

    plane = Image.fromarray(np.asarray(values, "float32"))
    return np.asarray(plane.resize((width, height), Image.Resampling.BILINEAR))


def overlay(axes, image, values, signed=False):
    """Plots a map over its image, which is drawn in gray so that only the map has colors.

    Args:
        axes: where to draw, a Matplotlib `Axes`.
        image: (height, width, channels), pixels 0 to 255.
        values: (rows, columns), resized to the image.
        signed: False for colors from the lowest value to the highest 3 %, because a few tokens
            can be far above all others (arXiv 2309.16588). True for a scale around zero,
            orange above and violet below, at least 0.01 on each side.

    Returns:
        The Matplotlib `AxesImage` of the map, for a color bar.

    Raises:
        ValueError: the image or the map has the wrong shape.
    """
    image, values = np.asarray(image), np.asarray(values, "float32")
    if image.ndim != 3 or values.ndim != 2:
        want = "an overlay needs a map (rows, columns) and one image (height, width, channels)"
        arguments.refuse(want, {"map shape": values.shape, "image shape": image.shape})
    shown = to_gray(to_pixels(image))
    axes.imshow(shown, cmap="gray", vmin=0, vmax=255)
    low, high = color_limits(values, signed)
    drawn = axes.imshow(
        resize(values, *shown.shape),
        cmap=SIGNED if signed else SEQUENTIAL,
        vmin=low,
        vmax=high,
        alpha=OPACITY,
    )
    remove_axes(axes)
    return drawn


def color_limits(values, signed):
    """Returns (lowest, highest) of a color scale; a uniform map is at its lower end."""
    if signed:
        high = max(float(np.abs(values).max()), LEAST)
        return -high, high
    low, high = float(np.min(values)), float(np.percentile(values, PERCENTILE))
    return low, high if high > low else low + 1.0


def to_gray(shown):
    """Returns the luminance of an image from `to_pixels`, uint8 (height, width)."""
    if shown.ndim == 2:
        return shown
    return np.round(shown @ np.array([0.299, 0.587, 0.114])).astype("uint8")


def draw_colors(axes, image, colors):
    """Plots a color for each patch, (rows, columns, 3), enlarged to the size of the image."""
    height, width = image.shape[:2]
    axes.imshow(colors, extent=(-0.5, width - 0.5, height - 0.5, -0.5), **SHARP)
    remove_axes(axes)


def frame_patch(axes, image, grid, token):
    """Plots a frame around the patch of a token, or nothing for None, the class token."""
    from matplotlib.patches import Rectangle

    if token is None:
        return
    height, width = (side / count for side, count in zip(image.shape[:2], grid, strict=True))
    corner = (token[1] * width - 0.5, token[0] * height - 0.5)
    for color, line in (("white", 4), (QUERY, 2)):
        frame = Rectangle(corner, width, height, fill=False, edgecolor=color, linewidth=line)
        axes.add_patch(frame)


def create_figure(height):
    """Creates a figure as wide as a page."""
    return figures.figure(WIDTH, height, DPI)


def create_cells(count, across, aspect, extra=0.35):
    """Creates a figure with cells for images.

    Args:
        count: number of cells.
        across: number of cells in a row.
        aspect: height / width of an image.
        extra: inches for the text of each row.

    Returns:
        (figure, array of `Axes` (rows, across)).
    """
    rows = -(-count // across)
    cell = min(WIDTH / across * aspect, 5) + extra
    figure = create_figure(HEAD + rows * cell)
    return figure, figure.subplots(rows, across, squeeze=False)


def draw_pairs(images, names, title, draw):
    """Plots each image to the left of its view, as in Figures 6 and 14 of the paper.

    Args:
        images: (batch, height, width, channels).
        names: titles of the images, or None.
        title: title of the figure.
        draw: function (axes, number of the image) that draws the right side.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    images = check_images(images)
    count, total = min(len(images), MOST), len(images)
    names = fill_names(names, total)
    aspect = images.shape[1] / images.shape[2]
    figure, cells = create_cells(2 * count, 4 if count > 1 else 2, aspect, extra=0.5)
    cells = cells.ravel()
    for i in range(count):
        left, right = cells[2 * i : 2 * i + 2]
        show(left, images[i])
        left.set_title(short_name(names[i], 22), fontsize=SMALL)
        draw(right, i)
    for axes in cells[2 * count :]:
        axes.remove()
    figure.suptitle(
        title if count == total else f"{title}\nthe first {count} of {total:,}", size=11
    )
    return figure


def add_color_bar(figure, drawn, label, ends=("lowest", "highest 3 %")):
    """Plots the color scale below the figure; its range differs from image to image."""
    low, high = drawn.norm.vmin, drawn.norm.vmax
    bar = figure.colorbar(
        drawn, ax=figure.axes, location="bottom", shrink=0.45, aspect=28, pad=0.02, fraction=0.06
    )
    bar.set_ticks([low, high], labels=ends, fontsize=SMALL)
    bar.set_label(label, fontsize=SMALL, labelpad=-6)
    bar.solids.set_alpha(1)


def check_images(images):
    """Returns images as an array, or raises `ValueError` unless it is a batch of images."""
    images = np.asarray(images)
    if images.ndim != 4 or not len(images):
        advice = "A single image needs a batch axis: images[None]."
        want = "images must be an array (batch, height, width, channels)"
        arguments.refuse(want, {"images shape": images.shape}, advice)
    return images


def check_maps(maps, images):
    """Returns (maps, images) as arrays, or raises `ValueError` unless there are equally many."""
    maps, images = arguments.floats("maps", maps), check_images(images)
    if maps.ndim != 3 or len(maps) != len(images):
        want = "there must be one map (rows, columns) for each image"
        arguments.refuse(want, {"maps shape": maps.shape, "images shape": images.shape})
    return maps, images


def check_array(name, values, axes):
    """Returns an array of floats, or raises `ValueError` unless it has these axes."""
    values = arguments.floats(name, values)
    if values.ndim != len(axes) or not values.size:
        want = f"`{name}` must be an array ({', '.join(axes)})"
        arguments.refuse(want, {"shape": values.shape}, f"explain.{name} returns one.")
    return values


def fill_names(names, count):
    """Returns a name for each of `count` images, empty names if None are given."""
    if names is None:
        return [""] * count
    if len(names) != count:
        received = {"names": len(names), "images": count}
        arguments.refuse("there must be one name for each image", received)
    return [str(name) for name in names]


def check_block(number, count):
    """Returns the number of one of `count` blocks, from 0; negative numbers count from the end."""
    if np.asarray(number).dtype.kind not in "iu" or not -count <= number < count:
        arguments.refuse(f"the model has blocks 0 to {count - 1}", {"block": number})
    return number % count


def name_classes(classes, class_names, count):
    """Returns the name of each image's class, empty names if there are no classes."""
    if classes is None:
        return [""] * count
    chosen = np.asarray(classes)
    if chosen.dtype.kind not in "iu" or chosen.shape not in ((), (1,), (count,)):
        want = "`classes` must be None, the number of a class, or one number for each image"
        arguments.refuse(want, {"classes": classes, "images": count})
    classes = np.broadcast_to(chosen, count)
    return [name_class(number, class_names) for number in classes]


def name_class(number, class_names=None):
    """Returns the name of a class: "tabby", or "class 281" if its name is unknown.

    A single name is that of class 1 of a model with one logit; class 0 is "not" that.
    """
    if class_names is None:
        return f"class {number}"
    if len(class_names) == 1:
        return str(class_names[0]) if number else f"not {class_names[0]}"
    if not 0 <= number < len(class_names):
        received = {"class": int(number), "class_names": len(class_names)}
        arguments.refuse("every class must have a name, and classes count from 0", received)
    return str(class_names[number])


def to_probabilities(logits):
    """Converts logits to probabilities, in float64; probabilities stay unchanged.

    A single logit is converted to the probabilities of class 0 and class 1, by the sigmoid.

    Example:
    >>> keras_vit.explain.plots.to_probabilities(np.log([[1.0, 3.0]]))
    array([[0.25, 0.75]])
    """
    logits = np.asarray(logits, "float64")
    if logits.shape[-1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=-1)
    elif logits.min() >= 0 and np.allclose(logits.sum(-1), 1, atol=0.02):
        return logits
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)
