"""Weights of the classes in the loss, checked before and resolved after the data are loaded."""

import numpy as np

from keras_vit import arguments
from keras_vit.arguments import positive_number

BALANCED = "balanced"
FORMS = 'Use "balanced", "cat=2,dog=0.5", or in Python {"cat": 2, "dog": 0.5}.'


def check_weights(name, value):
    """Returns "balanced" or {class name: weight}, or raises `ValueError` for other values."""
    if value is None or value == BALANCED:
        return value
    if isinstance(value, str):
        value = dict(_parse(pair, name, value) for pair in value.split(","))
    if not isinstance(value, dict) or not value:
        arguments.refuse(f"`{name}` must give weights by class name", {name: value}, FORMS)
    for class_name, weight in value.items():
        positive_number(f"{name} of {class_name}", weight, FORMS)
    return value


def _parse(pair, name, text):
    class_name, _, weight = pair.rpartition("=")
    try:
        return class_name.strip(), float(weight)
    except ValueError:
        want = f"`{name}` must be pairs of a class name and a number"
        arguments.refuse(want, {name: text}, FORMS)


def resolve(value, class_names, labels):
    """Returns the weight of every class as a tuple; 1 for classes that are not given.

    Args:
        value: any value that `check_weights` accepts. "balanced" is images / (classes * images of
            the class): every class contributes equally, and the mean over the images is 1.
        class_names: names of the classes.
        labels: class of every training image, (images,).

    Raises:
        ValueError: a class name is unknown.

    Example:
    >>> from keras_vit.training.recipes import class_weights
    >>> class_weights.resolve("balanced", ["cat", "dog"], [0, 0, 0, 1])
    (0.6666666666666666, 2.0)
    """
    value, names = check_weights("class_weights", value), [str(name) for name in class_names]
    if value == BALANCED:
        counts = np.bincount(labels, minlength=len(names))
        shares = counts * np.count_nonzero(counts) / counts.sum()
        return tuple(1 / float(share) if share else 1.0 for share in shares)
    for name in value:
        if name not in names:
            advice = f"{arguments.suggest(name, names)}Classes are {', '.join(names[:20])}."
            arguments.refuse("class weights are given by class name", {"class": name}, advice)
    return tuple(float(value.get(name, 1.0)) for name in names)
