"""BEiT (https://arxiv.org/abs/2106.08254) and BEiT v2 (https://arxiv.org/abs/2208.06366).

    z_0 = [x_class; x_1 E; ...; x_N E]                     Eq. 1 without E_pos
    A   = softmax(q k^T / sqrt(d) + B)                     Eq. 6, with a number for each pair
    y   = LN(mean of z_L over the patches)                 Eq. 4 after fine-tuning

B_ij comes from a table that each block and head has, with one number for every offset (rows,
columns) of two patches, and three more: from the class token to a patch, from a patch to it, and to
itself. Keys have no bias, and each branch has a layer scale; both are part of the weights, as in
DINOv2.
"""

import functools
import math

import keras
import numpy as np
from keras import ops

from keras_vit import arguments as check
from keras_vit.ablations.placement import UnplacedPatchEncoder
from keras_vit.descendants.pooling import NormAfterPooling
from keras_vit.layers import PatchEncoder, SelfAttention, TransformerBlock, logits
from keras_vit.vit import ViT

register = keras.saving.register_keras_serializable(package="keras_vit")


def rows_of_pairs(grid):
    """Returns the row of the table for each pair of tokens, (1 + N, 1 + N)."""
    rows, columns = grid
    places = np.indices(grid).reshape(2, -1)
    down, right = places[:, :, None] - places[:, None]  # (N, N) each
    pairs = (down + rows - 1) * (2 * columns - 1) + right + columns - 1
    pairs, last = np.pad(pairs, ((1, 0), (1, 0))), table_length(grid) - 3
    pairs[0], pairs[:, 0], pairs[0, 0] = last, last + 1, last + 2
    return pairs


def table_length(grid):
    """Returns the number of rows of the table: one for each offset, and three."""
    return (2 * grid[0] - 1) * (2 * grid[1] - 1) + 3


def grid_of_table(length, grid=None, own=None):
    """Returns (rows, columns) of the patches that a table is for, or None if there is none.

    The result is `grid` if it is given, otherwise a square, or a model's `own` grid.
    """
    side = (math.isqrt(max(length - 3, 0)) + 1) // 2
    grids = [grid] if grid else [(side, side), own]
    return next((g for g in grids if g and table_length(g) == length), None)


@register
class BiasedSelfAttention(SelfAttention):
    """`SelfAttention` whose scores have a learned bias for the offset of two patches.

    Args:
        *args: arguments of `SelfAttention`.
        grid: (rows, columns) of patches, after one class token.
        **kwargs: arguments of `SelfAttention`.

    Call arguments:
        x: tokens (batch, 1 + rows * columns, D).

    Returns:
        (batch, tokens, D).

    Raises:
        ValueError: the number of tokens is not that of `grid`.

    Example:
    >>> layer = keras_vit.descendants.beit.BiasedSelfAttention(num_heads=3, grid=(2, 3))
    >>> tuple(layer(np.zeros((2, 7, 24))).shape), tuple(layer.bias_table.shape)
    ((2, 7, 24), (18, 3))

    Reference: Bao et al. 2021, https://arxiv.org/abs/2106.08254, and its code
    """

    def __init__(self, *args, grid: check.height_width, **kwargs):
        super().__init__(*args, **kwargs)
        self.keep(locals())

    def build(self, input_shape):
        super().build(input_shape)
        self.pairs = rows_of_pairs(self.grid)
        shape = (table_length(self.grid), self.num_heads)
        self.bias_table = self.add_weight(shape, "zeros", name="bias_table")

    def scores(self, query, key):
        if query.shape[1] != len(self.pairs):
            want = "the tokens must be a class token and the patches of `grid`"
            check.refuse(want, {"tokens": query.shape[1], "grid": self.grid})
        bias = ops.take(ops.cast(self.bias_table, query.dtype), self.pairs, axis=0)
        return ops.softmax(logits(query, key) + ops.transpose(bias, (2, 0, 1)))  # Eq. 6


