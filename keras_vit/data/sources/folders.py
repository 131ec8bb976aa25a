"""Image files: in class folders, optionally within folders for the splits, or in a table."""

import glob
import os
import pathlib
from typing import NamedTuple

import numpy as np

from keras_vit import arguments
from keras_vit.data import images
from keras_vit.data.sources.source import SPLITS, FileSource, Splits
from keras_vit.doctor import image_table
from keras_vit.doctor.file_tree import SPLIT_NAMES, check_folder, match_splits
from keras_vit.io import paths


class Listing(NamedTuple):
    """The files of a folder: images with their classes, and files that are not images."""

    class_names: tuple
    files: tuple
    labels: np.ndarray
    others: tuple


def scan(path, skip_empty=False):
    """Lists the images in a folder of class folders without opening them.

    Every folder in `path` is a class, and every image file in it, at any depth, is a sample of this
    class. Hidden files, whose names begin with a dot, are ignored.

    Args:
        path: such as `images/` with `images/cat/1.jpg`, `images/dog/2.png`, ...
        skip_empty: whether folders without images are left out instead of refused.

    Returns:
        A `Listing`: class names in alphabetical order, image files, labels (images,), and the other
        files.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: there are fewer than two classes, or a class has fewer than two images.
    """
    path = pathlib.Path(path)
    check_folder(path)
    found = {folder: _list_files(folder) for folder in _list_folders(path)}
    files = {folder: list(filter(_is_image, group)) for folder, group in found.items()}
    files = {folder: group for folder, group in files.items() if group or not skip_empty}
    _check_classes(path, files)
    others = [file for group in found.values() for file in group if not _is_image(file)]
    others += [file for file in path.iterdir() if file.is_file() and _is_visible(file.name)]
    labels = np.repeat(np.arange(len(files)), [len(group) for group in files.values()])
    names = tuple(folder.name for folder in files)
    listed = tuple(file for group in files.values() for file in group)
    return Listing(names, listed, labels.astype("int32"), tuple(sorted(others)))


def list_images(path):
    """Returns all image files in a folder, at any depth, in alphabetical order."""
    if not os.path.isdir(path):
        received = f"{str(path)!r}, {paths.describe(path)}"
        raise FileNotFoundError(f"A folder of images was expected. Received: {received}.")
    return [file for file in _list_files(path) if _is_image(file)]


def find_images(words):
    """Returns the image files given by command-line arguments.

    Args:
        words: image files; folders, searched at any depth; patterns such as `"images/*.jpg"`; or
            `"@list.txt"`, a text file with the path of an image or a folder on each line.

    Raises:
        FileNotFoundError: a file or folder does not exist; files in a list are not checked.
        ValueError: a folder or list contains no images, or no image matches a pattern.
    """
    found = []
    for word in map(os.fspath, words):
        if word.startswith("@"):
            inside = _read_list(word[1:])
        elif os.path.isdir(word):
            inside = list_images(word)
        elif os.path.exists(word):
            inside = [word]
        elif glob.has_magic(word):
            matches = [pathlib.Path(match) for match in sorted(glob.glob(word, recursive=True))]
            folders = (list_images(match) if match.is_dir() else [match] for match in matches)
            inside = [file for files in folders for file in files if _is_image(file)]
        else:
            raise FileNotFoundError(
                f"An image file or folder was expected. Received: {word!r}, {paths.describe(word)}."
            )
        if not inside:
            what = (
                "list" if word.startswith("@") else "folder" if os.path.isdir(word) else "pattern"
            )
            advice = f"Their names end in {', '.join(images.SUFFIXES)}."
            arguments.refuse(f"the {what} must contain images", {what: word}, advice)
        found += map(str, inside)
    return found


def _read_list(path):
    """Returns the image files that are listed in a text file, one path a line."""
    if os.path.isdir(path) or not os.path.exists(path):
        received = f"{path!r}, {paths.describe(path)}"
        raise FileNotFoundError(
            f"A text file with one path per line was expected. Received: {received}."
        )
    # Windows begins text files with a byte order mark.
    with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
        # `splitlines` would divide a line at characters that the name of a file may have.
        lines = [line for line in file.read().split("\n") if line.strip()]
    return [file for x in lines for file in (list_images(x) if os.path.isdir(x) else [x])]


def read_folder(path, num_channels=3, skip_empty=False):
    """Returns the `Splits` of a folder as in `scan`, or of one that contains folders for splits.

    Split folders are called train, validation (val, valid) and test. A class may be missing from
    some of them. Raises `ValueError` if the folder does not contain classes with images, or if some
    of its folders are splits and others are not. With `skip_empty` a class without any image is
    left out.
    """
    path = pathlib.Path(path)
    folders = _find_splits(path) if path.is_dir() else {}
    if folders:
        groups = {split: _list_classes(folder) for split, folder in folders.items()}
        filled = {name for group in groups.values() for name in group if group[name]}
        class_names = tuple(sorted(filled if skip_empty else set().union(*groups.values())))
        samples = {
            split: [(file, i) for i, name in enumerate(class_names) for file in group.get(name, ())]
            for split, group in groups.items()
        }
    else:
        class_names, files, labels, _ = scan(path, skip_empty)
        samples = {"train": zip(files, labels, strict=True)}
    sources = {}
    for split, pairs in samples.items():
        files, labels = zip(*pairs, strict=True)
        names = [file.relative_to(path).as_posix() for file in files]  # the folder may be moved
        sources[split] = FileSource(files, labels, num_channels, names)
    notes = tuple(_describe_skipped(folders.values() or [path], class_names))
    return Splits(path.resolve().name, class_names, **sources, notes=notes)


