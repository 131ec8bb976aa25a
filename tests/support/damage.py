"""Makes damaged and hostile files; `damage_cases.py` has the error that each must raise."""

import io
import json
import os
import pathlib
import struct
import subprocess
import sys
import warnings
import zipfile

import h5py
import numpy as np

from keras_vit.io import files

WRITE = {"npz": files.write_npz, "safetensors": files.write_safetensors, "h5": files.write_h5}
TENSORS = {
    "block/kernel": np.arange(35, dtype="float32").reshape(5, 7),
    "block/bias": np.arange(7, dtype="float16"),
    "count": np.asarray(3, "int64"),
}


def read_all(path):
    """Returns {name: array} of a file."""
    with files.open_tensors(path) as file:
        return {name: file.read(name) for name in file.specs}


def array_bytes(array=None, **header):
    """The bytes of an npy file, with any entry of its header replaced."""
    array = np.zeros(3, "float32") if array is None else array
    plain = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
    stream = io.BytesIO()
    np.lib.format.write_array_header_2_0(stream, {**plain, **header})
    return stream.getvalue() + array.tobytes()


def archive(path, members, method=zipfile.ZIP_STORED):
    """Writes a zip archive of {name: bytes}, or of pairs if a name appears twice."""
    pairs = members.items() if isinstance(members, dict) else members
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as file:
        warnings.simplefilter("ignore")  # of duplicate names
        for name, content in pairs:
            file.writestr(name, content)
    return path


def npz(*contents, **options):
    """Makes an archive of arrays a, b, ... of these bytes."""
    return lambda path: archive(
        path, {f"{chr(97 + i)}.npy": content for i, content in enumerate(contents)}, **options
    )


def raw_header(text):
    """The bytes of an npy file whose header is any text."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def patched(old, new):
    """Makes an archive of one array, in which every `old` is then replaced."""

    def make(path):
        content = archive(path, {"a.npy": array_bytes()}).read_bytes()
        assert old in content
        path.write_bytes(content.replace(old, new))
        return path

    return make


def pickled_arrays(path):
    np.savez(path, a=np.array([{"x": 1}], dtype=object))
    return path


def encrypted(path):
    content = bytearray(archive(path, {"a.npy": array_bytes()}).read_bytes())
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(magic) + offset] |= 1
    path.write_bytes(content)
    return path


def lying_directory(path):
    """The table of contents lists 140 bytes for an array that inflates to 32 MB."""
    content = bytearray(npz(array_bytes(np.zeros(2**23, "f4")), method=8)(path).read_bytes())
    at = content.index(b"PK\x01\x02") + 24
    content[at : at + 4] = struct.pack("<I", 140)
    path.write_bytes(content)
    return path


def long_directory(path):
    """40 members whose comments make the table of contents longer than 2 MB."""
    with zipfile.ZipFile(path, "w") as file:
        for i in range(40):
            info = zipfile.ZipInfo(f"{i}.npy")
            info.comment = b"x" * 65_000
            file.writestr(info, array_bytes())
    return path


def content(data):
    def make(path):
        path.write_bytes(data)
        return path

    return make


def safetensors(header, data=b"", length=None):
    """Makes a safetensors file with any header: bytes, or an object for JSON."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return content(struct.pack("<Q", len(text) if length is None else length) + text + data)


def entry(dtype="F32", shape=(1,), start=0, end=4):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


def sharded(names=None, index=None, **tensors):
    """Makes a folder with one safetensors file and an index that lists `names: file`."""

    def make(path):
        from safetensors.numpy import save_file

        path.mkdir()
        save_file(tensors or {"a": np.zeros(2)}, path / "one.safetensors")
        listed = {"weight_map": {"a": "one.safetensors"} if names is None else names}
        text = json.dumps(listed) if index is None else index
        (path / "model.safetensors.index.json").write_text(text)
        return path

    return make


def linked_shard(path):
    sharded()(path)
    (path / "one.safetensors").rename(path.parent / "elsewhere.safetensors")
    (path / "one.safetensors").symlink_to(path.parent / "elsewhere.safetensors")
    return path


