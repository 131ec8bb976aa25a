"""The layers of the paper's ResNets: those of the hybrids (section 3.1) and of BiT (4.1).

                hybrid: ResNet v1                      BiT: ResNet v2, arXiv 1912.11370
    root        pool(relu(norm(conv(x))))              pool(conv(x))
    unit        relu(x + norm(conv(relu(norm(...)))))  x + conv(relu(norm(...)))
    conv        (w - mean) / (deviation + 1e-5)        (w - mean) / sqrt(variance + 1e-10)
    padding     as little as needed, more at the end   the same on both sides
    norm        32 groups, epsilon 1e-6                32 groups, epsilon 1e-5

The two differ in numbers as in order, and published weights fit only the one that they were
trained with: so there are two of each layer, side by side, and no switch between them.
"""

import keras
from keras import layers, ops

from keras_vit import arguments as check

register = keras.saving.register_keras_serializable(package="keras_vit")

GROUPS = 32  # of the group normalization, arXiv 1803.08494


@register
class HybridConv(layers.Conv2D):
    """Convolution whose kernel is standardized for each filter; it has no bias.

    w' = (w - mean) / (deviation + 1e-5) over height, width and channels, in float32 whatever the
    layer computes in (weight standardization, arXiv 1903.10520). "same" padding.

    Args:
        filters: number of output channels.
        kernel_size: side of the kernel.
        strides: step in pixels.

    Call arguments:
        x: (batch, height, width, channels).

    Returns:
        (batch, height / strides, width / strides, filters), rounded up.

    Raises:
        ValueError: an argument is not an integer of 1 or more, or the input is not a map.

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
        self.input_spec = None  # `build` refuses other shapes first, in the words of the package

    def build(self, input_shape):
        check.feature_map(type(self).__name__, input_shape)
        super().build(input_shape)

    def add_weight(self, *args, **kwargs):
        # Half precision would round the kernel before its mean is taken away.
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
class BiTConv(HybridConv):
    """`HybridConv` with BiT's numbers: w' = (w - mean) / sqrt(variance + 1e-10), even padding.

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


def center_kernel(kernel):
    """Returns a kernel less its mean, and its variance, for each filter."""
    kernel = kernel - ops.mean(kernel, (0, 1, 2))
    return kernel, ops.mean(ops.square(kernel), (0, 1, 2))


def _pad(x, rim):
    return ops.pad(x, ((0, 0), (rim, rim), (rim, rim), (0, 0))) if rim else x


@register
class GroupNorm(layers.GroupNormalization):
    """Keras's group normalization of the last axis; on PyTorch in one pass, by its own kernel."""

    def call(self, inputs):
        if keras.backend.backend() != "torch":
            return super().call(inputs)
        import torch

        if torch.is_grad_enabled() and not inputs.requires_grad:
            return super().call(inputs)  # torch 2.13 dies computing the gradient of gamma alone
        x = ops.moveaxis(inputs, -1, 1)
        gamma, beta = (ops.convert_to_tensor(w) for w in (self.gamma, self.beta))
        x = torch.nn.functional.group_norm(x, self.groups, gamma, beta, self.epsilon)
        return ops.moveaxis(x, 1, -1)


def group_norm(epsilon, name, dtype, gamma="ones"):
    """Group normalization over the last axis, whatever Keras's global image format is."""
    return GroupNorm(
        GROUPS, axis=-1, epsilon=epsilon, gamma_initializer=gamma, name=name, dtype=dtype
    )


def _build(shape, *chain):
    """Builds layers, each on what the one before it makes."""
    for layer in chain:
        layer.build(shape)
        shape = layer.compute_output_shape(shape)


class _Root(layers.Layer):
    """What all roots share: filters, then a pool that halves the size."""

    kernel_size, strides = 7, 2

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.filters = check.positive_integer("filters", filters)
        check.groups(type(self).__name__, self.filters, GROUPS)

    def compute_output_shape(self, input_shape):
        return _halved(self.conv.compute_output_shape(input_shape))

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


