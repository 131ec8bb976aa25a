"""Images that are arrays already, in memory or in an npz file."""

import pathlib
import zipfile
import zlib

import numpy as np

from keras_vit import arguments
from keras_vit.data.folders import SPLITS
from keras_vit.data.sources import ArraySource, Parts

ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, NotImplementedError)
ADVICE = (
    'Give a pair (images, labels), a dict {"train": (images, labels), "test": (images, labels)}, '
    'or arrays called "x_train", "y_train", "x_test", "y_test", or "images" and "labels".'
)


def parts(source, name="arrays"):
    """Takes images from arrays.

    Args:
        source: a pair (images, labels), or a dict of such pairs by part, or a dict of arrays:
            "images" and "labels", or "x_train", "y_train" and the like for other parts. Images
            are uint8, (images, height, width) or (images, height, width, 1 or 3), pixels 0 to
            255; labels are integers from 0 to classes - 1, (images,) or (images, 1).
        name: what the set is called.

    Returns:
        A `Parts`; classes are called "0", "1", ...

    Raises:
        ValueError: arrays are missing, do not fit each other, or hold other values.
    """
    pairs = _pairs(source)
    sources = dict.fromkeys(("train", "validation", "test"))
    for part, (images, labels) in pairs.items():
        images = _checked_images(part, images)
        sources[part] = ArraySource(images, _checked_labels(part, labels, len(images)))
    class_names = _class_names([source.labels for source in sources.values() if source])
    return Parts(name, class_names, **sources)


def npz_parts(path):
    """Takes images from the arrays of an npz file, as `parts` does; nothing is unpickled.

    Raises:
        ValueError: it is no npz file, or its arrays cannot be used.
    """
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    # A damaged archive raises one of many errors, and some of NumPy's advise to unpickle it.
    except (OSError, ValueError, LookupError, AttributeError, EOFError, *ZIP_ERRORS) as error:
        raise ValueError(
            f"{str(path)!r} cannot be read as an npz file of plain arrays. Write it again with "
            "numpy.savez(path, images=images, labels=labels)."
        ) from error
    return parts(arrays, pathlib.Path(path).stem)


def _pairs(source):
    """{part: (images, labels)} of what was given."""
    pairs = _named_pairs(source)
    names = {SPLITS.get(part): pair for part, pair in pairs.items()}
    whole = all(len(pair) == 2 and not any(x is None for x in pair) for pair in pairs.values())
    if not whole or None in names or "train" not in names or len(names) < len(pairs):
        received = {"source": [*source] if isinstance(source, dict) else type(source).__name__}
        arguments.refuse("images and labels to train on were expected", received, ADVICE)
    return names


def _named_pairs(source):
    if isinstance(source, (tuple, list)):
        return {"train": source}
    if set(source) == {"images", "labels"}:
        return {"train": (source["images"], source["labels"])}
    if all(isinstance(value, (tuple, list)) for value in source.values()):
        return source
    parts = {str(name).removeprefix("x_").removeprefix("y_") for name in source}
    return {part: (source.get(f"x_{part}"), source.get(f"y_{part}")) for part in sorted(parts)}


def _checked_images(part, images):
    """Returns uint8 (images, height, width, 1 or 3)."""
    images = np.asarray(images)
    received = {"part": part, "images": f"{images.dtype} of shape {images.shape}"}
    if images.dtype != "uint8":
        advice = "Pixels are 0 to 255. From pixels 0 to 1: (images * 255).round().astype('uint8')."
        arguments.refuse("images must be uint8", received, advice)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or 0 in images.shape:
        want = "images must have the shape (images, height, width, channels), channels 1 or 3"
        arguments.refuse(want, received, "Put channels last: images.transpose(0, 2, 3, 1).")
    return images


def _checked_labels(part, labels, count):
    """Returns int32 (images,)."""
    labels = np.asarray(labels)
    received = {"part": part, "labels": f"{labels.dtype} of shape {labels.shape}"}
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (count,):
        advice = "Labels of one number per class become classes by labels.argmax(axis=1)."
        arguments.refuse(f"there must be one label for each of {count} images", received, advice)
    is_number = labels.dtype.kind in "iuf"
    strange = labels[labels != np.rint(labels)] if is_number else labels
    if len(strange):
        received |= {"such as": strange[0].item() if is_number else str(strange[0])}
        advice = "Number the classes: numpy.unique(labels, return_inverse=True)[1]."
        arguments.refuse("labels must be integers", received, advice)
    if labels.min() < 0:
        received |= {"smallest": labels.min().item()}
        arguments.refuse("labels must be 0 or more", received, "Classes are counted from 0.")
    return labels.astype("int32")


def _class_names(labels):
    """Names of classes 0 to the largest; each must have an image in some part."""
    counts = np.bincount(np.concatenate(labels))
    gaps = np.flatnonzero(counts == 0)
    if len(gaps):
        advice = "Number the classes anew: numpy.unique(labels, return_inverse=True)[1]."
        want = f"labels must be all the integers from 0 to {len(counts) - 1}"
        arguments.refuse(want, {"labels without images": gaps[:10].tolist()}, advice)
    if len(counts) < 2:
        arguments.refuse("there must be two classes or more", {"classes": len(counts)})
    return tuple(map(str, range(len(counts))))
