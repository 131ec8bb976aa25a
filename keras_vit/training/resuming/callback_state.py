"""The state of the other callbacks of a run.

Keras's callbacks cannot save themselves. Their state is in their attributes: numbers, strings,
arrays, and lists, tuples and dictionaries of these. Attributes named like an argument of the
constructor are settings and are not restored, so that a new `patience` takes effect.
"""

import inspect
import os
import warnings

import keras
import numpy as np

from keras_vit.io.tensor_file import SIZES
from keras_vit.training.resuming import keras_internals

APART = {"_model", "model", "params", "validation_data"}


class NotPlainError(TypeError):
    """A value that is not made of numbers, strings and arrays."""


def move_to_end(callback):
    """Moves a callback to the end of the list that is calling it, and returns that list."""
    callbacks = keras_internals.callback_list(callback)
    if callbacks is not None:  # a new list: Keras is iterating over the old one
        others = [c for c in callbacks.callbacks if c is not callback]
        callbacks.callbacks = [*others, callback]
    return callbacks


def select(callbacks, me):
    """Returns {"EarlyStopping/0": callback} of all callbacks whose state is saved."""
    chosen = {}
    for callback in callbacks.callbacks if callbacks is not None else ():
        if callback is not me and not isinstance(callback, keras.callbacks.ProgbarLogger):
            kind = type(callback).__name__
            chosen[f"{kind}/{sum(n.startswith(kind + '/') for n in chosen)}"] = callback
    return chosen


def copy_attributes(callbacks):
    """Returns {name: {attribute: JSON}} for callbacks by name, and the arrays in them."""
    arrays = {}
    return {name: _state(name, callback, arrays) for name, callback in callbacks.items()}, arrays


def restore(callbacks, values, arrays):
    """Sets the attributes that `copy_attributes` returned."""
    absent = sorted({name.split("/")[0] for name in values.keys() - callbacks.keys()})
    if absent:
        text = f"The checkpoint has the state of {', '.join(absent)}, which `fit` was not given."
        warnings.warn(text, stacklevel=2)
    for name in values.keys() & callbacks.keys():
        for attribute, value in values[name].items():
            if attribute == "csv_file":
                _rewrite(callbacks[name], value)
            else:
                setattr(callbacks[name], attribute, decode(value, arrays))


def encode(value, arrays, name):
    """Returns JSON for a value and adds its arrays to `arrays`.

    Raises:
        NotPlainError: the value contains something else.
    """
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.name in SIZES:
        arrays[name] = np.array(value)
        return {"array": name}
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) in (list, tuple):
        items = [encode(v, arrays, f"{name}/{i}") for i, v in enumerate(value)]
        return {type(value).__name__: items}
    if type(value) is dict:
        pairs = enumerate(value.items())
        return {"dict": [[encode(x, arrays, f"{name}/{i}") for x in pair] for i, pair in pairs]}
    raise NotPlainError(f"{name}: {type(value).__name__}")


def decode(code, arrays):
    """Returns the value that `encode` was given."""
    if not isinstance(code, dict):
        return code
    ((kind, inner),) = code.items()
    if kind == "array":
        return np.array(arrays[inner])
    if kind == "dict":
        return {decode(key, arrays): decode(value, arrays) for key, value in inner}
    return {"list": list, "tuple": tuple}[kind](decode(value, arrays) for value in inner)


def _state(name, callback, arrays):
    state = {}
    settings = inspect.signature(type(callback).__init__).parameters
    for attribute in sorted(vars(callback).keys() - set(settings) - APART):
        own_arrays = {}
        try:
            value = getattr(callback, attribute)
            state[attribute] = encode(value, own_arrays, f"callback/{name}/{attribute}")
        except NotPlainError:
            continue  # such as an open file, or a function that is created again
        arrays.update(own_arrays)
    if isinstance(callback, keras.callbacks.CSVLogger):
        state["csv_file"] = _text(callback.csv_file)
    return state


def _text(file):
    """Returns what a CSV file contains so far."""
    if file is None or file.closed:
        return None
    file.flush()
    with open(file.name, newline="") as table:
        return table.read()


def _rewrite(logger, text):
    """Restores a CSV file, so that epochs that are trained again do not appear twice."""
    if text is not None and logger.csv_file is not None and os.path.exists(logger.csv_file.name):
        logger.csv_file.seek(0)
        logger.csv_file.truncate()
        logger.csv_file.write(text)
        logger.csv_file.flush()
        logger.append_header = not text
