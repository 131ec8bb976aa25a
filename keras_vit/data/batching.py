"""Batches as NumPy arrays; their content depends only on (seed, epoch, step)."""

import math

import numpy as np

from keras_vit.data.images import convert
from keras_vit.data.sampler import Sampler
from keras_vit.data.transforms import image_transforms, mixing
from keras_vit.data.transforms.augmentation import augment

# An image is decoded at three times the size it is resized to, or more. The mean pixel is then
# within 0.5 of 255 of a full decoding; another filter of the resize changes it by 2.5.
OVERSAMPLING = 3.0
MIXING = 1  # separates the random numbers of a batch's mixing from those of its images


class TrainingBatches:
    """Batches of a `Source` in random order, every image augmented anew in each epoch.

    The random numbers of an image come from a generator seeded with (seed, epoch, index), so they
    depend neither on earlier batches nor on the number of threads.
    """

    def __init__(self, source, num_classes, num_channels, image_size, augmentation, sampler):
        self.source, self.num_classes, self.image_size = source, num_classes, image_size
        self.augmentation, self.sampler = augmentation, sampler
        self.mode = "L" if num_channels == 1 else "RGB"
        self.steps = sampler.steps_per_epoch
        factor = OVERSAMPLING
        if augmentation.crop:  # the smallest crop still has as many pixels as the model's input
            factor = math.sqrt(image_transforms.ASPECTS[1] / augmentation.crop[0])
        self.smallest = scale(image_size, factor)
        images = (sampler.batch_size, *image_size, num_channels)
        labels = (sampler.batch_size, *([num_classes] if augmentation.mixes else []))
        types = ("float32", "float32") if augmentation.mixes else ("uint8", "int32")
        self.specification = ((images, types[0]), (labels, types[1]))
        self.begin, self.mark_delivered = sampler.begin, sampler.mark_delivered

    def batch(self, epoch, step):
        """Returns (images, labels): uint8 and int32, or both float32 if images are mixed."""
        indices = self.sampler.indices(epoch, step)
        images = np.stack([self.image(epoch, index) for index in indices])
        labels = self.source.labels[indices]
        if not self.augmentation.mixes:
            return images, labels
        rng = np.random.default_rng([self.sampler.seed, epoch, step, MIXING])
        return mixing.mix(images, labels, self.num_classes, self.augmentation, rng)

    def image(self, epoch, index):
        """Returns an image as augmented in `epoch`, uint8 (height, width, channels)."""
        rng = np.random.default_rng([self.sampler.seed, epoch, index])
        pixels = self.source.pixels(index)
        if pixels is not None and pixels.shape == self.specification[0][0][1:]:
            if not self.augmentation.crop:  # nothing to resize
                return image_transforms.augment_pixels(pixels, self.augmentation, rng)
        image = convert(self.source.image(index, self.smallest), self.mode)
        return image_transforms.augment_image(image, self.image_size, self.augmentation, rng)


class ArrayBatches:
    """Batches of images in one array, in random order, augmented anew in each epoch.

    A whole batch is augmented at once, with the fields that `keras_vit.data.augment` supports.
    The arguments are those of `keras_vit.data.Batches`.
    """

    def __init__(self, images, labels, batch_size, seed, augmentation):
        self.images, self.labels, self.augmentation = images, labels, augmentation
        fields = augmentation._asdict() if augmentation is not None else None
        self.sampler = Sampler(labels, batch_size, seed, settings={"augmentation": fields})
        self.steps, self.batch_size = self.sampler.steps_per_epoch, self.sampler.batch_size
        self.specification = [
            ((self.batch_size, *array.shape[1:]), array.dtype)
            for array in (np.asarray(images), np.asarray(labels))
        ]
        self.begin, self.mark_delivered = self.sampler.begin, self.sampler.mark_delivered

    def batch(self, epoch, step):
        """Returns (images, labels)."""
        indices = self.sampler.indices(epoch, step)
        images = self.images[indices]
        if self.augmentation is not None:
            rng = np.random.default_rng([self.sampler.seed, epoch, step])
            images = augment(images, self.augmentation, rng)
        return images, self.labels[indices]


class FixedBatches:
    """Batches of a `Source` in its own order, not augmented; the last batch may be smaller.

    `resize` and `interpolation` are those of `keras_vit.data.transforms.resize_image`.
    """

    def __init__(self, source, num_channels, image_size, batch_size, resize, interpolation):
        self.source, self.image_size = source, image_size
        self.mode = "L" if num_channels == 1 else "RGB"
        self.resize, self.interpolation = resize, interpolation
        self.batch_size = min(batch_size, len(source))
        self.steps = -(-len(source) // self.batch_size)
        self.smallest = scale(image_size, OVERSAMPLING * image_transforms.CROP_RATIO)
        size = self.batch_size if len(source) % self.batch_size == 0 else None
        self.specification = (((size, *image_size, num_channels), "uint8"), ((size,), "int32"))

    def begin(self):
        """Returns (0, 0): every iteration is the same."""
        return 0, 0

    def mark_delivered(self, epoch, step):
        """Does nothing: nothing is kept between epochs."""

    def batch(self, epoch, step):
        """Returns (images, labels), uint8 and int32; `epoch` is ignored."""
        indices = range(len(self.source))[step * self.batch_size : (step + 1) * self.batch_size]
        images = np.stack([self.image(index) for index in indices])
        return images, self.source.labels[indices.start : indices.stop]

    def image(self, index):
        """Returns an image, uint8 (height, width, channels)."""
        image = convert(self.source.image(index, self.smallest), self.mode)
        return image_transforms.resize_image(
            image, self.image_size, self.resize, self.interpolation
        )


def scale(size, factor):
    """Returns (height, width) times a factor, rounded up."""
    return tuple(math.ceil(factor * side) for side in size)
