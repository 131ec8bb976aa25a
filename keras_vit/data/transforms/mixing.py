"""Mixup and CutMix: the images of a batch are mixed, and their labels in the same proportion."""

import math

import numpy as np

from keras_vit import arguments

SWITCH = 0.5  # probability of CutMix if both are on (DeiT, arXiv:2012.12877, table 9)
PARTS = 256  # mixup adds multiples of 1/256 of two images, so that integers suffice


def mix(images, labels, num_classes, augmentation, rng):
    """Mixes every image of a batch with the one before it, the first with the last.

    One share is drawn for the whole batch, as in the official code and in DeiT. Mixup
    (arXiv:1710.09412) adds two images in this proportion, drawn from Beta(alpha, alpha) and rounded
    to 1/256; the image itself gets the larger share. CutMix (arXiv:1905.04899) replaces a
    rectangle, and labels follow the area it covers after clipping. If both are on, each batch gets
    one of them at random.

    Args:
        images: uint8 (batch, height, width, channels).
        labels: class of every image, (batch,).
        num_classes: number of classes.
        augmentation: an `Augmentation`; if `mixup` and `cutmix` are 0, nothing is mixed.
        rng: a NumPy random generator.

    Returns:
        uint8 images of the same shape, and float32 labels (batch, num_classes) whose rows sum to 1.

    Raises:
        ValueError: a label is not a class, or images and labels differ in number.

    Example:
    >>> images = np.array([0, 100, 200], "uint8").reshape(3, 1, 1, 1)
    >>> settings, rng = keras_vit.data.Augmentation(mixup=0.2), np.random.default_rng(0)
    >>> images, labels = keras_vit.data.transforms.mixing.mix(images, [0, 1, 2], 3, settings, rng)
    >>> labels.sum(axis=1)
    array([1., 1., 1.], dtype=float32)
    """
    classes = one_hot(labels, num_classes)
    if len(images) != len(classes):
        received = {"images": len(images), "labels": len(classes)}
        arguments.refuse(
            "there must be one label for every image",
            received,
            "Pass all images and labels of a batch.",
        )
    mixup, cutmix, share = augmentation.mixup, augmentation.cutmix, 1.0
    if cutmix and (not mixup or rng.random() < SWITCH):
        images, share = cut(images, rng.beta(cutmix, cutmix), rng)
    elif mixup:
        share = rng.beta(mixup, mixup)
        share = round(PARTS * max(share, 1 - share)) / PARTS
        images = blend(images, share)
    return images, np.float32(share) * classes + np.float32(1 - share) * np.roll(classes, 1, axis=0)


def one_hot(labels, num_classes):
    """Returns float32 (labels, num_classes), 1 at the class of each label."""
    num_classes = arguments.positive_integer("num_classes", num_classes)
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        received = {"labels": f"{labels.dtype} of shape {labels.shape}"}
        advice = "Pass the class of each image as an integer."
        arguments.refuse("`labels` must be integers of shape (batch,)", received, advice)
    invalid = labels[(labels < 0) | (labels >= num_classes)]
    if len(invalid):
        expected = f"labels must be classes from 0 to {num_classes - 1}"
        received = {"label": int(invalid[0]), "num_classes": num_classes}
        arguments.refuse(expected, received, "Correct the label, or increase num_classes.")
    return np.eye(num_classes, dtype="float32")[labels]


def blend(images, share):
    """Returns uint8 images: `share` of each, to 1/256, and the rest of the one before it."""
    own = np.uint16(round(PARTS * share))
    mixed = np.empty_like(images)
    for i in range(len(images)):  # one by one: an image stays in the processor's cache
        total = np.multiply(images[i], own, dtype="uint16")
        total += np.multiply(images[i - 1], np.uint16(PARTS) - own, dtype="uint16")
        total += np.uint16(PARTS // 2)
        mixed[i] = total >> np.uint16(8)
    return mixed


def cut(images, share, rng):
    """Replaces one rectangle of every image with that of the image before it.

    Returns the images, and the share of the pixels that is kept: `share` unless the rectangle is
    clipped at the edges.
    """
    height, width = images.shape[1:3]
    rows, columns = draw_box(height, width, share, rng)
    mixed = images.copy()
    mixed[:, rows, columns] = np.roll(images[:, rows, columns], 1, axis=0)
    covered = (rows.stop - rows.start) * (columns.stop - columns.start)
    return mixed, 1 - covered / (height * width)


def draw_box(height, width, share, rng):
    """Draws CutMix's rectangle as two slices: the image's proportions, a random center, clipped."""
    box = []
    for side in (height, width):
        length = int(side * math.sqrt(1 - share))
        start = int(rng.integers(side)) - length // 2
        box.append(slice(max(start, 0), min(start + length, side)))
    return box
