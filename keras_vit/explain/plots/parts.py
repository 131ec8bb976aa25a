"""What the figures share: an image, a map over it, images in rows, checks of what is drawn."""

import numpy as np

from keras_vit import arguments, figures
from keras_vit.figures import ORANGE, short_name

WIDTH, DPI = 6, 140  # inches: on a page of 700 pixels, letters of 8 points are 13 pixels high
MOST = 16  # images that one figure shows
SMALL, MEDIUM = 8, 9  # points
# Ordered by lightness, told apart by colour-blind readers too. Of two signs, orange is positive.
SEQUENTIAL, SIGNED = "viridis", "PuOr_r"
VEIL = 0.6  # how much of the image a map covers
PERCENTILE = 97  # of a map: the upper end of its colours
LEAST = 0.01  # the least end of a scale around zero: noise below a percentage point stays white
QUERY = ORANGE


def pixels(image):
    """Returns an image as it is drawn: uint8, (height, width) of a grey one, else RGB.

    Of more than 3 channels the first three are drawn, of two the first.

    Args:
        image: (height, width, channels), pixels 0 to 255, integers or floats.

    Example:
    >>> keras_vit.explain.plots.pixels(np.full((2, 2, 1), 99.6)).tolist()
    [[100, 100], [100, 100]]
    """
    image = np.asarray(image)
    shown = image[..., :3] if image.shape[-1] >= 3 else image[..., 0]
    return np.clip(np.round(np.asarray(shown, "float32")), 0, 255).astype("uint8")


def resized(values, height, width):
    """Returns a map at the resolution of its image, bilinear between the middles of patches.

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
    """Draws a map over its image, which is grey so that colours are the map's alone.

    Args:
        axes: where to draw, a Matplotlib `Axes`.
        image: (height, width, channels), pixels 0 to 255.
        values: (rows, columns), resized to the image.
        signed: False for colours from the lowest value to the highest 3 %: a few tokens that the
            model uses as its memory may stand far above all others. True for a scale around zero,
            orange above it and violet below, of 0.01 or more on each side.

    Returns:
        The Matplotlib `AxesImage` of the map, for a colour bar.

    Raises:
        ValueError: the image or the map has another shape.
    """
    image, values = np.asarray(image), np.asarray(values, "float32")
    if image.ndim != 3 or values.ndim != 2:
        want = "an overlay is a map (rows, columns) over one image (height, width, channels)"
        arguments.refuse(want, {"map shape": values.shape, "image shape": image.shape})
    shown = grey(pixels(image))
    axes.imshow(shown, cmap="gray", vmin=0, vmax=255)
    low, high = limits(values, signed)
    drawn = axes.imshow(
        resized(values, *shown.shape),
        cmap=SIGNED if signed else SEQUENTIAL,
        vmin=low,
        vmax=high,
        alpha=VEIL,
    )
    bare(axes)
    return drawn


def limits(values, signed):
    """Returns (lowest, highest) of a colour scale; a map that is even lies at its lower end."""
    if signed:
        high = max(float(np.abs(values).max()), LEAST)
        return -high, high
    low, high = float(np.min(values)), float(np.percentile(values, PERCENTILE))
    return low, high if high > low else low + 1.0


def grey(shown):
    """Returns the luminance of an image that `pixels` made, uint8 (height, width)."""
    if shown.ndim == 2:
        return shown
    return np.round(shown @ np.array([0.299, 0.587, 0.114])).astype("uint8")


def show(axes, image):
    """Draws one image."""
    axes.imshow(pixels(image), cmap="gray", vmin=0, vmax=255)  # colours have no use for `cmap`
    bare(axes)


def bare(axes):
    """Takes ticks and frame away."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def mark(axes, image, grid, token):
    """Draws a frame around the patch of a token; nothing for the class token, None."""
    from matplotlib.patches import Rectangle

    if token is None:
        return
    height, width = (side / count for side, count in zip(image.shape[:2], grid, strict=True))
    corner = (token[1] * width - 0.5, token[0] * height - 0.5)
    for color, line in (("white", 4), (QUERY, 2)):
        frame = Rectangle(corner, width, height, fill=False, edgecolor=color, linewidth=line)
        axes.add_patch(frame)


def new_figure(height):
    """Returns a figure as wide as a page."""
    return figures.figure(WIDTH, height, DPI)


