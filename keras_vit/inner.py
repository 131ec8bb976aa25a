"""Keras's layers for use inside the Transformer's layers: the same results in fewer steps.

PyTorch runs a model line by line, so Keras's work around each layer takes time: a tenth of a
forward pass (docs/speed.md). TensorFlow and JAX compile a model, so there little changes.
"""

import functools
import inspect

import keras
from keras import layers, ops, tree

from keras_vit import backend


class Inner:
    """A layer that, on PyTorch, skips the preparations of a call that would change nothing.

    If the layer is built and the input has its dtype, nothing has to be built, converted or cast.
    What remains is `call`, with the hooks of PyTorch, and `training` for the layers inside. Keras
    still prepares the calls of a quantized layer and of one with an activity regularizer.
    """

    def __call__(self, x, *args, training=None, **kwargs):
        if args or kwargs or not self._is_ready_for(x):
            given = {} if training is None else {"training": training}
            return super().__call__(x, *args, **given, **kwargs)
        if training is None:
            return super(keras.Layer, self).__call__(x)
        context = self._get_call_context()  # where Keras's layers look for `training`
        try:
            context.set_value("training", training)
            return super(keras.Layer, self).__call__(x)
        finally:
            self._maybe_reset_call_context()

    def forward(self, x, *args, **kwargs):
        """Computes between PyTorch's hooks; Keras would also prepare an error message."""
        is_changed = self.quantization_mode or getattr(self, "_remat_mode", True)
        if is_changed or args or kwargs or not ops.is_tensor(x):
            return super().forward(x, *args, **kwargs)
        return self.call(x)

    def _is_ready_for(self, x):
        if not (backend.is_eager() and self.built and ops.is_tensor(x)):
            return False
        if self.quantization_mode or self.activity_regularizer or not _takes_only_x(type(self)):
            return False
        return _name(x.dtype) == self.input_dtype == self.variable_dtype


_name = functools.cache(keras.backend.standardize_dtype)


@functools.cache
def _takes_only_x(kind):
    """Whether `call` of a class of layers has no argument such as `training`, which Keras sets."""
    return len(inspect.signature(kind.call).parameters) == 2  # self, x


class Graph:
    """A model that, on PyTorch, releases each layer's output after its last use.

    Keras would keep all of them until the model returns: 465 MB for 64 images and ViT-B/16. The
    compilers of TensorFlow and JAX decide this on their own.
    """

    def _run_through_graph(self, inputs, operation_fn=lambda operation: operation, call_fn=None):
        given = tree.flatten(inputs)
        if call_fn or not (backend.is_eager() and all(map(ops.is_tensor, given))):
            return super()._run_through_graph(inputs, operation_fn, call_fn)
        values = dict(zip(map(id, self.inputs), given, strict=True))
        for node, last in self._find_last_uses():
            args, kwargs = node.arguments.fill_in(values)
            outputs = operation_fn(node.operation)(*args, **kwargs)
            outputs = [outputs] if ops.is_tensor(outputs) else tree.flatten(outputs)
            del args, kwargs
            values.update(zip(map(id, node.outputs), outputs, strict=True))
            for used in last:
                del values[used]
        return tree.pack_sequence_as(self._outputs_struct, [values[id(x)] for x in self.outputs])

    def _find_last_uses(self):
        """Returns the nodes in the order of computation, each with the tensors last used there."""
        depths = sorted(self._nodes_by_depth, reverse=True)
        nodes = [node for depth in depths for node in self._nodes_by_depth[depth]]
        seen, steps = {id(x) for x in self.outputs}, []
        for node in reversed([node for node in nodes if not node.is_input]):
            last = {id(x) for x in (*node.input_tensors, *node.outputs)} - seen
            seen |= last
            steps.append((node, last))
        return steps[::-1]


class Dense(Inner, layers.Dense):
    """x W + b, in one operation on PyTorch, and for all rows of a batch at once on JAX.

    Example:
    >>> tuple(keras_vit.inner.Dense(3)(np.ones((2, 5, 8))).shape)
    (2, 5, 3)
    """

    def call(self, x):
        if backend.is_eager():
            return self.activation(backend.linear(x, self.kernel, self.bias))
        return backend.by_rows(super().call, x)

    def quantize(self, mode, type_check=False, **kwargs):
        """Quantizes the layer as Keras quantizes its own; Keras would skip a subclass."""
        super().quantize(mode, type_check=False, **kwargs)


class LayerNormalization(Inner, layers.LayerNormalization):
    """Layer normalization, in one operation on PyTorch, and with less memory on JAX.

    Example:
    >>> tuple(keras_vit.inner.LayerNormalization()(np.ones((2, 5, 8))).shape)
    (2, 5, 8)
    """

    def call(self, x):
        is_plain = self.axis == [-1] and _name(x.dtype) == self.compute_dtype == "float32"
        if backend.is_eager() and is_plain:
            return backend.layer_norm(x, self.gamma, self.beta, self.epsilon)
        return backend.recomputed(super().call, x)


class Dropout(layers.Dropout):
    """Dropout, which at rate 0 is not called at all.

    Example:
    >>> x = np.ones((2, 5))
    >>> keras_vit.inner.Dropout(0.0)(x, training=True) is x
    True
    """

    def __call__(self, x, *args, **kwargs):
        return super().__call__(x, *args, **kwargs) if self.rate else x
