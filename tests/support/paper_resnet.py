"""The ResNets' layers in plain NumPy and float64: the independent truth, as `paper` for the ViT.

Images are (batch, height, width, channels), weights dictionaries of arrays.
"""

import math

import numpy as np


def hybrid_kernel(kernel):
    return (kernel - kernel.mean((0, 1, 2))) / (kernel.std((0, 1, 2)) + 1e-5)


def bit_kernel(kernel):
    return (kernel - kernel.mean((0, 1, 2))) / np.sqrt(kernel.var((0, 1, 2)) + 1e-10)


def fewest(size, window, strides):
    """Returns the least padding before and after for size / strides positions, rounded up."""
    total = max((math.ceil(size / strides) - 1) * strides + window - size, 0)
    return total // 2, total - total // 2


def even(size, window, strides):
    return window // 2, window // 2


def windows(x, side, strides, padding, value):
    """(batch, rows, columns, side, side, channels), cut out one by one."""
    sides = [padding(size, side, strides) for size in x.shape[1:3]]
    x = np.pad(x, ((0, 0), *sides, (0, 0)), constant_values=value)
    rows, columns = ((size - side) // strides + 1 for size in x.shape[1:3])
    cut = np.empty((len(x), rows, columns, side, side, x.shape[-1]))
    for row in range(rows):
        for column in range(columns):
            top, left = row * strides, column * strides
            cut[:, row, column] = x[:, top : top + side, left : left + side]
    return cut


def convolve(x, kernel, strides, padding):
    cut = windows(x, kernel.shape[0], strides, padding, 0)
    return np.einsum("bijhwc,hwcd->bijd", cut, kernel)


def group_norm(x, w, name, epsilon):
    groups = x.reshape(*x.shape[:3], 32, -1)
    mean = groups.mean((1, 2, 4), keepdims=True)
    variance = ((groups - mean) ** 2).mean((1, 2, 4), keepdims=True)
    normed = ((groups - mean) / np.sqrt(variance + epsilon)).reshape(x.shape)
    return normed * w[f"{name}/gamma"] + w[f"{name}/beta"]


def relu(x):
    return np.maximum(x, 0)


def hybrid_unit(x, w, strides):
    def layer(x, conv, norm, strides=1):
        x = convolve(x, hybrid_kernel(w[f"{conv}/kernel"]), strides, fewest)
        return group_norm(x, w, norm, 1e-6)

    y = relu(layer(x, "conv_1", "norm_1"))
    y = relu(layer(y, "conv_2", "norm_2", strides))
    y = layer(y, "conv_3", "norm_3")
    return relu(
        y + (layer(x, "projection", "norm_projection", strides) if "projection/kernel" in w else x)
    )


def bit_unit(x, w, strides):
    def layer(x, conv, strides=1):
        return convolve(x, bit_kernel(w[f"{conv}/kernel"]), strides, even)

    first = relu(group_norm(x, w, "norm_1", 1e-5))
    y = relu(group_norm(layer(first, "conv_1"), w, "norm_2", 1e-5))
    y = relu(group_norm(layer(y, "conv_2", strides), w, "norm_3", 1e-5))
    return layer(y, "conv_3") + (
        layer(first, "projection", strides) if "projection/kernel" in w else x
    )


def small_root(x, w):
    return hybrid_root(x, w, strides=1)


def hybrid_root(x, w, strides=2):
    x = convolve(x, hybrid_kernel(w["conv/kernel"]), strides, fewest)
    return windows(relu(group_norm(x, w, "norm", 1e-6)), 3, 2, fewest, -np.inf).max((3, 4))


def bit_root(x, w):
    x = convolve(x, bit_kernel(w["conv/kernel"]), 2, even)
    return windows(x, 3, 2, even, 0).max((3, 4))
