"""Shared by files of all formats: interface, limits, and refusal of everything else."""

import contextlib
import math
import os
import stat
from typing import NamedTuple

import numpy as np

from keras_vit import arguments

MEGABYTE = 2**20
MAX_TENSORS = 5_000  # ViT-G has 790
MAX_RANK = 8
MAX_HEADER = 2 * MEGABYTE  # table of contents of a file: 5,000 long names take half of it
START = 4096  # bytes at the start of a file that identify the format
DOWNLOAD = "Remove it and download it again."

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
    """A file is not a valid file of tensors; `what` is a clause such as "which is empty"."""

    def __init__(self, message, what=""):
        super().__init__(message)
        self.what = what


class TensorFile:
    """Named tensors in a file: `specs` describes all of them, `read` loads one.

    A subclass implements `_open`, which checks the headers and calls `add` for each tensor, and
    `_read`. Anything that must be closed is entered into the context stack `open_files`.

    Attributes:
        path: the file.
        format: "npz", "safetensors" or "h5".
        specs: `{name: Spec}` in the order of the file, read from headers only.
        most: number of tensors that a file may have.
    """

    format, most = None, MAX_TENSORS

    def __init__(self, path):
        self.path, self.specs = path, {}
        with contextlib.ExitStack() as self.open_files:
            self._open()
            self.check_count(len(self.specs))
            self.open_files = self.open_files.pop_all()  # without an error, nothing is closed yet

    def read(self, name):
        """Returns the tensor `name` as an array; bfloat16 is converted to float32.

        Raises:
            ValueError: there is no such tensor, or its bytes are damaged.
        """
        if name not in self.specs:
            advice = arguments.suggest(name, self.specs) or f"It has {summarize(self.specs)}."
            raise ValueError(f"{str(self.path)!r} has no tensor {name!r}. {advice}".rstrip())
        with self.wrap_errors(f"its tensor {name!r} cannot be read"):
            array = self._read(name)
        if self.specs[name].dtype == "bfloat16":
            import ml_dtypes

            array = array.view(ml_dtypes.bfloat16).astype("float32")
        return _to_native(array)

    def add(self, name, shape, dtype):
        """Adds the `Spec` of a tensor and returns it, or raises `ValueError` if it is invalid."""
        tensor = f"whose tensor {shorten(name)} has"
        if dtype not in SIZES:
            advice = f"Save it again as float32. The types that can be read are {', '.join(SIZES)}."
            self.refuse(f"{tensor} the type {str(dtype)[:40]}", advice)
        if len(shape) > MAX_RANK:
            self.refuse(f"{tensor} {len(shape)} axes, more than {MAX_RANK}")
        if any(type(side) is not int or not 0 <= side < 2**48 for side in shape):
            self.refuse(f"{tensor} the impossible shape {shorten(tuple(shape))}")
        self.specs[name] = Spec(tuple(shape), dtype)
        return self.specs[name]

    def check_count(self, count, limit=None):
        """Raises `ValueError` if a file has more than `limit` or `most` tensors, or none."""
        limit = limit or self.most
        if count > limit:
            self.refuse(f"which has {count:,} entries, more than {limit:,}: no known model does")
        if not count:
            self.refuse("which has no tensors in it", "Save the weights again.")

    def refuse(self, what, advice=""):
        """Raises `InvalidFileError` for this file."""
        refuse(self.path, what, advice)

    @contextlib.contextmanager
    def wrap_errors(self, what):
        """Converts the errors that libraries raise on damaged files to a `ValueError`."""
        try:
            yield
        except (InvalidFileError, MemoryError):
            raise
        # zipfile raises eight kinds of errors, NumPy's header parser SyntaxError and
        # RecursionError.
        except Exception as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            self.refuse(f"which is damaged: {what} ({reason})", DOWNLOAD)

    def close(self):
        """Closes the file."""
        self.open_files.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def fill(stream, view):
    """Fills `view` with the next bytes of a file, or raises `EOFError`."""
    while view:
        count = stream.readinto(view)
        if not count:
            raise EOFError("it ends too early")
        view = view[count:]


def prepare_arrays(tensors, widen=False, most=MAX_TENSORS):
    """Returns `{name: C-contiguous array}` for writing, or raises `ValueError`.

    If `widen`, bfloat16 is converted to float32, for formats without this type. More than `most`
    tensors, or names that fill a header, are refused: such a file could not be read.
    """
    letters = sum(len(str(name).encode()) for name in tensors)
    if len(tensors) > most or letters > MAX_HEADER // 2:
        want = f"a file has at most {most:,} tensors, with {MAX_HEADER // 2:,} bytes of names"
        received = {"tensors": len(tensors), "bytes": letters}
        arguments.refuse(want, received, "Divide them among several files.")
    arrays = {}
    for name, value in tensors.items():
        array = _to_native(np.asarray(value, order="C"))
        kind = array.dtype.name
        if not isinstance(name, str) or not name or kind not in SIZES:
            raise ValueError(
                "Tensors must be arrays of numbers, and their names strings. "
                f"Received: {name!r} of type {array.dtype}. Convert it with np.asarray."
            )
        arrays[name] = array.astype("float32") if widen and kind == "bfloat16" else array
    return arrays


