"""safetensors: one file, or several that an index file lists, as Hugging Face publishes weights."""

import contextlib
import json
import os
import re

from keras_vit.io import sniff, writing
from keras_vit.io.tensor_file import (
    DOWNLOAD,
    MAX_HEADER,
    Refused,
    TensorFile,
    check_count,
    checked_spec,
    reading,
    refuse,
    shown,
    summary,
    writable,
)

INDEX = ".index.json"
MAX_SHARDS = 100
TYPES = {
    **{"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64", "BOOL": "bool"},
    **{f"{sign}{bits}": f"{kind}{bits}" for sign, kind in (("I", "int"), ("U", "uint"))
       for bits in (8, 16, 32, 64)},
}  # fmt: skip


class SafetensorsFile(TensorFile):
    """A safetensors file that is open for reading."""

    format = "safetensors"

    def __init__(self, path):
        from safetensors import safe_open

        super().__init__(path)
        header = _header(path)
        metadata = header.pop("__metadata__", {})
        check_count(path, len(header))
        for name, entry in header.items():
            self.specs[name] = _spec(path, name, entry)
        # The library checks what the header says: that the tensors fill the file without a gap.
        with reading(path, "its header is not that of a safetensors file"):
            self._file = safe_open(path, framework="np")
            if set(self._file.keys()) != set(self.specs):
                raise ValueError("two readings of it differ")
        self.metadata = metadata

    def _read(self, name):
        array = self._file.get_tensor(name)
        if array.shape != self.specs[name].shape:
            raise ValueError(f"it has the shape {array.shape}")
        return array

    def close(self):
        """Closes the file."""
        self._file.__exit__(None, None, None)


class ShardedFile(TensorFile):
    """Several safetensors files that an index file lists, as one."""

    format = "safetensors"

    def __init__(self, path):
        super().__init__(path)
        wanted = _shards(path)
        self._of = {}
        with contextlib.ExitStack() as stack:
            for shard, names in wanted.items():
                file = stack.enter_context(SafetensorsFile(_shard_path(path, shard)))
                if set(file.specs) != names:
                    differ = set(file.specs) ^ names
                    what = f"whose index and file {shard!r} disagree about {summary(differ)}"
                    refuse(path, what, DOWNLOAD)
                self._of.update(dict.fromkeys(names, file))
                self.specs.update(file.specs)
                self.metadata.update(file.metadata)
            check_count(path, len(self.specs))
            self._stack = stack.pop_all()

    def _read(self, name):
        return self._of[name].read(name)

    def close(self):
        """Closes all files."""
        self._stack.close()


def write_safetensors(path, tensors, metadata=None):
    """Writes `{name: array}` as a safetensors file, with `metadata` of text, such as the source.

    The file takes its name when it is complete.

    Raises:
        ValueError: a value is not an array of numbers, or the metadata is not text.
        OSError: it cannot be written; an earlier file of that name stays.

    Example:
    >>> files.write_safetensors("model.safetensors", {"cls": np.zeros(192)})  # doctest: +SKIP
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    metadata = dict(metadata or {})
    if not all(isinstance(text, str) for pair in metadata.items() for text in pair):
        raise ValueError(f"`metadata` must be names and texts. Received: metadata={metadata!r}.")
    arrays = writable(tensors)
    with writing.replacing(path) as temporary:
        try:
            save_file(arrays, temporary, metadata=metadata or None)
        except SafetensorError as error:
            number = re.search(r"os error (\d+)", str(error))
            reason = (int(number[1]), os.strerror(int(number[1]))) if number else (None, str(error))
            raise OSError(*reason, temporary) from error


def read_json(path, limit=MAX_HEADER):
    """Reads a small JSON file beside weights, such as config.json.

    Args:
        path: the file.
        limit: bytes that it may have at most.

    Returns:
        What the file holds: a dictionary, as a rule.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not JSON, larger than `limit`, or has a name twice.

    Example:
    >>> files.read_json("vit-base/config.json")["hidden_size"]  # doctest: +SKIP
    768
    """
    sniff.check_regular(path)
    with open(path, "rb") as file:
        text = file.read(limit + 1)
    if len(text) > limit:
        raise Refused(f"A JSON file of at most {limit:,} bytes was expected. Received: {path!r}.")
    try:
        return _parse(text)
    except (ValueError, RecursionError) as error:
        raise Refused(
            f"A JSON file was expected. Received: {str(path)!r}, which is not ({error}). {DOWNLOAD}"
        ) from error


def _header(path):
    """Returns the table of contents of a safetensors file; its length was checked before."""
    with open(path, "rb") as file:
        text = file.read(int.from_bytes(file.read(8), "little"))
    with reading(path, "its header is not that of a safetensors file"):
        header = _parse(text)
        if not isinstance(header, dict):
            raise ValueError("it is not a table")
        metadata = header.get("__metadata__", {})
        if not isinstance(metadata, dict) or not all(map(_is_text, metadata.values())):
            raise ValueError("its metadata are not texts")
    return header


def _is_text(value):
    return isinstance(value, str)


def _parse(text):
    return json.loads(text, object_pairs_hook=_without_doubles)


def _without_doubles(pairs):
    """Returns a dictionary; where a name stands twice, readers would disagree on its value."""
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {shown(twice)} stands there twice")
    return table


def _spec(path, name, entry):
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        refuse(
            path, f"which is damaged: tensor {shown(name)} has no type, shape or place", DOWNLOAD
        )
    kind, shape = entry["dtype"], entry["shape"]
    if not isinstance(kind, str) or not isinstance(shape, list):
        refuse(path, f"which is damaged: the type or shape of {shown(name)} is odd", DOWNLOAD)
    return checked_spec(path, name, tuple(shape), TYPES.get(kind, kind))


def _shards(path):
    """Returns `{shard: names in it}` of an index file."""
    index = read_json(path, limit=2 * MAX_HEADER)
    names = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(names, dict) or not names or not all(map(_is_text, names.values())):
        refuse(path, 'which is JSON without a "weight_map" that names files', DOWNLOAD)
    shards = {}
    for name, shard in names.items():
        shards.setdefault(shard, set()).add(name)
    if len(shards) > MAX_SHARDS:
        refuse(path, f"which lists {len(shards):,} files, more than {MAX_SHARDS}")
    return shards


def _shard_path(index, shard):
    """Returns the path of a file that an index lists; it must lie beside the index."""
    plain = shard.endswith(".safetensors") and not set(shard) & set("/\\:\0") and ".." not in shard
    if not plain:
        what = f"which lists {shown(shard)}, not the plain name of a .safetensors file"
        refuse(index, what, "Do not use it: an index must not lead out of its folder.")
    path = os.path.join(os.path.dirname(os.fspath(index)), shard)
    if os.path.islink(path):
        what = f"which lists {shard!r}, a link that leads elsewhere"
        refuse(index, what, "Copy the folder with its files: cp -rL.")
    sniff.check_regular(path)
    if sniff.kind(path) != "safetensors":
        refuse(path, "which is listed as safetensors, but is not")
    return path
