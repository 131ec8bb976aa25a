"""Figures over images: one function for each view that lies on them, named as the view."""

import numpy as np

from keras_vit import arguments
from keras_vit.explain.map_words import cosines, minus, points, times_even, times_mean
from keras_vit.explain.plots.charts import SHARP
from keras_vit.explain.plots.parts import (
    MOST,
    SMALL,
    bare,
    beside,
    block_number,
    checked,
    checked_images,
    checked_maps,
    class_names_of,
    mark,
    names_of,
    overlay,
    pixels,
    rows_of,
    scale_bar,
    show,
)
from keras_vit.explain.rollout import token_attention
from keras_vit.figures import short_name

HEADS_ACROSS = 6


def attention_scores(scores, images, blocks=None, token=None, grid=None, names=None):
    """Draws where one token looks, in every head of some blocks: a map for each head.

    Args:
        scores: what `attention_scores` returns, or an array (layers, batch, heads, tokens, tokens).
        images: (batch, height, width, channels), pixels 0 to 255.
        blocks: numbers of the blocks to draw, negative ones from the end; None for the last one.
        token: (row, column) of the patch that looks; None for the class token.
        grid: (rows, columns) of patches, where `scores` is an array and they make no square.
        names: title of each image.

    Returns:
        A `matplotlib.figure.Figure`. Each map has its own colours, from its lowest to its highest
        value.

    Raises:
        ValueError: an array has another shape, or there is no such block or token.
    """
    images = checked_images(images)
    maps = token_attention(scores, token=token, grid=grid)  # (layers, batch, heads, rows, columns)
    if maps.shape[1] != len(images):
        received = {"scores of": maps.shape[1], "images": len(images)}
        arguments.refuse("there must be scores of each image", received)
    chosen = [block_number(number, len(maps)) for number in ([-1] if blocks is None else blocks)]
    shown = [(i, block) for i in range(len(images)) for block in chosen][:MOST]
    heads = maps.shape[2]
    across, lines = min(heads, HEADS_ACROSS), -(-heads // HEADS_ACROSS)
    aspect = images.shape[1] / images.shape[2]
    figure, cells = rows_of(len(shown) * lines * (across + 1), across + 1, aspect, extra=0.4)
    names = names_of(names, len(images))
    for place, (i, block) in enumerate(shown):
        group = cells[place * lines : (place + 1) * lines]
        drawn = _heads(group, images[i], maps[block, i], token)
        group[0, 0].set_title(short_name(names[i]), fontsize=SMALL)
        group[0, 0].set_xlabel(f"block {block}", fontsize=SMALL)
    looking = (
        "the class token" if token is None else f"the patch in row {token[0]}, column {token[1]}"
    )
    figure.suptitle(f"Attention of {looking}, by head", size=11)
    scale_bar(figure, drawn, "attention, in each map")
    return figure


def _heads(group, image, maps, token):
    """Draws one image and the maps of its heads, in rows whose first cell is the image's."""
    show(group[0, 0], image)
    mark(group[0, 0], image, maps.shape[1:], token)
    for axes in group[1:, 0]:
        axes.axis("off")
    places = group[:, 1:].ravel()
    for head, (axes, values) in enumerate(zip(places, maps, strict=False)):
        drawn = overlay(axes, image, values)
        axes.set_title(f"head {head}", fontsize=SMALL, pad=3)
    for axes in places[len(maps) :]:
        axes.axis("off")
    return drawn


def attention_rollout(maps, images, names=None):
    """Draws from which patches the output came: Figures 6 and 14 of the paper.

    Args:
        maps: (batch, rows, columns), what `attention_rollout` returns.
        images: (batch, height, width, channels), pixels 0 to 255.
        names: title of each image.

    Returns:
        A `matplotlib.figure.Figure`. Under each map stands its range: 1 is what a patch would get
        if all got the same.
    """
    title = "Attention rollout: from which patches the output came"
    return _maps(maps, images, names, title, "attention", note=times_even)


def relevance(maps, images, classes=None, names=None, class_names=None):
    """Draws which patches spoke for a class, by gradients and attention.

    Args:
        maps: (batch, rows, columns), what `relevance` returns.
        images: (batch, height, width, channels), pixels 0 to 255.
        classes: the class that each map is of, (batch,) numbers or one for all; None for no words.
        names: title of each image.
        class_names: name of every class.

    Returns:
        A `matplotlib.figure.Figure`. Under each map stands its range, in multiples of its mean.
    """
    found = class_names_of(classes, class_names, len(maps))
    title = "Relevance: which patches spoke for the class"
    return _maps(maps, images, names, title, "relevance", found, times_mean)


def grad_cam(maps, images, classes=None, names=None, class_names=None):
    """Draws where the features lie that raise a class; arguments as in `relevance`."""
    found = class_names_of(classes, class_names, len(maps))
    title = "Grad-CAM: where features lie that raise the class"
    return _maps(maps, images, names, title, "weight", found, times_mean)


def occlusion(maps, images, classes=None, names=None, class_names=None):
    """Draws how far a class's probability falls where a patch is covered.

    Args:
        maps: (batch, rows, columns), what `occlusion` returns: fall of the probability.
        images: (batch, height, width, channels), pixels 0 to 255.
        classes: as in `relevance`.
        names: title of each image.
        class_names: name of every class.

    Returns:
        A `matplotlib.figure.Figure`. Orange: the class is lost without this part; violet: it is
        found more surely without it. Under each map stands its range in percentage points.
    """
    found = class_names_of(classes, class_names, len(maps))
    title = "Occlusion: fall of the class's probability where a patch is covered"
    return _maps(maps, images, names, title, "fall of the probability", found, points, True)


def token_similarity(maps, images, token=None, names=None):
    """Draws how similar the tokens of all patches are to one token.

    Args:
        maps: (batch, rows, columns), what `token_similarity` returns: cosines.
        images: (batch, height, width, channels), pixels 0 to 255.
        token: (row, column) of the patch that is compared, framed; None for the class token.
        names: title of each image.

    Returns:
        A `matplotlib.figure.Figure`. Under each map stands its range of cosines.
    """
    to = "the class token" if token is None else "the framed patch"
    title = f"Similarity of each patch's token to {to}"
    return _maps(maps, images, names, title, "cosine", note=cosines, token=token)


def _maps(maps, images, names, title, label, classes=None, note=None, signed=False, token=None):
    maps, images = checked_maps(maps, images)
    drawn = []

    def draw(axes, i):
        drawn.append(overlay(axes, images[i], maps[i], signed))
        mark(axes, images[i], maps.shape[1:], token)
        axes.set_title(short_name(classes[i], 22) if classes else "", fontsize=SMALL)
        axes.set_xlabel(note(maps[i]), fontsize=SMALL)

    figure = beside(images, names, title, draw)
    ends = {"ends": ("rises", "falls")} if signed else {}
    scale_bar(figure, drawn[-1], f"{label}, in each image", **ends)
    return figure


def token_colors(colors, images, names=None):
    """Draws the tokens of all patches as colours: what is alike has like colours.

    Args:
        colors: (batch, rows, columns, 3) in 0..1, what `token_colors` returns.
        images: (batch, height, width, channels), pixels 0 to 255.
        names: title of each image.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    colors, images = (
        checked("token_colors", colors, ("batch", "rows", "columns", "3")),
        checked_images(images),
    )
    if len(colors) != len(images) or colors.shape[-1] != 3:
        received = {"colors shape": colors.shape, "images shape": images.shape}
        arguments.refuse("there must be three colours a patch for each image", received)
    height, width = images.shape[1:3]

    def draw(axes, i):
        axes.imshow(colors[i], extent=(-0.5, width - 0.5, height - 0.5, -0.5), **SHARP)
        bare(axes)

    title = "Tokens as colours: three principal components as red, green, blue"
    return beside(images, names, title, draw)


def patch_grid(patches, names=None):
    """Draws images cut into patches, as the lower left of Figure 1 of the paper does.

    Args:
        patches: (batch, rows, columns, height, width, channels), what `patch_grid` returns.
        names: title of each image.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    axes_named = ("batch", "rows", "columns", "height", "width", "channels")
    patches = checked("patch_grid", patches, axes_named)
    batch, rows, columns, height, width, _ = patches.shape
    count = min(batch, MOST)
    names = names_of(names, batch)
    across = min(count, 2)
    figure, cells = rows_of(count, across, rows * height / (columns * width), 0.25)
    for i, axes in enumerate(cells.ravel()[:count]):
        axes.imshow(_apart(patches[i]), cmap="gray", vmin=0, vmax=255)
        bare(axes)
        axes.set_title(short_name(names[i], 40), fontsize=SMALL)
    for axes in cells.ravel()[count:]:
        axes.remove()
    words = (
        f"{rows} \u00d7 {columns} = {rows * columns:,} patches of {height} \u00d7 {width} pixels"
    )
    figure.suptitle(words, size=11)
    return figure


def _apart(patches):
    """Returns one image of patches with white lines between them."""
    rows, columns, height, width, _ = patches.shape
    gap = max(1, min(height, width) // 8)
    shown = pixels(patches)  # (rows, columns, height, width) and perhaps 3 colours
    padding = [(0, 0), (0, 0), (0, gap), (0, gap), (0, 0)][: shown.ndim]
    apart = np.pad(shown, padding, constant_values=255).swapaxes(1, 2)
    whole = apart.reshape(rows * (height + gap), columns * (width + gap), *shown.shape[4:])
    return whole[:-gap, :-gap]


def nearest(found, images, gallery, names=None, gallery_names=None):
    """Draws each image and those of a gallery that the model finds most like it.

    Args:
        found: (indices, similarity), each (batch, k): what `nearest` returns.
        images: (batch, height, width, channels), pixels 0 to 255.
        gallery: (images, height, width, channels).
        names: title of each image.
        gallery_names: title of each image of the gallery.

    Returns:
        A `matplotlib.figure.Figure`: a row for each image, the most similar first.
    """
    indices, similarity = (np.asarray(part) for part in found)
    images, gallery = checked_images(images), checked_images(gallery)
    if indices.ndim != 2 or indices.shape != similarity.shape or len(indices) != len(images):
        received = {"indices shape": indices.shape, "images shape": images.shape}
        arguments.refuse("there must be k neighbours of each image", received)
    names, titles = names_of(names, len(images)), names_of(gallery_names, len(gallery))
    count, across = min(len(images), MOST), indices.shape[1] + 1
    aspect = images.shape[1] / images.shape[2]
    figure, cells = rows_of(count * across, across, aspect, extra=0.45)
    for i, (first, *others) in enumerate(cells[:count]):
        show(first, images[i])
        first.set_title(short_name(names[i], 11), fontsize=SMALL, fontweight="bold")
        for axes, number, cosine in zip(others, indices[i], similarity[i], strict=True):
            show(axes, gallery[number])
            axes.set_title(short_name(titles[number], 14), fontsize=SMALL)
            axes.set_xlabel(minus(f"cosine {cosine:.2f}"), fontsize=SMALL)
    figure.suptitle("The nearest images, most similar first", size=11)
    return figure