def _describe_skipped(homes, class_names):
    """Yields a note on the class folders that are not among the classes."""
    names = {folder.name for home in homes for folder in _list_folders(home)}
    skipped = sorted(names.difference(class_names))
    if skipped:
        more = f" and {len(skipped) - 10} more" if len(skipped) > 10 else ""
        yield f"skipped, without images: {', '.join(skipped[:10])}{more}"


def _find_splits(path):
    """Returns {split: folder}; {} if the folders in `path` are classes."""
    folders = {folder.name: folder for folder in _list_folders(path)}
    splits = match_splits(folders, path)
    if splits and "train" not in splits.values():
        first = next(iter(splits))
        arguments.refuse(
            "a folder with splits must contain a folder of training images",
            {"path": str(path), "folders": list(folders)},
            f"Add a folder train. To evaluate a model, pass one split: {path / first}. A class "
            f"{first!r} must have its images directly in its folder.",
        )
    if splits and len(set(splits.values())) < len(folders):
        alone = f" A class {next(iter(splits))!r} must have its images directly in its folder."
        arguments.refuse(
            "the folder must contain one folder for each split and no others, or one for each "
            "class",
            {"path": str(path), "folders": list(folders)},
            f"Splits are called {', '.join(SPLIT_NAMES)}. Move or rename the other folders."
            + (alone if len(splits) == 1 else ""),
        )
    return {split: folders[name] for name, split in splits.items()}


def _list_classes(path):
    """Returns {class: image files} of a split; some classes may be empty, but not all."""
    classes = {
        folder.name: list(filter(_is_image, _list_files(folder))) for folder in _list_folders(path)
    }
    if len(classes) < 2 or not any(classes.values()):
        arguments.refuse(
            "every split must contain at least two class folders with images in them",
            {"folder": str(path), "class folders": len(classes)},
            "Put the images of each class into a folder of their own. Images without a class "
            "cannot be used for training or evaluation: move them elsewhere.",
        )
    return classes


def _list_folders(path):
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and _is_visible(entry.name))


def _list_files(folder):
    """Returns the files in a folder, except hidden ones, at any depth and in alphabetical order."""
    found = []
    for path, folders, files in os.walk(folder, onerror=_refuse_unreadable):
        folders[:] = filter(_is_visible, folders)  # `walk` descends into those that remain
        found += [pathlib.Path(path, name) for name in files if _is_visible(name)]
    return sorted(found)


def _refuse_unreadable(error):
    """Raises a folder's `OSError`, with advice; `os.walk` would leave its images out."""
    reason = f"{error.strerror}. Every folder must be readable: change its permissions"
    raise type(error)(error.errno, reason, error.filename) from error


def _is_visible(name):
    return not name.startswith(".")


def _is_image(path):
    return path.suffix.lower() in images.SUFFIXES


def _check_classes(path, files):
    received = {"path": str(path), "class folders": len(files)}
    if len(files) < 2:
        advice = "Put the images of each class into a folder named after the class."
        arguments.refuse("the folder must contain at least two class folders", received, advice)
    for folder, group in files.items():
        if len(group) < 2:
            arguments.refuse(
                "every class must have at least 2 images",
                {"class folder": str(folder), "images": len(group)},
                f"Add images ({', '.join(images.SUFFIXES)}), or remove the folder."
                + (" To leave out empty classes, pass --skip-empty." if not group else ""),
            )


# --- A table of files and labels ------------------------------------------------------------------


def read_table(path, num_channels=3, columns=None):
    """Returns the `Splits` that a CSV file lists.

    Class names are the labels in alphabetical order, or in numerical order if all are integers.
    Without a column of splits all images are training images.

    Args:
        path: CSV file, as in `keras_vit.doctor.image_table.read`.
        num_channels: 1 for grayscale, 3 for RGB.
        columns: {role: name of its column}.

    Raises:
        FileNotFoundError: the CSV file or one of its images does not exist.
        ValueError: the table cannot be used.
    """
    path = pathlib.Path(path)
    rows, chosen = image_table.read(path, columns)
    _check_files(path, rows)
    labels = {row.label for row in rows}
    numeric = all(label.isdecimal() for label in labels)
    class_names = sorted(labels, key=lambda label: (int(label), label) if numeric else label)
    numbers = {name: number for number, name in enumerate(class_names)}
    sources = {}
    for split in SPLITS:
        own = [row for row in rows if (row.split or "train") == split]
        if own:
            files, names = [path.parent / row.file for row in own], [row.file for row in own]
            labels = [numbers[row.label] for row in own]
            sources[split] = FileSource(files, labels, num_channels, names)
            if "group" in chosen:
                sources[split].groups = [row.group for row in own]
    if "train" not in sources or len(class_names) < 2:
        received = {"path": str(path), "rows": len(rows), "labels": class_names}
        expected = "the table must have training images of at least two labels"
        arguments.refuse(expected, received, "Add rows.")
    roles = ", ".join(f"{role} {name!r}" for role, name in chosen.items())
    notes = () if "label" in chosen else (f"labels: the folder of each image of {path.name}",)
    notes = (f"columns of {path.name}: {roles}", *notes)
    return Splits(path.stem, tuple(class_names), **sources, notes=notes)


def _check_files(path, rows):
    for row in rows:
        file = path.parent / row.file
        if not file.is_file():
            raise FileNotFoundError(
                f"Every file in {str(path)!r} must exist. Received: line {row.line}, "
                f"{row.file!r}. Paths are relative to the table's folder: {str(file)!r}."
            )
