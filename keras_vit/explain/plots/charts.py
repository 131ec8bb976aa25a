"""Plots that are charts: views of a model as a whole, and of classes over its depth."""

import itertools

import numpy as np

from keras_vit import arguments
from keras_vit.explain.captions import mean_area
from keras_vit.explain.plots.drawing import (
    MEDIUM,
    MOST,
    SHARP,
    SMALL,
    WIDTH,
    check_array,
    check_images,
    create_figure,
    fill_names,
    name_class,
    to_probabilities,
)
from keras_vit.figures import BLUE, GREY, ORANGE, remove_axes, short_name, show, spread

# Okabe and Ito's colors; markers and dashes distinguish lines in gray print.
LINES = (("#0072B2", "o", "-"), ("#D55E00", "s", "--"), ("#009E73", "^", "-."),
         ("#CC79A7", "D", ":"), ("#56B4E9", "v", "-"))  # fmt: skip
MOST_LAYERS = 30  # number of names that fit beside a matrix


def mean_attention_distance(distances):
    """Plots how far heads look over the depth of the network: Figures 7 (right) and 11.

    Args:
        distances: (layers, heads) in pixels, the result of `mean_attention_distance`.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    distances = check_array("mean_attention_distance", distances, ("layers", "heads"))
    figure, axes = _over_depth(distances, "mean attention distance (pixels)")
    axes.set_title("How far each head looks", fontsize=11)
    return figure


def attention_entropy(entropies, tokens=None):
    """Plots how widely heads spread their attention over the depth of the network.

    Args:
        entropies: (layers, heads) in nats, the result of `attention_entropy`.
        tokens: number of tokens of an image, for a line at the maximum entropy, the logarithm of
            this number. None for no line.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    entropies = check_array("attention_entropy", entropies, ("layers", "heads"))
    figure, axes = _over_depth(entropies, "entropy of the attention (nats)")
    if tokens is not None:
        arguments.positive_integer("tokens", tokens)
        label = f"uniform attention to {tokens:,} tokens"
        axes.axhline(np.log(tokens), color=GREY, linestyle=":", label=label)
        axes.set_ylim(0, 1.08 * np.log(tokens))
        _legend(figure, axes)
    axes.set_title("How widely each head spreads its attention", fontsize=11)
    return figure


def _over_depth(values, label):
    """Plots a dot for each head and a line through the mean of each layer, counted from 0."""
    figure = create_figure(3.8)
    axes = figure.subplots()
    depth = np.arange(len(values))
    axes.plot(depth, values.mean(axis=1), "--", color=ORANGE, linewidth=1.5, label="mean of heads")
    places = np.repeat(depth, values.shape[1])
    axes.plot(places, values.ravel(), "o", color=BLUE, alpha=0.65, ms=6, mew=0, label="head")
    axes.set(xlabel="network depth (block)", ylabel=label, xlim=(-0.5, len(values) - 0.5))
    axes.set_ylim(0, 1.08 * values.max() or 1)
    _steps(axes)
    _legend(figure, axes)
    return figure, axes


def token_norms(norms, prefix_tokens=1):
    """Plots how long tokens are after each block.

    Args:
        norms: (layers + 1, batch, tokens), the result of `token_norms`.
        prefix_tokens: number of tokens before the patch tokens.

    Returns:
        A `matplotlib.figure.Figure`: the median and the middle 90 % of the patch tokens, the
        longest patch token, and the mean of the prefix tokens.
    """
    norms = check_array("token_norms", norms, ("layers + 1", "batch", "tokens"))
    if arguments.natural_number("prefix_tokens", prefix_tokens) >= norms.shape[2]:
        received = {"prefix_tokens": prefix_tokens, "tokens": norms.shape[2]}
        arguments.refuse("there must be patch tokens behind the prefix tokens", received)
    depth, patches = np.arange(len(norms)), norms[:, :, prefix_tokens:].reshape(len(norms), -1)
    low, middle, high, most = np.percentile(patches, (5, 50, 95, 100), axis=1)
    figure = create_figure(3.8)
    axes = figure.subplots()
    axes.fill_between(depth, low, high, color=BLUE, alpha=0.2, lw=0, label="90 % of the patches")
    axes.plot(depth, middle, "-o", color=BLUE, ms=4, label="median patch")
    axes.plot(depth, most, ":", color=GREY, label="longest patch")
    if prefix_tokens:
        first = norms[:, :, :prefix_tokens].mean(axis=(1, 2))
        kind = "class token" if prefix_tokens == 1 else "prefix tokens"
        axes.plot(depth, first, "--s", color=ORANGE, ms=4, label=f"{kind}, mean")
    axes.set(xlabel="blocks passed (0: input of the first)", ylabel="length of a token (L2)")
    axes.set_yscale("log", subs=())  # a few tokens can be fifty times as long as the others
    axes.yaxis.get_major_locator().set_params(subs=(1, 2, 5))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_title("How long tokens are", fontsize=11)
    _steps(axes)
    _legend(figure, axes, columns=4)
    return figure