@register
class BiasedBlock(TransformerBlock):
    """`TransformerBlock` with `BiasedSelfAttention`.

    Args:
        *args: arguments of `TransformerBlock`.
        grid: (rows, columns) of patches.
        **kwargs: arguments of `TransformerBlock`.

    Raises:
        ValueError: as in `BiasedSelfAttention` and `TransformerBlock`.

    Example:
    >>> block = keras_vit.descendants.beit.BiasedBlock(num_heads=3, mlp_dim=64, grid=(2, 3))
    >>> tuple(block(np.zeros((2, 7, 24))).shape)
    (2, 7, 24)
    """

    def __init__(self, *args, grid: check.height_width, **kwargs):
        self.attention_layer = functools.partial(BiasedSelfAttention, grid=grid)
        super().__init__(*args, **kwargs)
        self.keep(locals())


@register
class BiasedViT(ViT):
    """BEiT as it is pre-trained: a `ViT` with biased scores in place of E_pos.

    Args:
        *args: arguments of `ViT`.
        positions: whether the model has E_pos too.
        **kwargs: arguments of `ViT`; `pooling` must be one with a class token, or None.

    Raises:
        ValueError: an argument is invalid.

    Example:
    >>> model = keras_vit.create("ViT-Ti/16", keras_vit.descendants.beit.BiasedViT, image_size=32,
    ...                          num_layers=1, num_classes=None, pooling=None)
    >>> model.output_shape
    (None, 5, 192)

    Reference: Bao et al. 2021, https://arxiv.org/abs/2106.08254
    """

    def __init__(self, *args, positions: check.boolean = False, **kwargs):
        self.keep(locals())
        super().__init__(*args, **kwargs)

    @property
    def encoder_layer(self):
        """The class of the patch encoder."""
        if self.prefix_tokens != 1:
            want = "`pooling` must be one with a class token, or None"
            check.refuse(want, {"pooling": self.pooling}, "Use 'patch mean' for the mean.")
        return PatchEncoder if self.positions else UnplacedPatchEncoder

    @property
    def block(self):
        """The function that creates a block for this model's grid."""
        return functools.partial(BiasedBlock, grid=self.grid)


@register
class BEiTViT(NormAfterPooling, BiasedViT):
    """BEiT as it is fine-tuned: the mean of the patches, and then the last normalization.

    The arguments are those of `BiasedViT`.

    Example:
    >>> model = keras_vit.create("ViT-Ti/16", keras_vit.descendants.BEiTViT, image_size=32,
    ...                          num_layers=1, num_classes=10, pooling="patch mean")
    >>> model.output_shape
    (None, 10)

    Reference: Bao et al. 2021, https://arxiv.org/abs/2106.08254, section 2.6
    """


def resize_table(table, grid, new_grid):
    """Resizes a table of biases to a different grid of patches, as BEiT's code does.

    The offsets of the old grid are placed on the new one at 0, 1, 1 + q, 1 + q + q^2, ..., with q
    chosen so that the last is at the edge, so near offsets keep their values. Interpolation
    between them is linear, as in timm; BEiT's own code uses a cubic spline. The values of the
    class token are unchanged.

    Args:
        table: (offsets + 3, heads).
        grid: (rows, columns) of patches that the table is for.
        new_grid: (rows, columns) wanted.

    Returns:
        float32 array (new offsets + 3, heads).

    Example:
    >>> table = keras_vit.descendants.beit.resize_table(np.ones((732, 12)), (14, 14), (24, 20))
    >>> table.shape
    (1836, 12)

    Reference: `run_class_finetuning.py` of https://github.com/microsoft/unilm
    """
    if tuple(grid) == tuple(new_grid):
        return table
    rows, columns = (_matrix(*pair) for pair in zip(grid, new_grid, strict=True))
    offsets = table[:-3].reshape(rows.shape[1], columns.shape[1], -1)
    offsets = np.einsum("ir,jc,rch->ijh", rows, columns, offsets).reshape(-1, table.shape[-1])
    return np.concatenate([offsets, table[-3:]]).astype("float32")


def _matrix(side, new_side):
    """Returns the matrix (2 new_side - 1, 2 side - 1) that interpolates offsets on one axis."""
    low, high = 1.01, 1.5
    while high - low > 1e-6:
        q = (low + high) / 2
        reach = (1 - q ** (side - 1)) / (1 - q)
        low, high = (low, q) if reach > new_side - 1 else (q, high)
    places = np.cumsum(q ** np.arange(side - 1))
    places = np.concatenate([-places[::-1], [0], places])
    wanted = np.arange(1 - new_side, new_side)
    return np.stack([np.interp(wanted, places, unit) for unit in np.eye(len(places))], axis=1)
