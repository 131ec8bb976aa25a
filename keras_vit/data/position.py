"""Where training stands in its images: which epoch, which batch, which images are in it."""

import functools
import hashlib

import numpy as np

from keras_vit import arguments


class Position:
    """The order of the images, a function of (seed, epoch) alone, and a place in it.

    Every iteration over the training images asks `begin` where it starts, and the next one is
    one epoch further. `go_to` sets that place, so a run that was interrupted goes on with the very
    batch that it would have seen.

    An iteration that was left before its last batch was `taken` was a look and does not count: the
    next one begins where it did. Keras takes one batch before training, to see its shapes. (Of an
    epoch with one batch, a look is the whole.)

    All batches have one size, so that a training step is compiled once: the first images of an
    epoch's order come again to fill its last batch.

    Args:
        labels: class of every image, (images,).
        batch_size: images in a batch; all of them where they are fewer.
        seed: integer of 0 or more.
        names: name of every image, such as its file; None for their numbers.
        settings: plain values that a resumed run must share, such as the augmentation.

    Example:
    >>> position = keras_vit.data.Position(labels=[0, 1, 0, 1, 0], batch_size=2, seed=7)
    >>> position.steps_per_epoch, position.begin(), position.begin()
    (3, (0, 0), (0, 0))
    >>> position.taken(epoch=0, step=2)
    >>> position.begin()
    (1, 0)
    >>> position.go_to(epoch=4, step=2)
    >>> position.begin()
    (4, 2)
    """

    def __init__(self, labels, batch_size, seed=0, names=None, settings=None):
        self.labels, self.seed = np.asarray(labels), seed
        self.batch_size = min(batch_size, len(self.labels))
        self.steps_per_epoch = -(-len(self.labels) // self.batch_size)
        self.settings = dict(settings or {})
        self._names = names
        self.order = functools.lru_cache(maxsize=2)(self.order)  # every batch of an epoch asks it
        self.go_to(0)

    def go_to(self, epoch, step=0):
        """Lets the next iteration over the images begin at batch `step` of `epoch`."""
        if not 0 <= step <= self.steps_per_epoch or epoch < 0:
            want = f"an epoch from 0 on and a step from 0 to {self.steps_per_epoch} were expected"
            arguments.refuse(want, {"epoch": epoch, "step": step})
        self.epoch, self.step = int(epoch), int(step)
        self._open = None  # where an iteration began that has not come to its end

    def begin(self):
        """Returns (epoch, step) where an iteration begins; the next one begins an epoch later."""
        begun = self._open or (self.epoch, self.step)
        self.go_to(begun[0] + 1)
        self._open = begun
        return begun

    def taken(self, epoch, step):
        """Notes that a batch has left the pipeline."""
        if self._open is not None and epoch == self._open[0] and step == self.steps_per_epoch - 1:
            self._open = None

    def order(self, epoch):
        """Returns the numbers of an epoch's images, (steps_per_epoch * batch_size,)."""
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.labels))
        return np.resize(order, self.steps_per_epoch * self.batch_size)  # begins again at its end

    def indices(self, epoch, step):
        """Returns the numbers of the images in a batch, (batch_size,)."""
        return self.order(epoch)[step * self.batch_size : (step + 1) * self.batch_size]

    def names(self, epoch, step):
        """Returns the names of the images in a batch."""
        chosen = self.indices(epoch, step)
        return tuple(str(i if self._names is None else self._names[i]) for i in chosen)

    def fingerprint(self):
        """Returns plain values that a run must share with the one that it goes on from."""
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
