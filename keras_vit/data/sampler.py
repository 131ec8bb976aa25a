"""The order of the training images, and the progress of an iteration over them."""

import functools
import hashlib
import threading

import numpy as np

from keras_vit import arguments

SAMPLINGS = ("shuffled", "balanced")
TURNS = 2  # separates the random numbers of a class from those of an epoch


class Sampler:
    """Draws the images of every batch. Their order depends only on (seed, epoch).

    Every iteration over the training images calls `begin`, and the next iteration begins one epoch
    later. `go_to` sets where the next iteration begins, so that an interrupted run resumes with
    exactly the batch it would have seen next.

    An iteration that stops before its last batch is delivered does not count: Keras takes one batch
    before training, to infer shapes. (If an epoch has a single batch, this counts.)

    All batches have the same size, so that the training step is compiled once: the last batch is
    filled with the first images of the epoch.

    With `sampling="balanced"` an epoch has the same number of images, drawn so that all classes are
    equally frequent, to within one image. Over the epochs, the images of a class take turns: none
    is repeated before all of its class have been drawn. A class without images is left out.

    Args:
        labels: class of every image, (images,).
        batch_size: images per batch; all of them if there are fewer.
        seed: non-negative integer.
        names: name of every image, such as its file; None for the indices.
        settings: plain values that a resumed run must share, such as the augmentation.
        sampling: "shuffled", every image once in an epoch, or "balanced", every class equally
            often.

    Raises:
        ValueError: an argument is invalid.

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
    >>> balanced = keras_vit.data.Sampler([0, 0, 0, 0, 0, 1], batch_size=6, sampling="balanced")
    >>> np.bincount(balanced.labels[balanced.indices(epoch=0, step=0)])
    array([3, 3])
    """

    def __init__(self, labels, batch_size, seed=0, names=None, settings=None, sampling="shuffled"):
        arguments.one_of(*SAMPLINGS)("sampling", sampling)
        self.labels, self.sampling = np.asarray(labels), sampling
        if self.labels.ndim != 1 or not len(self.labels):
            received = {"labels shape": self.labels.shape}
            advice = "Convert one-hot labels with labels.argmax(axis=1)."
            arguments.refuse("there must be one label for each image", received, advice)
        self.seed = arguments.natural_number("seed", seed)
        size = arguments.positive_integer("batch_size", batch_size)
        self.batch_size = min(size, len(self.labels))
        self.steps_per_epoch = -(-len(self.labels) // self.batch_size)
        self.settings = dict(settings or {})
        if sampling != "shuffled":  # states of earlier runs do not have the setting
            self.settings["sampling"] = sampling
        self._names = names
        self.order, self.draw = _keep(self.order), _keep(self.draw)  # called for every batch
        self.go_to(0)
        self.begun = 0, 0  # epoch and step at which the current iteration began

    def go_to(self, epoch, step=0):
        """Makes the next iteration over the images begin at batch `step` of `epoch`."""
        if not 0 <= step <= self.steps_per_epoch or epoch < 0:
            expected = f"the epoch must be 0 or more, and the step 0 to {self.steps_per_epoch}"
            advice = "A later step belongs to the next epoch."
            arguments.refuse(expected, {"epoch": epoch, "step": step}, advice)
        past, step = divmod(int(step), self.steps_per_epoch)  # after the last step, the next epoch
        self.epoch, self.step = int(epoch) + past, step
        self._unfinished = None  # start of the unfinished iteration

    @property
    def place(self):
        """(epoch, step) at which the next iteration begins."""
        return self._unfinished or (self.epoch, self.step)

    def begin(self):
        """Returns the first (epoch, step) of an iteration; the next one begins an epoch later."""
        self.begun = self.place
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
        count = self.steps_per_epoch * self.batch_size
        rng = np.random.default_rng([self.seed, epoch])
        if self.sampling == "balanced":
            return self._balanced_order(epoch, count, rng)
        order = rng.permutation(len(self.labels))
        return np.resize(order, count)  # repeats the beginning of the order

    def _balanced_order(self, epoch, count, rng):
        """Returns `count` indices: equally many from every class, then shuffled."""
        classes = np.unique(self.labels)
        each = -(-count // len(classes))
        drawn = np.stack([self._turns(c, epoch * each, each) for c in classes], axis=1)
        rounds = rng.permuted(drawn, axis=1)  # the last round may be incomplete
        return rng.permutation(rounds.ravel()[:count])

    def _turns(self, label, start, count):
        """Returns `count` images of a class from an endless sequence of its permutations."""
        images = np.flatnonzero(self.labels == label)
        first, offset = divmod(start, len(images))
        permutations = [
            np.random.default_rng([self.seed, int(label), turn, TURNS]).permutation(images)
            for turn in range(first, first + -(-(offset + count) // len(images)))
        ]
        return np.concatenate(permutations)[offset : offset + count]

    def indices(self, epoch, step):
        """Returns the indices of the images in a batch, (batch_size,)."""
        return self.order(epoch)[step * self.batch_size : (step + 1) * self.batch_size]

    def draw(self, epoch, count):
        """Returns random numbers in [0, 1), float32 (images, count), for an epoch's augmentation.

        Row i depends only on (seed, epoch, i): the rows are drawn one after another.
        """
        generator = np.random.Generator(np.random.Philox([self.seed, epoch]))
        rows = self.steps_per_epoch * self.batch_size
        return generator.random((rows, count), "float32")

    def draws(self, epoch, step, count):
        """Returns the rows of `draw` for a batch, (batch_size, count).

        An image uses the row at its index. If classes are balanced, an image may be repeated in an
        epoch and is augmented differently each time: it uses the row at its place in the epoch.
        """
        if self.sampling == "balanced":
            rows = slice(step * self.batch_size, (step + 1) * self.batch_size)
        else:
            rows = self.indices(epoch, step)
        return self.draw(epoch, count)[rows]

    def names(self, epoch, step):
        """Returns the names of the images in a batch."""
        names = self._names if self._names is not None else range(len(self.labels))
        return tuple(str(names[index]) for index in self.indices(epoch, step))

    def fingerprint(self):
        """Returns plain values that a resumed run must share with the interrupted one."""
        return {
            "images": len(self.labels),
            "batch_size": self.batch_size,
            "seed": self.seed,
            "names_and_labels": digest(self.labels, self._names),
            **self.settings,
        }


def _keep(function):
    """Returns a function that keeps its last two arrays; only one thread computes each of them."""
    kept, lock = functools.lru_cache(maxsize=2)(function), threading.Lock()

    def look_up(*arguments):
        with lock:
            array = kept(*arguments)
        array.flags.writeable = False  # a change would be seen by all later batches
        return array

    return look_up


def digest(labels, names=None):
    """Returns a short string that changes with the labels and the names of images."""
    images = hashlib.sha256(np.ascontiguousarray(labels, "int64").tobytes())
    for name in names if names is not None else ():
        images.update(str(name).encode("utf-8", "surrogateescape") + b"\0")
    return images.hexdigest()
