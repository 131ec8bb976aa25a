"""Shared by the layers of hybrids and BiT: group normalization, base classes of root and unit."""

import keras
from keras import layers, ops

from keras_vit import arguments as check

register = keras.saving.register_keras_serializable(package="keras_vit")

GROUPS = 32  # of the group normalization, arXiv 1803.08494


@register
class GroupNorm(layers.GroupNormalization):
    """Keras's group normalization of the last axis; on PyTorch, PyTorch's own kernel."""

    def call(self, inputs):
        if keras.backend.backend() != "torch":
            return super().call(inputs)
        import torch

        if torch.is_grad_enabled() and not inputs.requires_grad:
            return super().call(inputs)  # torch 2.13 crashes if only gamma needs a gradient
        x = ops.moveaxis(inputs, -1, 1)
        gamma, beta = (ops.convert_to_tensor(w) for w in (self.gamma, self.beta))
        x = torch.nn.functional.group_norm(x, self.groups, gamma, beta, self.epsilon)
        return ops.moveaxis(x, 1, -1)


def check_groups(layer, channels):
    """Raises `ValueError` unless group normalization can make equal groups of `channels`."""
    if channels % GROUPS:
        advice = f"Use a multiple of {GROUPS}: {check.nearest_multiples(channels, GROUPS)}."
        want = f"`{layer}` normalizes in {GROUPS} groups, which must divide its channels"
        check.refuse(want, {"channels": channels}, advice)


def group_norm(epsilon, name, dtype, gamma="ones"):
    """Returns group normalization over the last axis, even if Keras's images are channels first."""
    return GroupNorm(
        GROUPS, axis=-1, epsilon=epsilon, gamma_initializer=gamma, name=name, dtype=dtype
    )


def build_chain(shape, *chain):
    """Builds layers, each on the output shape of the one before it."""
    for layer in chain:
        layer.build(shape)
        shape = layer.compute_output_shape(shape)


def center_kernel(kernel):
    """Returns a kernel minus its mean, and its variance, for each filter."""
    kernel = kernel - ops.mean(kernel, (0, 1, 2))
    return kernel, ops.mean(ops.square(kernel), (0, 1, 2))


class Root(layers.Layer):
    """Base class of roots: filters, of class `conv_layer`, then a pool that halves the size."""

    kernel_size, strides = 7, 2

    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.filters = check.positive_integer("filters", filters)
        check_groups(type(self).__name__, self.filters)
        sizes = (self.filters, self.kernel_size, self.strides)
        self.conv = self.conv_layer(*sizes, name="conv", dtype=self.dtype_policy)

    def compute_output_shape(self, input_shape):
        return _halve(self.conv.compute_output_shape(input_shape))

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


def _halve(shape):
    """Returns the shape of a map at every second position; an unknown side stays unknown."""
    batch, *sides, channels = shape
    return (batch, *(side and -(-side // 2) for side in sides), channels)


class Unit(layers.Layer):
    """Base class of units, bottlenecks: 1 x 1, 3 x 3 and 1 x 1 filters beside a shortcut.

    A subclass sets `conv_layer`, the class of its filters, and `epsilon`, that of its norms.
    """

    def __init__(self, filters, strides=1, **kwargs):
        super().__init__(**kwargs)
        self.filters = check.positive_integer("filters", filters)
        self.strides = check.positive_integer("strides", strides)
        check_groups(type(self).__name__, self.filters)
        self.projection = None

    def conv(self, name, filters, kernel_size=1, strides=1):
        """Returns a new convolution."""
        sizes = (filters, kernel_size, strides)
        return self.conv_layer(*sizes, name=name, dtype=self.dtype_policy)

    def norm(self, name, gamma="ones"):
        """Returns a new group normalization."""
        return group_norm(self.epsilon, name, self.dtype_policy, gamma)

    def build(self, input_shape):
        check.feature_map(type(self).__name__, input_shape)
        if self.strides != 1 or input_shape[-1] != 4 * self.filters:
            self.projection = self.conv("projection", 4 * self.filters, strides=self.strides)

    def compute_output_shape(self, input_shape):
        return self.conv_3.compute_output_shape(self.conv_2.compute_output_shape(input_shape))

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "strides": self.strides}
