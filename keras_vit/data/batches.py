"""Batches as NumPy arrays. What is in one depends on (seed, epoch, step) and on nothing else."""

import math

import numpy as np

from keras_vit.data import mixing, prepare, quick
from keras_vit.data.augmentation import augment
from keras_vit.data.images import in_mode
from keras_vit.data.position import Position

# An image is decoded to at least three times the size that it is then resized to. The mean pixel
# is then within 0.5 of 255 of what all pixels give; another filter of the resize changes it by 2.5.
SPARE = 3.0
MIXING = 1  # sets the random numbers of a batch's mixing apart from those of its images


class TrainingBatches:
    """Batches of a source in random order, every image varied anew in each epoch.

    All random numbers of an image come from a generator of (seed, epoch, number of the image):
    they are the same whatever was done before, and on however many threads.

    Args:
        source: a `Source`.
        num_classes: number of classes.
        num_channels: 1 for grey, 3 for colours.
        image_size: (height, width).
        augmentation: an `Augmentation`.
        position: a `Position`.
    """

    def __init__(self, source, num_classes, num_channels, image_size, augmentation, position):
        self.source, self.num_classes, self.image_size = source, num_classes, image_size
        self.mode = _mode(num_channels)
        self.augmentation, self.position = augmentation, position
        self.smallest = smallest(image_size, augmentation)
        self._quick = quick.suffices(augmentation)
        images = (position.batch_size, *image_size, num_channels)
        labels = (position.batch_size, *([num_classes] if augmentation.mixes else []))
        types = ("float32", "float32") if augmentation.mixes else ("uint8", "int32")
        self.specification = ((images, types[0]), (labels, types[1]))
        self.begin, self.taken = position.begin, position.taken

    @property
    def steps(self):
        """Batches of a whole epoch."""
        return self.position.steps_per_epoch

    def batch(self, epoch, step):
        """Returns (images, labels): uint8 and int32, or float32 both where images are mixed."""
        numbers = self.position.indices(epoch, step)
        images = np.stack([self.image(epoch, number) for number in numbers])
        labels = self.source.labels[numbers]
        if not self.augmentation.mixes:
            return images, labels
        rng = np.random.default_rng([self.position.seed, epoch, step, MIXING])
        return mixing.mix(images, labels, self.num_classes, self.augmentation, rng)

    def image(self, epoch, number):
        """Returns image `number` as `epoch` shows it, uint8 (height, width, channels)."""
        rng = np.random.default_rng([self.position.seed, epoch, number])
        pixels = self.source.pixels(number) if self._quick else None
        if pixels is not None and pixels.shape == self.specification[0][0][1:]:
            return quick.train(pixels, self.augmentation, rng)
        image = in_mode(self.source.image(number, self.smallest), self.mode)
        return prepare.train(image, self.image_size, self.augmentation, rng)


class ArrayBatches:
    """Batches of images in one array, in random order, varied anew in each epoch.

    It does with a whole batch at once the little that `keras_vit.data.augment` can do.

    Args:
        images: (images, height, width, channels).
        labels: (images,).
        batch_size: images in a batch; all of them where they are fewer.
        seed: integer of 0 or more.
        augmentation: an `Augmentation`, or None.
    """

    def __init__(self, images, labels, batch_size, seed, augmentation):
        self.images, self.labels, self.augmentation = images, labels, augmentation
        changes = augmentation._asdict() if augmentation is not None else None
        settings = {"augmentation": changes}
        self.position = Position(labels, batch_size, seed, settings=settings)
        self.steps, self.batch_size = self.position.steps_per_epoch, self.position.batch_size
        self.specification = [
            ((self.batch_size, *array.shape[1:]), array.dtype)
            for array in (np.asarray(images), np.asarray(labels))
        ]
        self.begin, self.taken = self.position.begin, self.position.taken

    def batch(self, epoch, step):
        """Returns (images, labels)."""
        chosen = self.position.indices(epoch, step)
        images = self.images[chosen]
        if self.augmentation is not None:
            rng = np.random.default_rng([self.position.seed, epoch, step])
            images = augment(images, self.augmentation, rng)
        return images, self.labels[chosen]


class FixedBatches:
    """Batches of a source in its own order, images as they are; the last batch may be smaller.

    Args:
        source: a `Source`.
        num_channels: 1 for grey, 3 for colours.
        image_size: (height, width).
        batch_size: images in a batch.
        resize: as in `prepare.evaluate`.
        interpolation: likewise.
    """

    def __init__(self, source, num_channels, image_size, batch_size, resize, interpolation):
        self.source, self.mode, self.image_size = source, _mode(num_channels), image_size
        self.resize, self.interpolation = resize, interpolation
        self.batch_size = min(batch_size, len(source))
        self.steps = -(-len(source) // self.batch_size)
        self.smallest = enlarged(image_size, SPARE * prepare.CROP_RATIO)
        size = self.batch_size if len(source) % self.batch_size == 0 else None
        self.specification = (((size, *image_size, num_channels), "uint8"), ((size,), "int32"))

    def begin(self):
        """Returns (0, 0): every iteration is the same."""
        return 0, 0

    def taken(self, epoch, step):
        """Takes no notice."""

    def batch(self, epoch, step):
        """Returns (images, labels), uint8 and int32; `epoch` is ignored."""
        numbers = range(len(self.source))[step * self.batch_size : (step + 1) * self.batch_size]
        images = np.stack([self.image(number) for number in numbers])
        return images, self.source.labels[numbers.start : numbers.stop]

    def image(self, number):
        """Returns image `number`, uint8 (height, width, channels)."""
        image = in_mode(self.source.image(number, self.smallest), self.mode)
        return prepare.evaluate(image, self.image_size, self.resize, self.interpolation)


def smallest(image_size, augmentation):
    """Returns the (height, width) that a training image must be decoded to at least.

    With an Inception crop, the smallest crop must still have as many pixels as the model gets.
    """
    if augmentation.crop is None:
        return enlarged(image_size, SPARE)
    return enlarged(image_size, math.sqrt(prepare.ASPECTS[1] / augmentation.crop[0]))


def enlarged(size, factor):
    """Returns (height, width) times a factor, rounded up."""
    return tuple(math.ceil(factor * side) for side in size)


def _mode(num_channels):
    return "L" if num_channels == 1 else "RGB"
