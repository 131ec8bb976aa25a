"""One function for each view of `keras-vit explain`: asks, draws, and says the main numbers."""

import math
from typing import NamedTuple

import numpy as np

from keras_vit import arguments
from keras_vit.cli.common import load_model
from keras_vit.cli.explain_images import load_images
from keras_vit.explain import (
    alignment,
    attention,
    cam,
    deleting,
    distance,
    encoder,
    filters,
    gradient_rollout,
    heads,
    lens,
    neighbours,
    occluding,
    plots,
    rollout,
    tokens,
)
from keras_vit.explain.forward import chosen_classes
from keras_vit.explain.map_words import (
    area,
    cosines,
    highest,
    points,
    settled,
    times_even,
    times_mean,
)
from keras_vit.explain.plots.parts import block_number, class_name, probabilities


class Shown(NamedTuple):
    """What a view gives: a Matplotlib figure, {name: array} to save, lines to print."""

    figure: object
    arrays: dict
    words: list


def patch_grid(asked):
    """Images cut into patches."""
    found = tokens.patch_grid(asked.model, asked.images)
    _, rows, columns, height, width, _ = found.shape
    words = [f"{rows} x {columns} = {rows * columns} patches of {height} x {width} pixels"]
    return Shown(plots.patch_grid(found, asked.names), {"patch_grid": found}, words)


def attention_scores(asked):
    """Where a token looks, by head."""
    token, blocks = asked.options.token, asked.options.block
    scores = attention.attention_scores(asked.model, asked.images, **asked.batch)
    figure = plots.attention_scores(scores, asked.images, blocks, token, names=asked.names)
    arrays = {**scores, "grid": scores.grid, "prefix_tokens": scores.prefix_tokens}
    return Shown(figure, arrays, [f"{len(scores)} blocks of {scores.stacked().shape[2]} heads"])


def attention_rollout(asked):
    """From which patches the output came."""
    options = asked.options
    maps = rollout.attention_rollout(
        asked.model,
        asked.images,
        token=options.token,
        heads=options.heads or "mean",
        discard=options.discard or 0.0,
        **asked.batch,
    )
    figure = plots.attention_rollout(maps, asked.images, asked.names)
    return Shown(figure, {"attention_rollout": maps}, _of_maps(asked, maps, times_even))


def relevance(asked):
    """Which patches spoke for the class."""
    return _of_class(asked, "relevance", gradient_rollout.relevance, times_mean)


def grad_cam(asked):
    """Where features lie that raise the class."""
    return _of_class(asked, "grad_cam", cam.grad_cam, times_mean)


def occlusion(asked):
    """How far the class falls where a patch is covered."""
    return _of_class(asked, "occlusion", occluding.occlusion, points)


def _of_class(asked, name, function, note):
    classes = _classes(asked)
    maps = function(asked.model, asked.images, classes, **asked.batch)
    figure = getattr(plots, name)(maps, asked.images, classes, asked.names, asked.class_names)
    return Shown(figure, {name: maps, "classes": classes}, _of_maps(asked, maps, note, classes))


def deletion_curve(asked):
    """How the class falls as patches are removed, by maps of several kinds."""
    classes = _classes(asked)
    model, images = asked.model, asked.images
    maps = {"Grad-CAM": cam.grad_cam(model, images, classes, **asked.batch)}
    if encoder.has_attention(model):
        maps["relevance"] = gradient_rollout.relevance(model, images, classes, **asked.batch)
        maps["rollout"] = rollout.attention_rollout(model, images, **asked.batch)
    maps["random order"] = np.random.default_rng(0).random(maps["Grad-CAM"].shape)
    curves = {
        kind: deleting.deletion_curve(model, images, found, classes, **asked.batch)
        for kind, found in maps.items()
    }
    words = [f"{kind}: area {area(curve):.3f}" for kind, curve in curves.items()]
    arrays = {kind.lower().replace(" ", "_").replace("-", "_"): c for kind, c in curves.items()}
    return Shown(plots.deletion_curve(curves), {**arrays, "classes": classes}, words)


def token_similarity(asked):
    """How similar patches are to one token."""
    token = asked.options.token
    layer = _layer(asked)
    maps = tokens.token_similarity(asked.model, asked.images, token, layer, **asked.batch)
    figure = plots.token_similarity(maps, asked.images, token, asked.names)
    return Shown(figure, {"token_similarity": maps}, _of_maps(asked, maps, cosines))


def token_colors(asked):
    """Tokens as colours."""
    found = tokens.token_colors(asked.model, asked.images, _layer(asked), **asked.batch)
    return Shown(plots.token_colors(found, asked.images, asked.names), {"token_colors": found}, [])


