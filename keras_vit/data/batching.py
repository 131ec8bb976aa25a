"""Batches as NumPy arrays; their content depends only on (seed, epoch, step)."""

import math

import numpy as np

from keras_vit import arguments
from keras_vit.data.images import CROP_RATIO, convert
from keras_vit.data.sampler import Sampler
from keras_vit.data.transforms import batch_transforms, image_transforms, mixing

# An image is decoded at three times the size that it is resized to, or more. The mean pixel is then
# within 0.5 of 255 of a full decoding; another filter of the resize changes it by 2.5.
OVERSAMPLING = 3.0
MIXING = 1  # separates the random numbers of a batch's mixing from those of its images


class TrainingBatches:
    """Batches of a `Source` in random order, every image augmented anew in each epoch.

    The random numbers of an image are its row in a table that depends on (seed, epoch), so they do
    not depend on earlier batches or on the number of threads.
    """

    def __init__(self, source, num_classes, num_channels, image_size, augmentation, sampler):
        self.source, self.num_classes, self.image_size = source, num_classes, image_size
        self.augmentation, self.sampler = augmentation, sampler
        self.mode = "L" if num_channels == 1 else "RGB"
        self.steps = sampler.steps_per_epoch
        self._draws = sum(batch_transforms.count_draws(augmentation).values())
        factor = OVERSAMPLING
        if augmentation.crop:  # the smallest crop still has as many pixels as the model's input
            factor = math.sqrt(image_transforms.ASPECTS[1] / augmentation.crop[0])
        self.smallest = scale(image_size, factor)
        images = (sampler.batch_size, *image_size, num_channels)
        labels = (sampler.batch_size, *([num_classes] if augmentation.mixes else []))
        self.specification = (
            (images, "uint8"),
            (labels, "float32" if augmentation.mixes else "int32"),
        )
        self.begin, self.mark_delivered = sampler.begin, sampler.mark_delivered

    def batch(self, epoch, step):
        """Returns (images, labels): uint8, and int32 or, if images are mixed, float32."""
        labels = self.source.labels[self.sampler.indices(epoch, step)]
        images = self.images(epoch, step)
        if not self.augmentation.mixes:
            return images, labels
        rng = np.random.default_rng([self.sampler.seed, epoch, step, MIXING])
        return mixing.mix(images, labels, self.num_classes, self.augmentation, rng)

    def images(self, epoch, step):
        """Returns the augmented images before mixing, uint8 (batch, height, width, channels)."""
        indices = self.sampler.indices(epoch, step)
        draws = self.sampler.draws(epoch, step, self._draws)
        images = None if self.augmentation.crop else self.source.pixels(indices)
        shape = (len(indices), *self.specification[0][0][1:])
        if images is None or images.shape != shape:
            images = np.empty(shape, "uint8")
            for pixels, index, drawn in zip(images, indices, draws, strict=True):
                image = convert(self.source.image(index, self.smallest), self.mode)
                settings = self.image_size, self.augmentation, drawn
                image = image_transforms.crop_image(image, *settings)
                pixels[:] = np.asarray(image).reshape(pixels.shape)
        return batch_transforms.apply(images, self.augmentation, draws)


class ArrayBatches:
    """Batches of images in one array, in random order, augmented anew in each epoch.

    The augmentation has the fields that `keras_vit.data.augment` supports. The arguments are those
    of `keras_vit.data.Batches`.
    """

    def __init__(self, images, labels, batch_size, seed, augmentation):
        if np.shape(images)[:1] != np.shape(labels)[:1]:
            received = {"images": np.shape(images), "labels": np.shape(labels)}
            advice = "Pass labels in the order of the images."
            arguments.refuse("there must be one label for each image", received, advice)
        images, labels = np.asarray(images), np.asarray(labels)
        self.images, self.labels, self.augmentation = images, labels, augmentation
        fields = None
        if augmentation is not None:
            self.augmentation = batch_transforms.check_array(images, augmentation)
            fields = self.augmentation._asdict()
        self.sampler = Sampler(labels, batch_size, seed, settings={"augmentation": fields})
        self.steps, self.batch_size = self.sampler.steps_per_epoch, self.sampler.batch_size
        self.specification = [
            ((self.batch_size, *array.shape[1:]), array.dtype) for array in (images, labels)
        ]
        self.begin, self.mark_delivered = self.sampler.begin, self.sampler.mark_delivered

    def batch(self, epoch, step):
        """Returns (images, labels)."""
        indices = self.sampler.indices(epoch, step)
        images = self.images[indices]
        if self.augmentation is not None:
            count = sum(batch_transforms.count_draws(self.augmentation).values())
            draws = self.sampler.draws(epoch, step, count)
            images = batch_transforms.apply(images, self.augmentation, draws)
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
        self.smallest = decoding_size(image_size)
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


def decoding_size(image_size):
    """Returns the smallest (height, width) at which to decode an image before it is resized."""
    return scale(image_size, OVERSAMPLING * CROP_RATIO)


def scale(size, factor):
    """Returns (height, width) times a factor, rounded up."""
    return tuple(math.ceil(factor * side) for side in size)
