"""Finds the class of a model from a name, an ImageNet id or a number."""

import csv
import itertools
import pathlib
import re

import numpy as np

from keras_vit import arguments
from keras_vit.checkpoints.catalogue.published import IMAGENET_CLASSES, imagenet_classes
from keras_vit.io import paths

MOST_SHOWN = 20


def number_classes(count):
    """Returns names for classes whose names are unknown: "class 0", "class 1", ..."""
    return [f"class {i}" for i in range(count)]


def name_both(names):
    """Returns the names of all classes. A single name is that of class 1 of a model with one logit.

    Example:
    >>> from keras_vit.training.evaluation import class_names
    >>> class_names.name_both(["cat"]), class_names.name_both(["cat", "dog"])
    (('not cat', 'cat'), ('cat', 'dog'))
    """
    if [*names] == number_classes(1):
        return tuple(number_classes(2))
    return (f"not {names[0]}", names[0]) if len(names) == 1 else tuple(names)


def score_both(logits):
    """Returns logits (images, classes); the sigmoid of one logit is the softmax of it and 0."""
    is_one = logits.ndim == 2 and logits.shape[1] == 1
    return np.concatenate([np.zeros_like(logits), logits], axis=1) if is_one else logits


def check_images(names, count):
    """Returns a list of names, or None; raises `ValueError` unless there is one for each image."""
    names = names if names is None else list(names)
    if names is not None and len(names) != count:
        received = {"names": len(names), "images": count}
        arguments.refuse("there must be one name for each image", received)
    return names


def check_threshold(value):
    """Raises `ValueError` unless a value is a number from 0 to 1."""
    if not 0 <= arguments.number("threshold", value) <= 1:
        arguments.refuse("`threshold` must be a probability from 0 to 1", {"threshold": value})


def read_names(path):
    """Returns the names in a text file, one line for each class in the order of the logits.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is not text, it has no line, or a line is empty.
    """
    lines = [" ".join(line.split()) for line in _read(path).splitlines()]
    if not lines:
        want = "the file must have a line for each class"
        arguments.refuse(want, {"path": str(path), "lines": 0})
    if not all(lines):
        want = "every line must be the name of a class"
        received = {"path": str(path), "empty line": lines.index("") + 1}
        arguments.refuse(want, received, "Lines are in the order of the logits.")
    return lines


def read_mapping(path):
    """Returns {folder: class} of a .csv file with the columns folder and class.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is not such a table, a cell is empty, or a folder has two classes.
    """
    rows = list(csv.DictReader(_read(path).splitlines()))
    mapping = {}
    for number, row in enumerate(rows, start=2):
        folder, name = ((row.get(column) or "").strip() for column in ("folder", "class"))
        if not folder or not name:
            want = "every line must have a folder and a class, below the line folder,class"
            arguments.refuse(want, {"path": str(path), "line": number})
        if mapping.setdefault(folder, name) != name:
            want = "a folder must have one class"
            arguments.refuse(want, {"path": str(path), "line": number, "folder": folder})
    if not mapping:
        want = "the table must have a line folder,class and lines below it"
        arguments.refuse(want, {"path": str(path), "lines": len(rows)})
    return mapping


def _read(path):
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"A text file with a line for each class was expected. Received: {str(path)!r}, "
            f"{paths.describe(path)}."
        )
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        want = "the names of classes must be a text file in UTF-8"
        arguments.refuse(want, {"path": str(path)}, str(error))


def match(names, known, source=None, mapping=None):
    """Returns (the class number of each name, the names of all classes).

    A name is compared with `known` without regard to case, "_" and "-"; "tench, Tinca tinca" has
    two names. A class whose whole name is among `names` is not meant by another of them. Classes
    without names are found by their number, or by ImageNet's ids if there are 1,000.

    Args:
        names: names of the classes of a dataset, such as those of its folders.
        known: names of the classes of a model, in the order of its logits.
        source: the dataset, for messages.
        mapping: {name: the class that it means, by name or number}; other names are taken as they
            are.

    Raises:
        ValueError: a name matches none of these classes, or several.

    Example:
    >>> from keras_vit.training.evaluation import class_names
    >>> class_names.match(["Tabby_cat"], ["dog", "tabby, tabby cat"])
    ([1], ['dog', 'tabby, tabby cat'])
    >>> class_names.match(["n01443537"], class_names.number_classes(1000))[0]
    [1]
    """
    known, mapping = list(known), mapping or {}
    ids = imagenet_classes() if len(known) == IMAGENET_CLASSES else {}
    unnamed = (number_classes(len(known)), list(ids.values()))  # not given by a user
    has_numbers = bool(mapping) or known in unnamed
    words = [str(mapping.get(name, name)) for name in names]
    if all(word in ids for word in words):
        known, has_numbers = [*ids], False
    table = {}
    for number, name in enumerate(known):
        for word in {_plain(word) for word in (name, *name.split(","))}:  # "bow tie, bow-tie"
            table.setdefault(word, []).append(number)
    aliases = [map(str, range(len(known)))] if has_numbers else []
    aliases += [ids] if mapping else []
    for number, alias in itertools.chain(*map(enumerate, aliases)):
        table.setdefault(alias, [number])  # unless a class has this name
    found = [table.get(_plain(word), []) for word in words]
    owners = {known.index(word): word for word in words if known.count(word) == 1}
    pairs = zip(words, found, strict=True)
    own = [[i for i in numbers if owners.get(i, word) == word] for word, numbers in pairs]
    found = [few or numbers for few, numbers in zip(own, found, strict=True)]
    pairs = zip(names, words, strict=True)
    shown = [f"{name} -> {word}" if name in mapping else name for name, word in pairs]
    _check(shown, found, known, source)
    return [numbers[0] for numbers in found], known


def check_order(model, data):
    """Raises `ValueError` if a model and a dataset number a class of the same name differently."""
    ours, theirs = (tuple(getattr(x, "class_names", None) or ()) for x in (model, data))
    places = {name: number for number, name in enumerate(theirs)}
    for number, name in enumerate(ours if ours != theirs else ()):
        if places.get(name, number) != number:
            want = "the classes of the data must have the numbers that they have in the model"
            received = {"class": name, "in the model": number, "in the data": places[name]}
            advice = "keras_vit.training.evaluate_run finds the classes of a folder by their names."
            arguments.refuse(want, received, advice)


def _check(names, found, known, source):
    received = {} if source is None else {"data": str(source)}
    if unknown := [name for name, numbers in zip(names, found, strict=True) if not numbers]:
        listed = ", ".join(known[:MOST_SHOWN]) + (" ..." if len(known) > MOST_SHOWN else "")
        want = "the class names must be among those of the run or the model"
        advice = "Rename the folders, or say what they mean: --classes FILE, in Python "
        advice += "`class_names`."
        received["unknown"] = unknown[:MOST_SHOWN]
        arguments.refuse(want, received, f"{advice} Known: {listed}.")
    if several := [name for name, numbers in zip(names, found, strict=True) if len(numbers) > 1]:
        numbers = found[names.index(several[0])]
        want = "each name must mean one class"
        received |= {"name": several[0], "classes": [known[i] for i in numbers[:MOST_SHOWN]]}
        arguments.refuse(want, received, "Rename the folder.")


def _plain(name):
    return " ".join(re.sub(r"[_\-]", " ", name).lower().split())
