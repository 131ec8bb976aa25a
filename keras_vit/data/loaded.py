"""What `load` returns: the parts of a set of images, ready for `model.fit`."""

import functools

import numpy as np

from keras_vit import arguments
from keras_vit.data.batches import FixedBatches, TrainingBatches
from keras_vit.data.position import Position

PARTS = ("train", "validation", "test")


class Data:
    """A set of images in batches. `keras_vit.data.load` makes it.

    Attributes:
        name: of the set.
        class_names: tuple of str; a label is a position in it.
        num_classes: number of classes.
        image_size: (height, width) in pixels.
        num_channels: 1 or 3.
        batch_size: images in a training batch; all of them where they are fewer.
        seed: of order and augmentation.
        augmentation: the `Augmentation` of training images.
        sources: {"train": a `Source`, ...}, parts without images left out.
        position: a `Position`: where the next iteration over `train` begins.
        train: batches of images in random order, varied anew in each epoch: images (batch,
            height, width, channels), uint8, and labels (batch,), int32; where images are mixed
            float32, labels (batch, classes). All batches have the same size.
        validation: all images in their own order, unvaried, uint8 and int32, in batches of
            `batch_size` or, of small images, more; the last one may be smaller. None where there
            are none.
        test: likewise.
    """

    def __init__(
        self, parts, image_size, batch_size, seed, num_channels, augmentation, resize, pipeline
    ):
        self.name, self.class_names = parts.name, tuple(parts.class_names)
        self.num_classes = len(self.class_names)
        self.image_size, self.num_channels, self.seed = image_size, num_channels, seed
        self.augmentation, self.resize, self.pipeline = augmentation, resize, pipeline
        found = {part: getattr(parts, part) for part in PARTS}
        self.sources = {part: source for part, source in found.items() if source is not None}
        train = self.sources["train"]
        settings = {
            "augmentation": augmentation._asdict(),
            "image_size": list(image_size),
            "num_channels": num_channels,
        }
        self.position = Position(train.labels, batch_size, seed, train.names, settings)
        self.batch_size, self.steps_per_epoch = (
            self.position.batch_size,
            self.position.steps_per_epoch,
        )
        self._evaluation_size = _evaluation_size(batch_size, image_size, num_channels)

    @property
    def counts(self):
        """{"train": images, "validation": images, "test": images}."""
        return {part: len(self.sources.get(part, ())) for part in PARTS}

    def labels(self, part):
        """Returns the class of every image of a part, int32 (images,), in source order."""
        arguments.one_of(*PARTS)("part", part)
        return self.sources[part].labels if part in self.sources else np.zeros(0, "int32")

    @functools.cached_property
    def train(self):
        """Training images."""
        return self._shell(self.training_batches)

    @functools.cached_property
    def validation(self):
        """Validation images, or None."""
        return self._evaluation("validation")

    @functools.cached_property
    def test(self):
        """Test images, or None."""
        return self._evaluation("test")

    @functools.cached_property
    def training_batches(self):
        """The `TrainingBatches` behind `train`: any batch of any epoch as NumPy arrays."""
        return TrainingBatches(
            self.sources["train"],
            self.num_classes,
            self.num_channels,
            self.image_size,
            self.augmentation,
            self.position,
        )

    def grid(self, number=16, epoch=0):
        """Draws training images as the model sees them, varied, with their classes.

        Args:
            number: of images, from the first batch.
            epoch: in each one they are varied anew.

        Returns:
            A `matplotlib.figure.Figure`.
        """
        from keras_vit.data.grid import grid

        images, labels = self.training_batches.batch(epoch, 0)
        return grid(images[:number], labels[:number], self.class_names)

    def __repr__(self):
        height, width = self.image_size
        counts = ", ".join(f"{count:,} {part}" for part, count in self.counts.items())
        names = ", ".join(self.class_names[:5]) + (", ..." if self.num_classes > 5 else "")
        changed = {
            name: value
            for name, value in self.augmentation._asdict().items()
            if value != type(self.augmentation)._field_defaults[name]
        }
        varied = ", ".join(f"{name}={value!r}" for name, value in changed.items()) or "not varied"
        colours = "grey" if self.num_channels == 1 else f"{self.num_channels} channels"
        return (
            f"<Data {self.name!r}: {counts}\n"
            f" {self.num_classes} classes: {names}\n"
            f" {height} x {width} pixels, {colours}, batches of "
            f"{self.batch_size}, {self.steps_per_epoch} an epoch, seed {self.seed}\n"
            f" training images: {varied}>"
        )

    def fixed_batches(self, part):
        """Returns the `FixedBatches` of a part: its images as NumPy arrays, unvaried."""
        return FixedBatches(
            self.sources[part],
            self.num_channels,
            self.image_size,
            self._evaluation_size,
            self.resize,
            self.augmentation.interpolation,
        )

    def _evaluation(self, part):
        return self._shell(self.fixed_batches(part)) if part in self.sources else None

    def _shell(self, batches):
        from keras_vit.data import pipelines  # imports Keras, which `keras-vit train` does late

        make = pipelines.tf_dataset if self.pipeline == "tf.data" else pipelines.Loader
        return make(batches)


def _evaluation_size(batch_size, image_size, num_channels):
    """More small images fit into a batch where nothing is learned: up to 512 of 4 MiB."""
    height, width = image_size
    return max(batch_size, min(512, 2**22 // (height * width * num_channels)))
