"""Axial attention, one axis of an image after the other: Appendix D.6 of the paper.

    AxialViT       AxialBlock       a Transformer block within each row, then within each column
    AxialResNet    AxialUnit        BiT's unit with axial attention in place of its 3 x 3 filters
                   AxialAttention   attention in rows, then in columns, with relative positions

Two steps connect any two patches: a token looks at the `columns` tokens of its row, then at the
`rows` tokens of its column, and never at all N. But each block of Axial-ViT consists of two
Transformer blocks, each with its own MLP.
https://arxiv.org/abs/1912.12180
"""

import functools

import keras
from keras import ops

from keras_vit import arguments as check
from keras_vit.ablations.placement import PositionViT
from keras_vit.ablations.relative import RelativeSelfAttention
from keras_vit.convolutions import BiTUnit
from keras_vit.layers import Layer, TransformerBlock
from keras_vit.resnet import ResNet

register = keras.saving.register_keras_serializable(package="keras_vit")

HEADS = 8  # of the attention in a unit: Wang et al., arXiv 2003.07853, section 4


def within_rows(layer, x):
    """Applies a layer to each row of a map separately, as if the row were an image.

    Args:
        layer: takes tokens (batch, tokens, D) and returns the same shape.
        x: (batch, rows, columns, D).

    Returns:
        (batch, rows, columns, D).
    """
    _, rows, columns, dim = x.shape
    x = layer(ops.reshape(x, (-1, columns, dim)))  # (B rows, columns, D)
    return ops.reshape(x, (-1, rows, columns, dim))  # (B, rows, columns, D)


def within_columns(layer, x):
    """Applies a layer to each column of a map; see `within_rows`."""
    turned = ops.swapaxes(x, 1, 2)  # (B, columns, rows, D)
    return ops.swapaxes(within_rows(layer, turned), 1, 2)  # (B, rows, columns, D)


@register
class AxialBlock(Layer):
    """One layer of Axial-ViT: a Transformer block in each row of patches, then in each column.

        x = row(x):     MSA and MLP, Eq. 2 and 3, within each row
        x = column(x):  the same with its own weights, within each column

    Args:
        grid: (rows, columns) of patches, or one integer for a square.
        *args: arguments of `TransformerBlock`. `stochastic_depth` is the probability that a row
            (a column) of an image skips a branch, because a block treats each row as an image.
        **kwargs: arguments of `TransformerBlock`.

    Call arguments:
        x: tokens (batch, rows * columns, D), row by row, without a class token.

    Returns:
        (batch, rows * columns, D).

    Raises:
        ValueError: the number of tokens does not match the grid, or `num_heads` does not divide D.

    Example:
    >>> block = keras_vit.ablations.axial.AxialBlock(grid=(10, 20), num_heads=3, mlp_dim=768)
    >>> tuple(block(np.zeros((2, 200, 192))).shape)
    (2, 200, 192)

    Reference: Appendix D.6
    """

    def __init__(
        self, grid: check.height_width, *args, name=None, dtype=None, trainable=True, **kwargs
    ):
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        self.keep(locals())
        self.row = self.part(TransformerBlock, *args, **kwargs, name="row")
        self.column = self.part(TransformerBlock, *args, **kwargs, name="column")

    def build(self, input_shape):
        self._check(input_shape)
        rows, columns = self.grid
        self.row.build((None, columns, input_shape[-1]))
        self.column.build((None, rows, input_shape[-1]))

    def call(self, x):
        self._check(x.shape)
        _, tokens, dim = x.shape
        x = ops.reshape(x, (-1, *self.grid, dim))  # (B, rows, columns, D)
        x = within_columns(self.column, within_rows(self.row, x))  # (B, rows, columns, D)
        return ops.reshape(x, (-1, tokens, dim))  # (B, rows * columns, D)

    def compute_output_shape(self, input_shape):
        self._check(input_shape)
        return input_shape

    def _check(self, shape):
        check.tokens("AxialBlock", shape, self.row.dim)
        rows, columns = self.grid
        if shape[1] != rows * columns:
            want = f"this `AxialBlock` expects {rows * columns} tokens, {rows} rows of {columns}"
            advice = (
                "Pass it the grid of your patches, without a class token, which belongs to no row."
            )
            check.refuse(want, {"tokens": shape[1], "grid": self.grid}, advice)

    def get_config(self):
        same = {name: getattr(self.row, name) for name in TransformerBlock.checks}
        return {**super().get_config(), **same}


