"""ReaL: the reassessed labels of ImageNet's validation images (arXiv 2006.07159).

An image may have several correct classes, or none. The paper reports this accuracy in addition to
the usual one in Tables 2, 5 and 6.
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
        path: path of the file.

    Returns:
        A tuple of 50,000 tuples, the correct classes of each image in the order of the file names.

    Raises:
        FileNotFoundError: the file does not exist; the message contains its address.
        ValueError: the content of the file is not as expected.

    Example:
    >>> keras_vit.data.real_labels.read("real.json")[0]  # doctest: +SKIP
    (65,)
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"The file of the ReaL labels was expected. Received: {str(path)!r}, which does not "
            f"exist. Download it from {ADDRESS}"
        )
    try:
        lists = json.loads(path.read_bytes())
        right = len(lists) == IMAGES and all(isinstance(classes, list) for classes in lists)
        right = right and all(type(c) is int and 0 <= c < CLASSES for row in lists for c in row)
    except (ValueError, TypeError, RecursionError):  # not JSON, not text, or a number
        right = False
    if not right:
        expected = "the file of the ReaL labels must contain 50,000 lists of classes, 0 to 999"
        arguments.refuse(expected, {"path": str(path)}, f"Download it from {ADDRESS}")
    return tuple(map(tuple, lists))


def look_up(labels, names):
    """Returns the ReaL labels of images by their names.

    Args:
        labels: the result of `read`.
        names: names of the images, such as `data.sources["test"].names` of "imagenet2012", each
            with a file name such as "ILSVRC2012_val_00000293.JPEG".

    Raises:
        ValueError: a name is not that of a validation image.

    Example:
    >>> labels = ((65,), (970, 795), (230,))
    >>> keras_vit.data.real_labels.look_up(labels, ["ILSVRC2012_val_00000002.JPEG"])
    ((970, 795),)
    """
    numbers = []
    for name in names:
        found = re.search(r"ILSVRC2012_val_(\d{8})", str(name))
        if found is None or not 1 <= int(found[1]) <= len(labels):
            expected = "every name must contain that of a validation image of ImageNet"
            advice = "Such a name is ILSVRC2012_val_00000293.JPEG."
            arguments.refuse(expected, {"name": str(name)}, advice)
        numbers.append(int(found[1]))
    return tuple(labels[number - 1] for number in numbers)


def real_accuracy(predictions, labels):
    """Returns the share of images whose predicted class is one of the correct ones.

    Images without a correct class are ignored.

    Args:
        predictions: class of every image, (images,), or scores, (images, classes).
        labels: correct classes of every image, in the same order.

    Raises:
        ValueError: predictions and labels differ in number, or no image has a label.

    Example:
    >>> labels = ((65,), (970, 795), ())
    >>> keras_vit.data.real_labels.real_accuracy([65, 7, 7], labels)
    0.5
    """
    predictions = np.asarray(predictions)
    received = {"predictions shape": predictions.shape, "lists of labels": len(labels)}
    if predictions.ndim not in (1, 2) or len(predictions) != len(labels):
        expected = "predictions must be (images,) or (images, classes), with a list of labels each"
        arguments.refuse(expected, received, "Pass both for the same images.")
    if not any(len(right) for right in labels):
        advice = "Look up the labels with `look_up`."
        arguments.refuse("at least one image must have a label", received, advice)
    classes = predictions if predictions.ndim == 1 else predictions.argmax(axis=1)
    pairs = zip(classes, labels, strict=True)
    return float(np.mean([predicted in right for predicted, right in pairs if len(right)]))
