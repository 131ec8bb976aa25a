"""Wraps batches for `model.fit`: as a `tf.data.Dataset` or as a `keras.utils.PyDataset`.

Both prefetch on several threads while the model computes. Pillow decodes and resizes without
Python's lock, so threads share the work of large images. Small images are augmented by NumPy, a
batch at a time; for them `Loader` is faster, since tf.data copies each batch twice.
"""

import concurrent.futures
import math
import time

import keras
import numpy as np

from keras_vit import backend
from keras_vit.data.batching import ArrayBatches
from keras_vit.environment import cores

AHEAD = 2  # batches to prefetch
MEMORY = 2**30  # largest number of bytes of all batches that are computed at the same time


def count_threads(batches):
    """Returns how many batches to compute at once: one per core if `MEMORY` allows."""
    shape, dtype = batches.specification[0]
    size = math.prod(shape[1:]) * (shape[0] or batches.batch_size) * np.dtype(dtype).itemsize
    return max(1, min(cores(), batches.steps, MEMORY // size - AHEAD))


def tf_dataset(batches):
    """Returns `TrainingBatches` or `FixedBatches` as a `tf.data.Dataset`."""
    tf = _import_tensorflow()
    types = [tf.as_dtype(dtype) for _, dtype in batches.specification]

    def steps(_):
        # Runs when an iteration takes its first batch: Keras creates iterators it never uses.
        begun = tf.numpy_function(lambda: np.array(batches.begin(), "int64"), [], tf.int64)
        epoch, first = tf.unstack(tf.ensure_shape(begun, (2,)))
        return tf.data.Dataset.range(first, batches.steps).map(lambda step: (epoch, step))

    def batch(epoch, step):
        pair = tf.numpy_function(batches.batch, [epoch, step], types, stateful=False)
        for tensor, (shape, _) in zip(pair, batches.specification, strict=True):
            tensor.set_shape(shape)
        return epoch, step, *pair

    def deliver(epoch, step, images, labels):
        with tf.control_dependencies([tf.numpy_function(mark, [epoch, step], [])]):
            return tf.identity(images), labels

    def mark(epoch, step):
        batches.mark_delivered(int(epoch), int(step))

    dataset = tf.data.Dataset.from_tensors(0).flat_map(steps)
    dataset = dataset.map(batch, num_parallel_calls=count_threads(batches), deterministic=True)
    dataset = dataset.prefetch(AHEAD).map(deliver).with_options(_untuned(tf))
    # Keras reads the number of batches once. An epoch that is resumed in the middle has fewer; if
    # the number were unknown, Keras would assume this smaller one for all later epochs.
    dataset.cardinality = lambda: tf.constant(batches.steps, tf.int64)
    # For callbacks that receive only the pipeline.
    dataset.sampler = getattr(batches, "sampler", None)
    return dataset


def _untuned(tf):
    """Returns options without the thread that tunes a pipeline: here it has nothing to tune.

    TensorFlow 2.21 ends it with each iteration and sometimes waits until its next check, which
    comes at ever longer intervals: up to a minute between two epochs.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return options


class Loader(keras.utils.PyDataset):
    """Batches as a `keras.utils.PyDataset`, which does not need TensorFlow.

    `sampler` is the one of training batches, None for other batches; `waited` is the time in
    seconds spent waiting for batches.
    """

    def __init__(self, batches):
        super().__init__()
        self.batches, self.sampler = batches, getattr(batches, "sampler", None)
        self._ahead = count_threads(batches) + AHEAD
        self._threads = concurrent.futures.ThreadPoolExecutor(self._ahead - AHEAD)
        self._iteration = 0, 0, {}  # epoch, first batch, and {step: future}
        self._due = 0  # index of the batch that follows the last one
        self._entered = False
        self.waited = 0.0

    def __len__(self):
        # Keras calls this twice: before an epoch, for the length of all epochs, and at its start,
        # for its own. Only the second call returns the shorter length of an epoch that is resumed.
        return self.batches.steps - (self._iteration[1] if self._entered else 0)

    def __getitem__(self, index):
        self._entered = False
        epoch, first, pending = self._iteration
        step = first + index
        # Keras may take batches in any order; those read ahead would fill the memory.
        count, self._due = self._ahead if index == self._due else 1, index + 1
        for ahead in range(step, min(step + count, self.batches.steps)):
            if ahead not in pending:
                pending[ahead] = self._threads.submit(self.batches.batch, epoch, ahead)
        begun = time.perf_counter()
        pair = pending.pop(step).result()
        self.waited += time.perf_counter() - begun
        self.batches.mark_delivered(epoch, step)
        return pair

    def __iter__(self):
        self.on_epoch_begin()
        for index in range(len(self)):
            yield self[index]

    def on_epoch_begin(self):
        """Begins an iteration; Keras calls this at the start of every epoch."""
        self.on_epoch_end()
        self._iteration, self._entered = (*self.batches.begin(), {}), True
        self._due = 0

    def on_epoch_end(self):
        """Cancels batches that are no longer needed; Keras calls this after every epoch."""
        for future in self._iteration[2].values():
            future.cancel()


class Batches(Loader):
    """Images of an array in batches, in an order that depends only on (seed, epoch).

    Keras also shuffles arrays, but with a fixed seed on TensorFlow it repeats the same order in
    every epoch. Use `model.fit(batches, shuffle=False)`: the batches are shuffled already. All have
    the same size, so that the training step is compiled once: the last one is filled with the first
    images.

    Args:
        images: (images, height, width, channels).
        labels: (images,).
        batch_size: images per batch; all of them if there are fewer.
        seed: non-negative integer.
        augmentation: an `Augmentation`, or the name of one, that is applied anew in each epoch;
            None for none.

    Example:
    >>> batches = keras_vit.data.Batches(np.zeros((10, 8, 8, 1)), np.arange(10), batch_size=4)
    >>> [len(labels) for images, labels in batches]
    [4, 4, 4]
    """

    def __init__(self, images, labels, batch_size, seed=0, augmentation=None):
        super().__init__(ArrayBatches(images, labels, batch_size, seed, augmentation))

    @property
    def epoch(self):
        """The epoch of the current iteration."""
        return self._iteration[0]


def _import_tensorflow():
    try:
        import tensorflow as tf
    except ImportError as error:
        raise ImportError(
            "tf.data needs TensorFlow, which is not installed. Run: pip install tensorflow, or use "
            'pipeline="keras".'
        ) from error
    backend.leave_the_gpu()
    return tf