def embedding_filters(filters):
    """Plots the principal components of the first layer's filters: Figure 7 (left) of the paper.

    Args:
        filters: (components, height, width, channels), the result of `embedding_filters`.

    Returns:
        A `matplotlib.figure.Figure`. Middle gray is 0; each filter has its own scale. If there are
        more than 3 channels, the first three are drawn; if there are two, the first.
    """
    filters = check_array(
        "embedding_filters", filters, ("components", "height", "width", "channels")
    )
    across = min(7, len(filters))
    rows = -(-len(filters) // across)
    height, width = filters.shape[1:3]
    figure = create_figure(0.6 + rows * WIDTH / across * height / width)
    cells = figure.subplots(rows, across, squeeze=False).ravel()
    for axes, values in zip(cells, filters, strict=False):
        shown = values[..., :3] if values.shape[-1] >= 3 else values[..., 0]
        shown = 0.5 + shown / (2 * np.abs(shown).max() or 1)
        axes.imshow(shown, cmap="gray", vmin=0, vmax=1, **SHARP)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(color="lightgray", linewidth=0.5)
    for axes in cells[len(filters) :]:
        axes.remove()
    title = f"The first {len(filters)} principal components of the first layer's filters"
    figure.suptitle(title, size=11)
    return figure


def position_similarity(maps):
    """Plots the similarity of position embeddings: Figure 7 (center) of the paper.

    The small map in row r and column c shows the cosines between the position embedding of the
    patch at (r, c) and those of all patches. At most 14 rows and columns are drawn, evenly spread.

    Args:
        maps: (rows, columns, rows, columns), the result of `position_similarity`.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    maps = check_array("position_similarity", maps, ("rows", "columns", "rows", "columns"))
    rows, columns = (spread(side) for side in maps.shape[:2])
    tall = maps.shape[0] * len(rows) / (maps.shape[1] * len(columns))
    figure = create_figure(0.7 + min(4.8 * tall, 9))
    cells = figure.subplots(len(rows), len(columns), squeeze=False)
    for (i, j), axes in np.ndenumerate(cells):
        drawn = axes.imshow(maps[rows[i], columns[j]], "viridis", vmin=-1, vmax=1, **SHARP)
        remove_axes(axes)
    for axes, row in zip(cells[:, 0], rows, strict=True):
        axes.set_ylabel(row + 1, rotation=0, ha="right", va="center", fontsize=SMALL)
    for axes, column in zip(cells[-1], columns, strict=True):
        axes.set_xlabel(column + 1, fontsize=SMALL)
    figure.suptitle("Similarity of position embeddings", size=11)
    figure.supxlabel("input patch column", fontsize=MEDIUM)
    figure.supylabel("input patch row", fontsize=MEDIUM)
    bar = figure.colorbar(drawn, ax=cells, shrink=0.8, aspect=30)
    bar.set_label("cosine similarity", fontsize=MEDIUM)
    bar.ax.tick_params(labelsize=SMALL)
    return figure


def cka(found, layers_a=None, layers_b=None, models=("", "")):
    """Plots how similar the representations of layers are.

    Args:
        found: the result of `cka`, or an array (layers a, layers b).
        layers_a: names of the layers of the rows, for an array; None for numbers.
        layers_b: names of the layers of the columns.
        models: names of the two models.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    values = check_array("cka", getattr(found, "values", found), ("layers a", "layers b"))
    names = [
        getattr(found, "layers_a", layers_a) or range(len(values)),
        getattr(found, "layers_b", layers_b) or range(values.shape[1]),
    ]
    figure = create_figure(0.8 + min(max(5 * values.shape[0] / values.shape[1], 2.5), 9))
    axes = figure.subplots()
    drawn = axes.imshow(values, cmap="cividis", vmin=0, vmax=1, origin="lower", aspect="auto")
    rows, columns = (spread(side, MOST_LAYERS) for side in values.shape)
    axes.set_yticks(rows, [short_name(str(names[0][i]), 20) for i in rows], fontsize=SMALL)
    axes.set_xticks(columns, [short_name(str(names[1][i]), 20) for i in columns], fontsize=SMALL)
    axes.tick_params("x", rotation=90)
    axes.set_ylabel(" ".join(["layers", *_of(models[0]), "(first at the bottom)"]), fontsize=MEDIUM)
    axes.set_xlabel(" ".join(["layers", *_of(models[1]), "(first at the left)"]), fontsize=MEDIUM)
    axes.set_title("Similarity of representations (linear CKA)", fontsize=11)
    bar = figure.colorbar(drawn, ax=axes, shrink=0.8, aspect=30)
    bar.set_label("CKA: 0 unlike, 1 alike", fontsize=MEDIUM)
    bar.ax.tick_params(labelsize=SMALL)
    return figure


def _of(model):
    return [f"of {short_name(model, 24)}"] if model else []


def logit_lens(logits, images=None, names=None, class_names=None, top=5):
    """Plots what the model would predict after each block: probabilities of the final top classes.

    Args:
        logits: (layers + 1, batch, classes), the result of `logit_lens`.
        images: (batch, height, width, channels), drawn on the left, or None.
        names: titles of the images.
        class_names: names of the classes.
        top: number of classes, 1 to 5: those that are most probable at the end.

    Returns:
        A `matplotlib.figure.Figure`: one row for each image.

    Raises:
        ValueError: the logits have the wrong shape, `top` is not 1 to 5, or the number of images
            differs.
    """
    if arguments.positive_integer("top", top) > len(LINES):
        want = f"`top` must be at most {len(LINES)}, as more lines could not be distinguished"
        arguments.refuse(want, {"top": top}, "Pass top=5, or plot the others yourself.")
    logits = check_array("logit_lens", logits, ("layers + 1", "batch", "classes"))
    shares = to_probabilities(logits)
    total = shares.shape[1]
    images = None if images is None else check_images(images)
    if images is not None and len(images) != total:
        received = {"logits of": total, "images": len(images)}
        arguments.refuse("there must be logits for each image", received)
    count, names = min(total, MOST), fill_names(names, total)
    figure = create_figure(0.5 + 2.2 * count)
    ratios = (1, 3) if images is not None else (1,)
    cells = figure.subplots(count, len(ratios), squeeze=False, width_ratios=ratios, sharex="col")
    for i, (*left, axes) in enumerate(cells):
        for place in left:
            show(place, images[i])
            place.set_title(short_name(names[i], 15), fontsize=SMALL)
        _lens(axes, shares[:, i], class_names, top)
    cells[-1, -1].set_xlabel("blocks passed (0: input of the first)", fontsize=MEDIUM)
    figure.suptitle("What the model would predict after each block", size=11)
    return figure


def _lens(axes, shares, class_names, top):
    best = np.argsort(-shares[-1], kind="stable")[:top]
    for number, (color, marker, dashes) in zip(best, LINES, strict=False):
        label = short_name(name_class(number, class_names), 22)
        axes.plot(shares[:, number], dashes, marker=marker, color=color, ms=4, label=label)
    axes.set(ylim=(-0.03, 1.03), ylabel="probability")
    axes.legend(fontsize=SMALL, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    _steps(axes)


def deletion_curve(curves, names=None):
    """Plots how the probability of a class falls as patches are deleted, the highest-ranked first.

    Args:
        curves: (steps + 1, batch), the result of `deletion_curve`; or {name: such an array} to
            compare the mean curves of several kinds of map.
        names: names of the images for a legend, or None.

    Returns:
        A `matplotlib.figure.Figure`. The legend lists the area under the mean curve: the smaller it
        is, the better the map found what the prediction depends on.
    """
    kinds = curves if isinstance(curves, dict) else {"mean": curves}
    figure = create_figure(3.8)
    axes = figure.subplots()
    lines = itertools.cycle(LINES)
    for (kind, values), (color, marker, dashes) in zip(kinds.items(), lines, strict=False):
        values = check_array("deletion_curve", values, ("steps + 1", "batch"))
        removed = np.linspace(0, 100, len(values))
        mean = values.mean(axis=1)
        label = f"{kind}, area {mean_area(values):.2f}"
        axes.plot(removed, mean, dashes, marker=marker, color=color, ms=4, label=label, zorder=3)
        if kinds is not curves:
            _each(axes, removed, values, fill_names(names, values.shape[1]))
    axes.set(xlabel="patches deleted (%)", ylabel="probability of the class", ylim=(-0.02, 1.02))
    axes.set_title("Deleting the highest-ranked patches first", fontsize=11)
    axes.grid(alpha=0.3)
    _legend(figure, axes)
    return figure


def _each(axes, removed, values, names):
    if values.shape[1] == 1:
        return
    for i, name in enumerate(names[:MOST]):
        label = short_name(name, 20) if name and len(names) <= len(LINES) else None
        color = LINES[1 + i % (len(LINES) - 1)][0] if label else GREY
        axes.plot(removed, values[:, i], color=color, alpha=0.6, linewidth=1, label=label)


def _steps(axes):
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.tick_params(labelsize=SMALL)
    axes.grid(alpha=0.3)


def _legend(figure, axes, columns=3):
    for old in figure.legends:
        old.remove()
    words = axes.get_legend_handles_labels()
    figure.legend(*words, loc="outside lower center", ncols=columns, fontsize=SMALL)
