"""The training, validation and test split of a dataset, and how missing splits are drawn."""

import numbers
from typing import NamedTuple

import numpy as np

from keras_vit import arguments
from keras_vit.data.sources.source import Source, Subset

SPLITS = ("train", "validation", "test")
VALIDATION_SHARE = 0.1  # of the training images, if nothing else is specified


class Splits(NamedTuple):
    """A dataset: its name, the names of its classes, and a `Source` or None for each split."""

    name: str
    class_names: tuple
    train: Source
    validation: Source | None
    test: Source | None


def split(labels, seed=0, test_share=0.2):
    """Divides images at random into a training and a test split, stratified by class.

    The result depends only on the labels and the seed.

    Args:
        labels: class of every image, (images,).
        seed: integer of 0 or more; another seed draws another test split.
        test_share: share of every class in the test split; both splits contain at least one
            image of each class.

    Returns:
        Two arrays of indices into `labels`, training and test, each in ascending order.

    Raises:
        ValueError: A class has a single image.

    Example:
    >>> train, test = keras_vit.data.split([0, 0, 0, 0, 0, 1, 1, 1, 1, 1], seed=0)
    >>> len(train), len(test)
    (8, 2)
    """
    for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
        if count < 2:
            advice = "Add an image to this class, or remove the class."
            expected = "every class must have 2 images or more, one to train on and one to test"
            arguments.refuse(expected, {"class": int(label), "images": int(count)}, advice)
    return hold_out(labels, seed, test_share)


def hold_out(labels, seed, share):
    """Divides images like `split`, but a class with a single image stays in the first part.

    Args:
        labels: class of every image, (images,).
        seed: integer of 0 or more, or a list of them.
        share: share of every class in the second part, rounded to whole images; at least one
            image of a class, but never all.

    Returns:
        Two arrays of indices into `labels`, each in ascending order.
    """
    labels, rng, held = np.asarray(labels), np.random.default_rng(seed), []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        number = min(max(round(share * len(members)), 1), len(members) - 1)
        held.append(rng.permutation(members)[:number])
    held = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(labels)), held), held


def draw_missing(splits, seed=0, validation_share=None, test_share=0.2):
    """Returns `Splits` whose missing splits are drawn from the training images."""
    validation_share = VALIDATION_SHARE if validation_share is None else validation_share
    shares = {"test": test_share, "validation": validation_share}
    for number, (name, share) in enumerate(shares.items()):
        if getattr(splits, name) is None and share:
            rest, drawn = divide(splits.train, [seed, number], share)
            splits = splits._replace(**{"train": rest, name: drawn})
    return splits


def divide(source, seed, share):
    """Divides a `Source` with `hold_out`; the second part is None if no image can be held out."""
    first, second = hold_out(source.labels, seed, share)
    return (Subset(source, first), Subset(source, second)) if len(second) else (source, None)


def check_share(name, value):
    """Returns a share of the images as a `float`, or raises `ValueError` unless 0 <= it < 1."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number or not 0 <= value < 1:
        advice = f"{name}=0.1 holds out a tenth, {name}=0 nothing."
        expected = f"`{name}` must be a number of at least 0 and less than 1"
        arguments.refuse(expected, {name: value}, advice)
    return float(value)
