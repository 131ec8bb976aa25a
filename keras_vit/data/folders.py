"""A folder of class folders with pictures in them, as most people keep theirs."""

import pathlib
from typing import NamedTuple

import numpy as np

from keras_vit import arguments
from keras_vit.data import images
from keras_vit.data.splits import Dataset, split


class Listing(NamedTuple):
    """The pictures of a folder: files and their classes, and files that are no pictures."""

    class_names: tuple
    files: tuple
    labels: np.ndarray
    others: tuple


def scan(path):
    """Lists the pictures of a folder of class folders without opening them.

    Every folder in `path` is a class, every JPEG or PNG file in it (at any depth) one of its
    pictures. Hidden files, whose names begin with a dot, are passed over.

    Args:
        path: such as `pictures/` with `pictures/cat/1.jpg`, `pictures/dog/2.png`, ...

    Returns:
        A `Listing`: class names in alphabetical order, picture files, labels (pictures,), and the
        other files.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: there are fewer than two classes, or fewer than two pictures in one.
    """
    path = pathlib.Path(path)
    if not path.is_dir():
        raise FileNotFoundError(
            f"A folder of class folders was expected. Received: {str(path)!r}, which is "
            f"{'a file' if path.exists() else 'not there'}. Give a folder such as pictures/ with "
            "pictures/cat/1.jpg and pictures/dog/2.jpg."
        )
    folders = sorted(entry for entry in path.iterdir() if entry.is_dir() and _is_shown(entry.name))
    found = [_visible_files(folder) for folder in folders]
    files = [[file for file in group if _is_picture(file)] for group in found]
    others = [file for group in found for file in group if not _is_picture(file)]
    others += [file for file in path.iterdir() if file.is_file() and _is_shown(file.name)]
    _check_classes(path, folders, files)
    labels = np.repeat(np.arange(len(files)), [len(group) for group in files]).astype("int32")
    names = tuple(folder.name for folder in folders)
    return Listing(names, tuple(sum(files, [])), labels, tuple(sorted(others)))


def folder(path, image_size=64, seed=0):
    """Reads a folder of class folders into arrays, four fifths of every class for training.

    All pictures are held in memory: 10,000 of 64 x 64 pixels take 123 MB.

    Args:
        path: folder as in `scan`.
        image_size: side in pixels, or (height, width).
        seed: of the split into training and test part.

    Returns:
        A `Dataset` with images (pictures, height, width, 3).

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: classes or pictures are missing, or a picture cannot be read; the message
            names it.

    Example:
    >>> data = keras_vit.data.folder("pictures/", image_size=64)  # doctest: +SKIP
    """
    listing = scan(path)
    pixels = np.stack([images.read(file, image_size) for file in listing.files])
    train, test = split(listing.labels, seed)
    labels = listing.labels
    name = pathlib.Path(path).resolve().name
    return Dataset(
        name, listing.class_names, pixels[train], labels[train], pixels[test], labels[test]
    )


def _visible_files(folder):
    """Files in `folder` at any depth, in alphabetical order, without hidden files and folders."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return [path for path in paths if all(map(_is_shown, path.relative_to(folder).parts))]


def _is_shown(name):
    return not name.startswith(".")


def _is_picture(path):
    return path.suffix.lower() in images.SUFFIXES


def _check_classes(path, folders, files):
    received = {"path": str(path), "class folders": len(folders)}
    if len(folders) < 2:
        advice = "Put the pictures of each class into a folder of their own, named as the class."
        arguments.refuse("the folder must have two class folders or more", received, advice)
    for entry, group in zip(folders, files, strict=True):
        if len(group) < 2:
            arguments.refuse(
                "every class must have 2 pictures (.jpg, .jpeg, .png) or more",
                {"class folder": str(entry), "pictures": len(group)},
                "Add pictures, or remove the folder.",
            )
