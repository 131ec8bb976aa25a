"""What every file of tensors offers, whatever its format, and the limits that all of them keep."""

import contextlib
import difflib
import math
from typing import NamedTuple

import numpy as np

MEGABYTE = 2**20
MAX_TENSORS = 5_000  # ViT-G has 790, an optimizer's state twice as many again
MAX_RANK = 8
MAX_HEADER = 2 * MEGABYTE  # of a file's table of contents: 5,000 long names take half of it
# Weights hardly compress. A file may announce 16 times its size, which leaves room for a head of
# zeros; the allowance is for tiny models that are all zeros.
MAX_RATIO, ALLOWANCE = 16, 64 * MEGABYTE

SIZES = {
    **{"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8, "bool": 1},
    **{f"{sign}int{bits}": bits // 8 for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


class Spec(NamedTuple):
    """Shape and type of a tensor as the file's header tells them, such as ((16, 3), "float32").

    `dtype` is what the file stores. It is also that of the array that is read, but for "bfloat16",
    which NumPy does not know and which comes as float32.
    """

    shape: tuple
    dtype: str

    @property
    def nbytes(self):
        """Bytes that the tensor takes in the file when it is not compressed."""
        return math.prod(self.shape) * SIZES[self.dtype]


class Refused(ValueError):
    """A file that is not what it should be; to callers a `ValueError` like any other."""


class TensorFile:
    """Named tensors in a file: `specs` of all of them at once, `read` for one at a time.

    Attributes:
        path: the file.
        format: "npz", "safetensors" or "h5".
        specs: `{name: Spec}` in the order of the file, read from headers alone.
        metadata: `{key: text}` that the file carries besides tensors; only safetensors do.
    """

    format = None

    def __init__(self, path):
        self.path = path
        self.specs = {}
        self.metadata = {}

    def read(self, name):
        """Returns the tensor `name` as an array of exactly its spec; bfloat16 comes as float32.

        Raises:
            ValueError: there is no such tensor, or its bytes are damaged.
        """
        if name not in self.specs:
            near = difflib.get_close_matches(str(name), self.specs, n=1)
            known = f"Did you mean {near[0]!r}?" if near else f"It has {summary(self.specs)}."
            raise ValueError(f"{str(self.path)!r} has no tensor {name!r}. {known}")
        with reading(self.path, f"its tensor {name!r} cannot be read"):
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
    """Raises `Refused`: `what` is a clause about the file, such as "which is empty"."""
    expected = "A file of tensors (npz, safetensors or .weights.h5) was expected."
    raise Refused(f"{expected} Received: {str(path)!r}, {what}. {advice}".rstrip())


DOWNLOAD = "Remove it and download it again."


@contextlib.contextmanager
def reading(path, what):
    """Makes one `ValueError` of the many kinds of errors that libraries raise on damaged files."""
    try:
        yield
    except (Refused, MemoryError):
        raise
    # zipfile alone raises eight kinds, numpy's header parser SyntaxError and RecursionError too.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        refuse(path, f"which is damaged: {what} ({reason})", DOWNLOAD)


def checked_spec(path, name, shape, dtype):
    """Returns a `Spec` of plain Python values, or refuses the file that announces it."""
    if dtype not in SIZES:
        advice = f"Save it again as float32. The types that can be read are {', '.join(SIZES)}."
        refuse(path, f"whose tensor {shown(name)} has the type {str(dtype)[:40]}", advice)
    if len(shape) > MAX_RANK:
        refuse(path, f"whose tensor {shown(name)} has {len(shape)} axes, more than {MAX_RANK}")
    if any(type(side) is not int or not 0 <= side < 2**48 for side in shape):
        refuse(path, f"whose tensor {shown(name)} has the impossible shape {shown(shape)}")
    return Spec(tuple(shape), dtype)


def check_count(path, count, limit=MAX_TENSORS):
    """Refuses a file of more than `limit` tensors, or of none."""
    if count > limit:
        refuse(path, f"which has {count:,} entries, more than {limit:,}: no known model does")
    if not count:
        refuse(path, "which has no tensors in it", "Save the weights again.")


def native(array):
    """Returns an array of the machine's own byte order."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def writable(tensors):
    """Returns `{name: C-contiguous array}` of what can be written, or raises `ValueError`."""
    arrays = {}
    for name, value in tensors.items():
        array = native(np.asarray(value, order="C"))
        if not isinstance(name, str) or not name or array.dtype.name not in SIZES:
            raise ValueError(
                "Tensors must be arrays of numbers under names that are text. "
                f"Received: {name!r} of type {array.dtype}. Convert it with np.asarray."
            )
        arrays[name] = array
    return arrays


def summary(names):
    """Counts names and shows the first three: "3 tensors: 'a', 'b', 'c'"."""
    listed = ", ".join(shown(name) for name in list(names)[:3])
    return f"{len(names):,} tensor{'s' * (len(names) != 1)}: {listed}"


def shown(value):
    """Returns what a file says in a form that fits in a message."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}...{text[-17:]}"
