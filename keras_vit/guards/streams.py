"""Every kind of data that Keras takes, and how to check its batches.

A `Watch` is called with every batch on its way to the model. It checks the first one completely and
the labels of the others. The data are neither consumed nor reordered.
"""

import copy
import itertools
import types

import keras
import numpy as np

from keras_vit import arguments
from keras_vit.guards import image_checks
from keras_vit.guards.labels import ROUNDING


class Watch:
    """Checks batches `(images, labels)` as they arrive; `failure` is the error that it raised.

    Args:
        spec: the `ImageSpec` that the model takes.
        labels: the `Labels` that the model takes; None for prediction.
    """

    def __init__(self, spec, labels=None):
        self.spec, self.labels = spec, labels
        self.is_first, self.failure = True, None

    def __call__(self, batch):
        """Checks a batch and returns it."""
        try:
            self.look(batch)
        except Exception as error:
            self.failure = error
            raise
        return batch

    def look(self, batch):
        """Raises `ValueError` unless the model takes this batch."""
        images, labels, _ = unpack(batch)
        if images is not None:
            self.spec.check_shape(images.shape)
            if self.is_first:
                self.spec.check(images)
        self.is_first = False
        if self.labels is not None and self.labels.kind and labels is None:
            advice = "Make the data yield pairs (images, labels)."
            arguments.refuse("labels are needed with the images", {"labels": None}, advice)
        if self.labels is not None and labels is not None:
            self.labels.check(labels)


def unpack(batch):
    """Returns (images, labels, weights) of a batch, each one array or None."""
    parts = keras.utils.unpack_x_y_sample_weight(batch)
    return tuple(None if part is None else image_checks.get_single(part) for part in parts)


def kind(data):
    """Returns the row of `KINDS` for `data`; None for arrays and data that Keras itself refuses."""
    if isinstance(data, types.GeneratorType):
        return "generator"
    for parent in type(data).__mro__:
        for name, (class_names, package, *_) in KINDS.items():
            if parent.__name__ in class_names and parent.__module__.startswith(package):
                return name
    return None


def attach(data, watch):
    """Returns the same data, with `watch` called on every batch."""
    return KINDS[kind(data)][2](data, watch)


def first_batch(data):
    """Returns the first batch, and data that still begin with it."""
    return KINDS[kind(data)][3](data)


def batches(data):
    """Yields the batches of data that are not arrays, once."""
    if kind(data) == "tensorflow":
        yield from data.as_numpy_iterator()
    elif kind(data) == "keras":
        yield from (data[i] for i in range(data.num_batches))
        data.on_epoch_end()
    else:
        yield from data


def length(data):
    """Returns the number of batches, None if it is unknown."""
    try:
        return int(data.cardinality()) if kind(data) == "tensorflow" else len(data)
    except (TypeError, NotImplementedError):
        return None


def shapes(data):
    """Returns the shapes of a batch's images and labels, each None if it is unknown."""
    if kind(data) == "tensorflow":
        found = [getattr(spec, "shape", None) for spec in unpack(data.element_spec)[:2]]
        return tuple(None if s is None or s.rank is None else tuple(s) for s in found)
    # A `PyDataset` of `keras_vit.data` has a specification.
    specification = getattr(getattr(data, "batches", None), "specification", None)
    return tuple(shape for shape, _ in specification) if specification else (None, None)


# --- tf.data -------------------------------------------------------------------------------------


def _watch_tensorflow(dataset, watch):
    """Checks inside the graph; Python is called only for the first batch and for a bad one."""
    import tensorflow as tf

    if not isinstance(dataset, tf.data.Dataset):
        return dataset  # an already distributed dataset cannot be mapped

    def look(index, batch):
        images, labels, weights = unpack(batch)
        if not isinstance(images, tf.Tensor):
            return batch
        # Python checks every batch of unknown shape; gray images may have rank 3 or 4.
        unknown = images.shape.rank is None or None in images.shape[1:]
        unknown = unknown and watch.spec.input_shape[-1] != 1
        good = tf.constant(False) if unknown else index > 0
        arrays, expects = [images], watch.labels
        if expects is not None and expects.kind and isinstance(labels, tf.Tensor):
            if labels.shape.rank is not None:
                expects = expects.of_shape(labels.shape)
            good = good & _all_good(labels, expects)
            arrays.append(labels)

        checked = tf.cond(good, lambda: tf.constant(True), lambda: _ask(watch, arrays))

        def passed(tensor):
            same = tf.identity(tensor)
            if unknown and tensor is images:  # TensorFlow cannot build a model for an unknown shape
                same.set_shape(watch.spec.input_shape)
            elif len(arrays) == 2 and tensor is labels:
                same = _shape_labels(same, expects)
            elif tensor is weights and weights.shape.rank is None:
                same = tf.reshape(same, (-1,))  # one weight for each image
            return same

        with tf.control_dependencies([checked]):
            return tf.nest.map_structure(passed, batch)

    watched = dataset.enumerate().map(look)
    watched.cardinality = dataset.cardinality  # `map` may lose it
    return watched


