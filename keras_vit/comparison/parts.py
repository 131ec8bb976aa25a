"""The inverted bottleneck of MobileNetV2 (arXiv 1801.04381), with squeeze-and-excitation.

These are functions, not layers: each adds Keras's own layers to a graph. Maps are
(batch, height, width, channels), whatever Keras's global image format is.
"""

from keras import layers

LAST = "channels_last"
KERNEL = "he_normal"


def convolution(x, filters, kernel, name, policy, *, strides=1, bias=False):
    """Adds a convolution with "same" padding."""
    return layers.Conv2D(
        filters,
        kernel,
        strides,
        padding="same",
        data_format=LAST,
        use_bias=bias,
        kernel_initializer=KERNEL,
        name=name,
        dtype=policy,
    )(x)


def norm(x, name, policy, activation=None):
    """Adds a batch normalisation, and a function after it."""
    x = layers.BatchNormalization(axis=-1, name=f"{name}_norm", dtype=policy)(x)
    if activation is None:
        return x
    return layers.Activation(activation, name=f"{name}_activation", dtype=policy)(x)


def bottleneck(
    x, filters, expansion, squeezed, name, policy, *, kernel, strides, activation, bias=False
):
    """Adds expansion, depthwise convolution, squeeze-and-excitation and projection.

    Args:
        x: a map.
        filters: channels of what it makes.
        expansion: channels between, or None for as many as `x` has, without a convolution.
        squeezed: width of the squeeze-and-excitation's hidden layer.
        name: beginning of its layers' names.
        policy: their dtype policy.
        kernel: side of the depthwise kernel.
        strides: steps of the expansion and of the depthwise convolution.
        activation: name of the function after each normalisation.
        bias: whether the projection has one.
    """
    if expansion is not None:
        x = convolution(x, expansion, 1, f"{name}_expand", policy, strides=strides[0])
        x = norm(x, f"{name}_expand", policy, activation)  # (B, H, W, expansion)
    x = layers.DepthwiseConv2D(
        kernel,
        strides[1],
        padding="same",
        data_format=LAST,
        use_bias=False,
        depthwise_initializer=KERNEL,
        name=f"{name}_depthwise",
        dtype=policy,
    )(x)
    x = norm(x, f"{name}_depthwise", policy, activation)
    x = squeeze_excite(x, squeezed, name, policy, activation)
    return convolution(x, filters, 1, f"{name}_project", policy, bias=bias)


def squeeze_excite(x, squeezed, name, policy, activation):
    """Scales each channel by what all positions together say (arXiv 1709.01507)."""
    channels = x.shape[-1]
    gate = layers.GlobalAveragePooling2D(LAST, name=f"{name}_squeeze", dtype=policy)(x)
    gate = layers.Dense(squeezed, name=f"{name}_reduce", dtype=policy)(gate)  # (B, squeezed)
    gate = layers.Activation(activation, name=f"{name}_reduce_activation", dtype=policy)(gate)
    gate = layers.Dense(channels, "sigmoid", name=f"{name}_excite", dtype=policy)(gate)
    gate = layers.Reshape((1, 1, channels), name=f"{name}_gate", dtype=policy)(gate)
    return layers.Multiply(name=f"{name}_scale", dtype=policy)([x, gate])  # (B, H, W, channels)
