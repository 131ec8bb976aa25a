"""Maps of attention over the image: attention rollout, Appendix D.8, and single tokens."""

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
    """Computes how much of each patch reaches the class token through all layers.

    In each layer the heads are combined to one matrix A whose rows sum to 1. The layers are
    multiplied, A_L ... A_2 A_1, and the row of the token is arranged on the grid, as in the paper's
    Figures 6 and 14. Rollout follows attention, not its effect on a class: see `relevance`.

    Args:
        source: a model with a Transformer encoder, `Scores`, or an array (layers, batch, heads,
            tokens, tokens).
        images: (batch, height, width, channels) as the model takes them, pixels 0 to 255.
        residual: whether A is replaced by 0.5 A + 0.5 I, for the residual connection.
        heads: how heads are combined: "mean" as in the paper, "max" or "min".
        discard: fraction of patches that each token ignores in each layer: in every row of A the
            `int(discard * patches)` smallest scores of patches are set to 0. Columns of prefix
            tokens are never discarded and do not count as patches. (The widely used implementation
            ranks all rows together and may leave some rows empty.)
        token: None for the tokens that the model pools: the class token (the first of two), or the
            mean of the patches in a model that pools patches, even if it pools with attention
            ("map"). Or (row, column) of one patch.
        grid: (rows, columns) of patches for an array; None for a square.
        batch_size: number of images of a model computed at once.

    Returns:
        (batch, rows, columns), float32. Each map sums to 1, or is 0 if no patch reaches the token.

    Raises:
        ValueError: the model has no attention, or an argument is invalid.

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
    for scores in attention.iterate_scores(source, images, grid, batch_size):
        row = _query_weights(scores, token)[None]  # (1, tokens)
        for layer in reversed(scores.values()):
            mixed = _discard(fuse(layer, axis=1), discard, scores.prefix_tokens)
            row = np.squeeze(row[:, None] @ _normalize(mixed, residual), 1)  # (B, tokens)
        maps.append(_arrange(row, scores))
    maps = np.concatenate(maps)
    return _divide(maps, maps.sum((1, 2), keepdims=True))


def token_attention(source, images=None, *, token=None, grid=None):
    """Returns the attention of one token, in every layer and head.

    Args:
        source: a model with a Transformer encoder, `Scores`, or an array (layers, batch, heads,
            tokens, tokens).
        images: (batch, height, width, channels) as the model takes them, pixels 0 to 255.
        token: None for the class token (the first of two), or for the mean of the patches in a
            model that pools patches. Or (row, column) of one patch.
        grid: (rows, columns) of patches for an array; None for a square.

    Returns:
        (layers, batch, heads, rows, columns), float32: the scores, unscaled. If a map sums to less
        than 1, the rest is attention to prefix tokens.

    Raises:
        ValueError: the model has no attention, or the token does not exist.

    Example:
    >>> scores = np.tile(np.eye(5), (3, 1, 2, 1, 1))  # every token attends to itself
    >>> keras_vit.explain.token_attention(scores, token=(0, 1))[0, 0, 0]
    array([[0., 1.],
           [0., 0.]], dtype=float32)

    Reference: Eq. 6.
    """
    batches = []
    for scores in attention.iterate_scores(source, images, grid):
        weights = _query_weights(scores, token)
        batches.append(np.stack([_arrange(weights @ layer, scores) for layer in scores.values()]))
    return np.concatenate(batches, axis=1)


def _query_weights(scores, token):
    """Returns the weights (tokens,) with which the rows of queries are averaged."""
    rows, columns = scores.grid
    first = scores.prefix_tokens
    weights = np.zeros(first + rows * columns, "float32")
    if token is not None:
        row, column = _check_token(token, scores.grid)
        weights[first + row * columns + column] = 1
    elif first and not scores.pools_patches:
        weights[0] = 1
    else:
        weights[first:] = 1 / (rows * columns)
    return weights


def _check_token(token, grid):
    try:
        row, column = (arguments.natural_number("token", number) for number in token)
        inside = row < grid[0] and column < grid[1]
    except (TypeError, ValueError):
        inside = False
    if not inside:
        want = "`token` must be None for the class token, or (row, column) of a patch in the grid"
        arguments.refuse(want, {"token": token, "grid": grid})
    return row, column


def _discard(scores, discard, prefix_tokens):
    """Sets the smallest scores of patches in each row to 0."""
    patches = scores[..., prefix_tokens:]
    count = int(discard * patches.shape[-1])
    if not count:
        return scores
    smallest = np.argpartition(patches, count, axis=-1)[..., :count]
    scores = scores.copy()
    np.put_along_axis(scores[..., prefix_tokens:], smallest, 0, axis=-1)
    return scores


def _normalize(scores, residual):
    """Scales rows to sum to 1; an empty row, which `min` can produce, stays empty."""
    if residual:
        scores = 0.5 * scores + 0.5 * np.eye(scores.shape[-1], dtype=scores.dtype)
    return _divide(scores, scores.sum(-1, keepdims=True))


def _divide(values, totals):
    return np.divide(values, totals, out=np.zeros_like(values), where=totals > 0)


def _arrange(rows, scores):
    return rows[..., scores.prefix_tokens :].reshape(*rows.shape[:-1], *scores.grid)
