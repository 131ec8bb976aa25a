"""Files of tensors: npz, safetensors, .weights.h5. What they hold means nothing here.

A file from the network is read as if an enemy had made it: sizes are compared with the bytes that
are there before any memory is taken, and nothing in a file is ever run or unpickled.
"""

import os

from keras_vit import arguments
from keras_vit.io import sniff
from keras_vit.io.h5_file import H5File, write_h5
from keras_vit.io.npz_file import NpzFile, write_npz
from keras_vit.io.safetensors_file import (
    INDEX,
    SafetensorsFile,
    ShardedFile,
    read_json,
    write_safetensors,
)
from keras_vit.io.tensor_file import Spec, TensorFile

__all__ = [
    "Spec", "TensorFile", "open_tensors", "read_json",
    "write_h5", "write_npz", "write_safetensors",
]  # fmt: skip

OPEN = {"npz": NpzFile, "safetensors": SafetensorsFile, "h5": H5File}


def open_tensors(path):
    """Opens a file of tensors for reading; its format is told by its content, not its name.

    Args:
        path: an npz, safetensors or .weights.h5 file; for weights in several safetensors files
            their index (model.safetensors.index.json) or the folder.

    Returns:
        A `TensorFile`, for use in a `with` statement.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is something else, is damaged, or would take more memory than it may. The
            message says what it is and what to do.

    Example:
    >>> with files.open_tensors("ViT-B_16.npz") as file:  # doctest: +SKIP
    ...     print(file.format, len(file.specs), file.specs["cls"])
    ...     kernel = file.read("embedding/kernel")
    npz 200 Spec(shape=(1, 1, 768), dtype='float32')
    """
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        arguments.refuse("`path` must be the path of a file", {"path": path})
    path = os.fspath(path)
    if os.path.isdir(path):
        path = _in_folder(path)
    sniff.check_regular(path)
    if path.endswith(INDEX):
        return ShardedFile(path)
    return OPEN[sniff.kind(path)](path)


def _in_folder(path):
    """Returns the file of weights in a folder of the kind that Hugging Face publishes."""
    for name in ("model.safetensors", "model.safetensors" + INDEX):
        if os.path.lexists(os.path.join(path, name)):
            return os.path.join(path, name)
    sniff.refuse_folder(path)