def _to_native(array):
    """Returns an array in the byte order of this machine."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def refuse(path, what, advice=""):
    """Raises `InvalidFileError`: `what` is a clause about the file, such as "which is empty"."""
    expected = "A file of tensors (npz, safetensors or .weights.h5) was expected."
    advice = advice.replace("{path!r}", repr(str(path)))
    message = f"{expected} Received: {str(path)!r}, {what}. {advice}".rstrip()
    raise InvalidFileError(message, what)


def summarize(names):
    """Returns the number of names and the first three: "3 tensors: 'a', 'b', 'c'"."""
    listed = ", ".join(shorten(name) for name in list(names)[:3])
    return f"{len(names):,} tensor{'s' * (len(names) != 1)}: {listed}"


def shorten(value):
    """Returns the `repr` of a value from a file, short enough for a message."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}...{text[-17:]}"


# --- Detection of the format ---------------------------------------------------------------------

TORCH = """Opening it can run a program. If you trust it, convert it to safetensors:
import torch, safetensors.torch;
state = torch.load({path!r}, map_location="cpu", weights_only=True);
state = state.get("model", state.get("state_dict", state));
state = {name: value.clone().contiguous() for name, value in state.items()};
safetensors.torch.save_file(state, "model.safetensors")"""
PICKLE = """Opening it can run any program that is in it. Ask its publisher for safetensors. If it
is your own, write it again where you made it:
import safetensors.numpy; safetensors.numpy.save_file(arrays, "model.safetensors")"""
ARRAY = """It has one array without a name: numpy.savez("weights.npz", name=numpy.load({path!r}))"""
UNPACK = "Unpack it yourself and pass one of the files in it."
KERAS = """A whole model may contain a program and is not loaded. If you trust it, in the
Keras that wrote it: keras.models.load_model({path!r}).save_weights("model.weights.h5")"""
ORBAX = """Restore it with the library that wrote it, and save its arrays under their names:
numpy.savez("weights.npz", **{"/".join(path): array for path, array in
flax.traverse_util.flatten_dict(parameters).items()})"""
TENSORFLOW = """Load it with TensorFlow, then save the arrays:
numpy.savez("weights.npz", **{v.name: v.numpy() for v in model.variables})"""

PLAIN_PICKLES = (b"(dp0", b"(lp0", b"cnumpy", b"ccollections", b"}q\x00", b"]q\x00")
# First bytes of a file: the kind of file, and what to do.
MAGIC = (
    (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19", "a PyTorch file in the old format", TORCH),
    *((bytes([0x80, n]), "a Python pickle", PICKLE) for n in (2, 3, 4, 5)),
    *((start, "a Python pickle", PICKLE) for start in PLAIN_PICKLES),
    (b"\x93NUMPY", "a single array (npy)", ARRAY),
    (b"\x1f\x8b", "a gzip archive", UNPACK),
    (b"\xfd7zXZ\x00", "an xz archive", UNPACK),
    (b"BZh", "a bzip2 archive", UNPACK),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (b"Rar!", "a rar archive", UNPACK),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself", "Run: git lfs pull"),
    (b"\xff\xd8\xff", "a JPEG image", ""),
    (b"\x89PNG", "a PNG image", ""),
    (b"GGUF", "a GGUF file", "Ask for the weights as safetensors."),
)
PAGES = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<error", b"<!--")


def check_regular(path):
    """Raises unless `path` is an ordinary file, since reading a pipe or device might never end."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(
            f"A file was expected. Received: {str(path)!r}, which does not exist. Check the path."
        ) from error
    except OSError as error:
        refuse(path, f"which cannot be opened ({error.strerror})")
    if not stat.S_ISREG(mode):
        refuse(path, "which is not an ordinary file", "Pass the path of a file.")
    if not os.access(path, os.R_OK):
        refuse(path, "which is not readable (permission denied)", "Change its permissions.")


def detect_format(path):
    """Returns "npz", "safetensors" or "h5" from the first bytes of a file.

    Raises:
        ValueError: the file is something else; the message describes it.
    """
    with open(path, "rb") as file:
        start = file.read(START)
        size = os.fstat(file.fileno()).st_size
    if start.startswith(b"PK"):
        return "npz"
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        return "h5"
    if start[8:9] != b"{":
        what, advice = describe_start(start)
        refuse(path, f"which is {what}", advice)
    length = int.from_bytes(start[:8], "little")
    if length > size - 8:
        what = f"a safetensors file that is truncated: its header alone has {length:,} bytes, it "
        refuse(path, f"{what}{size:,}", DOWNLOAD)
    if length > MAX_HEADER:
        what = f"a safetensors file whose header has {length:,} bytes, more than {MAX_HEADER:,}"
        refuse(path, what, "No known model needs that many.")
    return "safetensors"


def describe_start(start):
    """Returns (description, advice) for the first bytes of a file without tensors."""
    if not start:
        return "empty", DOWNLOAD
    for magic, what, advice in MAGIC:
        if start.startswith(magic):
            return what, advice
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.lower().startswith(PAGES):
        return "a web page (HTML or XML), which a server sends if a download fails", DOWNLOAD
    if start[257:262] == b"ustar":
        return "a tar archive", UNPACK
    if not start.strip(b"\0"):
        return "nothing but zero bytes, as after an interrupted download", DOWNLOAD
    if text.startswith(b"{"):
        return "JSON text", "If it lists safetensors, its name must end in .index.json."
    # Flax writes a msgpack map of short names, with up to fifteen or more entries.
    is_short = 0x81 <= start[0] <= 0x8F and b"\xa1" <= start[1:2] <= b"\xbf"
    if is_short or start[0] in (0xDE, 0xDF):
        return "a msgpack file of Flax", ORBAX
    words = start[:60].decode(errors="replace").strip()
    if words.isprintable() and "\ufffd" not in words:
        return f"text that begins with {shorten(words)}", DOWNLOAD
    return f"of an unknown kind (first bytes {start[:8].hex(' ')})", DOWNLOAD
