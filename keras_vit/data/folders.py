"""A folder of class folders with images in them, as most people keep theirs."""

import os
import pathlib
from typing import NamedTuple

import numpy as np

from keras_vit import arguments
from keras_vit.data import images
from keras_vit.data.sources import FileSource, Parts

SPLITS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
    "testing": "test",
}


class Listing(NamedTuple):
    """The images of a folder: files and their classes, and files that are no images."""

    class_names: tuple
    files: tuple
    labels: np.ndarray
    others: tuple


def scan(path):
    """Lists the images of a folder of class folders without opening them.

    Every folder in `path` is a class, every image file in it (at any depth, told by the ends of
    names in `images.SUFFIXES`) one of its images. Hidden files, whose names begin with a dot,
    are passed over.

    Args:
        path: such as `images/` with `images/cat/1.jpg`, `images/dog/2.png`, ...

    Returns:
        A `Listing`: class names in alphabetical order, image files, labels (images,), and the
        other files.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: there are fewer than two classes, or fewer than two images in one.
    """
    path = pathlib.Path(path)
    if not path.is_dir():
        raise FileNotFoundError(
            f"A folder of class folders was expected. Received: {str(path)!r}, which is "
            f"{'a file' if path.exists() else 'not there'}. Give a folder such as images/ with "
            "images/cat/1.jpg and images/dog/2.jpg."
        )
    folders = _visible_folders(path)
    found = [_visible_files(folder) for folder in folders]
    files = [[file for file in group if _is_image(file)] for group in found]
    others = [file for group in found for file in group if not _is_image(file)]
    others += [file for file in path.iterdir() if file.is_file() and _is_shown(file.name)]
    _check_classes(path, folders, files)
    labels = np.repeat(np.arange(len(files)), [len(group) for group in files]).astype("int32")
    names = tuple(folder.name for folder in folders)
    return Listing(names, tuple(sum(files, [])), labels, tuple(sorted(others)))


def find_splits(path):
    """Finds the parts into which a folder is divided already.

    Args:
        path: such as `images/` with `images/train/cat/1.jpg` and `images/test/dog/2.jpg`.

    Returns:
        {"train": folder, "validation": folder, "test": folder}, those that are there; {} where
        the folders in `path` are classes.

    Raises:
        ValueError: some folders are parts and others are not, or a part is there twice.

    Example:
    >>> keras_vit.data.folders.find_splits("cifar10/")  # doctest: +SKIP
    {'train': PosixPath('cifar10/train'), 'test': PosixPath('cifar10/test')}
    """
    folders = _visible_folders(pathlib.Path(path))
    found = [(SPLITS.get(folder.name.lower()), folder) for folder in folders]
    parts = [part for part, _ in found if part is not None]
    if "train" not in parts or (len(parts) == 1 and len(found) > 1):
        return {}  # a single one among others is a class that is called so
    if len(set(parts)) < len(found):
        arguments.refuse(
            "the folder must hold one folder for each part and no others, or one for each class",
            {"path": str(path), "folders": [folder.name for folder in folders]},
            f"Parts are called {', '.join(SPLITS)}. Move or rename the other folders.",
        )
    return dict(found)


def parts(path, num_channels=3):
    """Lists a folder of class folders, divided into parts or not, as sources of images.

    Args:
        path: folder as in `scan`, or with such folders called train, validation (val, valid) and
            test in it. A class that is missing in one of them has no image there.
        num_channels: 1 for grey, 3 for colours.

    Returns:
        A `Parts`; parts that have no folder are None.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: the folder does not hold classes with images.
    """
    path = pathlib.Path(path)
    splits = find_splits(path) if path.is_dir() else {}
    name = path.resolve().name
    if not splits:
        listing = scan(path)
        whole = _source(path, listing.files, listing.labels, num_channels)
        return Parts(name, listing.class_names, whole, None, None)
    groups = {part: _classes(folder) for part, folder in splits.items()}
    class_names = tuple(sorted(set().union(*groups.values())))
    sources = dict.fromkeys(("train", "validation", "test"))
    for part, classes in groups.items():
        files = [file for found in classes.values() for file in found]
        labels = [class_names.index(label) for label, found in classes.items() for _ in found]
        sources[part] = _source(path, files, labels, num_channels)
    return Parts(name, class_names, **sources)


def _source(path, files, labels, num_channels):
    """Files by names that stay the same where the folder moves."""
    names = [file.relative_to(path).as_posix() for file in files]
    return FileSource(files, labels, num_channels, names)


def _classes(path):
    """{class: image files} of a part; some classes may have none, but not all."""
    classes = {
        folder.name: [file for file in _visible_files(folder) if _is_image(file)]
        for folder in _visible_folders(path)
    }
    if len(classes) < 2 or not any(classes.values()):
        arguments.refuse(
            "every part must hold two class folders or more with images in them",
            {"folder": str(path), "class folders": len(classes)},
            "Put the images of each class into a folder of their own. Images without a class "
            "cannot be learned from or tested on: move them elsewhere.",
        )
    return classes


def _visible_folders(path):
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and _is_shown(entry.name))


def _visible_files(folder):
    """Files in `folder` at any depth, in alphabetical order, without hidden files and folders."""
    found = []
    for path, folders, files in os.walk(folder):
        folders[:] = filter(_is_shown, folders)  # `walk` looks into those that are left
        found += [pathlib.Path(path, name) for name in files if _is_shown(name)]
    return sorted(found)


def _is_shown(name):
    return not name.startswith(".")


def _is_image(path):
    return path.suffix.lower() in images.SUFFIXES


def _check_classes(path, folders, files):
    received = {"path": str(path), "class folders": len(folders)}
    if len(folders) < 2:
        advice = "Put the images of each class into a folder of their own, named as the class."
        arguments.refuse("the folder must have two class folders or more", received, advice)
    for entry, group in zip(folders, files, strict=True):
        if len(group) < 2:
            arguments.refuse(
                "every class must have 2 images or more",
                {"class folder": str(entry), "images": len(group)},
                f"Add images ({', '.join(images.SUFFIXES)}), or remove the folder.",
            )