def h5(fill):
    """Makes an HDF5 file with the content that `fill(file)` writes."""

    def make(path):
        with h5py.File(path, "w") as file:
            fill(file)
        return path

    return make


def h5_circle(file):
    file.create_dataset("a", data=np.zeros(2))
    file.create_group("b")["again"] = file


def h5_twice(file):
    file["b"] = file.create_dataset("a", data=np.zeros(2))


def h5_external_storage(file):
    file.create_dataset("a", (2,), "float32", external=[("/etc/passwd", 0, 8)])


def h5_virtual(file):
    layout = h5py.VirtualLayout((2,), "float32")
    layout[:] = h5py.VirtualSource("other.h5", "a", (2,))
    file.create_virtual_dataset("a", layout)


def h5_deep(file):
    for _ in range(40):
        file = file.create_group("g")
    file.create_dataset("a", data=np.zeros(2))


def h5_many(file):
    for i in range(16_000):
        file.create_group(str(i))


def h5_whole_model(file):
    file.attrs["model_config"] = "{}"
    file.create_dataset("model_weights/dense/kernel:0", data=np.zeros(2))


def folder(*names):
    def make(path):
        path.mkdir()
        for name in names:
            (path / name).touch()
        return path

    return make


def pipe(path):
    os.mkfifo(path)
    return path


def broken_link(path):
    path.symlink_to("nowhere")
    return path


def mutate(rng, data):
    """Changes bytes at random: flips, cuts, copies, and numbers that are likely to hurt."""
    data = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        at, length = int(rng.integers(len(data) or 1)), int(rng.integers(1, 17))
        kind = rng.integers(6)
        if kind < 2 and data:
            data[at] = rng.integers(256) if kind else data[at] ^ (1 << rng.integers(8))
        elif kind == 2:
            del data[at : at + length]
        elif kind == 3:
            data[at:at] = data[at // 2 : at // 2 + length]
        elif kind == 4:
            number = [0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1][rng.integers(6)]
            data[at : at + 8] = struct.pack("<Q", number)
        else:
            words = [
                b"-1",
                b"1e400",
                b"[]",
                b"null",
                b"99999999999999999999",
                b"{",
                b'"',
                b"(",
                b"O",
            ]
            data[at : at + 1] = words[rng.integers(len(words))]
    return bytes(data)


ALONE = """
import sys, types
for name, folder in {packages!r}.items():  # without their __init__, which import Keras
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [folder]
from keras_vit.io import files
"""


def run_alone(code, *arguments, input=None):
    """Runs code in a fresh process that has only `files`, without Keras and its backend."""
    package = pathlib.Path(files.__file__).parent
    packages = {"keras_vit": str(package.parent), "keras_vit.checkpoints": str(package)}
    code = ALONE.format(packages=packages) + code
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    return subprocess.run(command, input=input, capture_output=True, text=True)


def cuts(size, count=50):
    """Returns `count` places at which a file of `size` bytes may end, including its last byte."""
    return sorted({*np.linspace(0, size - 1, count).astype(int).tolist()})


def mutated_npz(rng, path):
    """Writes an npz file that is changed in its arrays' headers (checksums right), or anywhere."""
    members = {}
    for name, array in TENSORS.items():
        plain = array_bytes(array)
        members[f"{name}.npy"] = mutate(rng, plain[:140]) + plain[140:]
    if rng.integers(2):
        members = {f"{name}.npy": array_bytes(array) for name, array in TENSORS.items()}
    archive(path, members, method=[0, 8][rng.integers(2)])
    if rng.integers(2):
        path.write_bytes(mutate(rng, path.read_bytes()))
    return path


def mutated_safetensors(rng, path, plain):
    """Writes a safetensors file with a changed header, most of them with the right length."""
    length = int.from_bytes(plain[:8], "little")
    header = mutate(rng, plain[8 : 8 + length])
    if rng.integers(8):
        start = struct.pack("<Q", len(header))
    else:
        start = mutate(rng, plain[:8])
    path.write_bytes(start + header + plain[8 + length :])
    return path
