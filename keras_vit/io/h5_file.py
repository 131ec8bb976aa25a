"""Keras's .weights.h5: HDF5 files, from which only plain, uncompressed arrays are read."""

import io
import os

import numpy as np

from keras_vit.io import writing
from keras_vit.io.tensor_file import (
    MAX_TENSORS,
    TensorFile,
    check_count,
    check_spec,
    prepare_arrays,
    refuse,
    shorten,
    to_native,
    wrap_errors,
)

MAX_DEPTH = 32
MAX_OBJECTS = 3 * MAX_TENSORS  # Keras has a group for each layer and one for its variables
WHOLE_MODEL = """A whole model may contain a program and is not loaded. If you trust it, in the
Keras that wrote it: keras.models.load_model({path!r}).save_weights("model.weights.h5")"""
REWRITE = "Keras does not write such files. Use it only if you know who made it."


class H5File(TensorFile):
    """An open .weights.h5 file; names are paths such as "layers/a/vars/0"."""

    format = "h5"

    def __init__(self, path):
        import h5py

        super().__init__(path)
        with wrap_errors(path, "it is not a whole HDF5 file"):
            self._file = h5py.File(path, "r")
        try:
            with wrap_errors(path, "its table of contents cannot be read"):
                self._check_model()
                for name, dataset in _datasets(path, self._file):
                    self.specs[name] = _spec(path, name, dataset)
            check_count(path, len(self.specs))
            self._check_total()
        except BaseException:
            self._file.close()
            raise

    def _check_model(self):
        if "model_config" in self._file.attrs or "model_weights" in self._file:
            advice = WHOLE_MODEL.format(path=str(self.path))
            refuse(self.path, "which is a whole Keras model in the old format (.h5)", advice)

    def _check_total(self):
        """Nothing is compressed, so tensors larger than the file must share bytes."""
        total, size = sum(spec.nbytes for spec in self.specs.values()), os.path.getsize(self.path)
        if total > size:
            refuse(self.path, f"whose tensors take {total:,} bytes in a file of {size:,}", REWRITE)

    def _read(self, name):
        dataset = self._file[name]
        array = np.empty(dataset.shape, dataset.dtype)
        if array.size:
            dataset.read_direct(array)
        if self.specs[name].dtype == "bfloat16":
            import ml_dtypes

            array = array.view(ml_dtypes.bfloat16)
        return to_native(array)

    def close(self):
        """Closes the file."""
        self._file.close()


def write_h5(path, tensors):
    """Writes `{"layers/dense/vars/0": array, ...}` as a .weights.h5 file for Keras.

    The file is written completely or not at all. bfloat16 is written as float32.

    Raises:
        ValueError: a value is not an array of numbers, or one name is a prefix of another.
        OSError: the file cannot be written; an existing file is unchanged.

    Example:
    >>> files.write_h5("a.weights.h5", {"layers/dense/vars/0": np.zeros(3)})  # doctest: +SKIP
    """
    import h5py

    arrays = prepare_arrays(tensors)
    _check_names(arrays)
    with writing.replacing(path) as temporary, _Disk(temporary, "r+b") as disk:
        with h5py.File(disk, "w") as file:
            for name, array in arrays.items():
                array = array.astype("float32") if array.dtype.name == "bfloat16" else array
                file.create_dataset(name, data=array)


class _Disk(io.FileIO):
    """A file that holds back its first error: HDF5 crashes Python if the disk is full."""

    error = None

    def write(self, data):
        try:
            view = memoryview(data).cast("B")
            while view and not self.error:
                view = view[super().write(view) :]
        except OSError as error:
            self.error = error
        return len(data)

    def __exit__(self, *reason):
        super().__exit__(*reason)
        if self.error:  # later errors of HDF5 are a consequence
            raise OSError(self.error.errno, self.error.strerror, self.name)


def _check_names(names):
    """Raises `ValueError` if a name is not a path, or both a tensor and a group of tensors."""
    for name in names:
        parts = name.split("/")
        above = {"/".join(parts[:depth]) for depth in range(1, len(parts))}
        if not all(parts) or "." in parts or above & names.keys():
            raise ValueError(
                "Names in an .h5 file must be paths such as 'layers/dense/vars/0', none a prefix "
                f"of another. Received: {name!r}. Rename it."
            )


def _datasets(path, root):
    """Yields (path, dataset) for everything in the file; refuses links and cycles."""
    import h5py

    seen, waiting, count = set(), [("", root, 0)], 0
    while waiting:
        prefix, group, depth = waiting.pop()
        count += len(group)
        check_count(path, count or 1, MAX_OBJECTS)
        for key in group:
            name = prefix + key
            _check_link(path, name, group, key)
            entry = group[key]
            address = h5py.h5o.get_info(entry.id).addr
            if address in seen or depth > MAX_DEPTH:
                refuse(
                    path, f"in which {shorten(name)} appears twice or is nested too deeply", REWRITE
                )
            seen.add(address)
            if isinstance(entry, h5py.Group):
                waiting.append((f"{name}/", entry, depth + 1))
            else:
                yield name, entry


def _check_link(path, name, group, key):
    """Raises `ValueError` for links: they could lead to any file of the machine."""
    import h5py

    if type(group.get(key, getlink=True)) is not h5py.HardLink:
        refuse(path, f"in which {shorten(name)} is a link to another place", REWRITE)


def _spec(path, name, dataset):
    import h5py

    def reject(what):
        refuse(path, f"whose tensor {shorten(name)} {what}", REWRITE)

    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        reject("is not an array")
    if dataset.is_virtual or dataset.external:
        reject("is stored in another file")
    properties = dataset.id.get_create_plist()
    if properties.get_nfilters():
        reject("is compressed")
    spec = check_spec(path, name, tuple(map(int, dataset.shape)), _type(dataset))
    if dataset.id.get_storage_size() < spec.nbytes:
        reject(f"of shape {spec.shape} has fewer bytes than that")
    chunk = int(np.prod(dataset.chunks or (0,), dtype=object)) * dataset.dtype.itemsize
    if chunk > os.path.getsize(path):
        reject("has chunks larger than the file")
    return spec


def _type(dataset):
    """Returns the name of a dataset's type; HDF5 stores bfloat16 as 2 bytes without a type."""
    if dataset.dtype.itemsize == 2 and dataset.dtype.kind == "V":
        return "bfloat16"
    return dataset.dtype.name
