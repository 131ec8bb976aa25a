"""Several devices on JAX: each must get an equal share of every batch.

`predict` and `evaluate` compute the remaining images, fewer than there are devices, on one device.
`fit` cannot do this and refuses such a batch.
"""

import contextlib
import itertools
import math
import warnings

import keras
import numpy as np

from keras_vit import arguments
from keras_vit.guards import streams

BATCH_SIZE = 32  # Keras's default
FIT = "every training batch must give each device an equal share"


def number():
    """Returns how many shares Keras splits a batch into; 1 if there are several processes."""
    distribution = keras.distribution.distribution()
    if keras.backend.backend() != "jax" or distribution is None or distribution.num_processes > 1:
        return 1
    mesh, axis = distribution.device_mesh, distribution.batch_dim_name
    return mesh.shape[mesh.axis_names.index(axis)] if axis in mesh.axis_names else 1


def check_fit(given):
    """Raises `ValueError` if batches of `fit` are known to have unequal shares."""
    shares = number()
    if shares == 1:
        return
    images, received = given.get("x"), {"devices": shares}
    if streams.kind(images) is not None:
        size, count = (streams.shapes(images)[0] or (None,))[0], None
    else:
        count = math.floor(len(images) * (1 - (given.get("validation_split") or 0)))
        size = min(given.get("batch_size") or BATCH_SIZE, count)
    if size is not None and size % shares:
        advice = f"Use a batch size of {arguments.nearest_multiples(size, shares)}."
        arguments.refuse(FIT, {"batch size": size, **received}, advice)
    if count is not None and count % shares:
        advice = f"Leave out {count % shares} of the {count} training images."
        arguments.refuse(FIT, {"last batch": count % size, **received}, advice)


def run_divided(model, name, call, given):
    """Calls `evaluate` or `predict` on all devices, then on one device with the remaining images.

    `call` is Keras's method with this name, `given` its checked arguments. `fit` gets everything.
    """
    shares = number()
    if name == "fit":
        with _explained(shares):
            return call(**given)
    if shares == 1 or _is_shared(given["x"], shares):
        return call(**given)
    given = {key: value for key, value in given.items() if key != "_use_cached_eval_dataset"}
    cut = _cut_arrays if streams.kind(given["x"]) is None else _cut_batches
    main, rest = cut(given, shares)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Your input ran out of data")  # its length is unknown
        result = call(**main) if main else None
    if not rest:
        return result
    with _one_device():
        if name == "predict":
            last = model.predict_on_batch(rest[0][0])
            return last if result is None else keras.tree.map_structure(_concatenate, result, last)
        with model.keeping_metrics(result is not None):
            return model.test_on_batch(*rest[0], return_dict=given.get("return_dict", False))


@contextlib.contextmanager
def _explained(shares):
    """Replaces JAX's error for a batch that cannot be shared equally."""
    try:
        yield
    except ValueError as error:
        if type(error).__name__ != "IndivisibleError":
            raise
        advice = "Drop the rest of a dataset: dataset.batch(size, drop_remainder=True), with a "
        advice += "multiple of the number of devices as size."
        arguments.refuse(FIT, {"devices": shares}, advice)


def _is_shared(data, shares):
    """Returns whether all batches of a dataset are known to have equal shares."""
    shape = streams.shapes(data)[0] if streams.kind(data) == "tensorflow" else None
    return bool(shape) and shape[0] is not None and shape[0] % shares == 0


def _cut_arrays(given, shares):
    """Returns arguments with arrays that can be shared, or None, and [the rest], or []."""
    arrays = {name: given.get(name) for name in ("x", "y", "sample_weight")}
    count = len(arrays["x"])
    whole = count // shares * shares
    size = math.ceil((given.get("batch_size") or BATCH_SIZE) / shares) * shares
    first = {name: array[:whole] for name, array in arrays.items() if array is not None}
    main = {**given, **first, "batch_size": size} if whole else None
    rest = [None if array is None else array[whole:] for array in arrays.values()]
    return main, [rest] if whole < count else []


def _cut_batches(given, shares):
    """Does the same for other data; the list is filled when the last batch has been taken."""
    rest = []
    batches = _share(streams.batches(given["x"]), shares, rest)
    first = next(batches, None)
    main = {**given, "x": (batch for batch in itertools.chain([first], batches))}
    return None if first is None else main, rest


def _share(batches, shares, rest):
    """Yields batches that can be shared; the rest of each is added to the next."""
    left = None
    for batch in batches:
        batch = [None if part is None else np.asarray(part) for part in streams.unpack(batch)]
        if left is not None:
            batch = [_concatenate(*pair) for pair in zip(left, batch, strict=True)]
        whole = len(batch[0]) // shares * shares
        left = [None if part is None else part[whole:] for part in batch]
        if whole:
            yield tuple(part[:whole] for part in batch if part is not None)
    if left is not None and len(left[0]):
        rest.append(left)


def _concatenate(first, second):
    return None if first is None else np.concatenate([first, second])


@contextlib.contextmanager
def _one_device():
    """Turns the distribution of batches off."""
    distribution = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(distribution)
