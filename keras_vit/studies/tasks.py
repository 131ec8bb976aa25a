"""The images of the studies, as arrays."""

import functools
import os

import numpy as np

from keras_vit import arguments, data

SIDE, DIGIT = 16, 8  # pixels of a canvas, and of the digit on it
PLACES = SIDE - DIGIT + 1  # rows (or columns) at which a digit can start
FOLDER = "KERAS_VIT_DATA"  # environment variable: a folder of images instead of CIFAR-10


def load(name, count, seed=0, part="train"):
    """Returns images and labels of a task.

    Args:
        name: "wandering digits", "digits" or "cifar10".
        count: number of images; None for all.
        seed: seed of the selection; with the same seed, fewer images are the first of more.
        part: "train" or "test".

    Returns:
        uint8 (count, height, width, channels) and int32 (count,).

    Raises:
        ValueError: the task does not exist, or has fewer images.

    Example:
    >>> images, labels = keras_vit.studies.tasks.load("wandering digits", 100)
    >>> images.shape, labels.shape
    ((100, 16, 16, 1), (100,))
    """
    arguments.one_of(*TASKS)("name", name)
    return TASKS[name][0](count, seed, part=part)


def test(name):
    """Returns the test images of a task, the same for all seeds, and their labels."""
    arguments.one_of(*TASKS)("name", name)
    make, count, _ = TASKS[name]
    return make(count, part="test")


def model_arguments(name):
    """Returns the arguments of a model for a task.

    Example:
    >>> keras_vit.studies.tasks.model_arguments("wandering digits")
    {'image_size': (16, 16), 'num_channels': 1, 'num_classes': 10, 'normalize': (20.0, 40.0)}
    """
    images, labels = test(name)
    return {
        "image_size": images.shape[1:3],
        "num_channels": images.shape[3],
        "num_classes": int(labels.max()) + 1,
        "normalize": TASKS[name][2],
    }


def wandering_digits(count, seed=0, classes=range(10), part="train"):
    """Returns real handwritten digits, each at a random position on a canvas of 16 x 16 pixels.

    The digits are those of `keras_vit.data.digits`, with different digits in the test split. Each
    can start at 9 rows and 9 columns, so there are 81 times as many images, and a model must find
    the digit before it can read it. No combination of digit and position is repeated.

    Args:
        count: number of images; None for all, about 116,000 for training.
        seed: seed of digits and positions; with the same seed, fewer images are the first of more.
        classes: the digits to use; a label is an index into them.
        part: "train" or "test".

    Returns:
        uint8 (count, 16, 16, 1) and int32 (count,).

    Raises:
        ValueError: there are fewer images.

    Example:
    >>> images, labels = keras_vit.studies.tasks.wandering_digits(50, classes=(3, 8))
    >>> images.shape, sorted(set(labels.tolist()))
    ((50, 16, 16, 1), [0, 1])
    """
    digits, labels = _digits(part)
    classes = np.asarray(list(classes))
    chosen = np.flatnonzero(np.isin(labels, classes))
    drawn = _first(count, len(chosen) * PLACES**2, seed)
    which, place = np.divmod(drawn, PLACES**2)
    images = np.zeros((len(drawn), SIDE, SIDE, 1), "uint8")
    rows, columns = np.divmod(place, PLACES)
    for image, digit, row, column in zip(images, chosen[which], rows, columns, strict=True):
        image[row : row + DIGIT, column : column + DIGIT] = digits[digit]
    found = (labels[chosen[which], None] == classes).argmax(axis=1)
    return images, found.astype("int32")


def digits(count, seed=0, part="train"):
    """Returns the same digits centered in 8 x 8 pixels.

    Args:
        count: number of images; None for all, 1,438 for training and 359 for the test.
        seed: seed of the selection; with the same seed, fewer images are the first of more.
        part: "train" or "test".

    Returns:
        uint8 (count, 8, 8, 1) and int32 (count,).

    Raises:
        ValueError: there are fewer images.
    """
    images, labels = _digits(part)
    drawn = _first(count, len(labels), seed)
    return images[drawn], labels[drawn]


def cifar10(count, seed=0, part="train"):
    """Returns CIFAR-10, or the images of the folder $KERAS_VIT_DATA, at 32 x 32 pixels.

    CIFAR-10 is downloaded once and read by TensorFlow Datasets. A folder contains the folders train
    and test, each with one folder per class.

    Args:
        count: number of images; None for all.
        seed: seed of the selection; with the same seed, fewer images are the first of more.
        part: "train" or "test".

    Returns:
        uint8 (count, 32, 32, 3) and int32 (count,).

    Raises:
        ImportError: TensorFlow Datasets is not installed and $KERAS_VIT_DATA is not set.
        ValueError: there are fewer images.
    """
    images, labels = _cifar10(os.environ.get(FOLDER), part)
    drawn = _first(count, len(labels), seed)
    return images[drawn], labels[drawn]


# {name: (function, number of test images, (mean, deviation) of the pixels)}. The deviation of the
# digits was chosen among 20 to 250 by the accuracy of a small ViT after 400 steps.
TASKS = {
    "wandering digits": (wandering_digits, 2000, (20.0, 40.0)),
    "digits": (digits, None, (75.0, 100.0)),
    "cifar10": (cifar10, None, (120.0, 64.0)),
}


def _first(count, number, seed):
    """Returns the first `count` of `number` positions in random order."""
    if count is not None and not 1 <= count <= number:
        want = f"`count` must be 1 to {number:,}, the number of all images, or None"
        arguments.refuse(want, {"count": count})
    return np.random.default_rng(seed).permutation(number)[:count]


@functools.cache
def _digits(part):
    arguments.one_of("train", "test")("part", part)
    found = data.digits()  # the split is always that of seed 0
    return (
        (found.train_images, found.train_labels)
        if part == "train"
        else (found.test_images, found.test_labels)
    )


@functools.cache
def _cifar10(folder, part):
    arguments.one_of("train", "test")("part", part)
    loaded = data.load(folder or "cifar10", image_size=32, validation_share=0)
    batches = loaded.fixed_batches(part)
    labels = np.asarray(loaded.labels(part), "int32")
    return np.stack([batches.image(i) for i in range(len(labels))]), labels
