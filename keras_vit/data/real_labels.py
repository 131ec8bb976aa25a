"""ReaL: the reassessed labels of ImageNet's validation images (arXiv 2006.07159).

Several classes can be right for an image, and for some of them none is. The paper reports this
accuracy beside the usual one in Tables 2, 5 and 6.
"""

import json
import pathlib
import re

import numpy as np

from keras_vit import arguments

ADDRESS = "https://raw.githubusercontent.com/google-research/reassessed-imagenet/master/real.json"
IMAGES, CLASSES = 50_000, 1_000


def read(path):
    """Reads the published file `real.json`.

    Args:
        path: the file.

    Returns:
        A tuple with the right classes of each of the 50,000 images, in the order of their file
        names; () where no class is right.

    Raises:
        FileNotFoundError: there is no such file; the message says where it is published.
        ValueError: it is another file.

    Example:
    >>> keras_vit.data.real_labels.read("real.json")[0]  # doctest: +SKIP
    (65,)
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"The file of the ReaL labels was expected. Received: {str(path)!r}, which is not "
            f"there. Download it from {ADDRESS}"
        )
    try:
        lists = json.loads(path.read_bytes())
    except ValueError:  # no JSON, or no text at all
        lists = None
    if not _is_published(lists):
        expected = "the file of the ReaL labels must hold 50,000 lists of classes, 0 to 999"
        arguments.refuse(expected, {"path": str(path)}, f"Download it from {ADDRESS}")
    return tuple(map(tuple, lists))


def in_order(labels, names):
    """Returns the ReaL labels of images in the order of their names.

    Args:
        labels: what `read` returns.
        names: as in `data.test` of "imagenet2012", each with a file name such as
            "ILSVRC2012_val_00000293.JPEG".

    Raises:
        ValueError: a name is not that of a validation image.

    Example:
    >>> labels = ((65,), (970, 795), (230,))
    >>> keras_vit.data.real_labels.in_order(labels, ["ILSVRC2012_val_00000002.JPEG"])
    ((970, 795),)
    """
    return tuple(labels[_number(name, len(labels)) - 1] for name in names)


def real_accuracy(predictions, labels):
    """Returns the share of images whose predicted class is one of the right ones.

    Images for which no class is right are left out.

    Args:
        predictions: class of every image, (images,), or scores, (images, classes).
        labels: right classes of every image, in the same order.

    Raises:
        ValueError: the numbers of images differ, or no image has a label.

    Example:
    >>> labels = ((65,), (970, 795), ())
    >>> keras_vit.data.real_labels.real_accuracy([65, 7, 7], labels)
    0.5
    """
    predictions = np.asarray(predictions)
    received = {"predictions shape": predictions.shape, "lists of labels": len(labels)}
    if predictions.ndim not in (1, 2) or len(predictions) != len(labels):
        expected = "predictions must be (images,) or (images, classes), a list of labels each"
        arguments.refuse(expected, received)
    if not any(len(right) for right in labels):
        arguments.refuse("at least one image must have a label", received)
    classes = predictions if predictions.ndim == 1 else predictions.argmax(axis=1)
    pairs = zip(classes, labels, strict=True)
    return float(np.mean([predicted in right for predicted, right in pairs if len(right)]))


def _number(name, images):
    found = re.search(r"ILSVRC2012_val_(\d{8})", str(name))
    if found is None or not 1 <= int(found[1]) <= images:
        expected = "the name must hold that of a validation image of ImageNet, such as "
        expected += "ILSVRC2012_val_00000293.JPEG"
        arguments.refuse(expected, {"name": str(name)})
    return int(found[1])


def _is_published(lists):
    return (
        isinstance(lists, list)
        and len(lists) == IMAGES
        and all(isinstance(classes, list) for classes in lists)
        and all(type(c) is int and 0 <= c < CLASSES for classes in lists for c in classes)
    )