def logit_lens(asked):
    """What the model would say after each block."""
    logits = lens.logit_lens(asked.model, asked.images, **asked.batch)
    figure = plots.logit_lens(logits, asked.images, asked.names, asked.class_names)
    best = probabilities(logits).argmax(-1)  # (layers + 1, batch)
    words = []
    for name, said in zip(asked.names, best.T, strict=True):
        label, depth = class_name(said[-1], asked.class_names), settled(said)
        words.append(f"{name}: {label}, first of all from block {depth} of {len(best) - 1} on")
    return Shown(figure, {"logit_lens": logits}, words)


def nearest(asked):
    """The nearest images of a gallery."""
    files, gallery = asked.read(asked.options.gallery)
    found = neighbours.nearest(
        asked.model, asked.images, gallery, min(5, len(files)), **asked.batch
    )
    titles = [path.name for path in files]
    figure = plots.nearest(found, asked.images, gallery, asked.names, titles)
    arrays = {**found._asdict(), "gallery": np.array([str(path) for path in files])}
    words = []
    for name, indices, cosine in zip(asked.names, *found, strict=True):
        others = ", ".join(f"{titles[i]} {c:.2f}" for i, c in zip(indices, cosine, strict=True))
        words.append(f"{name}: {others}")
    return Shown(figure, arrays, words)


def embedding_filters(asked):
    """Principal components of the first filters."""
    found = filters.embedding_filters(asked.model)
    return Shown(plots.embedding_filters(found), {"embedding_filters": found}, [])


def position_similarity(asked):
    """How similar position embeddings are."""
    grid = asked.options.grid
    maps = filters.position_similarity(asked.model, grid and tuple(grid))
    return Shown(plots.position_similarity(maps), {"position_similarity": maps}, [])


def mean_attention_distance(asked):
    """How far each head looks."""
    found = distance.mean_attention_distance(asked.model, asked.images)
    figure = plots.mean_attention_distance(found)
    return Shown(figure, {"mean_attention_distance": found}, _of_heads(found, "pixels", 1))


def attention_entropy(asked):
    """How widely each head spreads its attention."""
    found = heads.attention_entropy(asked.model, asked.images)
    there = encoder.find(asked.model)
    figure = plots.attention_entropy(found, there.prefix_tokens + math.prod(there.grid))
    return Shown(figure, {"attention_entropy": found}, _of_heads(found, "nats", 2))


def token_norms(asked):
    """How long tokens are after each block."""
    found = heads.token_norms(asked.model, asked.images, **asked.batch)
    first = encoder.find(asked.model).prefix_tokens
    words = [
        f"after {depth} blocks: median patch {np.median(z[:, first:]):.1f}, longest "
        f"{z[:, first:].max():.1f}"
        for depth, z in enumerate(found)
    ]
    return Shown(plots.token_norms(found, first), {"token_norms": found}, words)


def cka(asked):
    """How alike the layers of a model, or of two, are."""
    other, images, model = asked.options.other, asked.images, asked.model
    second, names = model, (model.name, model.name)
    if other is not None:
        second, metrics = load_model(other)
        options = asked.options
        more = load_images(asked.files, second, metrics, options.resize, options.invert)
        images, names = (images, more), (model.name, second.name)
    found = alignment.cka(model, second, images, **asked.batch)
    words = [f"{len(asked.images)} images: better take hundreds"] * (len(asked.images) < 64)
    return Shown(plots.cka(found, models=names), found._asdict(), words)


def _classes(asked):
    return chosen_classes(asked.model, asked.images, asked.classes, **asked.batch)


def _layer(asked):
    """The name of the block that was asked for; None for what the view takes by itself."""
    numbers = asked.options.block
    if numbers is None:
        return None
    if len(numbers) > 1:
        arguments.refuse("--block must be one block here", {"--block": numbers})
    blocks = encoder.find(asked.model).blocks
    return blocks[block_number(numbers[0], len(blocks))].name


def _of_maps(asked, maps, note, classes=None):
    """A line for each image: its class, the range of its map and where that is highest."""
    words = []
    for i, (name, values) in enumerate(zip(asked.names, maps, strict=True)):
        label = "" if classes is None else f" {class_name(classes[i], asked.class_names)},"
        words.append(f"{name}:{label} {note(values)}, {highest(values)}")
    return words


def _of_heads(values, unit, digits):
    """A line for each block: the range over its heads."""
    return [
        f"block {block}: {low:.{digits}f} to {high:.{digits}f} {unit}, mean {mean:.{digits}f}"
        for block, (low, high, mean) in enumerate(
            zip(values.min(1), values.max(1), values.mean(1), strict=True)
        )
    ]
