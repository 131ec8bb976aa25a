"""How far attention reaches: the paper's Figure 7, right, Figure 11 and Appendix D.7."""

import numpy as np

from keras_vit import arguments
from keras_vit.explain import attention


def mean_attention_distance(source, images=None, *, patch_size=None, grid=None, renormalize=True):
    """Computes the mean distance, in pixels, between a patch and those that it attends to.

    It is the counterpart of a convolution's receptive field: the distance between the centres of
    two patches, weighted by the attention, averaged over the patches that ask and over images.

    Args:
        source: a model with a Transformer encoder, `Scores`, or an array (layers, batch, heads,
            tokens, tokens).
        images: (batch, height, width, channels) as the model takes them, pixels 0 to 255.
        patch_size: side of a patch in pixels, or (height, width). A model knows its own, that of a
            hybrid in pixels of the image; an array needs it.
        grid: (rows, columns) of patches, for an array; None for a square.
        renormalize: class tokens have no place, so their rows and columns are left out. True scales
            what is left of each row to sum to 1: a mean of distances. False does not, so attention
            to a class token counts as distance 0. The paper does not say which it has; Keras's own
            example does not rescale.

    Returns:
        (layers, heads) in pixels, float32. 14 x 14 patches of 16 pixels, all attended to alike,
        are 116 pixels apart.

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
    for scores in attention.by_batch(source, images, grid):
        apart = _distances(scores.grid, _pixels(patch_size or scores.patch_size))
        layers = [_reach(layer, apart, renormalize) for layer in scores.values()]
        total = total + np.sum(layers, axis=1)  # (layers, heads)
        count += len(layers[0])
    return (total / count).astype("float32")


def _reach(scores, apart, renormalize):
    """(batch, heads) of (batch, heads, tokens, tokens), class tokens first."""
    first = scores.shape[-1] - len(apart)
    scores = scores[..., first:, first:]
    reach = np.einsum("bhqk,qk->bhq", scores, apart)
    if renormalize:
        among_patches = scores.sum(-1)
        zeros = np.zeros_like(reach)  # of a row that attends to class tokens alone
        reach = np.divide(reach, among_patches, out=zeros, where=among_patches > 0)
    return reach.mean(-1)


def _distances(grid, patch_size):
    """(patches, patches) between the centres, in pixels."""
    rows, columns = np.indices(grid).reshape(2, -1)
    y, x = rows * patch_size[0], columns * patch_size[1]
    return np.hypot(y[:, None] - y, x[:, None] - x)


def _pixels(patch_size):
    if patch_size is None:
        want = "distances are in pixels, and an array of scores does not say how large a patch is"
        arguments.refuse(want, {"patch_size": None}, "Write patch_size=16, or (height, width).")
    return patch_size
