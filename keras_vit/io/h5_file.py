"""Keras's .weights.h5: an HDF5 file of which only plain, uncompressed arrays are read."""

import io
import os

import numpy as np

from keras_vit.io import writing
from keras_vit.io.tensor_file import (
    MAX_TENSORS,
    TensorFile,
    check_count,
    checked_spec,
    native,
    reading,
    refuse,
    shown,
    writable,
)

MAX_DEPTH = 32
MAX_OBJECTS = 3 * MAX_TENSORS  # to Keras every layer is a folder, and its variables are one more
WHOLE_MODEL = """A model is not loaded from a file that could run a program. In the Keras that
wrote it, where you trust it: keras.models.load_model({path!r}).save_weights("model.weights.h5")"""
REWRITE = "Keras writes none such. Do not use it unless you know who made it."


class H5File(TensorFile):
    """A .weights.h5 file that is open for reading; names are paths such as "layers/a/vars/0"."""

    format = "h5"

    def __init__(self, path):
        import h5py

        super().__init__(path)
        with reading(path, "it is not a whole HDF5 file"):
            self._file = h5py.File(path, "r")
        try:
            with reading(path, "its table of contents cannot be read"):
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
            refuse(self.path, "which is a whole Keras model in the old form (.h5)", advice)

    def _check_total(self):
        """Nothing is compressed, so tensors that take more than the file must share bytes."""
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
        return native(array)

    def close(self):
        """Closes the file."""
        self._file.close()


def write_h5(path, tensors):
    """Writes `{"layers/dense/vars/0": array, ...}` as a .weights.h5 file for Keras.

    The file takes its name when it is complete. bfloat16 is written as float32.

    Raises:
        ValueError: a value is not an array of numbers, or one name lies below another.
        OSError: it cannot be written; an earlier file of that name stays.

    Example:
    >>> files.write_h5("a.weights.h5", {"layers/dense/vars/0": np.zeros(3)})  # doctest: +SKIP
    """
    import h5py

    arrays = writable(tensors)
    _check_names(arrays)
    with writing.replacing(path) as temporary, _Disk(temporary, "r+b") as disk:
        with h5py.File(disk, "w") as file:
            for name, array in arrays.items():
                array = array.astype("float32") if array.dtype.name == "bfloat16" else array
                file.create_dataset(name, data=array)


class _Disk(io.FileIO):
    """A file that keeps the first error for itself: HDF5 brings Python down when a disk is full."""

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
        if self.error:  # what HDF5 may have raised after it is but a consequence
            raise OSError(self.error.errno, self.error.strerror, self.name)


def _check_names(names):
    """Raises `ValueError` where a name is no path, or both a tensor and a folder of tensors."""
    for name in names:
        parts = name.split("/")
        above = {"/".join(parts[:depth]) for depth in range(1, len(parts))}
        if not all(parts) or "." in parts or above & names.keys():
            raise ValueError(
                "Names in an .h5 file must be paths such as 'layers/dense/vars/0', none below "
                f"another. Received: {name!r}."
            )


def _datasets(path, root):
    """Yields (path in the file, dataset) of everything; refuses links, and groups in a circle."""
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
                refuse(path, f"in which {shown(name)} stands twice or too deep", REWRITE)
            seen.add(address)
            if isinstance(entry, h5py.Group):
                waiting.append((f"{name}/", entry, depth + 1))
            else:
                yield name, entry


def _check_link(path, name, group, key):
    """Refuses links by name: they could lead to any file of the machine."""
    import h5py

    if type(group.get(key, getlink=True)) is not h5py.HardLink:
        refuse(path, f"in which {shown(name)} is a link to another place", REWRITE)


def _spec(path, name, dataset):
    import h5py

    def reject(what):
        refuse(path, f"whose tensor {shown(name)} {what}", REWRITE)

    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        reject("is not an array")
    if dataset.is_virtual or dataset.external:
        reject("lies in another file")
    properties = dataset.id.get_create_plist()
    if properties.get_nfilters():
        reject("is compressed")
    spec = checked_spec(path, name, tuple(map(int, dataset.shape)), _type(dataset))
    if dataset.id.get_storage_size() < spec.nbytes:
        reject(f"of shape {spec.shape} has fewer bytes than that")
    chunk = int(np.prod(dataset.chunks or (0,), dtype=object)) * dataset.dtype.itemsize
    if chunk > os.path.getsize(path):
        reject("is cut into pieces larger than the file")
    return spec


def _type(dataset):
    """Returns the name of a dataset's type; Keras marks bfloat16, which HDF5 does not know."""
    if dataset.dtype.itemsize == 2 and dataset.dtype.kind == "V":
        return "bfloat16"
    return dataset.dtype.name
