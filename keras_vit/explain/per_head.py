"""One number for each head: how far its attention reaches, and how widely it spreads."""

import numpy as np

from keras_vit import arguments
from keras_vit.explain import attention


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
    for scores in attention.iterate_scores(source, images, grid):
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
    for scores in attention.iterate_scores(source, images, grid=(1, 1)):  # any grid works
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
