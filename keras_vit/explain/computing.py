"""The same computation on every backend: compiled where the backend compiles, with gradients."""

import functools
import weakref

import keras
import numpy as np

from keras_vit import arguments

# {model: {(function, settings): compiled function}}; an entry lives as long as its model.
_COMPILED = weakref.WeakKeyDictionary()


def run(function, model, images, *more, batch_size=32, compiled=True, **settings):
    """Computes `function(model, images, *more, **settings)` batch by batch.

    The function is compiled once for each model and settings, and sees the weights that the model
    has at each call. No state of the model changes.

    Args:
        function: gets tensors and returns tensors, or a dict, list or tuple of them, whose first
            axis is the batch. If it is compiled, a function of a module, not made for one call.
        model: a Keras model.
        images: array (batch, height, width, channels) as the model takes them.
        *more: further arrays, with as many entries.
        batch_size: images computed at once. A last batch that is smaller is padded.
        compiled: False for a function that calls programs, see `program`, and little else.
        **settings: hashable arguments of the function that are not arrays.

    Returns:
        What the function returns, in NumPy arrays over all images.

    Raises:
        ValueError: the images have another shape than the model takes, or there are none.
    """
    options = {"batch_size": batch_size, "compiled": compiled, **settings}
    parts = list(batches(function, model, images, *more, **options))
    return keras.tree.map_structure(lambda *xs: np.concatenate(xs), *parts)


def batches(function, model, images, *more, batch_size=32, compiled=True, **settings):
    """Yields what `run` returns batch by batch, if it need not be kept of all images."""
    arrays = [check_images(model, images), *map(np.asarray, more)]
    if not model.built:  # a compiled function must not make weights: they would not outlast it
        model(keras.KerasTensor(arrays[0].shape))
    step = min(arguments.positive_integer("batch_size", batch_size), len(arrays[0]))
    make = program if compiled else functools.partial
    compute = make(function, model, **settings)
    for start in range(0, len(arrays[0]), step):
        batch = [array[start : start + step] for array in arrays]
        count = len(batch[0])
        batch = [np.concatenate([b, np.repeat(b[-1:], step - count, axis=0)]) for b in batch]
        batch[0] = batch[0].astype("float32")  # one program, whatever the pixels came in
        found = compute(*batch)
        yield keras.tree.map_structure(lambda x, n=count: _numpy(x)[:n], found)


def program(function, model, **settings):
    """Returns `function(model, *arrays, **settings)` compiled, a function of the arrays.

    Args:
        function: as in `run`.
        model: a Keras model.
        **settings: as in `run`.
    """
    return _compiled(function, model, settings)


def check_images(model, images):
    """Returns images as an array that the model can take, or raises `ValueError`."""
    images = np.asarray(images)
    expected = getattr(model, "input_shape", None)
    if isinstance(expected, tuple) and len(expected) == 4 and None not in expected[1:]:
        arguments.images(images.shape, expected)
    if not len(images):
        arguments.refuse("at least one image was expected", {"images shape": images.shape})
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


def _compiled(function, model, settings):
    known = _COMPILED.setdefault(model, {})
    key = (function, tuple(sorted(settings.items())))
    if key not in known:
        known[key] = _compile(function, weakref.ref(model), settings)
    return known[key]


def _compile(function, model, settings):
    """`model` is a weak reference: what is compiled must not keep the model alive."""

    def compute(*arrays):
        return function(model(), *arrays, **settings)

    backend = keras.backend.backend()
    if backend == "jax":
        return _jit(compute, model)
    if backend == "tensorflow":
        import tensorflow as tf

        # TensorFlow warns of much retracing by the code, which is the same for all that is
        # computed here; a partial has none.
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


def _numpy(tensor):
    """An array of a tensor, in float32 where it was computed in less."""
    if keras.backend.is_float_dtype(tensor.dtype):
        tensor = keras.ops.cast(tensor, keras.backend.result_type(tensor.dtype, "float32"))
    return keras.ops.convert_to_numpy(tensor)
