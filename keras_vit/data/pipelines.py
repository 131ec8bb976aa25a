"""Batches as `model.fit` takes them: two thin shells, with TensorFlow's tf.data or without it.

Either reads ahead on several threads while the model computes. Pillow decodes and resizes outside
of Python's lock, so threads share the work of large images; those of 32 x 32 pixels are mostly
Python, and use one core.
"""

import concurrent.futures
import math
import os
from typing import NamedTuple

import keras
import numpy as np

from keras_vit import backend
from keras_vit.data.batches import ArrayBatches

AHEAD = 2  # batches that wait while the model computes
MEMORY = 2**30  # bytes of batches that are made at the same time, at most


def cores():
    """Returns the number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads(batches):
    """Returns how many batches are made at once: one a core, as far as `MEMORY` allows."""
    shape, dtype = batches.specification[0]
    size = math.prod(shape[1:]) * (shape[0] or batches.batch_size) * np.dtype(dtype).itemsize
    return max(1, min(cores(), batches.steps, MEMORY // size - AHEAD))


def tf_dataset(batches):
    """Returns batches as a `tf.data.Dataset`.

    Args:
        batches: `TrainingBatches` or `FixedBatches`.

    Raises:
        ImportError: TensorFlow is not installed.
    """
    tf = _tensorflow()
    types = [tf.as_dtype(dtype) for _, dtype in batches.specification]

    def steps(_):
        # Asked when an iteration takes its first batch; Keras makes iterators that it never uses.
        place = tf.numpy_function(lambda: np.array(batches.begin(), "int64"), [], tf.int64)
        epoch, first = tf.unstack(tf.ensure_shape(place, (2,)))
        return tf.data.Dataset.range(first, batches.steps).map(lambda step: (epoch, step))

    def batch(epoch, step):
        made = tf.numpy_function(batches.batch, [epoch, step], types, stateful=False)
        for tensor, (shape, _) in zip(made, batches.specification, strict=True):
            tensor.set_shape(shape)
        return epoch, step, *made

    def taken(epoch, step, images, labels):
        with tf.control_dependencies([tf.numpy_function(note, [epoch, step], [])]):
            return tf.identity(images), labels

    def note(epoch, step):
        batches.taken(int(epoch), int(step))

    dataset = tf.data.Dataset.from_tensors(0).flat_map(steps)
    dataset = dataset.map(batch, num_parallel_calls=threads(batches), deterministic=True)
    dataset = dataset.prefetch(AHEAD).map(taken)
    # Keras reads the number of batches once. An epoch that is resumed in its middle has fewer;
    # were the number unknown, Keras would take that one's for all that follow.
    dataset.cardinality = lambda: tf.constant(batches.steps, tf.int64)
    # Where training stands, for whoever is given the pipeline alone.
    dataset.position = getattr(batches, "position", None)
    return dataset


class Loader(keras.utils.PyDataset):
    """Batches as a `keras.utils.PyDataset`, which needs no TensorFlow.

    Args:
        batches: `TrainingBatches` or `FixedBatches`.
    """

    def __init__(self, batches):
        super().__init__()
        self.batches = batches
        self._threads = concurrent.futures.ThreadPoolExecutor(threads(batches))
        self._visit = Visit(0, 0, {})
        self._entered = False

    def __len__(self):
        # Keras asks before an epoch, for all epochs, and at its start, for this one. Only then
        # is an epoch that is resumed in its middle shorter.
        return self.batches.steps - (self._visit.first if self._entered else 0)

    def __getitem__(self, index):
        self._entered = False
        epoch, first, waiting = self._visit
        step = first + index
        for ahead in range(step, min(step + self._ahead, self.batches.steps)):
            if ahead not in waiting:
                waiting[ahead] = self._threads.submit(self.batches.batch, epoch, ahead)
        made = waiting.pop(step).result()
        self.batches.taken(epoch, step)
        return made

    def __iter__(self):
        self.on_epoch_begin()
        for index in range(len(self)):
            yield self[index]

    def on_epoch_begin(self):
        """Goes where `position` stands: Keras calls it at the start of every epoch."""
        self.on_epoch_end()
        self._visit, self._entered = Visit(*self.batches.begin(), {}), True

    def on_epoch_end(self):
        """Gives up what was read ahead and not asked for: Keras calls it after every epoch."""
        for made in self._visit.waiting.values():
            made.cancel()

    @property
    def _ahead(self):
        return threads(self.batches) + AHEAD


class Visit(NamedTuple):
    """One iteration: its epoch, its first batch, and those that are being made."""

    epoch: int
    first: int
    waiting: dict


class Batches(Loader):
    """Images of an array in batches, in an order that depends on (seed, epoch) alone.

    Keras shuffles arrays by itself, but on TensorFlow with a fixed seed it repeats the same order
    in every epoch. Give it to `model.fit` with `shuffle=False`: the shuffling is done here.

    All batches have one size, so that the training step is compiled once: the first images of an
    epoch come again to fill its last batch.

    Args:
        images: (images, height, width, channels).
        labels: (images,).
        batch_size: images in a batch; all of them where they are fewer.
        seed: integer of 0 or more.
        augmentation: an `Augmentation` that varies every image anew in each epoch; None for
            images as they are.

    Example:
    >>> batches = keras_vit.data.Batches(np.zeros((10, 8, 8, 1)), np.arange(10), batch_size=4)
    >>> [len(labels) for images, labels in batches]
    [4, 4, 4]
    """

    def __init__(self, images, labels, batch_size, seed=0, augmentation=None):
        batches = ArrayBatches(images, labels, batch_size, seed, augmentation)
        super().__init__(batches)
        self.position = batches.position

    @property
    def epoch(self):
        """The epoch that is being shown."""
        return self._visit.epoch


def _tensorflow():
    try:
        import tensorflow as tf
    except ImportError as error:
        raise ImportError(
            "tf.data needs TensorFlow, which is not installed. Run: pip install tensorflow"
        ) from error
    backend.leave_the_gpu()
    return tf
