"""The state of the other callbacks of a run.

Keras's callbacks have no way to save themselves. What counts is in their attributes: numbers,
texts, arrays, and lists, tuples and dictionaries of them. Those with the name of an argument are
settings, not state: they are left as they are, so another `patience` holds from now on.
"""

import inspect
import os
import warnings

import keras
import numpy as np

from keras_vit.checkpoints.tensors import SIZES
from keras_vit.training import inside

APART = {"_model", "model", "params", "validation_data"}


class NotPlainError(TypeError):
    """A value that is not made of numbers, texts and arrays."""


def last_of_its_list(callback):
    """Moves a callback to the end of the list that is calling it, and returns that list."""
    found = inside.callback_list(callback)
    if found is not None:  # a new list: Keras is going through the old one
        found.callbacks = [c for c in found.callbacks if c is not callback] + [callback]
    return found


def named(callbacks, me):
    """Returns {"EarlyStopping/0": callback} of all that have a state worth keeping."""
    found = {}
    for callback in callbacks.callbacks if callbacks is not None else ():
        if callback is not me and not isinstance(callback, keras.callbacks.ProgbarLogger):
            kind = type(callback).__name__
            found[f"{kind}/{sum(n.startswith(kind + '/') for n in found)}"] = callback
    return found


def attributes(callbacks):
    """Returns {name: {attribute: JSON}} of callbacks by name, and the arrays in them."""
    arrays = {}
    return {name: _state(name, callback, arrays) for name, callback in callbacks.items()}, arrays


def put_back(callbacks, values, arrays):
    """Gives callbacks the attributes that `attributes` took."""
    absent = sorted({name.split("/")[0] for name in values.keys() - callbacks.keys()})
    if absent:
        text = f"The run went on with {', '.join(absent)}, which are not among the callbacks now."
        warnings.warn(text, stacklevel=2)
    for name in values.keys() & callbacks.keys():
        for attribute, value in values[name].items():
            if attribute == "csv_file":
                _rewrite(callbacks[name], value)
            else:
                setattr(callbacks[name], attribute, decode(value, arrays))


def encode(value, arrays, name):
    """Returns JSON for a value; its arrays go into `arrays`.

    Raises:
        NotPlainError: it is made of something else.
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
    found = {}
    settings = inspect.signature(type(callback).__init__).parameters
    for attribute in sorted(vars(callback).keys() - set(settings) - APART):
        within = {}
        try:
            value = getattr(callback, attribute)
            found[attribute] = encode(value, within, f"callback/{name}/{attribute}")
        except NotPlainError:
            continue  # such as an open file, or a function that is found anew
        arrays.update(within)
    if isinstance(callback, keras.callbacks.CSVLogger):
        found["csv_file"] = _text(callback.csv_file)
    return found


def _text(file):
    """Returns what a table of results holds so far."""
    if file is None or file.closed:
        return None
    file.flush()
    with open(file.name, newline="") as table:
        return table.read()


def _rewrite(logger, text):
    """Makes a table of results what it was: rows of epochs that are trained again are not there."""
    if text is not None and logger.csv_file is not None and os.path.exists(logger.csv_file.name):
        logger.csv_file.seek(0)
        logger.csv_file.truncate()
        logger.csv_file.write(text)
        logger.csv_file.flush()
        logger.append_header = not text
