"""Reads and writes files of tensors: npz, .weights.h5, and safetensors, which is defined here.

Files are not trusted: sizes are compared with the length of the file before memory is allocated,
and nothing in a file is ever executed or unpickled.
"""

import json
import os
import re

import numpy as np

from keras_vit import arguments
from keras_vit.io import tensor_file, writing
from keras_vit.io.h5_file import H5File, write_h5
from keras_vit.io.npz_file import NpzFile, write_npz
from keras_vit.io.tensor_file import (
    DOWNLOAD,
    MAX_HEADER,
    InvalidFileError,
    TensorFile,
    prepare_arrays,
    refuse,
    shorten,
    summarize,
)

__all__ = ["open_tensors", "read_json", "write_h5", "write_npz", "write_safetensors"]

WHOLE, INDEX = "model.safetensors", ".index.json"  # names that Hugging Face gives its files
PRESET, TASK = "model.weights.h5", "task.weights.h5"  # KerasHub's backbone and classifier
RUN = "model.keras"  # in the folder of `keras-vit train`
PRESET_INDEX = "model.weights.json"  # index of a backbone in several files
IN_FOLDER = (WHOLE, WHOLE + INDEX, PRESET, PRESET_INDEX)
MAX_SHARDS = 100
TYPES = {
    **{"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64", "BOOL": "bool"},
    **{f"{sign}{bits}": f"{kind}{bits}" for sign, kind in (("I", "int"), ("U", "uint"))
       for bits in (8, 16, 32, 64)},
}  # fmt: skip
# File in a folder: the kind of folder, and what to do.
FOLDERS = {
    "saved_model.pb": ("a TensorFlow SavedModel", tensor_file.TENSORFLOW),
    "checkpoint": ("a folder of TensorFlow or Flax checkpoints", tensor_file.TENSORFLOW),
    "_METADATA": ("an Orbax checkpoint", tensor_file.ORBAX),
    "_CHECKPOINT_METADATA": ("an Orbax checkpoint", tensor_file.ORBAX),
    "manifest.ocdbt": ("an Orbax checkpoint", tensor_file.ORBAX),
    "pytorch_model.bin": ("a folder with PyTorch weights only", tensor_file.TORCH),
}


def open_tensors(path):
    """Opens a file of tensors for reading; its format is detected from its content.

    Args:
        path: an npz, safetensors or .weights.h5 file. For weights in several safetensors files,
            their index (model.safetensors.index.json) or their folder. For a preset of KerasHub,
            its folder.

    Returns:
        A `TensorFile`, for use in a `with` statement.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is something else, is damaged, or would take too much memory. The message
            describes the file and what to do.
    """
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        arguments.refuse("`path` must be the path of a file", {"path": path})
    path = os.fspath(path)
    if os.path.isdir(path):
        path = _find_in_folder(path)
        if path.endswith((PRESET, PRESET_INDEX)):
            return PresetFile(path)
    tensor_file.check_regular(path)
    if path.endswith(INDEX):
        return ShardedFile(path)
    readers = {"npz": NpzFile, "safetensors": SafetensorsFile, "h5": H5File}
    return readers[tensor_file.detect_format(path)](path)


def is_folder_of_weights(path):
    """Returns whether a path is a folder with weights, in one file or in several."""
    return any(os.path.isfile(os.path.join(path, name)) for name in IN_FOLDER)


def _find_in_folder(folder):
    """Returns the path of the weights, or of the index of several files, in a folder."""
    for name in IN_FOLDER:
        if os.path.lexists(os.path.join(folder, name)):
            return os.path.join(folder, name)
    for name, (what, advice) in FOLDERS.items():
        path = os.path.join(folder, name)
        if os.path.exists(path):
            refuse(folder, f"which is {what}", advice.replace("{path!r}", repr(path)))
    advice = f"Pass a file, or a folder with {WHOLE}, {WHOLE}{INDEX} or {PRESET}."
    if os.path.isfile(model := os.path.join(folder, RUN)):
        advice = f"For the model of this run pass {model!r}."
    refuse(folder, "which is a folder without weights", advice)


class SafetensorsFile(TensorFile):
    """An open safetensors file."""

    format = "safetensors"

    def _open(self):
        from safetensors import safe_open

        with self.wrap_errors("its header is not that of a safetensors file"):
            # The library checks types and shapes, and that the tensors fill the file without gaps.
            with safe_open(self.path, framework="np") as file:
                names = set(file.keys())
            self._file = self.open_files.enter_context(open(self.path, "rb", buffering=0))
            length = int.from_bytes(self._file.read(8), "little")  # the library has checked it
            header = _parse(self._file.read(length))
            header.pop("__metadata__", None)
            if names != set(header):
                raise ValueError("it was read twice with different results")
            self.check_count(len(header))
            self._starts = {}
            for name, entry in header.items():
                self.add(name, entry["shape"], TYPES.get(entry["dtype"], entry["dtype"]))
                self._starts[name] = 8 + length + entry["data_offsets"][0]

    def _read(self, name):
        """Reads a tensor without memory-mapping, whose pages would count as memory in use."""
        spec = self.specs[name]
        data = np.empty(spec.nbytes, "uint8")
        self._file.seek(self._starts[name])
        tensor_file.fill(self._file, memoryview(data))
        kind = "uint16" if spec.dtype == "bfloat16" else spec.dtype
        return data.view(np.dtype(kind).newbyteorder("<")).reshape(spec.shape)


