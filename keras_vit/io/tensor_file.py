"""The common interface of files of tensors, and the limits for all formats."""

import contextlib
import math
from typing import NamedTuple

import numpy as np

from keras_vit import arguments

MEGABYTE = 2**20
MAX_TENSORS = 5_000  # ViT-G has 790, the state of its optimizer twice as many
MAX_RANK = 8
MAX_HEADER = 2 * MEGABYTE  # table of contents of a file: 5,000 long names take half of it
# Weights hardly compress. A file may expand to 16 times its size, which is enough for a head of
# zeros; the allowance is for tiny models of zeros.
MAX_RATIO, ALLOWANCE = 16, 64 * MEGABYTE

SIZES = {
    **{"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8, "bool": 1},
    **{f"{sign}int{bits}": bits // 8 for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


class Spec(NamedTuple):
    """Shape and type of a tensor in a file's header, such as ((16, 3), "float32").

    `dtype` is the type in the file. `read` returns an array of the same type, except for
    "bfloat16", which NumPy does not have and which is converted to float32.
    """

    shape: tuple
    dtype: str

    @property
    def nbytes(self):
        """Bytes of the tensor in the file if it is not compressed."""
        return math.prod(self.shape) * SIZES[self.dtype]


class InvalidFileError(ValueError):
    """A file is not a valid file of tensors."""


class TensorFile:
    """Named tensors in a file: `specs` describes all of them, `read` loads one.

    Attributes:
        path: the file.
        format: "npz", "safetensors" or "h5".
        specs: `{name: Spec}` in the order of the file, read from headers only.
        metadata: `{key: text}` of the file, if its format is safetensors.
    """

    format = None

    def __init__(self, path):
        self.path = path
        self.specs = {}
        self.metadata = {}

    def read(self, name):
        """Returns the tensor `name` as an array; bfloat16 is converted to float32.

        Raises:
            ValueError: there is no such tensor, or its bytes are damaged.
        """
        if name not in self.specs:
            advice = arguments.suggest(name, self.specs) or f"It has {summarize(self.specs)}."
            raise ValueError(f"{str(self.path)!r} has no tensor {name!r}. {advice}".rstrip())
        with wrap_errors(self.path, f"its tensor {name!r} cannot be read"):
            array = self._read(name)
        if self.specs[name].dtype == "bfloat16":
            array = array.astype("float32")
        return array

    def close(self):
        """Closes the file."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def refuse(path, what, advice=""):
    """Raises `InvalidFileError`: `what` is a clause about the file, such as "which is empty"."""
    expected = "A file of tensors (npz, safetensors or .weights.h5) was expected."
    raise InvalidFileError(f"{expected} Received: {str(path)!r}, {what}. {advice}".rstrip())


DOWNLOAD = "Remove it and download it again."


@contextlib.contextmanager
def wrap_errors(path, what):
    """Converts the errors that libraries raise on damaged files to a `ValueError`."""
    try:
        yield
    except (InvalidFileError, MemoryError):
        raise
    # zipfile raises eight kinds of errors, NumPy's header parser SyntaxError and RecursionError.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        refuse(path, f"which is damaged: {what} ({reason})", DOWNLOAD)


def check_spec(path, name, shape, dtype):
    """Returns a `Spec` of plain Python values, or raises `ValueError` if it is invalid."""
    if dtype not in SIZES:
        advice = f"Save it again as float32. The types that can be read are {', '.join(SIZES)}."
        refuse(path, f"whose tensor {shorten(name)} has the type {str(dtype)[:40]}", advice)
    if len(shape) > MAX_RANK:
        refuse(path, f"whose tensor {shorten(name)} has {len(shape)} axes, more than {MAX_RANK}")
    if any(type(side) is not int or not 0 <= side < 2**48 for side in shape):
        refuse(path, f"whose tensor {shorten(name)} has the impossible shape {shorten(shape)}")
    return Spec(tuple(shape), dtype)


def check_count(path, count, limit=MAX_TENSORS):
    """Raises `ValueError` if a file has more than `limit` tensors, or none."""
    if count > limit:
        refuse(path, f"which has {count:,} entries, more than {limit:,}: no known model does")
    if not count:
        refuse(path, "which has no tensors in it", "Save the weights again.")


def to_native(array):
    """Returns an array in the byte order of this machine."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def prepare_arrays(tensors):
    """Returns `{name: C-contiguous array}` for writing, or raises `ValueError`."""
    arrays = {}
    for name, value in tensors.items():
        array = to_native(np.asarray(value, order="C"))
        if not isinstance(name, str) or not name or array.dtype.name not in SIZES:
            raise ValueError(
                "Tensors must be arrays of numbers, and their names strings. "
                f"Received: {name!r} of type {array.dtype}. Convert it with np.asarray."
            )
        arrays[name] = array
    return arrays


def summarize(names):
    """Returns the number of names and the first three: "3 tensors: 'a', 'b', 'c'"."""
    listed = ", ".join(shorten(name) for name in list(names)[:3])
    return f"{len(names):,} tensor{'s' * (len(names) != 1)}: {listed}"


def shorten(value):
    """Returns the `repr` of a value from a file, short enough for a message."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}...{text[-17:]}"
