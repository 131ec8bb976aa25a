"""The order of the training images, and how far an iteration over them has come."""

import functools
import hashlib

import numpy as np

from keras_vit import arguments


class Sampler:
    """Draws the images of every batch. Their order depends only on (seed, epoch).

    Every iteration over the training images calls `begin`, and the next iteration begins one epoch
    later. `go_to` sets where the next iteration begins, so that an interrupted run resumes with
    exactly the batch it would have seen next.

    An iteration that stops before its last batch is delivered does not count: Keras takes one batch
    before training, to infer shapes. (If an epoch has a single batch, this counts.)

    All batches have the same size, so that the training step is compiled once: the last batch is
    filled with the first images of the epoch.

    Args:
        labels: class of every image, (images,).
        batch_size: images per batch; all of them if there are fewer.
        seed: integer of 0 or more.
        names: name of every image, such as its file; None for the indices.
        settings: plain values that a resumed run must share, such as the augmentation.

    Example:
    >>> sampler = keras_vit.data.Sampler(labels=[0, 1, 0, 1, 0], batch_size=2, seed=7)
    >>> sampler.steps_per_epoch, sampler.begin(), sampler.begin()
    (3, (0, 0), (0, 0))
    >>> sampler.mark_delivered(epoch=0, step=2)
    >>> sampler.begin()
    (1, 0)
    >>> sampler.go_to(epoch=4, step=2)
    >>> sampler.begin()
    (4, 2)
    """

    def __init__(self, labels, batch_size, seed=0, names=None, settings=None):
        self.labels, self.seed = np.asarray(labels), seed
        self.batch_size = min(batch_size, len(self.labels))
        self.steps_per_epoch = -(-len(self.labels) // self.batch_size)
        self.settings = dict(settings or {})
        self._names = names
        self.order = functools.lru_cache(maxsize=2)(self.order)  # called for every batch
        self.draw = functools.lru_cache(maxsize=2)(self.draw)
        self.go_to(0)
        self.begun = 0, 0  # epoch and step where the present iteration began

    def go_to(self, epoch, step=0):
        """Lets the next iteration over the images begin at batch `step` of `epoch`."""
        if not 0 <= step <= self.steps_per_epoch or epoch < 0:
            expected = f"the epoch must be 0 or more, and the step 0 to {self.steps_per_epoch}"
            advice = "A later step belongs to the next epoch."
            arguments.refuse(expected, {"epoch": epoch, "step": step}, advice)
        self.epoch, self.step = int(epoch), int(step)
        self._unfinished = None  # where an iteration began that has not ended

    def begin(self):
        """Returns (epoch, step) where an iteration begins; the next one begins an epoch later."""
        self.begun = self._unfinished or (self.epoch, self.step)
        self.go_to(self.begun[0] + 1)
        self._unfinished = self.begun
        return self.begun

    def mark_delivered(self, epoch, step):
        """Records that a batch has left the pipeline."""
        is_last = step == self.steps_per_epoch - 1
        if self._unfinished is not None and epoch == self._unfinished[0] and is_last:
            self._unfinished = None

    def order(self, epoch):
        """Returns the indices of an epoch's images, (steps_per_epoch * batch_size,)."""
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.labels))
        return np.resize(order, self.steps_per_epoch * self.batch_size)  # repeats its beginning

    def indices(self, epoch, step):
        """Returns the indices of the images in a batch, (batch_size,)."""
        return self.order(epoch)[step * self.batch_size : (step + 1) * self.batch_size]

    def draw(self, epoch, count):
        """Returns random numbers in [0, 1), float32 (images, count), for an epoch's augmentation.

        Row i depends only on (seed, epoch, i): the rows are drawn one after another.
        """
        generator = np.random.Generator(np.random.Philox([self.seed, epoch]))
        return generator.random((len(self.labels), count), "float32")

    def names(self, epoch, step):
        """Returns the names of the images in a batch."""
        names = self._names if self._names is not None else range(len(self.labels))
        return tuple(str(names[index]) for index in self.indices(epoch, step))

    def fingerprint(self):
        """Returns plain values that a resumed run must share with the interrupted one."""
        images = hashlib.sha256(np.ascontiguousarray(self.labels, "int64").tobytes())
        for name in self._names if self._names is not None else ():
            images.update(str(name).encode("utf-8", "surrogateescape") + b"\0")
        return {
            "images": len(self.labels),
            "batch_size": self.batch_size,
            "seed": self.seed,
            "names_and_labels": images.hexdigest(),
            **self.settings,
        }
