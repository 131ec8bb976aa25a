"""Attention scores, Eq. 6: which tokens each token attends to, in every block and head."""

import math

import numpy as np

from keras_vit import arguments
from keras_vit.explain import computing, encoder, hooks


class Scores(dict):
    """Attention scores of images: {name of the block: (batch, heads, tokens, tokens)}.

    Row i of a matrix holds how much token i takes from each token; it sums to 1. The tokens are
    the class tokens, then the patches row by row.

    Args:
        scores: the dict, or anything that makes one.
        grid: (rows, columns) of patches.
        prefix_tokens: number of tokens before those of the patches.
        patch_size: (height, width) of a patch in pixels; None if it is not known.
    """

    def __init__(self, scores, grid, prefix_tokens, patch_size=None):
        super().__init__(scores)
        self.grid = grid
        self.prefix_tokens = prefix_tokens
        self.patch_size = patch_size

    def stacked(self):
        """Returns one array (layers, batch, heads, tokens, tokens)."""
        return np.stack(list(self.values()))


def attention_scores(model, images, batch_size=8):
    """Computes the attention scores of every block and head.

    They are computed in float32, from the tokens that each block gets and its queries and keys.

    Args:
        model: a model with a Transformer encoder in it, see `encoder.find_attention`.
        images: (batch, height, width, channels) as the model takes them, pixels 0 to 255.
        batch_size: images computed at once.

    Returns:
        `Scores`, a dict from the name of each block to (batch, heads, tokens, tokens), float32.
        Twelve blocks of ViT-B/16 at 224 pixels make 22 MB per image.

    Raises:
        ValueError: the model has no attention among all tokens, or takes other images.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=16, num_classes=2)
    >>> scores = keras_vit.explain.attention_scores(model, np.zeros((2, 16, 16, 3)))
    >>> scores["block_0"].shape, bool(np.allclose(scores["block_0"].sum(-1), 1))
    ((2, 4, 5, 5), True)

    Reference: Eq. 6.
    """
    parts = list(_of_model(model, images, batch_size))
    scores = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return _named(scores, encoder.find_attention(model))


def scores_of(source, images=None, grid=None):
    """Returns `Scores` of a model, or of scores in any form.

    Args:
        source: a model, `Scores`, or an array (layers, batch, heads, tokens, tokens).
        images: images for a model.
        grid: (rows, columns) of patches, for an array: tokens before these are class tokens. None
            for a square.

    Raises:
        ValueError: a model without images, or an array that is not attention of such a grid.
    """
    if isinstance(source, Scores):
        return source
    if hasattr(source, "layers"):
        if images is None:
            arguments.refuse("a model needs images to look at", {"images": None})
        return attention_scores(source, images)
    return _of_array(np.asarray(source, "float32"), grid)


def by_batch(source, images=None, grid=None, batch_size=8):
    """Yields what `scores_of` returns, a few images of a model at a time: memory stays bounded.

    `Scores` and arrays, which are in memory, come as one.
    """
    if not hasattr(source, "layers") or images is None:
        yield scores_of(source, images, grid)
        return
    yield from _of_model(source, images, batch_size)


def _of_model(model, images, batch_size):
    found = encoder.find_attention(model)
    for scores in computing.batches(_scores, model, images, batch_size=batch_size):
        yield _named(scores, found)


def _scores(model, images):
    """Scores of all blocks; what follows the last block's scores is not computed."""
    blocks = encoder.find(model).blocks
    with hooks.recorded(blocks, "input") as inputs:
        model(images, training=False)
    return {block.name: block.attention_scores(inputs[block.name]) for block in blocks}


def _named(scores, found):
    """JAX sorts a dict by its keys: the blocks come back in their order."""
    named = {block.name: scores[block.name] for block in found.blocks}
    return Scores(named, found.grid, found.prefix_tokens, found.patch_size)


def _of_array(scores, grid):
    if scores.ndim != 5 or scores.shape[-1] != scores.shape[-2]:
        want = "attention scores are an array (layers, batch, heads, tokens, tokens)"
        arguments.refuse(want, {"shape": scores.shape}, "Take them from `attention_scores`.")
    tokens = scores.shape[-1]
    rows, columns = _square(tokens) if grid is None else arguments.height_width("grid", grid)
    if rows * columns > tokens:
        arguments.refuse("a grid has no more patches than tokens", {"grid": grid, "tokens": tokens})
    named = {f"block_{i}": layer for i, layer in enumerate(scores)}
    return Scores(named, (rows, columns), tokens - rows * columns)


def _square(tokens):
    side = math.isqrt(tokens)
    if tokens - side * side > 2:
        want = "tokens are a square of patches and at most two class tokens, or `grid` is given"
        arguments.refuse(want, {"tokens": tokens, "grid": None}, "Write grid=(rows, columns).")
    return side, side
