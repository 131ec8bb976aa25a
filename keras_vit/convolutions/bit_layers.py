"""The layers of BiT, a ResNet of version 2, which normalizes before each convolution."""

import keras
from keras import ops

from keras_vit import arguments as check
from keras_vit.convolutions.hybrid_layers import HybridConv
from keras_vit.convolutions.shared import Root, Unit, build_chain, center_kernel, check_groups

register = keras.saving.register_keras_serializable(package="keras_vit")


@register
class BiTConv(HybridConv):
    """`HybridConv` with BiT's constants: w' = (w - mean) / sqrt(variance + 1e-10), even padding.

    Example:
    >>> conv = keras_vit.convolutions.BiTConv(filters=64, kernel_size=7, strides=2)
    >>> tuple(conv(np.zeros((2, 15, 16, 3))).shape)
    (2, 8, 8, 64)
    """

    def convolution_op(self, inputs, kernel):
        kernel = ops.cast(self.standardize(kernel), inputs.dtype)
        x = _pad(inputs, self.kernel_size[0] // 2)  # (B, H + K - 1, W + K - 1, C)
        return ops.conv(x, kernel, self.strides[0], "valid", data_format="channels_last")

    def standardize(self, kernel):
        kernel, variance = center_kernel(kernel)
        return kernel / ops.sqrt(variance + 1e-10)


def _pad(x, rim):
    return ops.pad(x, ((0, 0), (rim, rim), (rim, rim), (0, 0))) if rim else x


@register
class BiTRoot(Root):
    """The first layers of BiT: a convolution and a max-pool, without a normalization.

    The pool sees zeros around the map, as in BiT's own releases and in timm. (big_vision's
    `bit_paper.py` pads with minus infinity, which differs if a whole window is negative.)

    Args:
        filters: number of output channels, a multiple of 32.

    Call arguments:
        images: (batch, height, width, channels), normalized.

    Returns:
        (batch, height / 4, width / 4, filters), rounded up.

    Raises:
        ValueError: the input is not a batch of images, or 32 does not divide `filters`.

    Example:
    >>> tuple(keras_vit.convolutions.BiTRoot(filters=64)(np.zeros((2, 64, 96, 3))).shape)
    (2, 16, 24, 64)
    """

    conv_layer = BiTConv

    def build(self, input_shape):
        check.feature_map("BiTRoot", input_shape)
        self.conv.build(input_shape)

    def call(self, images):
        x = _pad(self.conv(images), 1)  # (B, H / 2 + 2, W / 2 + 2, filters)
        return ops.max_pool(x, 3, 2, "valid", data_format="channels_last")  # (B, H / 4, ...)


@register
class BiTUnit(Unit):
    """Residual unit of BiT, which normalizes before each convolution and before the projection.

    Args:
        filters: channels of the 3 x 3 convolution, a multiple of 32; the unit outputs 4 times as
            many.
        strides: step of the 3 x 3 convolution: 2 in the unit that begins a stage of half the size.

    Call arguments:
        x: (batch, height, width, channels), with a multiple of 32 channels.

    Returns:
        (batch, height / strides, width / strides, 4 * filters), rounded up.

    Raises:
        ValueError: the input is not a map, or 32 does not divide its channels or `filters`.

    Example:
    >>> unit = keras_vit.convolutions.BiTUnit(filters=64, strides=2)
    >>> tuple(unit(np.zeros((2, 16, 24, 64))).shape)
    (2, 8, 12, 256)
    """

    conv_layer, epsilon = BiTConv, 1e-5

    def __init__(self, filters, strides=1, **kwargs):
        super().__init__(filters, strides, **kwargs)
        self.norm_1 = self.norm("norm_1")
        self.conv_1 = self.conv("conv_1", filters)
        self.norm_2 = self.norm("norm_2")
        self.conv_2 = self.middle_layer()
        self.norm_3 = self.norm("norm_3")
        self.conv_3 = self.conv("conv_3", 4 * filters)

    def middle_layer(self):
        """Returns the layer between the 1 x 1 filters, which a subclass may replace."""
        return self.conv("conv_2", self.filters, 3, self.strides)

    def build(self, input_shape):
        super().build(input_shape)
        if self.projection is not None:
            self.projection.build(input_shape)
        check_groups(type(self).__name__, input_shape[-1])
        branch = (self.norm_1, self.conv_1, self.norm_2, self.conv_2, self.norm_3, self.conv_3)
        build_chain(input_shape, *branch)

    def call(self, x):
        y = ops.relu(self.norm_1(x))  # (B, H, W, C)
        if self.projection is not None:
            x = self.projection(y)  # (B, H / strides, W / strides, 4 filters)
        y = ops.relu(self.norm_2(self.conv_1(y)))  # (B, H, W, filters)
        y = ops.relu(self.norm_3(self.conv_2(y)))  # (B, H / strides, W / strides, filters)
        return x + self.conv_3(y)  # (B, H / strides, W / strides, 4 filters)
