"""Keras's layers as the Transformer has them inside its own: the same results, fewer steps.

PyTorch runs a model line by line, so what Keras does around each layer takes time: up to a tenth of
a forward pass (docs/speed.md). TensorFlow and JAX compile it away, and nothing changes there.
"""

import keras
from keras import layers

from keras_vit import backend


class Inner:
    """A layer that on PyTorch skips what Keras prepares around `call` if it would change nothing.

    Nothing has to be built, converted or cast, and no argument (`training`) is passed on. What
    comes last remains: hooks of PyTorch, rematerialization, quantization, `call`.
    """

    def __call__(self, x, *args, **kwargs):
        ready = backend.is_eager() and self.built and not (args or kwargs)
        if ready and self.compute_dtype == self.variable_dtype and self._fits(x):
            return super(keras.Layer, self).__call__(x)
        return super().__call__(x, *args, **kwargs)

    def _fits(self, x):
        return keras.ops.is_tensor(x) and backend.dtype(x) == self.input_dtype


class Dense(Inner, layers.Dense):
    """x W + b; PyTorch has one operation for both."""

    def call(self, x, training=None):
        if backend.is_eager():
            return backend.linear(x, self.kernel, self.bias)
        return super().call(x)

    def quantize(self, mode, type_check=None, **kwargs):
        """Quantizes the layer; Keras refuses subclasses, unless told that this one is a `Dense`."""
        super().quantize(mode, type_check=False, **kwargs)


class Dropout(layers.Dropout):
    """Dropout; at rate 0 it returns what it gets."""

    def __call__(self, x, *args, **kwargs):
        return super().__call__(x, *args, **kwargs) if self.rate else x
