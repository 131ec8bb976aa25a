"""The three backends: which ones are installed, and what each can do."""

import contextlib
import functools
import importlib.util
import json
import math
import os
import sys
import threading

from keras_vit import environment

BACKENDS = ("jax", "tensorflow", "torch")
KERAS_BACKENDS = (*BACKENDS, "openvino", "numpy")  # the last two cannot train
RANDOM_INITIALIZERS = ("RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling")
PLAIN_INITIALIZERS = ("Zeros", "Ones", "Constant")
BYTES = {"int8": 1, "uint8": 1, "bool": 1, "float16": 2, "bfloat16": 2, "float64": 8, "int64": 8}
_blanking = threading.RLock()


def ensure_installed():
    """Makes Keras use a backend that is installed.

    Keras reads `KERAS_BACKEND`, then `keras.json`, and otherwise uses TensorFlow. If that
    backend is not installed and `KERAS_BACKEND` is not set, the first one that is installed is
    used instead.

    Raises:
        ImportError: no backend is installed, or not the one in `KERAS_BACKEND`.
        ValueError: `KERAS_BACKEND` is not the name of a backend.
    """
    if "keras" in sys.modules:
        return
    wanted = os.environ.get("KERAS_BACKEND")
    if wanted and wanted not in KERAS_BACKENDS:
        raise ValueError(
            f"KERAS_BACKEND must be one of {', '.join(BACKENDS)}. Received: {wanted!r}. "
            "Set it to one of these, or unset it."
        )
    chosen = find_name()
    if chosen in BACKENDS and not is_installed(chosen):
        os.environ["KERAS_BACKEND"] = _replacement(wanted)


def _replacement(wanted):
    """Returns the first installed backend; raises if there is none, or if the user set `wanted`."""
    installed = [backend for backend in BACKENDS if is_installed(backend)]
    if wanted and installed:
        raise ImportError(
            f"An installed backend was expected. Received: KERAS_BACKEND={wanted!r}, which is not "
            f"installed. Run: pip install {wanted}, or set KERAS_BACKEND={installed[0]}."
        )
    if not installed:
        raise ImportError(
            "Keras needs TensorFlow, JAX or PyTorch as its backend, and none is installed. "
            f"Run: pip install {wanted or BACKENDS[0]}"
        )
    return installed[0]


def is_installed(package):
    """Returns whether a package can be imported; it is not imported."""
    return importlib.util.find_spec(package) is not None


def check_sklearn(what):
    """Raises `ImportError` that begins with what needs scikit-learn, unless it is installed."""
    if not is_installed("sklearn"):
        message = f"{what} scikit-learn, which is not installed. Run: pip install scikit-learn"
        raise ImportError(message)


def leave_the_gpu():
    """Hides GPUs from TensorFlow if it only reads or writes for another backend.

    TensorFlow would allocate all of their memory.
    """
    import keras
    import tensorflow

    if keras.backend.backend() != "tensorflow":
        with contextlib.suppress(RuntimeError):  # its devices are fixed after the first computation
            tensorflow.config.set_visible_devices([], "GPU")


def has_attention_kernel(query):
    """Whether one fused attention kernel beats matmul, softmax, matmul (docs/speed.md).

    PyTorch has one for every device, JAX for GPU and TPU, TensorFlow has none. On a CPU, the
    gradient of PyTorch's kernel is slow in 16 bits.
    """
    import keras

    if keras.backend.backend() == "jax":
        return not keras.distribution.list_devices()[0].startswith("cpu")
    if keras.backend.backend() == "torch":
        is_slow = query.device.type == "cpu" and query.dtype.itemsize == 2 and query.requires_grad
        return not is_slow
    return False


def is_compiling():
    """Whether PyTorch compiles or exports a model, whose program cannot call Python."""
    if not is_eager():
        return False
    import torch

    return torch.compiler.is_compiling()


def values(tensor, count):
    """Returns the first `count` rows of a tensor as a NumPy array, or None if it has no values.

    A tensor has none while a program is traced or exported, or if another process holds part of it.
    """
    import keras
    import numpy as np

    if keras.backend.backend() == "torch":
        import torch

        if torch.jit.is_tracing():
            return None
    try:
        if keras.backend.backend() == "jax":  # without a copy, and without compiling a slice
            return np.asarray(tensor)[:count]
        return keras.ops.convert_to_numpy(tensor[:count])
    except Exception:  # each backend raises its own error for a tensor without values
        return None


def can_report(model):
    """Whether a model's steps can call Python: always on JAX, elsewhere only without XLA."""
    import keras

    return keras.backend.backend() == "jax" or not model.jit_compile


def report_if(condition, function, arguments):
    """Makes a program that is being traced call a Python function if a condition holds."""
    import keras

    if keras.backend.backend() == "jax":
        import jax

        call = lambda *values: jax.debug.callback(function, *values)  # noqa: E731
        jax.lax.cond(condition, call, lambda *values: None, *arguments)
    elif keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        def call():
            tf.numpy_function(function, arguments, [])
            return tf.constant(True)

        tf.cond(condition, call, lambda: tf.constant(True))


def attention(query, key, value):
    """Returns softmax(q k^T / sqrt(d)) v by the fused kernel: (batch, tokens, heads, d) each."""
    import keras

    if not is_eager():
        return keras.ops.dot_product_attention(query, key, value)
    import torch

    # Keras would first copy each of the three into contiguous memory, which the kernel does not
    # need.
    query, key, value = (x.transpose(1, 2) for x in (query, key, value))
    return torch.nn.functional.scaled_dot_product_attention(query, key, value).transpose(1, 2)