def _ask(watch, arrays):
    """Shows a batch to `watch`, in Python; returns a tensor."""
    import tensorflow as tf

    def check(*arrays):
        watch(arrays)
        return np.True_

    return tf.numpy_function(check, arrays, tf.bool)


def _shape_labels(labels, expects):
    """Returns checked labels, with the shape that the check guarantees."""
    import tensorflow as tf

    if labels.shape.rank is None and " or " in expects.kind:
        return labels
    if labels.shape.rank is None:
        return tf.reshape(labels, (-1,) if expects.kind == "number" else (-1, expects.width))
    if labels.shape.rank == 2:
        labels.set_shape((None, expects.width))
    return labels


def _all_good(labels, expects):
    """Returns, as a tensor, whether a batch of labels is certainly valid."""
    import tensorflow as tf

    if labels.shape.rank is None or not (labels.dtype.is_integer or labels.dtype.is_floating):
        return tf.constant(False)
    if labels.dtype.is_integer:  # a byte cannot hold a number such as 1000
        labels = tf.cast(labels, "int64")
    shaped = tf.shape(labels)[1] == expects.width if labels.shape.rank == 2 else True
    if expects.kind == "number":
        good = (labels >= 0) & (labels < expects.num_classes) & (labels == labels // 1)
        return shaped & tf.reduce_all(good)
    good = shaped & tf.reduce_all((labels >= 0) & (labels <= 1))
    if expects.kind == "shares":
        sums = tf.reduce_sum(tf.cast(labels, "float32"), -1)
        good = good & tf.reduce_all(tf.abs(sums - 1) <= ROUNDING)
    return good


# --- keras.utils.PyDataset, Grain, generators ----------------------------------------------------


class _WatchedPyDataset(keras.utils.PyDataset):
    """A `PyDataset` that shows every batch to a `Watch`."""

    def __init__(self, data, watch):
        super().__init__(data.workers, data.use_multiprocessing, data.max_queue_size)
        self.data, self.watch = data, watch
        self.on_epoch_begin, self.on_epoch_end = data.on_epoch_begin, data.on_epoch_end

    def __getitem__(self, index):
        return self.watch(self.data[index])

    @property
    def num_batches(self):
        """Number of batches; None for endless data."""
        return self.data.num_batches


def as_tuple(batch):
    """Returns an item of a generator as the tuple that Keras needs, even if it is only images."""
    return (batch,) if hasattr(batch, "shape") else batch


def _random_access_first(data):
    return data[0] if hasattr(data, "__getitem__") else next(iter(data)), data


def _generator_first(generator):
    first = next(generator, None)
    if first is None:
        image_checks.refuse_nothing()
    return first, (batch for batch in itertools.chain([first], generator))


# --- torch.utils.data.DataLoader -----------------------------------------------------------------


class _Collate:
    """Collates a batch and shows it to a `Watch`; a class, so that workers can unpickle it."""

    def __init__(self, collate, watch):
        self.collate, self.watch = collate, watch

    def __call__(self, samples):
        return self.watch(self.collate(samples))


def _watch_torch(loader, watch):
    loader = copy.copy(loader)
    loader.collate_fn = _Collate(loader.collate_fn, watch)
    return loader


def _torch_first(loader):
    """Takes the first images of the dataset itself; iterating would draw from torch's generator."""
    if hasattr(loader.dataset, "__getitem__") and loader.batch_size is not None:
        count = min(loader.batch_size, len(loader.dataset))
        return loader.collate_fn([loader.dataset[i] for i in range(count)]), loader
    return next(iter(loader)), loader


UNORDERED = ("keras", "grain")  # threads may prepare several batches at once, in any order

# name: (class names, package, a watched copy, its first batch)
KINDS = {
    "tensorflow": (
        ("DatasetV2", "DistributedDataset", "DistributedDatasetsFromFunction"),
        "tensorflow.python",
        _watch_tensorflow,
        lambda dataset: (next(iter(dataset.take(1)), None), dataset),
    ),
    "keras": (("PyDataset",), "keras", _WatchedPyDataset, _random_access_first),
    "torch": (("DataLoader",), "torch.utils.data", _watch_torch, _torch_first),
    "grain": (
        ("MapDataset", "IterDataset", "DataLoader"),
        "grain",
        lambda dataset, watch: dataset.map(watch) if hasattr(dataset, "map") else dataset,
        _random_access_first,
    ),
    "generator": (
        (), "", lambda batches, watch: (as_tuple(watch(x)) for x in batches), _generator_first,
    ),
}  # fmt: skip
