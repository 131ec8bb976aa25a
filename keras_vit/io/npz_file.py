"""npz: a zip archive of arrays, as Google publishes weights. No array is ever unpickled."""

import io
import math
import warnings
import zipfile

import numpy as np

from keras_vit.io import sniff, writing
from keras_vit.io.tensor_file import (
    ALLOWANCE,
    DOWNLOAD,
    MAX_HEADER,
    MAX_RATIO,
    MEGABYTE,
    TensorFile,
    check_count,
    checked_spec,
    native,
    reading,
    refuse,
    shown,
    summary,
    writable,
)

ARRAY_HEADER = 4096  # bytes at most of one array's header; numpy writes 128


class NpzFile(TensorFile):
    """An npz file that is open for reading."""

    format = "npz"

    def __init__(self, path):
        super().__init__(path)
        self._file = _Reader(io.FileIO(path))
        try:
            with reading(path, "it is not a whole zip archive"):
                self._archive = zipfile.ZipFile(self._file)
            members = self._archive.infolist()
            _check_members(path, members, self._file.seek(0, io.SEEK_END))
            self._members, self._headers = {}, {}
            for member in members:
                self._add(member)
        except BaseException:
            self._file.close()
            raise

    def _add(self, member):
        """Reads the header of one array and checks it against the member's size."""
        name = member.filename.removesuffix(".npy")
        with reading(self.path, f"the header of its array {shown(name)} cannot be read"):
            with self._archive.open(member) as stream:
                dtype, fortran, shape, start = _array_header(stream.read(ARRAY_HEADER))
        if dtype.hasobject:
            advice = "Opening it could run a program. Ask for plain arrays: npz or safetensors."
            refuse(self.path, f"whose array {shown(name)} is pickled Python objects", advice)
        # NumPy has no bfloat16: programs that use it leave it in an npz as 2 bytes of no type.
        kind = "bfloat16" if dtype.str == "|V2" else dtype.name
        spec = checked_spec(self.path, name, shape, kind)
        if start + spec.nbytes != member.file_size:
            held = member.file_size - start
            what = f"whose array {shown(name)} of shape {spec.shape} has {held:,} bytes"
            refuse(self.path, f"{what}, not {spec.nbytes:,}", DOWNLOAD)
        self.specs[name] = spec
        self._members[name] = member
        self._headers[name] = dtype, fortran, start

    def _read(self, name):
        spec, (dtype, fortran, start) = self.specs[name], self._headers[name]
        data = np.empty(spec.nbytes, "uint8")
        with self._archive.open(self._members[name]) as stream:
            stream.read(start)
            for begin in range(0, spec.nbytes, MEGABYTE):
                _fill(stream, memoryview(data)[begin : begin + MEGABYTE])
            if stream.read(1):  # reading to the end also makes zipfile compare the checksum
                raise ValueError("it goes on after its end")
        if spec.dtype == "bfloat16":
            import ml_dtypes

            dtype = np.dtype(ml_dtypes.bfloat16)
        array = data.view(dtype)
        array = array.reshape(spec.shape[::-1]).T if fortran else array.reshape(spec.shape)
        return native(np.asarray(array, order="C"))

    def close(self):
        """Closes the file."""
        self._archive.close()
        self._file.close()


def write_npz(path, tensors):
    """Writes `{name: array}` as an npz file that `np.load` and Google's code read.

    The file takes its name when it is complete. bfloat16 is written as float32.

    Raises:
        ValueError: a value is not an array of numbers.
        OSError: it cannot be written; an earlier file of that name stays.

    Example:
    >>> files.write_npz("weights.npz", {"cls": np.zeros((1, 1, 192))})  # doctest: +SKIP
    """
    arrays = writable(tensors)
    with writing.replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():
            array = array.astype("float32") if array.dtype.name == "bfloat16" else array
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, array, allow_pickle=False)


class _Reader(io.BufferedReader):
    """A file that refuses to be read in one large piece, as zipfile reads a table of contents."""

    def read(self, size=-1):
        if size is not None and size > MAX_HEADER:
            raise ValueError(f"its table of contents has more than {MAX_HEADER:,} bytes")
        whole = size is None or size < 0  # zipfile asks so for the last 64 kB
        return super().read(MAX_HEADER if whole else size)


def _check_members(path, members, size):
    """Refuses what numpy would not have written, before any of it is inflated."""
    sniff.check_archive(path, [member.filename for member in members])
    check_count(path, len(members))
    names = [member.filename for member in members]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        refuse(path, f"which has two arrays of the name {shown(twice)}", DOWNLOAD)
    strange = [name for name in names if not name.endswith(".npy")]
    if strange:
        refuse(path, f"a zip archive that holds more than arrays ({summary(strange)})")
    for member in members:
        if member.flag_bits & 1 or member.compress_type not in (0, zipfile.ZIP_DEFLATED):
            what = f"whose array {shown(member.filename)} is encrypted or unusually compressed"
            refuse(path, what, "Write it again with np.savez.")
    total = sum(member.file_size for member in members)
    if total > MAX_RATIO * size + ALLOWANCE:
        what = f"whose {size:,} bytes would grow to {total:,}: a decompression bomb"
        refuse(path, what, "Do not use it; real weights hardly compress.")


def _array_header(start):
    """Returns (dtype, is Fortran order, shape, length of the header) of the start of an array."""
    stream = io.BytesIO(start)
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of the array format is for records")
    read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
    with warnings.catch_warnings():  # the parser warns of odd text; what it returns is checked
        warnings.simplefilter("ignore")
        shape, fortran, dtype = read[version[0]](stream, max_header_size=ARRAY_HEADER)
    if math.prod(shape) < 0 or dtype.subdtype is not None:
        raise ValueError(f"shape {shape} of {dtype}")
    return dtype, fortran, shape, stream.tell()


def _fill(stream, view):
    """Reads exactly as many bytes as `view` has room for."""
    while view:
        count = stream.readinto(view)
        if not count:
            raise EOFError("it ends too early")
        view = view[count:]
