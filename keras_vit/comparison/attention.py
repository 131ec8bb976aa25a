"""Relative attention, Equation 3 of CoAtNet (arXiv 2106.04803)."""

import math

import keras
import numpy as np
from keras import layers, ops

from keras_vit import arguments


@keras.saving.register_keras_serializable(package="keras_vit")
class RelativeAttention(layers.Layer):
    """Self-attention over a map whose scores also depend on how far two positions lie apart.

    A = softmax(q k^T / sqrt(d) + w), where w has one learned number for each head and each offset
    (rows, columns) between a query and a key: Equation 3 of arXiv 2106.04803, the form before
    the softmax.

    Args:
        hidden_dim: length of what it makes.
        num_heads: number of heads; it divides `hidden_dim`.

    Call arguments:
        x: (batch, height, width, channels), height and width known.

    Returns:
        (batch, height, width, hidden_dim).

    Raises:
        ValueError: the input is not such a map, or `num_heads` does not divide `hidden_dim`.

    Example:
    >>> attention = keras_vit.comparison.RelativeAttention(hidden_dim=64, num_heads=2)
    >>> tuple(attention(np.zeros((2, 3, 5, 32))).shape)
    (2, 3, 5, 64)
    """

    def __init__(self, hidden_dim, num_heads, **kwargs):
        super().__init__(**kwargs)
        self.hidden_dim = arguments.positive_integer("hidden_dim", hidden_dim)
        self.num_heads = arguments.positive_integer("num_heads", num_heads)
        arguments.divisible_heads(hidden_dim, num_heads)
        dtype = self.dtype_policy
        self.query_key_value = layers.Dense(3 * hidden_dim, name="query_key_value", dtype=dtype)
        self.projection = layers.Dense(hidden_dim, name="projection", dtype=dtype)

    def build(self, input_shape):
        arguments.feature_map("RelativeAttention", input_shape)
        _, rows, columns, _ = input_shape
        if None in (rows, columns):
            want = "`RelativeAttention` expects a map of known height and width"
            arguments.refuse(want, {"input shape": tuple(input_shape)}, "Fix the image_size.")
        self.offsets = offsets(rows, columns)
        shape = (self.num_heads, (2 * rows - 1) * (2 * columns - 1))
        self.bias = self.add_weight(shape, "zeros", name="bias")
        self.query_key_value.build(input_shape)
        self.projection.build((*input_shape[:-1], self.hidden_dim))

    def call(self, x):
        _, rows, columns, _ = x.shape
        shape = (-1, rows * columns, self.num_heads, self.hidden_dim // self.num_heads)
        q, k, v = (
            ops.transpose(ops.reshape(part, shape), (0, 2, 1, 3))
            for part in ops.split(self.query_key_value(x), 3, axis=-1)
        )  # (B, heads, N, d)
        logits = ops.matmul(q / math.sqrt(shape[-1]), ops.swapaxes(k, 2, 3))  # (B, heads, N, N)
        logits = logits + ops.take(self.bias, self.offsets, axis=1)  # w: (heads, N, N)
        x = ops.matmul(ops.softmax(logits), v)  # (B, heads, N, d)
        x = ops.transpose(x, (0, 2, 1, 3))  # (B, N, heads, d)
        return self.projection(ops.reshape(x, (-1, rows, columns, self.hidden_dim)))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.hidden_dim)

    def get_config(self):
        config = {"hidden_dim": self.hidden_dim, "num_heads": self.num_heads}
        return {**super().get_config(), **config}


def offsets(rows, columns):
    """Returns which of all offsets lies between each two positions of a map.

    Example:
    >>> keras_vit.comparison.attention.offsets(1, 3)  # from two to the right to two to the left
    array([[2, 1, 0],
           [3, 2, 1],
           [4, 3, 2]])
    """
    row, column = np.divmod(np.arange(rows * columns), columns)
    down = row[:, None] - row + rows - 1
    right = column[:, None] - column + columns - 1
    return down * (2 * columns - 1) + right
