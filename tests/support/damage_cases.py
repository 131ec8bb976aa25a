"""Files that must be refused: how they are made, and words of the error."""

import json
import pickle
import struct
import zipfile

import h5py
import numpy as np
from damage import (
    archive,
    array_bytes,
    broken_link,
    content,
    encrypted,
    entry,
    folder,
    h5,
    h5_circle,
    h5_deep,
    h5_external_storage,
    h5_many,
    h5_twice,
    h5_virtual,
    h5_whole_model,
    linked_shard,
    long_directory,
    lying_directory,
    npz,
    patched,
    pickled_arrays,
    pipe,
    raw_header,
    safetensors,
    sharded,
)

PICKLE = pickle.dumps({"w": [1.0]})
PROTOCOLS = {f"pickle {n}": pickle.dumps({"w": [1.0]}, protocol=n) for n in range(6)}
MANY = {f"{i}.npy": array_bytes() for i in range(5_001)}
EMPTY_TENSORS = {f"t{i}": entry(shape=[0], end=0) for i in range(5_001)}
F32 = struct.pack("<f", 1)
DEEP = b'{"a":' + b"[" * 100_000

CASES = {
    # npz
    "pickled array": (pickled_arrays, "array 'a' contains pickled Python objects"),
    "array of text": (npz(array_bytes(np.array(["x"]))), "tensor 'a' has the type str32"),
    "array of complex": (npz(array_bytes(np.zeros(2, "complex64"))), "has the type complex64"),
    "array of records": (npz(array_bytes(np.zeros(2, "f4,i4"))), "has the type void64"),
    "array of dates": (npz(array_bytes(np.zeros(2, "M8[s]"))), "has the type datetime64"),
    "shape of 256 GiB": (npz(array_bytes(shape=(2**36,))), "has 12 bytes, not 274,877,906,944"),
    "shape too small": (npz(array_bytes(shape=(1,))), "has 12 bytes, not 4"),
    "shape negative": (npz(array_bytes(shape=(-1, -3))), "impossible shape (-1, -3)"),
    "shape True": (npz(array_bytes(shape=(True, 3))), "impossible shape (True, 3)"),
    "shape of 9 axes": (npz(array_bytes(shape=(1,) * 8 + (3,))), "has 9 axes, more than 8"),
    "shape 2**60": (npz(array_bytes(shape=(2**60, 0))), "impossible shape"),
    "header no table": (npz(raw_header(b"[1]\n")), "header of its array 'a' cannot be read"),
    "header nested": (npz(raw_header(b"(" * 4000)), "header of its array 'a' cannot be read"),
    "header of minuses": (npz(raw_header(b"-" * 4000 + b"1")), "header of its array 'a' cannot"),
    "header long": (npz(raw_header(b" " * 60_000)), "header of its array 'a' cannot be read"),
    "no array": (npz(b"hello"), "header of its array 'a' cannot be read"),
    "array of version 3": (npz(b"\x93NUMPY\x03\x00" + bytes(9)), "header of its array 'a' cannot"),
    "bomb": (npz(array_bytes(np.zeros(2**25, "f4")), method=8), "a decompression bomb"),
    "bad checksum": (patched(bytes(12), b"\1" + bytes(11)), "header of its array 'a' cannot"),
    "sizes lie": (lying_directory, "header of its array 'a' cannot be read (Bad CRC-32"),
    "encrypted": (encrypted, "encrypted or unusually compressed", "np.savez"),
    "lzma": (npz(array_bytes(), method=zipfile.ZIP_LZMA), "unusually compressed"),
    "name twice": (
        lambda path: archive(path, [("a.npy", array_bytes())] * 2),
        "two arrays named 'a.npy'",
    ),
    "not only arrays": (
        lambda path: archive(path, {"a.npy": array_bytes(), "readme.txt": b"x"}),
        "contains more than arrays (1 tensor: 'readme.txt')",
    ),
    "too many arrays": (lambda path: archive(path, MANY), "5,001 entries, more than 5,000"),
    "long directory": (long_directory, "table of contents has more than 2,097,152 bytes"),
    "empty archive": (content(b"PK\5\6" + bytes(18)), "no tensors in it"),
    # other things under the name of weights
    "torch": (
        lambda path: archive(path, {"x/data.pkl": PICKLE, "x/data/0": b"1234"}),
        "is a PyTorch file", "torch.load(", "weights_only=True", "safetensors.torch.save_file",
    ),
    "torch, old": (
        content(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.rest"),
        "PyTorch file in the old format", "safetensors.torch.save_file",
    ),
    **{
        name: (content(data), "is a Python pickle", "any program")
        for name, data in PROTOCOLS.items()
    },
    "keras": (
        lambda path: archive(path, {"config.json": b"{}", "metadata.json": b"{}"}),
        "whole Keras model (.keras)", "save_weights",
    ),
    "empty": (content(b""), "which is empty", "download it again"),
    "html": (content(b"\n <!DOCTYPE html><html>404"), "is a web page", "download it again"),
    "xml": (content(b"<?xml version='1.0'?><Error><Code>NoSuchKey"), "is a web page"),
    "answer": (content(b"Entry not found"), "text that begins with 'Entry not found'"),
    "lfs": (content(b"version https://git-lfs.github.com/spec/v1\n"), "Git LFS", "git lfs pull"),
    "gzip": (content(b"\x1f\x8b\x08" + bytes(99)), "is a gzip archive", "Unpack it yourself"),
    "xz": (content(b"\xfd7zXZ\x00" + bytes(99)), "is an xz archive"),
    "bzip2": (content(b"BZh91AY"), "is a bzip2 archive"),
    "zstd": (content(b"\x28\xb5\x2f\xfd" + bytes(9)), "is a zstd archive"),
    "tar": (content(b"x" * 257 + b"ustar\0" + bytes(300)), "is a tar archive"),
    "npy": (content(array_bytes()), "is a single array (npy)", "numpy.savez"),
    "zeros": (content(bytes(9999)), "nothing but zero bytes", "download it again"),
    "json": (content(b'{"a": 1}'), "is JSON text", ".index.json"),
    "flax": (content(b"\x81\xa6params\x82"), "is a msgpack file of Flax", "flatten_dict"),
    "image": (content(b"\xff\xd8\xff\xe0"), "is a JPEG image"),
    "noise": (content(bytes(range(200, 255))), "of an unknown kind (first bytes c8 c9 ca"),
    "folder": (folder("cat.jpg"), "is a folder without weights"),
    "folder of torch": (folder("pytorch_model.bin"), "PyTorch weights only", "torch.load"),
    "folder of tensorflow": (folder("saved_model.pb"), "a TensorFlow SavedModel", "numpy.savez"),
    "folder of orbax": (folder("_METADATA", "manifest.ocdbt"), "an Orbax checkpoint"),
    "link to nothing": (broken_link, "does not exist"),
    "pipe": (pipe, "is not an ordinary file"),
    # safetensors
    "header longer than file": (safetensors(b"{}", length=2**40), "truncated: its header alone"),
    "header of 2**63": (safetensors(b"{}", length=2**63), "that is truncated"),
    "header too long": (safetensors(b"{}" + b" " * 2**21), "header has 2,097,154 bytes, more than"),
    "header a number": (safetensors(b'{"a": 1}', F32), "not that of a safetensors file"),
    "header no json": (safetensors(b"{hello"), "its header is not that of a safetensors file"),
    "header no text": (safetensors(b'{"\xff": 1}'), "its header is not that of a safetensors file"),
    "header deep": (safetensors(DEEP), "its header is not that of a safetensors file"),
    "no tensors": (safetensors({"__metadata__": {"a": "b"}}), "has no tensors in it"),
    "metadata no text": (safetensors({"__metadata__": {"a": 1}}), "not that of a safetensors file"),
    "tensor twice": (
        safetensors(b'{"a":%b,"a":%b}' % ((json.dumps(entry()).encode(),) * 2), F32),
        "the name 'a' appears twice",
    ),
    "too many tensors": (safetensors(EMPTY_TENSORS), "5,001 entries, more than 5,000"),
    "fp8": (safetensors({"a": entry("F8_E4M3", end=1)}, b"x"), "has the type F8_E4M3", "float32"),
    "unknown type": (safetensors({"a": entry("FOO")}, F32), "not that of a safetensors file"),
    "type a map": (safetensors({"a": entry({"F32": None})}, F32), "not that of a safetensors file"),
    "entry a list": (safetensors({"a": ["F32", [1], [0, 4]]}, F32), "not that of a safetensors"),
    "type no text": (safetensors({"a": entry(7)}, F32), "not that of a safetensors file"),
    "shape -1": (safetensors({"a": entry(shape=[-1])}, F32), "not that of a safetensors file"),
    "shape 1.0": (safetensors({"a": entry(shape=[1.0])}, F32), "not that of a safetensors file"),
    "shape wrong": (safetensors({"a": entry(shape=[2])}, F32), "not that of a safetensors file"),
    "data too short": (safetensors({"a": entry()}, F32[:3]), "not that of a safetensors file"),
    "data too long": (safetensors({"a": entry()}, F32 * 2), "not that of a safetensors file"),
    "overlap": (
        safetensors({"a": entry(), "b": entry(start=0)}, F32), "not that of a safetensors file",
    ),
    "offsets overflow": (
        safetensors({"a": entry(end=2**64)}, F32), "not that of a safetensors file",
    ),
    # an index of several
    "shard above": (sharded({"a": "../x.safetensors"}), "not the plain name of a .safetensors"),
    "shard absolute": (sharded({"a": "/x.safetensors"}), "not the plain name of"),
    "shard of a drive": (sharded({"a": "c:x.safetensors"}), "not the plain name of"),
    "shard a pickle": (sharded({"a": "x.bin"}), "not the plain name of"),
    "shard a link": (linked_shard, "'one.safetensors', a link that leads elsewhere", "cp -rL"),
    "shard without": (sharded({"b": "one.safetensors"}), "disagree about 2 tensors"),
    "index no map": (sharded(index="[1]"), 'JSON without a "weight_map"'),
    "index of numbers": (sharded({"a": 1}), 'JSON without a "weight_map"'),
    "index twice": (sharded(index='{"weight_map": {}, "weight_map": {}}'), "appears twice"),
    "index no json": (sharded(index="<html>"), "A JSON file was expected"),
    "index deep": (sharded(index="[" * 100_000), "A JSON file was expected"),
    "index of 999": (sharded({f"t{i}": f"{i}.safetensors" for i in range(999)}), "lists 999 files"),
    # h5
    "soft link": (h5(lambda f: f.update(a=h5py.SoftLink("/b"))), "'a' is a link to another place"),
    "external link": (
        h5(lambda f: f.update(a=h5py.ExternalLink("/etc/passwd", "/"))), "'a' is a link to another",
    ),
    "circle": (h5(h5_circle), "'b/again/a' appears twice or is nested too deeply"),
    "hard link twice": (h5(h5_twice), "'b' appears twice or is nested too deeply"),
    "external storage": (h5(h5_external_storage), "'a' is stored in another file"),
    "virtual": (h5(h5_virtual), "'a' is stored in another file"),
    "shape of 64 GiB": (
        h5(lambda f: f.create_dataset("a", (2**34,), "float32")), "has fewer bytes than that",
    ),
    "chunks of 64 GiB": (
        h5(lambda f: f.create_dataset("a", (2**34,), "float32", chunks=(2**20,))),
        "has fewer bytes than that",
    ),
    "compressed": (
        h5(lambda f: f.create_dataset("a", data=np.zeros(2**20), compression="gzip")),
        "'a' is compressed",
    ),
    "text": (h5(lambda f: f.create_dataset("a", data=["x"])), "has the type object"),
    "references": (
        h5(lambda f: f.create_dataset("a", (1,), h5py.ref_dtype)), "has the type object",
    ),
    "records": (h5(lambda f: f.create_dataset("a", (1,), "f4,i4")), "has the type void64"),
    "no array in h5": (
        h5(lambda f: f.create_dataset("a", dtype="f4", data=h5py.Empty("f4"))), "is not an array",
    ),
    "type in h5": (h5(lambda f: f.update(a=np.dtype("f4"))), "is not an array"),
    "deep": (h5(h5_deep), "appears twice or is nested too deeply"),
    "many groups": (h5(h5_many), "16,000 entries, more than 15,000"),
    "h5 empty": (h5(lambda f: None), "no tensors in it"),
    "whole model": (h5(h5_whole_model), "a whole Keras model in the old format", "save_weights"),
}  # fmt: skip
