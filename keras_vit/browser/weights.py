"""Weights as text, which weights.js reads."""

import base64
import zlib

import numpy as np

from keras_vit import arguments

PRECISIONS = ("float16", "int8")
UNSAVED = "seed_generator"
OUTPUT = "attention_output/kernel"  # (heads, d, D)


def pack(model, precision):
    """Returns (entries, text): each tensor's name, shape and place, and the tensors as text.

    A kernel is transposed, one row for each output. With int8, each row has its own scale, so that
    its largest number is 127; everything else is float16. Each tensor is compressed and written in
    Base64.

    Raises:
        ValueError: a weight is not finite, or too large for float16.
    """
    from keras_vit.resizing import read_weights

    entries, texts, start = [], [], 0
    for path, value in read_weights(model).items():
        if UNSAVED in path:
            continue
        value = _arrange(path, value)
        kind = precision if value.ndim == 2 else "float16"
        data = (_int8 if kind == "int8" else _float16)(path, value)
        text = base64.b64encode(zlib.compress(data)).decode()
        place = {"start": start, "end": start + len(text)}
        entries.append({"name": path, "shape": value.shape, "kind": kind, **place})
        texts.append(text)
        start += len(text)
    return entries, "".join(texts)


def _arrange(path, value):
    """Returns a kernel as (outputs, inputs), and everything else as a vector."""
    if not path.endswith("kernel"):
        return value.astype("float32").ravel()
    is_split = value.ndim == 3 and not path.endswith(OUTPUT)  # (D, heads, d), of Keras's attention
    inputs = (len(value), -1) if is_split else (-1, value.shape[-1])
    return value.astype("float32").reshape(inputs).T


def _float16(path, value):
    with np.errstate(over="ignore"):
        data = value.astype("<f2")
    if not np.isfinite(data).all():
        advice = "The model cannot be put on a page; was its training stable?"
        arguments.refuse("weights must be finite and below 65,504", {"weight": path}, advice)
    return data.tobytes()


def _int8(path, value):
    _float16(path, value)  # checks
    scales = np.abs(value).max(axis=1, keepdims=True) / np.float32(127)
    numbers = np.rint(value / np.where(scales > 0, scales, 1)).astype("int8")
    return scales.astype("<f4").tobytes() + numbers.tobytes()
