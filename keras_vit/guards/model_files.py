"""Keras's files of a model are written, and loaded, completely or not at all."""

import contextlib
import math
import os
import re
import warnings
import zipfile

import keras
import numpy as np

from keras_vit import arguments
from keras_vit.io import files, tensor_file, writing

KERAS, WEIGHTS = ".keras", ".weights.h5"
LOADED = (KERAS, WEIGHTS, ".weights.json", ".h5", ".hdf5")  # a folder may be an Orbax checkpoint
OVERHEAD = 2048  # HDF5 adds fewer bytes than this to the values of a variable


@contextlib.contextmanager
def replacing(model, path, suffix, overwrite, is_file):
    """Yields the path that Keras writes to instead of `path`, which is replaced at the end.

    Args:
        model: the model.
        path: the path that the user passed. Keras itself handles one that does not end in `suffix`.
        suffix: KERAS or WEIGHTS.
        overwrite: if not, Keras asks the user before it replaces a file.
        is_file: whether one file is written, not a folder or several files.

    Raises:
        OSError: the file cannot be written; an earlier one is not changed.
    """
    is_file = is_file and _is_local(path) and str(path).endswith(suffix)
    if not is_file or (os.path.exists(path) and not overwrite):
        yield path
        return
    with writing.replacing(path, suffix) as partial:
        if suffix == WEIGHTS:
            writing.reserve(partial, _size(model))  # HDF5 crashes Python if the disk is full
        yield partial


@contextlib.contextmanager
def all_or_nothing(model, path):
    """Restores the weights of a model if Keras cannot load all of `path`, and explains the error.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is damaged, of another format or of another model.
    """
    if _is_local(path) and not os.path.isdir(path):
        tensor_file.check_regular(path)
        _check_format(str(path))
    # Arrays of JAX never change; the others do.
    is_fixed = keras.backend.backend() == "jax"
    kept = [(v, v.value if is_fixed else np.array(keras.ops.convert_to_numpy(v)))
            for v in _variables(model)]  # fmt: skip
    try:
        with warnings.catch_warnings():  # the error about this weight is clearer
            warnings.filterwarnings("ignore", "Skipping nested container")
            yield
    except BaseException as error:  # Ctrl-C too
        for variable, value in kept:
            variable.assign(value)
        if not isinstance(error, (ValueError, KeyError)):
            raise
        raise ValueError(
            f"{str(path)!r} must fit the model {model.name!r}, weight by weight. Received: "
            f"{_shorten(error)} Nothing was loaded. Build the model as it was when it was saved, "
            "or pass skip_mismatch=True to skip the weights that do not fit."
        ) from error


def check_path(path):
    """Raises `ValueError` for a file of Keras 2, from which no such model can be loaded."""
    stem, suffix = os.path.splitext(str(path))
    if suffix in (".h5", ".hdf5"):
        want = "a whole model is saved as .keras; from .h5 it could not be loaded again"
        advice = f"Call it {stem}.keras, or save only the weights: "
        advice += "model.save_weights('model.weights.h5')."
        arguments.refuse(want, {"path": str(path)}, advice)


def _is_local(path):
    return isinstance(path, (str, os.PathLike)) and "://" not in str(path)


def _check_format(path):
    if not path.endswith(LOADED):
        want = "Keras loads weights that it saved, .weights.h5 or .keras"
        advice = "For other files, write keras_vit.load_weights(model, path)."
        arguments.refuse(want, {"path": path}, advice)
    if path.endswith(KERAS) and not zipfile.is_zipfile(path):
        received = {"path": path, "problem": "damaged or truncated"}
        advice = "Use another copy of it."
        arguments.refuse("a file that Keras saved was expected", received, advice)
    if path.endswith(WEIGHTS):
        with files.open_tensors(path):
            pass  # it is whole


def _variables(model):
    optimizer = getattr(model, "optimizer", None)  # absent before `compile`
    return [*model.variables, *getattr(optimizer, "variables", ())]


def _size(model):
    """Returns an upper bound of the bytes of a .weights.h5 file."""
    values = (math.prod(v.shape) * tensor_file.SIZES.get(v.dtype, 8) for v in _variables(model))
    return sum(value + OVERHEAD for value in values)


def _shorten(error):
    """Returns Keras's message on one line, without its lists of layers and values."""
    text = re.split("List of objects|Target variable", str(error))[0]
    text = text.split("Example error message")[-1]
    text = re.sub(r"torch\.Size\(\[(.*?)\]\)", r"(\1)", text)
    return " ".join(text.removeprefix(" for object ").split()).rstrip(".") + "."
