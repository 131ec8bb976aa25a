"""npz: zip archives of arrays, the format of Google's weights. Arrays are never unpickled."""

import io
import math
import os
import warnings
import zipfile

import numpy as np

from keras_vit.io import writing
from keras_vit.io.tensor_file import (
    DOWNLOAD,
    KERAS,
    MAX_HEADER,
    MAX_TENSORS,
    MEGABYTE,
    TORCH,
    TensorFile,
    fill,
    prepare_arrays,
    shorten,
    summarize,
)

ARRAY_HEADER = 4096  # maximum bytes of one array's header; NumPy writes 128
# Weights hardly compress. A file may expand to 16 times its size, which is enough for a head of
# zeros; the allowance is for tiny models of zeros.
MAX_RATIO, ALLOWANCE = 16, 64 * MEGABYTE


class NpzFile(TensorFile):
    """An open npz file."""

    format = "npz"

    def _open(self):
        file = self.open_files.enter_context(Reader(self.path))
        with self.wrap_errors("it is not a complete zip archive"):
            self._archive = self.open_files.enter_context(zipfile.ZipFile(file))
        self._check_members()
        self._members = {}
        for member in self._archive.infolist():
            self._add(member)

    def _check_members(self):
        """Raises `ValueError` for anything that NumPy would not write; decompresses nothing."""
        members = self._archive.infolist()
        names = [member.filename for member in members]
        if any(name.rsplit("/", 1)[-1] == "data.pkl" for name in names):
            self.refuse("which is a PyTorch file (a pickle)", TORCH)
        if "model.weights.h5" in names or {"config.json", "metadata.json"} <= set(names):
            self.refuse("which is a whole Keras model (.keras)", KERAS)
        self.check_count(len(names))
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            self.refuse(f"which has two arrays named {shorten(twice)}", DOWNLOAD)
        strange = [name for name in names if not name.endswith(".npy")]
        if strange:
            self.refuse(f"a zip archive that contains more than arrays ({summarize(strange)})")
        for member in members:
            if member.flag_bits & 1 or member.compress_type not in (0, zipfile.ZIP_DEFLATED):
                what = f"whose array {shorten(member.filename)} is encrypted or unusually"
                self.refuse(f"{what} compressed", "Write it again with np.savez.")
        size, total = os.path.getsize(self.path), sum(member.file_size for member in members)
        if total > MAX_RATIO * size + ALLOWANCE:
            what = f"whose {size:,} bytes would grow to {total:,}: a decompression bomb"
            self.refuse(what, "Do not use it; real weights hardly compress.")

    def _add(self, member):
        """Reads the header of one array and checks it against the member's size."""
        name = member.filename.removesuffix(".npy")
        with self.wrap_errors(f"the header of its array {shorten(name)} cannot be read"):
            with self._archive.open(member) as stream:
                dtype, fortran, shape, start = _array_header(stream.read(ARRAY_HEADER))
        if dtype.hasobject:
            advice = "Opening it could run a program. Ask for an npz of plain arrays or "
            advice += "safetensors."
            self.refuse(f"whose array {shorten(name)} contains pickled Python objects", advice)
        # NumPy has no bfloat16, so an npz has 2 bytes without a type.
        spec = self.add(name, shape, "bfloat16" if dtype.str == "|V2" else dtype.name)
        held = member.file_size - start
        if held != spec.nbytes:
            what = f"whose array {shorten(name)} of shape {spec.shape} has {held:,} bytes"
            self.refuse(f"{what}, not {spec.nbytes:,}", DOWNLOAD)
        self._members[name] = member, dtype, fortran, start

    def _read(self, name):
        shape, (member, dtype, fortran, start) = self.specs[name].shape, self._members[name]
        data = np.empty(self.specs[name].nbytes, "uint8")
        with self._archive.open(member) as stream:
            stream.read(start)
            for begin in range(0, data.size, MEGABYTE):
                fill(stream, memoryview(data)[begin : begin + MEGABYTE])
            if stream.read(1):  # at the end, zipfile compares the checksum
                raise ValueError("it continues after its end")
        array = data.view(dtype)
        array = array.reshape(shape[::-1]).T if fortran else array.reshape(shape)
        return np.asarray(array, order="C")


def write_npz(path, tensors, most=MAX_TENSORS):
    """Writes `{name: array}` as an npz file, completely or not at all; bfloat16 as float32."""
    arrays = prepare_arrays(tensors, widen=True, most=most)
    with writing.replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, array, allow_pickle=False)


class Reader(io.BufferedReader):
    """A file that limits how much zipfile reads at once for the table of contents."""

    def __init__(self, path):
        super().__init__(io.FileIO(path))

    def read(self, size=-1):
        """Returns the next bytes; raises `ValueError` if there are more than `MAX_HEADER`."""
        if size is not None and size > MAX_HEADER:
            raise ValueError(f"its table of contents has more than {MAX_HEADER:,} bytes")
        whole = size is None or size < 0  # zipfile reads the last 64 kB this way
        return super().read(MAX_HEADER if whole else size)


def _array_header(start):
    """Returns (dtype, is Fortran order, shape, length of the header) of an array."""
    stream = io.BytesIO(start)
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of the array format is for records")
    read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
    with warnings.catch_warnings():  # the parser warns about odd text, but its result is checked
        warnings.simplefilter("ignore")
        shape, fortran, dtype = read[version[0]](stream, max_header_size=ARRAY_HEADER)
    if math.prod(shape) < 0 or dtype.subdtype is not None:
        raise ValueError(f"shape {shape} of {dtype}")
    return dtype, fortran, shape, stream.tell()
