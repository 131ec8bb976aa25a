"""Images in class folders, optionally within folders for the splits."""

import os
import pathlib
from typing import NamedTuple

import numpy as np

from keras_vit import arguments
from keras_vit.data import images
from keras_vit.data.sources.source import FileSource
from keras_vit.data.sources.splits import SPLITS, Splits
from keras_vit.doctor.file_tree import SPLIT_NAMES, match_splits


class Listing(NamedTuple):
    """The files of a folder: images with their classes, and files that are not images."""

    class_names: tuple
    files: tuple
    labels: np.ndarray
    others: tuple


def scan(path):
    """Lists the images in a folder of class folders without opening them.

    Every folder in `path` is a class, and every image file in it, at any depth, is a sample of
    this class. Files are images if their suffix is in `images.SUFFIXES`. Hidden files, whose names
    begin with a dot, are ignored.

    Args:
        path: such as `images/` with `images/cat/1.jpg`, `images/dog/2.png`, ...

    Returns:
        A `Listing`: class names in alphabetical order, image files, labels (images,), and the
        other files.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: there are fewer than two classes, or a class has fewer than two images.
    """
    path = pathlib.Path(path)
    if not path.is_dir():
        raise FileNotFoundError(
            f"A folder of class folders was expected. Received: {str(path)!r}, which "
            f"{'is a file' if path.exists() else 'does not exist'}. Give a folder such as images/ "
            "with images/cat/1.jpg and images/dog/2.jpg."
        )
    folders = _list_folders(path)
    found = [_list_files(folder) for folder in folders]
    files = [[file for file in group if _is_image(file)] for group in found]
    others = [file for group in found for file in group if not _is_image(file)]
    others += [file for file in path.iterdir() if file.is_file() and _is_visible(file.name)]
    _check_classes(path, folders, files)
    labels = np.repeat(np.arange(len(files)), [len(group) for group in files]).astype("int32")
    names = tuple(folder.name for folder in folders)
    return Listing(names, tuple(sum(files, [])), labels, tuple(sorted(others)))


def find_splits(path):
    """Finds the folders of the splits in a folder.

    Args:
        path: such as `images/` with `images/train/cat/1.jpg` and `images/test/dog/2.jpg`.

    Returns:
        {"train": folder, "validation": folder, "test": folder}, as far as they exist; {} if the
        folders in `path` are classes.

    Raises:
        ValueError: some folders are splits and others are not, or a split exists twice.

    Example:
    >>> keras_vit.data.sources.folders.find_splits("cifar10/")  # doctest: +SKIP
    {'train': PosixPath('cifar10/train'), 'test': PosixPath('cifar10/test')}
    """
    folders = {folder.name: folder for folder in _list_folders(pathlib.Path(path))}
    splits = match_splits(folders)
    if splits and len(set(splits.values())) < len(folders):
        arguments.refuse(
            "the folder must contain one folder for each split and no others, or one for each "
            "class",
            {"path": str(path), "folders": list(folders)},
            f"Splits are called {', '.join(SPLIT_NAMES)}. Move or rename the other folders.",
        )
    return {split: folders[name] for name, split in splits.items()}


def read_folder(path, num_channels=3):
    """Returns the `Splits` of a folder of class folders, which may be within split folders.

    Args:
        path: folder as in `scan`, or with such folders called train, validation (val, valid) and
            test in it. A class may be missing in some of them.
        num_channels: 1 for grayscale, 3 for RGB.

    Returns:
        `Splits`; those without a folder are None.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: the folder does not contain classes with images.
    """
    path = pathlib.Path(path)
    split_folders = find_splits(path) if path.is_dir() else {}
    name = path.resolve().name
    if not split_folders:
        listing = scan(path)
        whole = _to_source(path, listing.files, listing.labels, num_channels)
        return Splits(name, listing.class_names, whole, None, None)
    groups = {split: _list_classes(folder) for split, folder in split_folders.items()}
    class_names = tuple(sorted(set().union(*groups.values())))
    sources = dict.fromkeys(SPLITS)
    for split, classes in groups.items():
        files = [file for found in classes.values() for file in found]
        labels = [class_names.index(label) for label, found in classes.items() for _ in found]
        sources[split] = _to_source(path, files, labels, num_channels)
    return Splits(name, class_names, **sources)


def _to_source(path, files, labels, num_channels):
    """Names are relative to the folder, so that they do not change if it is moved."""
    names = [file.relative_to(path).as_posix() for file in files]
    return FileSource(files, labels, num_channels, names)


def _list_classes(path):
    """{class: image files} of a split; some classes may be empty, but not all."""
    classes = {
        folder.name: [file for file in _list_files(folder) if _is_image(file)]
        for folder in _list_folders(path)
    }
    if len(classes) < 2 or not any(classes.values()):
        arguments.refuse(
            "every split must contain two class folders or more with images in them",
            {"folder": str(path), "class folders": len(classes)},
            "Put the images of each class into a folder of their own. Images without a class "
            "cannot be used for training or evaluation: move them elsewhere.",
        )
    return classes


def _list_folders(path):
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and _is_visible(entry.name))


def _list_files(folder):
    """Files in `folder` at any depth, in alphabetical order, without hidden files and folders."""
    found = []
    for path, folders, files in os.walk(folder):
        folders[:] = filter(_is_visible, folders)  # `walk` descends into those that remain
        found += [pathlib.Path(path, name) for name in files if _is_visible(name)]
    return sorted(found)


def _is_visible(name):
    return not name.startswith(".")


def _is_image(path):
    return path.suffix.lower() in images.SUFFIXES


def _check_classes(path, folders, files):
    received = {"path": str(path), "class folders": len(folders)}
    if len(folders) < 2:
        advice = "Put the images of each class into a folder named after the class."
        arguments.refuse("the folder must contain two class folders or more", received, advice)
    for entry, group in zip(folders, files, strict=True):
        if len(group) < 2:
            arguments.refuse(
                "every class must have 2 images or more",
                {"class folder": str(entry), "images": len(group)},
                f"Add images ({', '.join(images.SUFFIXES)}), or remove the folder.",
            )
