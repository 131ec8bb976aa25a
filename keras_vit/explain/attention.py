"""Attention scores, Eq. 6: how much each token attends to each token, in every block and head.

Also one number for each head: how far its attention reaches, and how widely it spreads.
"""

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


# --- One number for each head ---------------------------------------------------------------------


def mean_attention_distance(source, images=None, *, patch_size=None, grid=None, renormalize=True):
    """Computes the mean distance, in pixels, between a patch and the patches it attends to.

    It is the counterpart of a convolution's receptive field: the distance between the centers of
    two patches, weighted by the attention, averaged over query patches and images.

    Args:
        source: a model with a Transformer encoder, `Scores`, or an array (layers, batch, heads,
            tokens, tokens).
        images: (batch, height, width, channels) as the model takes them, pixels 0 to 255.
        patch_size: side of a patch in pixels, or (height, width). Required for an array; a model
            has its own, a hybrid's in pixels of the image.
        grid: (rows, columns) of patches for an array; None for a square.
        renormalize: prefix tokens have no position, so their rows and columns are left out. If
            True, the rest of each row is rescaled to sum to 1, which gives a mean of distances. If
            False, attention to a prefix token counts as distance 0. The paper does not say which
            it uses; Keras's own example does not rescale.

    Returns:
        (layers, heads) in pixels, float32. For uniform attention over 14 x 14 patches of 16 pixels
        the distance is 116 pixels.

    Raises:
        ValueError: the model has no attention, or an array comes without `patch_size`.

    Example:
    >>> to_the_right = np.eye(4)[[1, 0, 3, 2]][None, None, None]  # 2 x 2 patches, each to the other
    >>> keras_vit.explain.mean_attention_distance(to_the_right, patch_size=16)
    array([[16.]], dtype=float32)

    Reference: Figure 7, right; Appendix D.7, Figure 11.
    """
    arguments.boolean("renormalize", renormalize)
    if patch_size is not None:
        patch_size = arguments.height_width("patch_size", patch_size)
    total = count = 0
    for scores in iterate_scores(source, images, grid):
        distances = _distances(scores.grid, _require_patch_size(patch_size or scores.patch_size))
        layers = [_average(layer, distances, renormalize) for layer in scores.values()]
        total = total + np.sum(layers, axis=1)  # (layers, heads)
        count += len(layers[0])
    return (total / count).astype("float32")


def attention_entropy(source, images=None):
    """Computes how widely each head spreads its attention.

    Args:
        source: a model with a Transformer encoder, `Scores`, or an array (layers, batch, heads,
            tokens, tokens).
        images: (batch, height, width, channels) as the model takes them, pixels 0 to 255.

    Returns:
        (layers, heads) in nats, float32: the entropy of a row of attention, averaged over images
        and tokens. It is 0 if each token attends to a single one, and at most log(tokens), for
        uniform attention: 5.28 for 197 tokens.

    Raises:
        ValueError: the model has no attention.

    Example:
    >>> uniform, one_hot = np.full((5, 5), 1 / 5), np.eye(5)
    >>> scores = np.stack([uniform, one_hot])[None, None]  # 1 layer, 1 image, 2 heads
    >>> bool(np.allclose(keras_vit.explain.attention_entropy(scores), [[np.log(5), 0]]))
    True
    """
    total = count = 0
    for scores in iterate_scores(source, images, grid=(1, 1)):  # any grid works
        layers = [_entropy(layer).mean(-1) for layer in scores.values()]  # (B, heads) each
        total = total + np.sum(layers, axis=1, dtype="float64")
        count += len(layers[0])
    return (total / count).astype("float32")


def _average(scores, distances, renormalize):
    """Returns (batch, heads) from (batch, heads, tokens, tokens), prefix tokens first."""
    first = scores.shape[-1] - len(distances)
    scores = scores[..., first:, first:]
    means = np.einsum("bhqk,qk->bhq", scores, distances)
    if renormalize:
        among_patches = scores.sum(-1)
        zeros = np.zeros_like(means)  # for a row that attends to prefix tokens only
        means = np.divide(means, among_patches, out=zeros, where=among_patches > 0)
    return means.mean(-1)


def _distances(grid, patch_size):
    """Returns the distances between the centers in pixels, (patches, patches)."""
    rows, columns = np.indices(grid).reshape(2, -1)
    y, x = rows * patch_size[0], columns * patch_size[1]
    return np.hypot(y[:, None] - y, x[:, None] - x)


def _require_patch_size(patch_size):
    if patch_size is None:
        want = "distances are in pixels, so an array of scores needs the size of a patch"
        arguments.refuse(want, {"patch_size": None}, "Write patch_size=16, or (height, width).")
    return patch_size


def _entropy(scores):
    logarithms = np.log(scores, out=np.zeros_like(scores), where=scores > 0)  # 0 log 0 = 0
    return -(scores * logarithms).sum(-1)
