"""Which class of a model a name means: names from config.json or a file, ids of ImageNet, numbers.

`imagenet_ids.txt` lists the WordNet ids of ImageNet's 1,000 classes (ILSVRC 2012), as its folders
are called, in the order of the logits.
"""

import functools
import pathlib
import re

from keras_vit import arguments

MOST_SHOWN = 20


def number_classes(count):
    """Returns names for classes whose names are unknown: "class 0", "class 1", ..."""
    return [f"class {i}" for i in range(count)]


def read_names(path):
    """Returns the names in a text file, one line for each class in the order of the logits.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is not text, or a line is empty.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"A text file with a line for each class was expected. Received: {str(path)!r}, which "
            "does not exist."
        )
    try:
        lines = [" ".join(line.split()) for line in path.read_text("utf-8").splitlines()]
    except UnicodeDecodeError as error:
        want = "the names of classes must be a text file in UTF-8"
        arguments.refuse(want, {"path": str(path)}, str(error))
    if not all(lines):
        want = "every line must be the name of a class"
        received = {"path": str(path), "empty line": lines.index("") + 1}
        arguments.refuse(want, received, "Lines are in the order of the logits.")
    return lines


def match(names, known, source=None):
    """Returns (the class number of each name, the names of all classes).

    A name is compared with `known` without regard to case, "_" and "-"; "tench, Tinca tinca" has
    two names. Classes without names are found by their number, or by ImageNet's ids if there are
    1,000.

    Args:
        names: names of the classes of a dataset, such as those of its folders.
        known: names of the classes of a model, in the order of its logits.
        source: the dataset, for messages.

    Raises:
        ValueError: a name means none of these classes, or several.

    Example:
    >>> from keras_vit.training.evaluation import class_names
    >>> class_names.match(["Tabby_cat"], ["dog", "tabby, tabby cat"])
    ([1], ['dog', 'tabby, tabby cat'])
    >>> class_names.match(["n01443537"], class_names.number_classes(1000))[0]
    [1]
    """
    known = list(known)
    has_numbers = known == number_classes(len(known))
    if len(known) == len(_imagenet_ids()) and all(name in _imagenet_ids() for name in names):
        known, has_numbers = [*_imagenet_ids()], False
    table = {}
    for number, name in enumerate(known):
        words = {name, *name.split(",")} | ({str(number)} if has_numbers else set())
        for word in words:
            table.setdefault(_plain(word), []).append(number)
    found = [table.get(_plain(name), []) for name in names]
    _check(names, found, known, source)
    return [numbers[0] for numbers in found], known


def _check(names, found, known, source):
    received = {} if source is None else {"data": str(source)}
    if unknown := [name for name, numbers in zip(names, found, strict=True) if not numbers]:
        listed = ", ".join(known[:MOST_SHOWN]) + (" ..." if len(known) > MOST_SHOWN else "")
        want = "the class names must be among those of the run or the model"
        advice = "Rename the folders, or name all classes: --classes FILE, in Python `class_names`."
        received["unknown"] = unknown[:MOST_SHOWN]
        arguments.refuse(want, received, f"{advice} Known: {listed}.")
    if several := [name for name, numbers in zip(names, found, strict=True) if len(numbers) > 1]:
        numbers = found[names.index(several[0])]
        want = "each name must mean one class"
        received |= {"name": several[0], "classes": [known[i] for i in numbers[:MOST_SHOWN]]}
        arguments.refuse(want, received, "Rename the folder.")


def _plain(name):
    return " ".join(re.sub(r"[_\-]", " ", name).lower().split())


@functools.cache
def _imagenet_ids():
    text = (pathlib.Path(__file__).parent / "imagenet_ids.txt").read_text()
    return dict.fromkeys(text.split())
