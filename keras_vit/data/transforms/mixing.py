"""Mixup and CutMix: the images of a batch are mixed, and their labels in the same proportion."""

import math

import numpy as np

from keras_vit import arguments

SWITCH = 0.5  # probability of CutMix if both are on (DeiT, arXiv:2012.12877, table 9)


def mix(images, labels, num_classes, augmentation, rng):
    """Mixes every image of a batch with the one before it, the first with the last.

    One share is drawn for the whole batch, as in the official code and in DeiT. Mixup
    (arXiv:1710.09412) adds two images in this share, drawn from Beta(alpha, alpha), with the larger
    part for the image itself. CutMix (arXiv:1905.04899) replaces a rectangle, and labels follow the
    area it covers after clipping. If both are on, each batch gets one of them at random.

    Args:
        images: uint8 (batch, height, width, channels).
        labels: class of every image, (batch,).
        num_classes: number of classes.
        augmentation: an `Augmentation`; if `mixup` and `cutmix` are 0, nothing is mixed.
        rng: a NumPy random generator.

    Returns:
        float32 images 0..255 of the same shape, and float32 labels (batch, num_classes) whose rows
        sum to 1.

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
        arguments.refuse("there must be one label for every image", received, "Give both in full.")
    mixup, cutmix = augmentation.mixup, augmentation.cutmix
    if cutmix and (not mixup or rng.random() < SWITCH):
        images, share = cut(images, rng.beta(cutmix, cutmix), rng)
    elif mixup:
        share = rng.beta(mixup, mixup)
        share = max(share, 1 - share)
        images = blend(images, share)
    else:
        return images.astype("float32"), classes
    return images, blend(classes, share)


def one_hot(labels, num_classes):
    """Returns float32 (labels, num_classes), 1 at the class of each label."""
    num_classes = arguments.positive_integer("num_classes", num_classes)
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        received = {"labels": f"{labels.dtype} of shape {labels.shape}"}
        advice = "Give the class of each image as an integer."
        arguments.refuse("`labels` must be integers of shape (batch,)", received, advice)
    invalid = labels[(labels < 0) | (labels >= num_classes)]
    if len(invalid):
        expected = f"labels must be classes from 0 to {num_classes - 1}"
        received = {"label": int(invalid[0]), "num_classes": num_classes}
        arguments.refuse(expected, received, "Correct the label, or increase num_classes.")
    return np.eye(num_classes, dtype="float32")[labels]


def blend(batch, share):
    """Returns float32 rows: `share` of each row, the rest from the row before it."""
    own, other = np.float32(share), np.float32(1 - share)
    mixed = np.empty(batch.shape, "float32")
    for i in range(len(batch)):  # one by one: an image stays in the processor's cache
        np.multiply(batch[i], own, out=mixed[i])
        mixed[i] += batch[i - 1] * other
    return mixed


def cut(images, share, rng):
    """Replaces one rectangle of every image by that of the image before it.

    Returns float32 images, and the share of the pixels that is kept: `share` unless the rectangle
    is clipped at the edges.
    """
    height, width = images.shape[1:3]
    rows, columns = draw_box(height, width, share, rng)
    mixed = images.astype("float32")
    mixed[:, rows, columns] = np.roll(images[:, rows, columns], 1, axis=0)
    covered = (rows.stop - rows.start) * (columns.stop - columns.start)
    return mixed, 1 - covered / (height * width)


def draw_box(height, width, share, rng):
    """Draws CutMix's rectangle as two slices: the image's proportions, its center anywhere."""
    box = []
    for side in (height, width):
        length = int(side * math.sqrt(1 - share))
        start = int(rng.integers(side)) - length // 2
        box.append(slice(max(start, 0), min(start + length, side)))
    return box
