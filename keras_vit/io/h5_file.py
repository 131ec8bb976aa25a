"""Keras's .weights.h5: HDF5 files, from which only plain, uncompressed arrays are read."""

import io
import math
import os

import numpy as np

from keras_vit.io import writing
from keras_vit.io.tensor_file import KERAS, MAX_TENSORS, TensorFile, prepare_arrays, shorten

MAX_DEPTH = 32
MAX_OBJECTS = 3 * MAX_TENSORS  # Keras has a group for each layer and one for its variables
REWRITE = "Keras does not write such files. Use it only if you know who made it."


class H5File(TensorFile):
    """An open .weights.h5 file; names are paths such as "layers/a/vars/0"."""

    format = "h5"

    def _open(self):
        import h5py

        with self.wrap_errors("it is not a complete HDF5 file"):
            self._file = self.open_files.enter_context(h5py.File(self.path, "r"))
        with self.wrap_errors("its table of contents cannot be read"):
            if "model_config" in self._file.attrs or "model_weights" in self._file:
                self.refuse("which is a whole Keras model in the old format (.h5)", KERAS)
            for name, dataset in self._datasets():
                self._add(name, dataset)
        # Nothing is compressed, so if tensors are larger than the file, they share bytes.
        total = sum(spec.nbytes for spec in self.specs.values())
        size = os.path.getsize(self.path)
        if total > size:
            self.refuse(f"whose tensors take {total:,} bytes in a file of {size:,}", REWRITE)

    def _datasets(self):
        """Yields (path, dataset) for everything in the file; refuses links and cycles."""
        import h5py

        seen, waiting, count = set(), [("", self._file, 0)], 0
        while waiting:
            prefix, group, depth = waiting.pop()
            count += len(group)
            self.check_count(count or 1, MAX_OBJECTS)
            for key in group:
                name = prefix + key
                if type(group.get(key, getlink=True)) is not h5py.HardLink:  # may lead anywhere
                    self.refuse(f"in which {shorten(name)} is a link to another place", REWRITE)
                entry = group[key]
                address = h5py.h5o.get_info(entry.id).addr
                if address in seen or depth > MAX_DEPTH:
                    what = f"in which {shorten(name)} appears twice or is nested too deeply"
                    self.refuse(what, REWRITE)
                seen.add(address)
                if isinstance(entry, h5py.Group):
                    waiting.append((f"{name}/", entry, depth + 1))
                else:
                    yield name, entry

    def _add(self, name, dataset):
        import h5py

        def reject(what):
            self.refuse(f"whose tensor {shorten(name)} {what}", REWRITE)

        if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
            reject("is not an array")
        if dataset.is_virtual or dataset.external:
            reject("is stored in another file")
        if dataset.id.get_create_plist().get_nfilters():
            reject("is compressed")
        # HDF5 has no bfloat16, so Keras stores it as 2 bytes without a type.
        is_bfloat16 = dataset.dtype.itemsize == 2 and dataset.dtype.kind == "V"
        kind = "bfloat16" if is_bfloat16 else dataset.dtype.name
        spec = self.add(name, tuple(map(int, dataset.shape)), kind)
        if dataset.id.get_storage_size() < spec.nbytes:
            reject(f"of shape {spec.shape} has fewer bytes than that")
        chunk = math.prod(map(int, dataset.chunks or (0,))) * dataset.dtype.itemsize
        if chunk > os.path.getsize(self.path):
            reject("has chunks larger than the file")

    def _read(self, name):
        dataset = self._file[name]
        array = np.empty(dataset.shape, dataset.dtype)
        if array.size:
            dataset.read_direct(array)
        return array


def write_h5(path, tensors):
    """Writes `{"layers/dense/vars/0": array, ...}` as a .weights.h5 file, completely or not at all.

    bfloat16 is written as float32.
    """
    import h5py

    arrays = prepare_arrays(tensors, widen=True)
    with writing.replacing(path) as temporary, _Disk(temporary, "r+b") as disk:
        with h5py.File(disk, "w") as file:
            for name, array in arrays.items():
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
