"""Images that are arrays in memory or in an npz file."""

import pathlib
import re
import zipfile
import zlib

import numpy as np

from keras_vit import arguments
from keras_vit.data.sources.source import ArraySource, Splits
from keras_vit.doctor.file_tree import SPLIT_NAMES

# A damaged archive raises many kinds of errors, and some of NumPy's suggest unpickling it.
ERRORS = (
    OSError, ValueError, LookupError, AttributeError, EOFError, zipfile.BadZipFile, zlib.error,
    NotImplementedError, MemoryError,
)  # fmt: skip
ROLES = {
    **dict.fromkeys(("x", "images", "image", "imgs", "data"), 0),
    **dict.fromkeys(("y", "labels", "label", "targets", "target"), 1),
}
LARGEST = np.iinfo("int32").max  # a larger label would become another class
ADVICE = (
    'Pass a pair (images, labels), a dict {"train": (images, labels), "test": (images, labels)}, '
    'or arrays called "x_train", "y_train", "x_test", "y_test", or "images" and "labels".'
)


def read_arrays(source, name="arrays"):
    """Returns the `Splits` of images that are arrays; classes are called "0", "1", ...

    Args:
        source: a pair (images, labels), a dict of such pairs by split, or a dict of arrays:
            "images" and "labels" or other names in `ROLES`, with the name of a split before or
            after them: "x_train", "test_labels". Images are uint8, (images, height, width) or
            (images, height, width, 1 or 3); labels are integers from 0 to classes - 1, (images,) or
            (images, 1). Other arrays are not read.
        name: name of the dataset.

    Raises:
        ValueError: arrays are missing, do not match each other, or contain other values.
    """
    sources, (pairs, unread) = {}, _to_pairs(source)
    for split, (images, labels) in pairs.items():
        images = _check_images(split, images)
        sources[split] = ArraySource(images, _check_labels(split, labels, len(images)))
    present = np.unique(np.concatenate([source.labels for source in sources.values()]))
    count = int(present[-1]) + 1
    if len(present) < count:
        # Among this many numbers ten are missing, if there are as many; labels may be huge.
        missing = np.setdiff1d(np.arange(min(count, len(present) + 10)), present)
        advice = "Number the classes again: numpy.unique(labels, return_inverse=True)[1]."
        expected = f"labels must be all integers from 0 to {count - 1}"
        arguments.refuse(expected, {"labels without images": missing[:10].tolist()}, advice)
    if count < 2:
        advice = "Add images of another class."
        arguments.refuse("there must be at least two classes", {"classes": count}, advice)
    notes = (f"arrays that were not read: {', '.join(map(str, unread))}",) if unread else ()
    return Splits(name, tuple(map(str, range(count))), **sources, notes=notes)


def read_npz(path):
    """Returns the `Splits` of an npz file with the arrays that `read_arrays` accepts.

    Nothing is unpickled. Raises `ValueError` if the file or its arrays cannot be used.
    """
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] if _parse(name) else None for name in file.files}
    except ERRORS as error:
        raise ValueError(
            f"{str(path)!r} cannot be read as an npz file of plain arrays. Write it again with "
            "numpy.savez(path, images=images, labels=labels)."
        ) from error
    return read_arrays(arrays, pathlib.Path(path).stem)


def _to_pairs(source):
    """Returns {split: (images, labels)} from any form of `read_arrays`, and the names not read."""
    unread = []
    if isinstance(source, (tuple, list)):
        pairs = {"train": source}
    elif all(isinstance(value, (tuple, list)) for value in source.values()):
        pairs = source
    else:
        pairs = {}
        for name, array in source.items():
            if _parse(name) is None:
                unread.append(name)
            else:
                split, role = _parse(name)
                pairs.setdefault(split, [None, None])[role] = array
    splits = {SPLIT_NAMES.get(name or "train"): pair for name, pair in pairs.items()}
    complete = all(len(pair) == 2 and not any(x is None for x in pair) for pair in pairs.values())
    valid = complete and None not in splits and len(splits) == len(pairs)
    if not valid or "train" not in splits:
        received = {"source": [*source] if isinstance(source, dict) else type(source).__name__}
        arguments.refuse("images and labels to train on were expected", received, ADVICE)
    return splits, unread


def _parse(name):
    """Returns (split, 0 for images or 1 for labels) of an array "x_train"; None without a role."""
    words = re.findall("[a-z]+", str(name).lower())
    roles = [ROLES[word] for word in words if word in ROLES]
    others = "_".join(word for word in words if word not in ROLES)
    return (others, roles[0]) if len(roles) == 1 else None


def _to_array(values):
    """Returns an array, which holds objects if the images differ in size."""
    try:
        return np.asarray(values)
    except ValueError:
        return np.empty(len(values), object)


def _check_images(split, images):
    """Returns images as uint8 (images, height, width, 1 or 3), or raises `ValueError`."""
    images = _to_array(images)
    received = {"split": split, "images": f"{images.dtype} of shape {images.shape}"}
    if images.dtype != "uint8":
        if images.dtype.kind not in "biuf":
            advice = "Resize them to one size, or load a folder of image files."
            arguments.refuse("images must be one array of numbers", received, advice)
        highest, pixels = images.max(initial=0), "images"
        if highest <= 1:
            pixels = "(images * 255)"
        elif highest > 255:
            pixels = "(images / 257)"  # 16-bit pixels
        advice = f"Pixels are 0 to 255. From these: {pixels}.round().astype('uint8')."
        arguments.refuse("images must be uint8", received, advice)
    if images.size == 0:
        arguments.refuse("at least one image was expected", received)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
        expected = "images must have the shape (images, height, width, channels), channels 1 or 3"
        arguments.refuse(expected, received, "Put channels last: images.transpose(0, 2, 3, 1).")
    return images


def _check_labels(split, labels, count):
    """Returns labels as int32 (images,), or raises `ValueError`."""
    labels = np.asarray(labels)
    received = {"split": split, "labels": f"{labels.dtype} of shape {labels.shape}"}
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (count,):
        advice = "Convert one-hot labels to classes with labels.argmax(axis=1)."
        arguments.refuse(f"there must be one label for each of {count} images", received, advice)
    is_number = labels.dtype.kind in "iuf"
    invalid = labels[~(np.isfinite(labels) & (labels == np.rint(labels)))] if is_number else labels
    if len(invalid):
        received |= {"such as": invalid[0].item() if is_number else str(invalid[0])}
        advice = "Number the classes: numpy.unique(labels, return_inverse=True)[1]."
        arguments.refuse("labels must be integers", received, advice)
    if labels.min() < 0:
        received |= {"smallest": labels.min().item()}
        arguments.refuse("labels must be 0 or more", received, "Count classes from 0.")
    if labels.max() > LARGEST:
        received |= {"largest": labels.max().item()}
        advice = "Number the classes: numpy.unique(labels, return_inverse=True)[1]."
        arguments.refuse(f"labels must be at most {LARGEST}", received, advice)
    return labels.astype("int32")