def rows_of(count, across, aspect, extra=0.35, head=0.5):
    """Makes a figure of cells for images.

    Args:
        count: number of cells.
        across: cells in a row.
        aspect: height : width of an image.
        extra: inches for the words of each row.
        head: inches for the title.

    Returns:
        (figure, array of `Axes` (rows, across)).
    """
    rows = -(-count // across)
    cell = min(WIDTH / across * aspect, 5) + extra
    figure = new_figure(head + rows * cell)
    return figure, figure.subplots(rows, across, squeeze=False)


def beside(images, names, title, draw):
    """Draws each image at the left of what was found in it, as Figures 6 and 14 of the paper do.

    Args:
        images: (batch, height, width, channels).
        names: title of each image, or None.
        title: of the figure.
        draw: function (axes, number of the image) that draws the right side.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    images = checked_images(images)
    count, total = min(len(images), MOST), len(images)
    names = names_of(names, total)
    aspect = images.shape[1] / images.shape[2]
    figure, cells = rows_of(2 * count, 4 if count > 1 else 2, aspect, extra=0.5)
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


def scale_bar(figure, drawn, label, ends=("lowest", "highest 3 %")):
    """Draws the colours under the figure; what they stand for is each image's own."""
    low, high = drawn.norm.vmin, drawn.norm.vmax
    bar = figure.colorbar(
        drawn, ax=figure.axes, location="bottom", shrink=0.45, aspect=28, pad=0.02, fraction=0.06
    )
    bar.set_ticks([low, high], labels=ends, fontsize=SMALL)
    bar.set_label(label, fontsize=SMALL, labelpad=-6)
    bar.solids.set_alpha(1)


def checked_images(images):
    """Returns images as an array, or raises `ValueError` unless it is a batch of them."""
    images = np.asarray(images)
    if images.ndim != 4 or not len(images):
        advice = "A single image needs a batch axis: images[None]."
        want = "images are an array (batch, height, width, channels)"
        arguments.refuse(want, {"images shape": images.shape}, advice)
    return images


def checked_maps(maps, images):
    """Returns (maps, images) as arrays, or raises `ValueError` unless there is one of each."""
    maps, images = np.asarray(maps, "float32"), checked_images(images)
    if maps.ndim != 3 or len(maps) != len(images):
        want = "there must be one map (rows, columns) for each image"
        arguments.refuse(want, {"maps shape": maps.shape, "images shape": images.shape})
    return maps, images


def checked(name, values, axes):
    """Returns an array of floats, or raises `ValueError` unless it has the axes that are named."""
    values = np.asarray(values, "float32")
    if values.ndim != len(axes) or not values.size:
        want = f"`{name}` must be an array ({', '.join(axes)})"
        arguments.refuse(want, {"shape": values.shape}, f"explain.{name} makes one.")
    return values


def names_of(names, count):
    """Returns a name for each of `count` images, none where none are given."""
    if names is None:
        return [""] * count
    if len(names) != count:
        arguments.refuse("there must be one name for each image", {"names": len(names)})
    return [str(name) for name in names]


def block_number(number, count):
    """Returns which of `count` blocks is meant, negative numbers from the end; or refuses."""
    if not -count <= number < count:
        arguments.refuse(f"the model has blocks 0 to {count - 1}", {"block": number})
    return number % count


def class_names_of(classes, class_names, count):
    """Returns the name of each image's class; "" where no classes are told."""
    if classes is None:
        return [""] * count
    classes = np.broadcast_to(np.asarray(classes, "int64"), count)
    return [class_name(number, class_names) for number in classes]


def class_name(number, class_names=None):
    """Names a class: "tabby", or "class 281" where its name is not known."""
    return f"class {number}" if class_names is None else str(class_names[number])


def probabilities(logits):
    """Returns probabilities of logits, in float64; rows that are probabilities already stay.

    Of one logit they are those of class 0 and class 1, by the sigmoid.

    Example:
    >>> keras_vit.explain.plots.probabilities(np.log([[1.0, 3.0]]))
    array([[0.25, 0.75]])
    """
    logits = np.asarray(logits, "float64")
    if logits.shape[-1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=-1)
    elif logits.min() >= 0 and np.allclose(logits.sum(-1), 1, atol=0.02):
        return logits
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)
