"""Whole models saved by Keras (.keras): checked first, then loaded by Keras in its safe mode.

Keras builds the model in config.json before it opens the weights. Here the two are compared first:
the model's weights must not need far more memory than the weights in the file. Errors are reworded,
because those of Keras advise switching off its safe mode.
"""

import json
import os
import zipfile

import keras

from keras_vit import backend
from keras_vit.io import tensor_file
from keras_vit.io.npz_file import MAX_RATIO, Reader
from keras_vit.io.tensor_file import DOWNLOAD, MEGABYTE

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
MAX_CONFIG, MAX_ENTRIES = 16 * MEGABYTE, 1000
# The weights in the file may be half precision; the allowance is for tiny models.
FACTOR, ALLOWANCE = 2, 16 * MEGABYTE
KNOWN = ("keras", "keras_vit", "keras_hub", "builtins")  # where Keras looks for a class
CODE = ("Lambda", "__lambda__")
WEIGHTS_ALONE = "save its weights where it was made: keras_vit.save_weights(model, path)."


def load(path):
    """Loads a model from a .keras file; nothing in the file is executed.

    Args:
        path: the file.

    Returns:
        The model, not compiled.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is not a complete .keras file, contains code or unknown classes, or its
            config asks for far more memory than its weights take.
    """
    path = os.fspath(path)
    tensor_file.check_regular(path)
    with open(path, "rb") as file:
        start = file.read(tensor_file.START)
    if not start.startswith(b"PK"):
        what, advice = tensor_file.describe_start(start)
        _refuse(path, f"which is {what}", advice)
    config, size = _read_archive(path)
    for found in _walk(config):
        _check_class(path, found)
    try:
        with backend.blank_weights(FACTOR * size + ALLOWANCE):
            return keras.saving.load_model(path, compile=False, safe_mode=True)
    except backend.TooLargeError:
        what = f"whose config asks for far more weights than the {size:,} bytes in the file"
        _refuse(path, what, "Do not use it: it is damaged or made to fill the memory.")
    except Exception as error:
        what = f"from which no model can be built ({_reason(error).rstrip('.')})"
        _refuse(path, what, f"It is damaged or of another version: {WEIGHTS_ALONE}", error)


def _read_archive(path):
    """Returns (the content of config.json, the bytes of the weights)."""
    try:
        with Reader(path) as file, zipfile.ZipFile(file) as archive:
            members = {member.filename: member for member in archive.infolist()}
            for name in (CONFIG, WEIGHTS):
                if name not in members:
                    _refuse(path, f"which is a zip archive without {name}", DOWNLOAD)
            config, weights = members[CONFIG], members[WEIGHTS]
            if len(members) > MAX_ENTRIES or config.file_size > MAX_CONFIG:
                _refuse(path, f"whose {CONFIG} or list of files is larger than any known model's")
            content = json.loads(archive.read(config))
    except tensor_file.InvalidFileError:
        raise
    except Exception as error:  # zipfile raises eight kinds of errors, JSON two
        _refuse(path, "which is damaged or truncated", DOWNLOAD, error)
    return content, min(weights.file_size, MAX_RATIO * os.path.getsize(path))


def _walk(value):
    """Yields all dictionaries in a config; iterates, since a config may be nested deeply."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _check_class(path, found):
    """Refuses code, and classes that are neither Keras's nor registered."""
    name, module, registered = (
        found.get(key) for key in ("class_name", "module", "registered_name")
    )
    if name in CODE:
        what = f"which has Python code in it (a {str(name).strip('_')})"
        _refuse(path, what, f"Loading could run it. Instead, {WEIGHTS_ALONE}")
    if not isinstance(module, str) or module.split(".")[0] in KNOWN:
        return
    if keras.saving.get_registered_object(registered) is None:
        shown = f"{module}.{name}"
        advice = "If it is your own: import its module first, where the class has the decorator "
        advice += f"@keras.saving.register_keras_serializable(). Otherwise, {WEIGHTS_ALONE}"
        _refuse(path, f"whose class {tensor_file.shorten(shown)} is not known here", advice)


def _reason(error):
    """Returns the reason in an error of Keras, without the advice around it."""
    text = str(error).rpartition("Exception encountered: ")[2]
    return " ".join(text.split())[:300] or type(error).__name__


def _refuse(path, what, advice="", error=None):
    expected = "A model that Keras saved (.keras) was expected."
    message = f"{expected} Received: {path!r}, {what}. {advice}".rstrip()
    raise tensor_file.InvalidFileError(message) from error