class ShardedFile(TensorFile):
    """The safetensors files of an index file, as one."""

    format, suffix = "safetensors", ".safetensors"

    def _open(self):
        self._shards = {}  # {name of a tensor: its file}
        for shard, names in self._read_index().items():
            file = self.open_files.enter_context(SafetensorsFile(self._shard_path(shard)))
            if set(file.specs) != names:
                differ = summarize(set(file.specs) ^ names)
                self.refuse(f"whose index and file {shard!r} disagree about {differ}", DOWNLOAD)
            self._shards.update(dict.fromkeys(names, file))
            self.specs.update(file.specs)

    def _read_index(self):
        """Returns `{shard: its names}`."""
        index = read_json(self.path, limit=2 * MAX_HEADER)
        names = index.get("weight_map") if isinstance(index, dict) else None
        if not isinstance(names, dict) or not all(isinstance(x, str) for x in names.values()):
            self.refuse('which is JSON without a "weight_map" of files', DOWNLOAD)
        shards = {}
        for name, shard in names.items():
            shards.setdefault(shard, set()).add(name)
        if len(shards) > MAX_SHARDS:
            self.refuse(f"which lists {len(shards):,} files, more than {MAX_SHARDS}")
        return shards

    def _shard_path(self, shard):
        """Returns the path of a file in the index; it must be in the same folder."""
        if not shard.endswith(self.suffix) or set(shard) & set("/\\:\0") or ".." in shard:
            what = f"which lists {shorten(shard)}, not the plain name of a {self.suffix} file"
            self.refuse(what, "Do not use it: an index must not refer to other folders.")
        path = os.path.join(os.path.dirname(self.path), shard)
        if _folder_of(path) != _folder_of(self.path):  # in a cache, all files are links
            what = f"which lists {shard!r}, a link that leads elsewhere"
            self.refuse(what, "Copy the folder with its files: cp -rL.")
        tensor_file.check_regular(path)
        if tensor_file.detect_format(path) != self.format:
            refuse(path, f"which is listed as {self.format}, but is not")
        return path

    def _read(self, name):
        return self._shards[name]._read(name)


class PresetFile(ShardedFile):
    """The .weights.h5 files of a KerasHub preset, backbone and classifier, as one."""

    format, suffix = "h5", ".weights.h5"

    def _open(self):
        self._shards = {}  # {name of a tensor: its file}
        names = self._read_index() if self.path.endswith(PRESET_INDEX) else [PRESET]
        if os.path.lexists(os.path.join(os.path.dirname(self.path), TASK)):
            names.append(TASK)
        for name in names:
            file = self.open_files.enter_context(H5File(self._shard_path(name)))
            twice = self._shards.keys() & file.specs.keys()
            if twice:
                self.refuse(f"whose file {name!r} has tensors of another: {summarize(twice)}")
            self._shards.update(dict.fromkeys(file.specs, file))
            self.specs.update(file.specs)

    def _read_index(self):
        """Returns the names of the backbone's files."""
        index = read_json(self.path, limit=2 * MAX_HEADER)
        table = index.get("weight_map") if isinstance(index, dict) else None
        lists = [] if not isinstance(table, dict) else table.values()
        lists = [names if isinstance(names, list) else [names] for names in lists]
        if not lists or not all(isinstance(name, str) for names in lists for name in names):
            self.refuse('which is JSON without a "weight_map" of files', DOWNLOAD)
        found = sorted({name for names in lists for name in names})
        if len(found) > MAX_SHARDS:
            self.refuse(f"which lists {len(found):,} files, more than {MAX_SHARDS}")
        return found


def _folder_of(path):
    """Returns the folder of a file, or that of the file that it links to."""
    folder = os.path.dirname(path)
    target = os.path.join(folder, os.readlink(path)) if os.path.islink(path) else path
    return os.path.realpath(os.path.dirname(target))


def write_safetensors(path, tensors):
    """Writes `{name: array}` as a safetensors file, completely or not at all."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    arrays = prepare_arrays(tensors)
    with writing.replacing(path) as temporary:
        try:
            save_file(arrays, temporary)
        except SafetensorError as error:
            number = re.search(r"os error (\d+)", str(error))
            reason = (int(number[1]), os.strerror(int(number[1]))) if number else (None, str(error))
            raise OSError(*reason, temporary) from error


def read_json(path, limit=MAX_HEADER):
    """Returns the content of a JSON file beside weights, of at most `limit` bytes.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is not JSON, is larger, or contains a name twice.
    """
    tensor_file.check_regular(path)
    with open(path, "rb") as file:
        text = file.read(limit + 1)
    if len(text) > limit:
        raise InvalidFileError(
            f"A JSON file of at most {limit:,} bytes was expected. Received: {str(path)!r}."
        )
    try:
        return _parse(text)
    except (ValueError, RecursionError) as error:
        raise InvalidFileError(
            f"A JSON file was expected. Received: {str(path)!r}, which is not ({error}). {DOWNLOAD}"
        ) from error


def _parse(text):
    return json.loads(text, object_pairs_hook=_unique_names)


def _unique_names(pairs):
    """Returns a dictionary, or raises if a name appears twice: readers would disagree on it."""
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {shorten(twice)} appears twice")
    return table
