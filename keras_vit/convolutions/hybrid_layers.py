"""The layers of the hybrids' ResNet, version 1, which normalizes after each convolution."""

import keras
from keras import layers, ops

from keras_vit import arguments as check
from keras_vit.convolutions.shared import Root, Unit, build_chain, center_kernel, group_norm

register = keras.saving.register_keras_serializable(package="keras_vit")


@register
class HybridConv(layers.Conv2D):
    """Convolution whose kernel is standardized for each filter; it has no bias.

    w' = (w - mean) / (deviation + 1e-5) over height, width and channels, always in float32 (weight
    standardization, arXiv 1903.10520). "same" padding.

    Args:
        filters: number of output channels.
        kernel_size: side of the kernel.
        strides: step in pixels.

    Call arguments:
        x: (batch, height, width, channels).

    Returns:
        (batch, height / strides, width / strides, filters), rounded up.

    Raises:
        ValueError: an argument is not a positive integer, or the input is not a map.

    Example:
    >>> conv = keras_vit.convolutions.HybridConv(filters=64, kernel_size=7, strides=2)
    >>> tuple(conv(np.zeros((2, 15, 16, 3))).shape)
    (2, 8, 8, 64)
    """

    def __init__(self, filters, kernel_size, strides=1, **kwargs):
        super().__init__(
            filters=check.positive_integer("filters", filters),
            kernel_size=check.positive_integer("kernel_size", kernel_size),
            strides=check.positive_integer("strides", strides),
            padding="same",
            data_format="channels_last",
            use_bias=False,
            kernel_initializer="lecun_normal",
            **kwargs,
        )
        self.input_spec = None  # `build` refuses other shapes first, with the package's own message

    def build(self, input_shape):
        check.feature_map(type(self).__name__, input_shape)
        super().build(input_shape)

    def add_weight(self, *args, **kwargs):
        # Half precision would round the kernel before its mean is subtracted.
        return super().add_weight(*args, **{**kwargs, "autocast": False})

    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, ops.cast(self.standardize(kernel), inputs.dtype))

    def standardize(self, kernel):
        """Returns w'."""
        kernel, variance = center_kernel(kernel)
        return kernel / (ops.sqrt(variance) + 1e-5)

    def get_config(self):
        config = layers.Layer.get_config(self) | {"filters": self.filters}
        return config | {"kernel_size": self.kernel_size[0], "strides": self.strides[0]}


@register
class HybridRoot(Root):
    """The first layers of a hybrid: convolution, norm, ReLU, max-pool.

    Args:
        filters: number of output channels, a multiple of 32.

    Call arguments:
        images: (batch, height, width, channels), normalized.

    Returns:
        (batch, height / 4, width / 4, filters), rounded up.

    Raises:
        ValueError: the input is not a batch of images, or 32 does not divide `filters`.

    Example:
    >>> tuple(keras_vit.convolutions.HybridRoot(filters=64)(np.zeros((2, 64, 96, 3))).shape)
    (2, 16, 24, 64)
    """

    conv_layer, epsilon = HybridConv, 1e-6

    def __init__(self, filters, **kwargs):
        super().__init__(filters, **kwargs)
        self.norm = group_norm(self.epsilon, "norm", self.dtype_policy)

    def build(self, input_shape):
        check.feature_map(type(self).__name__, input_shape)
        build_chain(input_shape, self.conv, self.norm)

    def call(self, images):
        x = ops.relu(self.norm(self.conv(images)))  # (B, H / 2, W / 2, filters)
        return ops.max_pool(x, 3, 2, "same", data_format="channels_last")  # (B, H / 4, ...)


@register
class SmallRoot(HybridRoot):
    """`HybridRoot` for images of 32 pixels: 3 x 3 filters at every pixel, so only the pool halves.

    Returns:
        (batch, height / 2, width / 2, filters), rounded up.

    Example:
    >>> tuple(keras_vit.convolutions.SmallRoot(filters=64)(np.zeros((2, 32, 48, 3))).shape)
    (2, 16, 24, 64)
    """

    kernel_size, strides = 3, 1


@register
class HybridUnit(Unit):
    """Residual unit of a hybrid, which normalizes after each convolution.

    Args:
        filters: channels of the 3 x 3 convolution, a multiple of 32; the unit outputs 4 times as
            many.
        strides: step of the 3 x 3 convolution: 2 in the unit that begins a stage of half the size.

    Call arguments:
        x: (batch, height, width, channels).

    Returns:
        (batch, height / strides, width / strides, 4 * filters), rounded up.

    Raises:
        ValueError: the input is not a map, or 32 does not divide `filters`.

    Example:
    >>> unit = keras_vit.convolutions.HybridUnit(filters=64, strides=2)
    >>> tuple(unit(np.zeros((2, 16, 24, 64))).shape)
    (2, 8, 12, 256)
    """

    conv_layer, epsilon = HybridConv, 1e-6

    def __init__(self, filters, strides=1, **kwargs):
        super().__init__(filters, strides, **kwargs)
        self.conv_1 = self.conv("conv_1", filters)
        self.norm_1 = self.norm("norm_1")
        self.conv_2 = self.conv("conv_2", filters, 3, strides)
        self.norm_2 = self.norm("norm_2")
        self.conv_3 = self.conv("conv_3", 4 * filters)
        # At first the branch adds nothing, so the unit equals its shortcut.
        self.norm_3 = self.norm("norm_3", gamma="zeros")

    def build(self, input_shape):
        super().build(input_shape)
        if self.projection is not None:
            self.norm_projection = self.norm("norm_projection")
            build_chain(input_shape, self.projection, self.norm_projection)
        branch = (self.conv_1, self.norm_1, self.conv_2, self.norm_2, self.conv_3, self.norm_3)
        build_chain(input_shape, *branch)

    def call(self, x):
        y = ops.relu(self.norm_1(self.conv_1(x)))  # (B, H, W, filters)
        y = ops.relu(self.norm_2(self.conv_2(y)))  # (B, H / strides, W / strides, filters)
        y = self.norm_3(self.conv_3(y))  # (B, H / strides, W / strides, 4 filters)
        if self.projection is not None:
            x = self.norm_projection(self.projection(x))  # same shape
        return ops.relu(x + y)
