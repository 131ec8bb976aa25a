"""Plots of images: one function for each view of images, with the view's name."""

import numpy as np

from keras_vit import arguments
from keras_vit.explain.attention import as_scores
from keras_vit.explain.captions import (
    format_cosines,
    format_points,
    format_times_even,
    format_times_mean,
    use_minus,
)
from keras_vit.explain.plots.drawing import (
    MOST,
    SMALL,
    add_color_bar,
    check_array,
    check_block,
    check_images,
    check_maps,
    create_cells,
    draw_colors,
    draw_pairs,
    fill_names,
    frame_patch,
    name_classes,
    overlay,
)
from keras_vit.explain.rollout import token_attention
from keras_vit.figures import remove_axes, short_name, show, to_pixels

HEADS_ACROSS = 6


def attention_scores(scores, images, blocks=None, token=None, grid=None, names=None):
    """Plots the attention of one token, a map for every head of some blocks.

    Args:
        scores: the result of `attention_scores`, or an array (layers, batch, heads, tokens,
            tokens).
        images: (batch, height, width, channels), pixels 0 to 255.
        blocks: numbers of the blocks to draw, negative numbers from the end; None for the last.
        token: (row, column) of the patch that attends; None as in `token_attention`.
        grid: (rows, columns) of patches, if `scores` is an array and the grid is not square.
        names: titles of the images.

    Returns:
        A `matplotlib.figure.Figure`. Each map has its own color scale.

    Raises:
        ValueError: an array has the wrong shape, or a block or the token does not exist.
    """
    images = check_images(images)
    scores = as_scores(scores, grid=grid)
    pools = scores.pools_patches or not scores.prefix_tokens
    maps = token_attention(scores, token=token)  # (layers, batch, heads, rows, columns)
    if maps.shape[1] != len(images):
        received = {"scores of": maps.shape[1], "images": len(images)}
        arguments.refuse("there must be scores for each image", received)
    chosen = [check_block(number, len(maps)) for number in ([-1] if blocks is None else blocks)]
    shown = [(i, block) for i in range(len(images)) for block in chosen][:MOST]
    heads = maps.shape[2]
    across, lines = min(heads, HEADS_ACROSS), -(-heads // HEADS_ACROSS)
    aspect = images.shape[1] / images.shape[2]
    figure, cells = create_cells(len(shown) * lines * (across + 1), across + 1, aspect, extra=0.4)
    names = fill_names(names, len(images))
    for place, (i, block) in enumerate(shown):
        group = cells[place * lines : (place + 1) * lines]
        drawn = _heads(group, images[i], maps[block, i], token)
        group[0, 0].set_title(short_name(names[i]), fontsize=SMALL)
        group[0, 0].set_xlabel(f"block {block}", fontsize=SMALL)
    pooled = "the patches, on average" if pools else "the class token"
    query = pooled if token is None else "the patch in row {}, column {}".format(*token)
    figure.suptitle(f"Attention of {query}, by head", size=11)
    add_color_bar(figure, drawn, "attention, in each map")
    return figure


def _heads(group, image, maps, token):
    """Plots one image and the maps of its heads, in rows whose first cell is for the image."""
    show(group[0, 0], image)
    frame_patch(group[0, 0], image, maps.shape[1:], token)
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
    """Plots which patches the output comes from: Figures 6 and 14 of the paper.

    Args:
        maps: (batch, rows, columns), the result of `attention_rollout`.
        images: (batch, height, width, channels), pixels 0 to 255.
        names: titles of the images.

    Returns:
        A `matplotlib.figure.Figure`. The range below each map is relative to a uniform map.
    """
    title = "Attention rollout: which patches the output comes from"
    return _maps(maps, images, names, title, "attention", note=format_times_even)


def relevance(maps, images, classes=None, names=None, class_names=None):
    """Plots which patches support a class, by attention and its gradients.

    Args:
        maps: (batch, rows, columns), the result of `relevance`.
        images: (batch, height, width, channels), pixels 0 to 255.
        classes: the class that each map explains, (batch,) numbers or one for all; None for no
            titles.
        names: titles of the images.
        class_names: names of the classes.

    Returns:
        A `matplotlib.figure.Figure`. The range below each map is in multiples of its mean.
    """
    titles = name_classes(classes, class_names, len(maps))
    title = "Relevance: which patches support the class"
    return _maps(maps, images, names, title, "relevance", titles, format_times_mean)


def grad_cam(maps, images, classes=None, names=None, class_names=None):
    """Plots which positions have features that raise a class; arguments as in `relevance`."""
    titles = name_classes(classes, class_names, len(maps))
    title = "Grad-CAM: where the features are that raise the class"
    return _maps(maps, images, names, title, "weight", titles, format_times_mean)


def occlusion(maps, images, classes=None, names=None, class_names=None):
    """Plots how far the probability of a class falls if a patch is covered.

    Args:
        maps: (batch, rows, columns), the result of `occlusion`.
        images: (batch, height, width, channels), pixels 0 to 255.
        classes: as in `relevance`.
        names: titles of the images.
        class_names: names of the classes.

    Returns:
        A `matplotlib.figure.Figure`. Orange: the model is less sure of the class without this
        patch; violet: more sure. The range below each map is in percentage points.
    """
    titles = name_classes(classes, class_names, len(maps))
    title = "Occlusion: drop in the class's probability if a patch is covered"
    return _maps(maps, images, names, title, "drop in probability", titles, format_points, True)


def token_similarity(maps, images, token=None, names=None, class_token=True):
    """Plots how similar all patch tokens are to one token.

    Args:
        maps: (batch, rows, columns), the result of `token_similarity`.
        images: (batch, height, width, channels), pixels 0 to 255.
        token: (row, column) of the token's patch, which gets a frame; None for the class token.
        names: titles of the images.
        class_token: False for a model that pools patches, whose mean is compared in its place.

    Returns:
        A `matplotlib.figure.Figure`. The range of cosines is below each map.
    """
    pooled = "the class token" if class_token else "the mean of all patches"
    to = pooled if token is None else "the framed patch"
    title = f"Similarity of each patch's token to {to}"
    return _maps(maps, images, names, title, "cosine", note=format_cosines, token=token)


def _maps(maps, images, names, title, label, classes=None, note=None, signed=False, token=None):
    maps, images = check_maps(maps, images)
    drawn = []

    def draw(axes, i):
        drawn.append(overlay(axes, images[i], maps[i], signed))
        frame_patch(axes, images[i], maps.shape[1:], token)
        axes.set_title(short_name(classes[i], 22) if classes else "", fontsize=SMALL)
        axes.set_xlabel(note(maps[i]), fontsize=SMALL)

    figure = draw_pairs(images, names, title, draw)
    ends = {"ends": ("rises", "falls")} if signed else {}
    add_color_bar(figure, drawn[-1], f"{label}, in each image", **ends)
    return figure


def token_colors(colors, images, names=None):
    """Plots the tokens of all patches as colors: similar tokens have similar colors.

    Args:
        colors: (batch, rows, columns, 3) in 0..1, the result of `token_colors`.
        images: (batch, height, width, channels), pixels 0 to 255.
        names: titles of the images.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: the colors have the wrong shape, or the number of images differs.
    """
    colors = check_array("token_colors", colors, ("batch", "rows", "columns", "3"))
    images = check_images(images)
    if len(colors) != len(images) or colors.shape[-1] != 3:
        received = {"colors shape": colors.shape, "images shape": images.shape}
        arguments.refuse("there must be three colors for each patch of each image", received)
    title = "Tokens as colors: three principal components as red, green, blue"
    return draw_pairs(images, names, title, lambda axes, i: draw_colors(axes, images[i], colors[i]))


def patch_grid(patches, names=None):
    """Plots images cut into patches, as in Figure 1 of the paper, bottom left.

    Args:
        patches: (batch, rows, columns, height, width, channels), the result of `patch_grid`.
        names: titles of the images.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    axes_named = ("batch", "rows", "columns", "height", "width", "channels")
    patches = check_array("patch_grid", patches, axes_named)
    batch, rows, columns, height, width, _ = patches.shape
    count = min(batch, MOST)
    names = fill_names(names, batch)
    across = min(count, 2)
    figure, cells = create_cells(count, across, rows * height / (columns * width), 0.25)
    for i, axes in enumerate(cells.ravel()[:count]):
        axes.imshow(_apart(patches[i]), cmap="gray", vmin=0, vmax=255)
        remove_axes(axes)
        axes.set_title(short_name(names[i], 40), fontsize=SMALL)
    for axes in cells.ravel()[count:]:
        axes.remove()
    title = (
        f"{rows} \u00d7 {columns} = {rows * columns:,} patches of {height} \u00d7 {width} pixels"
    )
    figure.suptitle(title, size=11)
    return figure


def _apart(patches):
    """Returns one image of all patches, separated by white lines."""
    rows, columns, height, width, _ = patches.shape
    gap = max(1, min(height, width) // 8)
    shown = to_pixels(patches)  # (rows, columns, height, width), (..., 3) if colored
    padding = [(0, 0), (0, 0), (0, gap), (0, gap), (0, 0)][: shown.ndim]
    apart = np.pad(shown, padding, constant_values=255).swapaxes(1, 2)
    whole = apart.reshape(rows * (height + gap), columns * (width + gap), *shown.shape[4:])
    return whole[:-gap, :-gap]


def nearest(found, images, gallery, names=None, gallery_names=None):
    """Plots each image beside the images of a gallery that are most similar to it.

    Args:
        found: (indices, similarity), each (batch, k), the result of `nearest`.
        images: (batch, height, width, channels), pixels 0 to 255.
        gallery: (images, height, width, channels).
        names: titles of the images.
        gallery_names: titles of the images of the gallery.

    Returns:
        A `matplotlib.figure.Figure`: one row for each image, the most similar first.

    Raises:
        ValueError: the neighbors have the wrong shape, or the number of images differs.
    """
    indices, similarity = (np.asarray(part) for part in found)
    images, gallery = check_images(images), check_images(gallery)
    if indices.ndim != 2 or indices.shape != similarity.shape or len(indices) != len(images):
        received = {"indices shape": indices.shape, "images shape": images.shape}
        arguments.refuse("there must be k neighbors for each image", received)
    names, titles = fill_names(names, len(images)), fill_names(gallery_names, len(gallery))
    count, across = min(len(images), MOST), indices.shape[1] + 1
    aspect = images.shape[1] / images.shape[2]
    figure, cells = create_cells(count * across, across, aspect, extra=0.45)
    for i, (first, *others) in enumerate(cells[:count]):
        show(first, images[i])
        first.set_title(short_name(names[i], 11), fontsize=SMALL, fontweight="bold")
        for axes, number, cosine in zip(others, indices[i], similarity[i], strict=True):
            show(axes, gallery[number])
            axes.set_title(short_name(titles[number], 14), fontsize=SMALL)
            axes.set_xlabel(use_minus(f"cosine {cosine:.2f}"), fontsize=SMALL)
    figure.suptitle("Nearest images, the most similar first", size=11)
    return figure
