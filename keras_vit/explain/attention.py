"""Attention scores, Eq. 6: how much each token attends to each token, in every block and head."""

import math

import numpy as np

from keras_vit import arguments, hooks
from keras_vit.descendants import AttentionPooling
from keras_vit.explain.inside import batched, find_encoder


class Scores(dict):
    """Attention scores of images: {name of the block: (batch, heads, tokens, tokens)}.

    Row i of a matrix holds the weights with which token i attends to each token; it sums to 1. The
    prefix tokens come first, then the patches row by row.

    Args:
        scores: a dict, or anything that `dict` accepts.
        grid: (rows, columns) of patches.
        prefix_tokens: number of tokens before the patch tokens.
        patch_size: (height, width) of a patch in pixels; None if it is unknown.
        pools_patches: whether the model pools the patches' tokens instead of a prefix token.
    """

    def __init__(self, scores, grid, prefix_tokens, patch_size=None, pools_patches=False):
        super().__init__(scores)
        self.grid = grid
        self.prefix_tokens = prefix_tokens
        self.patch_size = patch_size
        self.pools_patches = pools_patches

    def stack(self):
        """Returns one array (layers, batch, heads, tokens, tokens)."""
        return np.stack(list(self.values()))


def attention_scores(model, images, batch_size=8):
    """Computes the attention scores of every block and head.

    They are computed in float32, from the input of each block and its queries and keys.

    Args:
        model: a model that contains a Transformer encoder with attention among all tokens.
        images: (batch, height, width, channels) as the model takes them, pixels 0 to 255.
        batch_size: number of images computed at once.

    Returns:
        `Scores`, a dict from the name of each block to (batch, heads, tokens, tokens), float32.
        The twelve blocks of ViT-B/16 at 224 pixels take 22 MB per image.

    Raises:
        ValueError: the model has no attention among all tokens, or does not take these images.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=16, num_classes=2)
    >>> scores = keras_vit.explain.attention_scores(model, np.zeros((2, 16, 16, 3)))
    >>> scores["block_0"].shape, bool(np.allclose(scores["block_0"].sum(-1), 1))
    ((2, 4, 5, 5), True)

    Reference: Eq. 6.
    """
    batches = list(_iterate_model(model, images, batch_size))
    scores = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    return _in_order(scores, find_encoder.find_attention(model))


def pooling_attention(model, images, batch_size=8):
    """Computes how much attention pooling ("map") attends to each patch.

    Args:
        model: a model with `AttentionPooling`, such as SigLIP or the Perception Encoder.
        images: (batch, height, width, channels) as the model takes them, pixels 0 to 255.
        batch_size: number of images computed at once.

    Returns:
        (batch, heads, rows, columns), float32: the scores of each head of the pooling. If a map
        sums to less than 1, the rest is attention to prefix tokens.

    Raises:
        ValueError: the model does not pool with attention, or does not take these images.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=16, num_classes=2, pooling="map")
    >>> maps = keras_vit.explain.pooling_attention(model, np.zeros((2, 16, 16, 3)))
    >>> maps.shape, bool(np.allclose(maps.sum((2, 3)), 1))
    ((2, 4, 2, 2), True)

    Reference: "Scaling Vision Transformers", https://arxiv.org/abs/2106.04560
    """
    encoder = find_encoder.find(model)
    scores = batched.run(_compute_pooling, model, images, batch_size=batch_size)
    patches = scores[..., -math.prod(encoder.grid) :]  # registers are not among the tokens
    return patches.reshape(*scores.shape[:2], *encoder.grid)


def as_scores(source, images=None, grid=None):
    """Returns the `Scores` of a model, or converts scores in any form.

    Args:
        source: a model, `Scores`, or an array (layers, batch, heads, tokens, tokens).
        images: images for a model.
        grid: (rows, columns) of patches for an array, preceded by any prefix tokens. None for a
            square.

    Raises:
        ValueError: a model without images, or an array that is not attention on such a grid.
    """
    if isinstance(source, Scores):
        return source
    if hasattr(source, "layers"):
        if images is None:
            arguments.refuse("a model needs images", {"images": None}, "Pass images as well.")
        return attention_scores(source, images)
    return _from_array(arguments.floats("source", source), grid)


def iterate_scores(source, images=None, grid=None, batch_size=8):
    """Yields the result of `as_scores` for a few images at a time, so memory stays bounded.

    `Scores` and arrays are in memory already and are yielded whole.
    """
    if not hasattr(source, "layers") or images is None:
        yield as_scores(source, images, grid)
        return
    yield from _iterate_model(source, images, batch_size)


def _iterate_model(model, images, batch_size):
    encoder = find_encoder.find_attention(model)
    for scores in batched.batches(_compute_scores, model, images, batch_size=batch_size):
        yield _in_order(scores, encoder)


def _compute_scores(model, images):
    """Returns the scores of all blocks; the compiler drops all later operations."""
    blocks = find_encoder.find(model).blocks
    with hooks.record(blocks, "input") as inputs:
        model(images, training=False)
    return {block.name: block.attention_scores(inputs[block.name]) for block in blocks}


def _compute_pooling(model, images):
    """Returns the scores of the layer that pools with attention."""
    layer = _find_pooling(model)
    with hooks.record([layer], "input") as inputs:
        model(images, training=False)
    return layer.attention_scores(inputs[layer.name])


def _find_pooling(model):
    layers = [layer for layer, _ in find_encoder.walk(model) if isinstance(layer, AttentionPooling)]
    if not layers:
        want = "the model must pool with attention"
        advice = "For other models, use `attention_rollout` or `token_attention`."
        arguments.refuse(want, {"model": model.name}, advice)
    return layers[0]


def _in_order(scores, encoder):
    """Restores the order of the blocks: JAX sorts a dict by its keys."""
    named = {block.name: scores[block.name] for block in encoder.blocks}
    shape = encoder.grid, encoder.prefix_tokens, encoder.patch_size
    return Scores(named, *shape, pools_patches=encoder.pools_patches)


def _from_array(scores, grid):
    if scores.ndim != 5 or scores.shape[-1] != scores.shape[-2]:
        want = "attention scores must be an array (layers, batch, heads, tokens, tokens)"
        arguments.refuse(want, {"shape": scores.shape}, "`attention_scores` returns such scores.")
    tokens = scores.shape[-1]
    rows, columns = _square(tokens) if grid is None else arguments.height_width("grid", grid)
    if rows * columns > tokens:
        want = "a grid must have no more patches than tokens"
        arguments.refuse(want, {"grid": grid, "tokens": tokens})
    named = {f"block_{i}": layer for i, layer in enumerate(scores)}
    return Scores(named, (rows, columns), tokens - rows * columns)


def _square(tokens):
    side = math.isqrt(tokens)
    if tokens - side * side > 2:
        want = "without `grid`, tokens must be a square of patches and at most two class tokens"
        arguments.refuse(want, {"tokens": tokens, "grid": None}, "Write grid=(rows, columns).")
    return side, side
