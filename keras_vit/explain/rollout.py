"""From attention to a map over the image: attention rollout, Appendix D.8, and single tokens."""

import numpy as np

from keras_vit import arguments
from keras_vit.explain import attention

HEADS = {"mean": np.mean, "max": np.max, "min": np.min}


def attention_rollout(
    source,
    images=None,
    *,
    residual=True,
    heads="mean",
    discard=0.0,
    token=None,
    grid=None,
    batch_size=8,
):
    """Computes how much of each patch arrives in the class token after all layers.

    In each layer the heads become one matrix A and its rows are scaled to sum to 1; the layers are
    multiplied, A_L ... A_2 A_1, and the row of the token is laid out on the grid. The paper's
    Figures 6 and 14 are made so. Attention is followed here, not what it does to the class: that
    is `relevance`.

    Args:
        source: a model with a Transformer encoder, `Scores`, or an array (layers, batch, heads,
            tokens, tokens).
        images: (batch, height, width, channels) as the model takes them, pixels 0 to 255.
        residual: whether A becomes 0.5 A + 0.5 I, for the input that each layer adds to its output.
        heads: how heads become one matrix: "mean" as the paper, "max" or "min".
        discard: share of the patches that each token forgets in each layer: in every row of A the
            `int(discard * patches)` smallest scores of patches become 0. Class tokens are never
            forgotten, as columns, and do not count among the patches. (The popular code ranks all
            rows together and may leave some rows empty.)
        token: None for what the model pools: the class token, the first of two; without one, the
            mean over all patches, also where the model then pools with attention ("map"). Or
            (row, column) of one patch.
        grid: (rows, columns) of patches, for an array; None for a square.
        batch_size: images of a model computed at once.

    Returns:
        (batch, rows, columns), float32. Each map sums to 1, or is 0 where nothing of any patch
        arrives in the token.

    Raises:
        ValueError: the model has no attention, or an argument cannot be used.

    Example:
    >>> uniform = np.full((3, 1, 2, 5, 5), 1 / 5)  # 3 layers, 1 image, 2 heads, 1 + 2 x 2 tokens
    >>> keras_vit.explain.attention_rollout(uniform)
    array([[[0.25, 0.25],
            [0.25, 0.25]]], dtype=float32)

    Reference: Appendix D.8; Abnar and Zuidema 2020, https://arxiv.org/abs/2005.00928
    """
    arguments.boolean("residual", residual)
    fuse = HEADS[arguments.one_of(*HEADS)("heads", heads)]
    discard = arguments.fraction("discard", discard)
    maps = []
    for scores in attention.by_batch(source, images, grid, batch_size):
        row = _asking(scores, token)[None]  # (1, tokens)
        for layer in reversed(scores.values()):
            mixed = _forgotten(fuse(layer, axis=1), discard, scores.prefix_tokens)
            row = np.squeeze(row[:, None] @ _normalised(mixed, residual), 1)  # (B, tokens)
        maps.append(_on_grid(row, scores))
    maps = np.concatenate(maps)
    return _divided(maps, maps.sum((1, 2), keepdims=True))


def token_attention(source, images=None, *, token=None, grid=None):
    """Takes what one token attends to out of the scores, in every layer and head.

    Args:
        source: a model with a Transformer encoder, `Scores`, or an array (layers, batch, heads,
            tokens, tokens).
        images: (batch, height, width, channels) as the model takes them, pixels 0 to 255.
        token: None for the class token, the first of two; without one, the mean over all patches.
            Or (row, column) of one patch.
        grid: (rows, columns) of patches, for an array; None for a square.

    Returns:
        (layers, batch, heads, rows, columns), float32: the scores as they are. What is missing to
        a sum of 1 goes to class tokens.

    Raises:
        ValueError: the model has no attention, or there is no such token.

    Example:
    >>> scores = np.tile(np.eye(5), (3, 1, 2, 1, 1))  # every token attends to itself
    >>> keras_vit.explain.token_attention(scores, token=(0, 1))[0, 0, 0]
    array([[0., 1.],
           [0., 0.]], dtype=float32)

    Reference: Eq. 6.
    """
    parts = []
    for scores in attention.by_batch(source, images, grid):
        asking = _asking(scores, token)
        parts.append(np.stack([_on_grid(asking @ layer, scores) for layer in scores.values()]))
    return np.concatenate(parts, axis=1)


def _asking(scores, token):
    """The weights (tokens,) of those whose view is taken."""
    rows, columns = scores.grid
    first = scores.prefix_tokens
    weights = np.zeros(first + rows * columns, "float32")
    if token is not None:
        row, column = _place(token, scores.grid)
        weights[first + row * columns + column] = 1
    elif first:
        weights[0] = 1
    else:
        weights[:] = 1 / len(weights)
    return weights


def _place(token, grid):
    try:
        row, column = (arguments.natural_number("token", place) for place in token)
        inside = row < grid[0] and column < grid[1]
    except (TypeError, ValueError):
        inside = False
    if not inside:
        want = "`token` must be None for the class token, or (row, column) of a patch in the grid"
        arguments.refuse(want, {"token": token, "grid": grid})
    return row, column


def _forgotten(scores, discard, prefix_tokens):
    """Sets the smallest scores of patches to 0 in each row."""
    patches = scores[..., prefix_tokens:]
    count = int(discard * patches.shape[-1])
    if not count:
        return scores
    smallest = np.argpartition(patches, count, axis=-1)[..., :count]
    scores = scores.copy()
    np.put_along_axis(scores[..., prefix_tokens:], smallest, 0, axis=-1)
    return scores


def _normalised(scores, residual):
    """Scales rows to sum to 1; an empty row, which `min` can leave, stays empty."""
    if residual:
        scores = 0.5 * scores + 0.5 * np.eye(scores.shape[-1], dtype=scores.dtype)
    return _divided(scores, scores.sum(-1, keepdims=True))


def _divided(values, totals):
    return np.divide(values, totals, out=np.zeros_like(values), where=totals > 0)


def _on_grid(rows, scores):
    return rows[..., scores.prefix_tokens :].reshape(*rows.shape[:-1], *scores.grid)
