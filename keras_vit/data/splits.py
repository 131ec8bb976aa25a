"""A set of images in arrays, and how images are divided into parts."""

from typing import NamedTuple

import numpy as np

from keras_vit import arguments


class Dataset(NamedTuple):
    """Labelled images in a training and a test part.

    Images are uint8, (images, height, width, channels), pixels 0 to 255; labels are int32,
    positions in `class_names`.
    """

    name: str
    class_names: tuple
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def split(labels, seed=0, test_share=0.2):
    """Divides images at random into a training and a test part, each class by itself.

    The test part depends on the labels and on the seed, on nothing else.

    Args:
        labels: class of every image, (images,).
        seed: integer of 0 or more; another one draws another test part.
        test_share: share of every class that is tested; at least one image of each class is
            on either side.

    Returns:
        Two arrays of positions in `labels`: training and test, each in ascending order.

    Raises:
        ValueError: a class has a single image.

    Example:
    >>> train, test = keras_vit.data.split([0, 0, 0, 0, 0, 1, 1, 1, 1, 1], seed=0)
    >>> len(train), len(test)
    (8, 2)
    """
    for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
        if count < 2:
            advice = "Add an image to this class, or leave the class out."
            refuse = "every class must have 2 images or more, one to train on and one to test"
            arguments.refuse(refuse, {"class": int(label), "images": int(count)}, advice)
    return hold_out(labels, seed, test_share)


def hold_out(labels, seed, share):
    """Does what `split` does, but leaves a class of one image wholly to the first part.

    Args:
        labels: class of every image, (images,).
        seed: integer of 0 or more, or a list of such.
        share: share of every class in the second part, as far as whole images allow; at least
            one image of a class, and never the last.

    Returns:
        Two arrays of positions in `labels`, each in ascending order.
    """
    labels, rng, held = np.asarray(labels), np.random.default_rng(seed), []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        number = min(max(round(share * len(members)), 1), len(members) - 1)
        held.append(rng.permutation(members)[:number])
    held = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(labels)), held), held