@register
class AxialAttention(Layer):
    """Attention in each row of a map, then in each column, with relative positions.

    Both are `RelativeSelfAttention`, one after the other with nothing between them. (The layer of
    Wang et al. also has offsets for keys and values, and contains batch normalization; Appendix D.6
    says only "a row and column attention, augmented by relative positional encoding".)

    Args:
        num_heads: number of attention heads; it divides the channels.
        strides: side of the average pool after the attention; 1 for no pool.

    Call arguments:
        x: (batch, height, width, channels), with the sizes that the layer was built for.

    Returns:
        (batch, height / strides, width / strides, channels), rounded up.

    Raises:
        ValueError: the input is not a map, its size is unknown or has changed, or `num_heads` does
            not divide its channels.

    Example:
    >>> attention = keras_vit.ablations.axial.AxialAttention(num_heads=8, strides=2)
    >>> tuple(attention(np.zeros((2, 7, 10, 64))).shape)
    (2, 4, 5, 64)

    Reference: Appendix D.6; Ho et al., https://arxiv.org/abs/1912.12180; Wang et al.,
    https://arxiv.org/abs/2003.07853
    """

    def __init__(
        self, num_heads: check.positive_integer, strides: check.positive_integer = 1, **kwargs
    ):
        super().__init__(**kwargs)
        self.keep(locals())
        self.row = self.part(RelativeSelfAttention, num_heads, name="row")
        self.column = self.part(RelativeSelfAttention, num_heads, name="column")

    def build(self, input_shape):
        check.feature_map("AxialAttention", input_shape)
        _, height, width, channels = input_shape
        if None in (height, width):
            want = "`AxialAttention` expects a map of known height and width"
            check.refuse(want, {"input shape": tuple(input_shape)}, "Use a fixed image_size.")
        self.row.build((None, width, channels))
        self.column.build((None, height, channels))

    def call(self, x):
        x = within_columns(self.column, within_rows(self.row, x))  # (B, H, W, C)
        if self.strides == 1:
            return x
        sides = (self.strides, self.strides)
        pool = ops.average_pool(x, sides, sides, "same", data_format="channels_last")
        return pool  # (B, H / strides, W / strides, C)

    def compute_output_shape(self, input_shape):
        batch, *sides, channels = input_shape
        return (batch, *(side and -(-side // self.strides) for side in sides), channels)


@register
class AxialUnit(BiTUnit):
    """Residual unit of AxialResNet: 8 heads of axial attention replace BiT's 3 x 3 filters.

    Args:
        filters: channels of the attention, a multiple of 32; the unit outputs 4 times as many.
        strides: side of the average pool after the attention: 2 in the unit that begins a stage of
            half the size.

    Call arguments:
        x: (batch, height, width, channels), with the sizes that the layer was built for and a
            multiple of 32 channels.

    Returns:
        (batch, height / strides, width / strides, 4 * filters), rounded up.

    Raises:
        ValueError: the input is not a map of known size, or 32 does not divide its channels or
            `filters`.

    Example:
    >>> unit = keras_vit.ablations.axial.AxialUnit(filters=64, strides=2)
    >>> tuple(unit(np.zeros((2, 8, 12, 64))).shape)
    (2, 4, 6, 256)

    Reference: Appendix D.6
    """

    def middle_layer(self):
        return AxialAttention(HEADS, self.strides, name="attention", dtype=self.dtype_policy)


@register
class AxialViT(PositionViT):
    """A `ViT` whose blocks attend within rows, then within columns of patches.

    It has no class token, which would belong to no row: `pooling` is "gap" or "map". Positions are
    added to the tokens, as in `PositionViT`.

    Args:
        *args: arguments of `PositionViT`.
        pooling: "gap" or "map".
        **kwargs: arguments of `PositionViT`.

    Raises:
        ValueError: an argument is invalid, or the pooling needs a class token.

    Example:
    >>> model = keras_vit.create("Axial-ViT-Mini/8", image_size=(16, 24), num_classes=10)
    >>> type(model).__name__, model.get_layer("block_0").grid
    ('AxialViT', (2, 3))

    Reference: Appendix D.6
    """

    def __init__(self, *args, pooling="gap", **kwargs):
        if pooling in self.poolings and self.poolings[pooling][0]:
            want = "axial attention has rows and columns of patches, and a class token has no row"
            check.refuse(want, {"pooling": pooling}, "Use pooling='gap' or 'map'.")
        super().__init__(*args, pooling=pooling, **kwargs)

    @property
    def block(self):
        """The function that creates a block for this model's grid."""
        return functools.partial(AxialBlock, self.grid)


@register
class AxialResNet(ResNet):
    """A `ResNet` with attention in rows and columns in place of its 3 x 3 filters.

    Example:
    >>> model = keras_vit.ablations.AxialResNet(image_size=(33, 64), units=(1, 1), num_classes=10)
    >>> model.predict(np.zeros((2, 33, 64, 3)), verbose=0).shape
    (2, 10)

    Reference: Appendix D.6
    """

    unit = AxialUnit
