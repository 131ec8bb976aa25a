"""Relative positions: attention that knows how far apart two tokens are (Appendix D.4).

z_0 = [x_class; x_1 E; ...; x_N E]                                Eq. 1 without E_pos
A   = softmax((q_i k_j + q_i r_(i - j)) / sqrt(d))                Eq. 6 with offsets r
"""

import keras
import numpy as np
from keras import initializers, ops

from keras_vit import arguments as check
from keras_vit.ablations import positions
from keras_vit.ablations.placement import UnplacedPatchEncoder
from keras_vit.layers import SelfAttention, TransformerBlock, logits
from keras_vit.vit import ViT

register = keras.saving.register_keras_serializable(package="keras_vit")


@register
class RelativeSelfAttention(SelfAttention):
    """Self-attention with a learned key for every offset between two tokens.

    The logits of the same queries with `offset_embedding` as keys are added to the usual ones:

        A = softmax((q_i k_j + q_i r_(i - j)) / sqrt(d)),   i - j = T - 1 ... 1 - T

    Offsets are counted along the sequence of T tokens, which starts with the class token. Like a
    key, an embedding is split among the heads, d numbers each.

    Args:
        num_heads: number of heads; it divides D.
        dropout: rate after U_msa.

    Call arguments:
        x: tokens (batch, T, D), with the T that the layer was built for.

    Returns:
        (batch, T, D).

    Raises:
        ValueError: `num_heads` does not divide D, or T is unknown or not the one it was built for.

    Example:
    >>> layer = keras_vit.ablations.relative.RelativeSelfAttention(num_heads=3)
    >>> tuple(layer(np.zeros((2, 5, 192))).shape), tuple(layer.offset_embedding.shape)
    ((2, 5, 192), (9, 192))

    Reference: Appendix D.4
    """

    def build(self, input_shape):
        super().build(input_shape)
        _, tokens, dim = input_shape
        if tokens is None:
            want = "relative positions need the number of tokens"
            check.refuse(want, {"input shape": tuple(input_shape)}, "Use a fixed image_size.")
        normal = initializers.RandomNormal(stddev=0.02)
        self.offset_embedding = self.add_weight(
            (2 * tokens - 1, dim), normal, name="offset_embedding"
        )

    def scores(self, query, key):
        """Returns A of queries and keys: (batch, heads, T, T)."""
        _, tokens, heads, dim = query.shape
        offsets = self.offset_embedding.shape[0]
        if tokens != (offsets + 1) // 2:
            want = f"this attention was built for {(offsets + 1) // 2} tokens"
            advice = "Pass it images of the size that it was built for."
            check.refuse(want, {"tokens": tokens}, advice)
        relative = ops.reshape(self.offset_embedding, (offsets, heads, dim))
        relative = ops.transpose(ops.cast(relative, query.dtype), (1, 2, 0))  # (heads, d, 2T - 1)
        offset_logits = ops.matmul(ops.transpose(query, (0, 2, 1, 3)), relative) / dim**0.5
        return ops.softmax(logits(query, key) + by_pairs(offset_logits))


def by_pairs(x):
    """Selects the value of each pair: y[i, j] = x[i, T - 1 - (i - j)].

    Row i begins one place before row i - 1. The array is read again with rows one place shorter,
    which shifts each row by one more place, so no gather is needed.

    Args:
        x: (batch, heads, T, 2 T - 1), a number for every query and offset T - 1 ... 1 - T.

    Returns:
        (batch, heads, T, T), one for every query and key.
    """
    heads, tokens, offsets = x.shape[1:]
    x = ops.pad(x, ((0, 0), (0, 0), (0, 0), (0, 1)))
    x = ops.reshape(x, (-1, heads, tokens * (offsets + 1)))[..., tokens - 1 : -1]
    return ops.reshape(x, (-1, heads, tokens, offsets))[..., :tokens]  # (B, heads, T, T)


def resize_offsets(table, grid, new_grid, method="bilinear"):
    """Resizes the embeddings of offsets to a different grid of patches.

    An offset in the sequence corresponds to a step of some rows and columns, or to one more row and
    fewer columns. Offsets are therefore arranged by rows and columns and resized like a position
    table; each new one is the mean over its pairs of patches. Offsets that only prefix tokens have
    are unchanged.

    Args:
        table: (2 T - 1, D) for T tokens, from offset T - 1 to 1 - T.
        grid: (rows, columns) of the patches among these tokens.
        new_grid: (rows, columns) wanted.
        method: as in `positions.resize`.

    Returns:
        float32 array (2 T - 1, D) for the new T.

    Example:
    >>> table = np.arange(5.0)[:, None]  # of three tokens in a row
    >>> keras_vit.ablations.relative.resize_offsets(table, (1, 3), (1, 5))[:, 0]
    array([0. , 0.5, 1. , 1.5, 2. , 2.5, 3. , 3.5, 4. ], dtype=float32)
    """
    rows, columns = _steps(grid)
    by_steps = table[len(table) // 2 - (rows * grid[1] + columns)]  # (2 r - 1, 2 c - 1, D)
    shapes = [tuple(2 * side - 1 for side in sides) for sides in (grid, new_grid)]
    by_steps = positions.resize(by_steps.reshape(1, -1, table.shape[-1]), *shapes, method)[0]
    rows, columns = _steps(new_grid)
    pairs = (new_grid[0] - np.abs(rows)) * (new_grid[1] - np.abs(columns))
    offsets, number = rows * new_grid[1] + columns, new_grid[0] * new_grid[1]
    mixing = np.zeros((2 * number - 1, pairs.size))  # (offsets, places by rows and columns)
    mixing[number - 1 - offsets.ravel(), np.arange(pairs.size)] = pairs.ravel()
    mixed = mixing @ by_steps / mixing.sum(axis=1, keepdims=True)
    ends = (len(table) + 1) // 2 - grid[0] * grid[1]  # the prefix tokens
    return np.concatenate([table[:ends], mixed, table[len(table) - ends :]]).astype("float32")


def _steps(grid):
    """Returns the steps between two patches by rows, (2 rows - 1, 1), and by columns."""
    down, right = (np.arange(side - 1, -side, -1) for side in grid)
    return down[:, None], right[None]


@register
class RelativeTransformerBlock(TransformerBlock):
    """`TransformerBlock` with `RelativeSelfAttention`; it raises the same errors.

    Example:
    >>> block = keras_vit.ablations.relative.RelativeTransformerBlock(num_heads=3, mlp_dim=768)
    >>> tuple(block(np.zeros((2, 197, 192))).shape)
    (2, 197, 192)

    Reference: Appendix D.4
    """

    attention_layer = RelativeSelfAttention


@register
class RelativeViT(ViT):
    """A `ViT` with relative positions in every block in place of E_pos; it raises the same errors.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", keras_vit.ablations.RelativeViT, image_size=16)
    >>> tuple(model(np.zeros((1, 16, 16, 3))).shape)
    (1, 1000)

    Reference: Appendix D.4
    """

    block, encoder_layer = RelativeTransformerBlock, UnplacedPatchEncoder