def _halved(shape):
    """The shape of a map at every second position; an unknown side stays unknown."""
    batch, *sides, channels = shape
    return (batch, *(side and -(-side // 2) for side in sides), channels)


@register
class HybridRoot(_Root):
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
        kernel, dtype = (self.kernel_size, self.strides), self.dtype_policy
        self.conv = self.conv_layer(filters, *kernel, name="conv", dtype=dtype)
        self.norm = group_norm(self.epsilon, "norm", dtype)

    def build(self, input_shape):
        check.feature_map(type(self).__name__, input_shape)
        _build(input_shape, self.conv, self.norm)

    def call(self, images):
        x = ops.relu(self.norm(self.conv(images)))  # (B, H / 2, W / 2, filters)
        return ops.max_pool(x, 3, 2, "same", data_format="channels_last")  # (B, H / 4, ...)


@register
class SmallRoot(HybridRoot):
    """`HybridRoot` for images of 32 pixels: 3 x 3 filters at every pixel, so only the pool halves.

    Args:
        filters: number of output channels, a multiple of 32.

    Call arguments:
        images: (batch, height, width, channels), normalized.

    Returns:
        (batch, height / 2, width / 2, filters), rounded up.

    Raises:
        ValueError: the input is not a batch of images, or 32 does not divide `filters`.

    Example:
    >>> tuple(keras_vit.convolutions.SmallRoot(filters=64)(np.zeros((2, 32, 48, 3))).shape)
    (2, 16, 24, 64)
    """

    kernel_size, strides = 3, 1


@register
class BiTRoot(_Root):
    """The first layers of BiT: convolution and max-pool; its units normalize before they compute.

    The pool sees zeros around the map, as in BiT's own releases and in timm. (big_vision's
    `bit_paper.py` pads with minus infinity, which differs where a whole window is negative.)

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

    def __init__(self, filters, **kwargs):
        super().__init__(filters, **kwargs)
        self.conv = BiTConv(filters, 7, strides=2, name="conv", dtype=self.dtype_policy)

    def build(self, input_shape):
        check.feature_map("BiTRoot", input_shape)
        self.conv.build(input_shape)

    def call(self, images):
        x = _pad(self.conv(images), 1)  # (B, H / 2 + 2, W / 2 + 2, filters)
        return ops.max_pool(x, 3, 2, "valid", data_format="channels_last")  # (B, H / 4, ...)


class _Unit(layers.Layer):
    """What both units share: 1 x 1, 3 x 3 and 1 x 1 filters beside a shortcut; a bottleneck."""

    def __init__(self, filters, strides=1, **kwargs):
        super().__init__(**kwargs)
        self.filters = check.positive_integer("filters", filters)
        self.strides = check.positive_integer("strides", strides)
        check.groups(type(self).__name__, self.filters, GROUPS)

    def _needs_projection(self, input_shape):
        check.feature_map(type(self).__name__, input_shape)
        return self.strides != 1 or input_shape[-1] != 4 * self.filters

    def compute_output_shape(self, input_shape):
        return self.conv_3.compute_output_shape(self.conv_2.compute_output_shape(input_shape))

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "strides": self.strides}


@register
class HybridUnit(_Unit):
    """Residual unit of a hybrid: each convolution is normalized after it.

    Args:
        filters: channels of the 3 x 3 convolution, a multiple of 32; the unit gives 4 times these.
        strides: step of the 3 x 3 convolution: 2 where a stage begins with half the size.

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
        dtype = self.dtype_policy
        self.conv_1 = self.conv_layer(filters, 1, name="conv_1", dtype=dtype)
        self.norm_1 = group_norm(self.epsilon, "norm_1", dtype)
        self.conv_2 = self.conv_layer(filters, 3, strides, name="conv_2", dtype=dtype)
        self.norm_2 = group_norm(self.epsilon, "norm_2", dtype)
        self.conv_3 = self.conv_layer(4 * filters, 1, name="conv_3", dtype=dtype)
        # At first the branch adds nothing: the unit begins as its shortcut.
        self.norm_3 = group_norm(self.epsilon, "norm_3", dtype, gamma="zeros")
        self.projection = None

    def build(self, input_shape):
        if self._needs_projection(input_shape):
            dtype, shape = self.dtype_policy, (4 * self.filters, 1, self.strides)
            self.projection = self.conv_layer(*shape, name="projection", dtype=dtype)
            self.norm_projection = group_norm(self.epsilon, "norm_projection", dtype)
            _build(input_shape, self.projection, self.norm_projection)
        branch = (self.conv_1, self.norm_1, self.conv_2, self.norm_2, self.conv_3, self.norm_3)
        _build(input_shape, *branch)

    def call(self, x):
        y = ops.relu(self.norm_1(self.conv_1(x)))  # (B, H, W, filters)
        y = ops.relu(self.norm_2(self.conv_2(y)))  # (B, H / strides, W / strides, filters)
        y = self.norm_3(self.conv_3(y))  # (B, H / strides, W / strides, 4 filters)
        if self.projection is not None:
            x = self.norm_projection(self.projection(x))  # the same
        return ops.relu(x + y)


@register
class BiTUnit(_Unit):
    """Residual unit of BiT: each convolution is normalized before it, and so is the projection.

    Args:
        filters: channels of the 3 x 3 convolution, a multiple of 32; the unit gives 4 times these.
        strides: step of the 3 x 3 convolution: 2 where a stage begins with half the size.

    Call arguments:
        x: (batch, height, width, channels), the channels a multiple of 32.

    Returns:
        (batch, height / strides, width / strides, 4 * filters), rounded up.

    Raises:
        ValueError: the input is not a map, or 32 does not divide its channels or `filters`.

    Example:
    >>> unit = keras_vit.convolutions.BiTUnit(filters=64, strides=2)
    >>> tuple(unit(np.zeros((2, 16, 24, 64))).shape)
    (2, 8, 12, 256)
    """

    def __init__(self, filters, strides=1, **kwargs):
        super().__init__(filters, strides, **kwargs)
        dtype = self.dtype_policy
        self.norm_1 = group_norm(1e-5, "norm_1", dtype)
        self.conv_1 = BiTConv(filters, 1, name="conv_1", dtype=dtype)
        self.norm_2 = group_norm(1e-5, "norm_2", dtype)
        self.conv_2 = self.middle_layer()
        self.norm_3 = group_norm(1e-5, "norm_3", dtype)
        self.conv_3 = BiTConv(4 * filters, 1, name="conv_3", dtype=dtype)
        self.projection = None

    def middle_layer(self):
        """Returns the layer between the 1 x 1 filters; a relative of this unit has another."""
        return BiTConv(self.filters, 3, self.strides, name="conv_2", dtype=self.dtype_policy)

    def build(self, input_shape):
        if self._needs_projection(input_shape):
            dtype, shape = self.dtype_policy, (4 * self.filters, 1, self.strides)
            self.projection = BiTConv(*shape, name="projection", dtype=dtype)
            self.projection.build(input_shape)
        check.groups(type(self).__name__, input_shape[-1], GROUPS)
        branch = (self.norm_1, self.conv_1, self.norm_2, self.conv_2, self.norm_3, self.conv_3)
        _build(input_shape, *branch)

    def call(self, x):
        y = ops.relu(self.norm_1(x))  # (B, H, W, C)
        if self.projection is not None:
            x = self.projection(y)  # (B, H / strides, W / strides, 4 filters)
        y = ops.relu(self.norm_2(self.conv_1(y)))  # (B, H, W, filters)
        y = ops.relu(self.norm_3(self.conv_2(y)))  # (B, H / strides, W / strides, filters)
        return x + self.conv_3(y)  # (B, H / strides, W / strides, 4 filters)
