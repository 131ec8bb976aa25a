"""Computes batch by batch on every backend: compiled if the backend compiles, with gradients."""

import functools
import weakref

import keras
import numpy as np

from keras_vit import arguments
from keras_vit.guards import image_checks

# {model: (its state, {(function, settings): function compiled in that state})}; an entry is
# dropped with its model.
_COMPILED = weakref.WeakKeyDictionary()
PLAIN = (bool, int, float, str, tuple, list, np.generic, type(None))
WRAPPED = ("build", "quantize")  # methods that Keras wraps in each layer


def run(function, model, images, *more, batch_size=32, compiled=True, **settings):
    """Computes `function(model, images, *more, **settings)` batch by batch.

    The function is compiled once for each model and settings, and each call uses the model's
    current weights. No state of the model changes.

    Args:
        function: takes tensors and returns tensors, or a dict, list or tuple of tensors, whose
            first axis is the batch. A compiled function must be defined at module level: a new
            function for each call would be compiled each time.
        model: a Keras model.
        images: array (batch, height, width, channels) as the model takes them.
        *more: further arrays of the same length.
        batch_size: number of images computed at once. A smaller last batch is padded.
        compiled: False for a function that does little more than call programs, see `program`.
        **settings: hashable arguments of the function that are not arrays.

    Returns:
        The function's results, as NumPy arrays over all images.

    Raises:
        ValueError: the images do not have the shape that the model takes, or there are none.
    """
    options = {"batch_size": batch_size, "compiled": compiled, **settings}
    parts = list(batches(function, model, images, *more, **options))
    return keras.tree.map_structure(lambda *xs: np.concatenate(xs), *parts)


def batches(function, model, images, *more, batch_size=32, compiled=True, **settings):
    """Yields the results of `run` one batch at a time, so that memory stays bounded."""
    arrays = [check_images(model, images), *map(np.asarray, more)]
    if not model.built:  # weights created in a compiled function would be lost
        model(keras.KerasTensor(arrays[0].shape))
    step = min(arguments.positive_integer("batch_size", batch_size), len(arrays[0]))
    make = program if compiled else functools.partial
    compute = make(function, model, **settings)
    for start in range(0, len(arrays[0]), step):
        batch = [array[start : start + step] for array in arrays]
        count = len(batch[0])
        batch = [np.concatenate([b, np.repeat(b[-1:], step - count, axis=0)]) for b in batch]
        batch[0] = batch[0].astype("float32")  # one program for all pixel types
        outputs = compute(*batch)
        yield keras.tree.map_structure(lambda x, n=count: _to_numpy(x)[:n], outputs)


def program(function, model, **settings):
    """Compiles `function(model, *arrays, **settings)` into a function of the arrays.

    Args:
        function: as in `run`.
        model: a Keras model.
        **settings: as in `run`.
    """
    state = _describe_state(model)
    if model not in _COMPILED or _COMPILED[model][0] != state:
        _COMPILED[model] = state, {}
    known = _COMPILED[model][1]
    key = (function, tuple(sorted(settings.items())))
    if key not in known:
        known[key] = _compile(function, weakref.ref(model), settings)
    return known[key]


def _describe_state(model):
    """Returns what a compiled function contains: variables, and the attributes of all layers.

    LoRA, quantization, another activation or a new number in a layer change it.
    """
    variables = [(v.path, tuple(v.shape), v.dtype) for v in model.variables]
    layers = [x for x in model._flatten_layers() if not isinstance(x, keras.Model)]
    return variables, [_describe_attributes(layer) for layer in layers]


def _describe_attributes(layer):
    """Returns the public attributes of a layer that are plain values, functions or layers."""
    state = {}
    for name, value in vars(layer).items():
        if name.startswith("_") or name in WRAPPED:
            continue
        if isinstance(value, PLAIN):
            state[name] = repr(value)
        elif isinstance(value, keras.Layer):
            state[name] = weakref.ref(value)  # a layer could keep the model alive
        elif callable(value):
            state[name] = value
    return state


def check_images(model, images):
    """Returns images as an array, or raises `ValueError` if the model cannot take them.

    It warns about pixels that look scaled, shifted or 16-bit, as `predict` does.
    """
    images = np.asarray(images)
    expected = getattr(model, "input_shape", None)
    if isinstance(expected, tuple) and len(expected) == 4 and None not in expected[1:]:
        arguments.images(images.shape, expected)
    if not len(images):
        arguments.refuse("at least one image was expected", {"images shape": images.shape})
    image_checks.check_numbers(images)
    own = getattr(model, "checks_pixels", False)  # other models may have layers before the ViT
    image_checks.check_pixels(images, model.normalize if own else None)
    return images


def gradients(function, tensors):
    """Returns the gradients of `function(tensors)`, a sum over the batch, for a list of tensors."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.grad(function)(tensors)
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(tensors)
            total = function(tensors)
        return tape.gradient(total, tensors, unconnected_gradients="zero")
    import torch

    with torch.enable_grad():
        tensors = [tensor.detach().requires_grad_() for tensor in tensors]
        total = function(tensors)
        found = torch.autograd.grad(total, tensors, allow_unused=True, materialize_grads=True)
    return list(found)


def _compile(function, model, settings):
    """Compiles a function; `model` is a weak reference, so it does not keep the model alive."""

    def compute(*arrays):
        return function(model(), *arrays, **settings)

    backend = keras.backend.backend()
    if backend == "jax":
        return _jit(compute, model)
    if backend == "tensorflow":
        import tensorflow as tf

        # TensorFlow counts retracing for each code object, which all functions here share, and
        # warns. A partial has no code object.
        return tf.function(functools.partial(compute), reduce_retracing=True)
    return _without_gradients(compute)


def _jit(compute, model):
    import jax

    @jax.jit
    def pure(values, *arrays):
        mapping = zip(model().variables, values, strict=True)
        with keras.StatelessScope(state_mapping=mapping):
            return compute(*arrays)

    return lambda *arrays: pure([variable.value for variable in model().variables], *arrays)


def _without_gradients(compute):
    import torch

    def eager(*arrays):
        with torch.no_grad():
            return compute(*map(keras.ops.convert_to_tensor, arrays))

    return eager


def _to_numpy(tensor):
    """Returns a tensor as an array, in float32 if its type is narrower."""
    if keras.backend.is_float_dtype(tensor.dtype):
        tensor = keras.ops.cast(tensor, keras.backend.result_type(tensor.dtype, "float32"))
    return keras.ops.convert_to_numpy(tensor)
