"""A set of pictures in two parts, and the order in which training sees them."""

from typing import NamedTuple

import keras
import numpy as np

from keras_vit import arguments
from keras_vit.data.augmentation import augment
from keras_vit.data.position import Position


class Dataset(NamedTuple):
    """Labelled pictures in a training and a test part.

    Pictures are uint8, (pictures, height, width, channels), pixels 0 to 255; labels are int32,
    positions in `class_names`.
    """

    name: str
    class_names: tuple
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def split(labels, seed=0, test_share=0.2):
    """Divides pictures at random into a training and a test part, each class by itself.

    The test part depends on the labels and on the seed, on nothing else.

    Args:
        labels: class of every picture, (pictures,).
        seed: integer of 0 or more; another one draws another test part.
        test_share: share of every class that is tested; at least one picture of each class is
            on either side.

    Returns:
        Two arrays of positions in `labels`: training and test, each in ascending order.

    Raises:
        ValueError: a class has a single picture.

    Example:
    >>> train, test = keras_vit.data.split([0, 0, 0, 0, 0, 1, 1, 1, 1, 1], seed=0)
    >>> len(train), len(test)
    (8, 2)
    """
    labels = np.asarray(labels)
    rng = np.random.default_rng(seed)
    test = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            advice = "Add a picture to this class, or leave the class out."
            refuse = "every class must have 2 pictures or more, one to train on and one to test"
            arguments.refuse(refuse, {"class": int(label), "pictures": len(members)}, advice)
        number = min(max(round(test_share * len(members)), 1), len(members) - 1)
        test.append(rng.permutation(members)[:number])
    test = np.sort(np.concatenate(test))
    return np.setdiff1d(np.arange(len(labels)), test), test


class Batches(keras.utils.PyDataset):
    """Pictures in batches, in an order that depends on (seed, epoch) alone.

    Keras shuffles arrays by itself, but on TensorFlow with a fixed seed it repeats the same order
    in every epoch. Give it to `model.fit` with `shuffle=False`: the shuffling is done here.

    All batches have one size, so that the training step is compiled once: the first pictures of an
    epoch come again to fill its last batch.

    Args:
        images: (pictures, height, width, channels).
        labels: (pictures,).
        batch_size: pictures in a batch; all of them where they are fewer.
        seed: integer of 0 or more.
        augmentation: an `Augmentation` that varies every picture anew in each epoch; None for
            pictures as they are.

    Example:
    >>> batches = keras_vit.data.Batches(np.zeros((10, 8, 8, 1)), np.arange(10), batch_size=4)
    >>> [len(labels) for images, labels in batches]
    [4, 4, 4]
    """

    def __init__(self, images, labels, batch_size, seed=0, augmentation=None):
        super().__init__()
        self.images, self.labels, self.augmentation = images, labels, augmentation
        changes = augmentation._asdict() if augmentation is not None else None
        self.position = Position(labels, batch_size, seed, settings={"augmentation": changes})
        self.epoch, self.first = 0, 0

    def __len__(self):
        return self.position.steps_per_epoch - self.first

    def __getitem__(self, index):
        step = self.first + index
        chosen = self.position.indices(self.epoch, step)
        images = self.images[chosen]
        if self.augmentation is not None:
            rng = np.random.default_rng([self.position.seed, self.epoch, step])
            images = augment(images, self.augmentation, rng)
        return images, self.labels[chosen]

    def on_epoch_begin(self):
        """Goes where `position` stands: Keras calls it at the start of every epoch."""
        self.epoch, self.first = self.position.begin()