def linear(x, kernel, bias):
    """Returns x W + b by the one operation that PyTorch has for both; `bias` may be None."""
    import torch

    kernel, bias = _values(kernel, bias)
    if not x.is_floating_point():  # pixels as they are read, which Keras converts too
        x = x.to(kernel.dtype)
    return torch.nn.functional.linear(x, kernel.T, bias)


def layer_norm(x, gamma, beta, epsilon):
    """Returns LN(x) over the last axis by PyTorch's operation; `gamma` and `beta` may be None."""
    import torch

    return torch.nn.functional.layer_norm(x, x.shape[-1:], *_values(gamma, beta), epsilon)


def _values(*weights):
    """Returns the tensors of weights, and a tensor or None as it is."""
    return [getattr(weight, "value", weight) for weight in weights]


def reshape(x, shape):
    """Returns x in another shape; on PyTorch, Keras would spend longer on checking `shape`."""
    import keras

    return x.reshape(shape) if is_eager() else keras.ops.reshape(x, shape)


def by_rows(function, x):
    """Returns `function(x)`, a map of the last axis; on JAX, `function` receives all rows at once.

    For the gradient of x W, with x a matrix instead of a batch of matrices, JAX's compiler for CPUs
    needs half the time (docs/speed.md). The other backends make a matrix of x on their own.
    """
    import keras

    if keras.backend.backend() != "jax" or len(x.shape) == 2:
        return function(x)
    rows = function(keras.ops.reshape(x, (-1, x.shape[-1])))
    return keras.ops.reshape(rows, (*keras.ops.shape(x)[:-1], rows.shape[-1]))


def gelu(x, approximate):
    """Returns x Phi(x), or its tanh form if `approximate`."""
    import keras

    if is_eager():
        import torch

        return torch.nn.functional.gelu(x, approximate="tanh" if approximate else "none")
    return recomputed(lambda x: keras.ops.gelu(x, approximate), x)


def recomputed(function, x):
    """Returns `function(x)`; JAX keeps only x for the gradient, and recomputes the rest.

    Keeping the rest would cost more: a training step on a CPU spends a third of its time on memory
    that it touches for the first time (docs/speed.md).
    """
    import keras

    if keras.backend.backend() == "jax":
        import jax

        if isinstance(x, jax.core.Tracer):  # an eager call has no gradient
            # A new function for each call: for an equal one, such as the same method of a layer,
            # JAX would use what it traced before, with the weights of a program that has ended.
            return keras.remat(lambda x: function(x))(x)
    return function(x)


@functools.cache
def is_eager():
    """Whether a model runs line by line, as on PyTorch; the other backends compile it."""
    import keras

    return keras.backend.backend() == "torch"


class TooLargeError(ValueError):
    """The weights of a model need more memory than allowed."""


@contextlib.contextmanager
def blank_weights(limit=None):
    """Initializes weights with zeros in this thread, because all of them are about to be loaded.

    With a `limit` in bytes, `TooLargeError` is raised before the weights exceed it.

    JAX and TensorFlow run a generator for every shape, which takes longer than loading a small
    model, and the random values would need memory in addition to the loaded ones.
    """
    import keras

    names = RANDOM_INITIALIZERS if limit is None else RANDOM_INITIALIZERS + PLAIN_INITIALIZERS
    kinds = [getattr(keras.initializers, name) for name in names]
    with _blanking:  # one thread at a time: each restores the original methods
        calls, blanks = {kind: kind.__call__ for kind in kinds}, _Blanks(limit)
        try:
            for kind, call in calls.items():
                kind.__call__ = blanks.replace(call, kind.__name__ in RANDOM_INITIALIZERS)
            yield
        finally:
            for kind, call in calls.items():
                kind.__call__ = call


class _Blanks:
    """The values of initializers in one thread: zeros instead of random ones, within a limit.

    Weights of the same shape share one array until they are loaded. This is safe on JAX and
    TensorFlow, which change no array that is in use elsewhere. PyTorch does, so there weights are
    initialized as usual, which is fast.
    """

    def __init__(self, limit):
        self.limit, self.total, self.arrays = limit, 0, {}
        self.thread = threading.get_ident()

    def replace(self, call, is_random):
        """Returns the replacement of an initializer's `__call__`."""

        def blank(initializer, shape, dtype=None, **kwargs):
            if threading.get_ident() != self.thread:
                return call(initializer, shape, dtype, **kwargs)
            self.count(shape, dtype)
            if not is_random or is_eager():
                return call(initializer, shape, dtype, **kwargs)
            return self.zeros(tuple(shape), dtype or "float32")

        return blank

    def count(self, shape, dtype):
        """Raises `TooLargeError` if another weight would exceed the limit."""
        import keras

        size = keras.backend.standardize_dtype(dtype or keras.config.floatx())
        self.total += math.prod(shape) * BYTES.get(size, 4)
        if self.limit is not None and self.total > self.limit:
            raise TooLargeError(f"More than {self.limit:,} bytes are needed.")

    def zeros(self, shape, dtype):
        """Returns zeros that all weights of one shape share."""
        import keras
        import numpy as np

        if (shape, dtype) not in self.arrays:
            self.arrays[shape, dtype] = keras.ops.convert_to_tensor(np.zeros(shape, dtype))
        return self.arrays[shape, dtype]


def find_name():
    """Returns the name of the backend that Keras is going to choose, without importing it."""
    try:
        config = json.loads((environment.keras_home() / "keras.json").read_text())
    except (OSError, ValueError):
        config = {}
    return os.environ.get("KERAS_BACKEND") or config.get("backend", "tensorflow")
