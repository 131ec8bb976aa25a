"""Lists the images in a folder of class folders, and problems with their names and places.

Only files without an image suffix are opened, to recognize their format by their first bytes.
"""

import errno
import os
import stat
import sys
import unicodedata
from typing import NamedTuple

from keras_vit.doctor import formats
from keras_vit.doctor.problems import Problem
from keras_vit.io import paths

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
    "testing": "test",
}
SYSTEM_FILES = ("thumbs.db", "ehthumbs.db", "desktop.ini", ".ds_store", "icon\r", ".directory")
SYSTEM_FOLDERS = ("__macosx", "@eadir", "$recycle.bin", "lost+found", "system volume information")


class ImageFile(NamedTuple):
    """An image file: path relative to the dataset, class and split ("" for none)."""

    path: str
    class_name: str
    split: str


class Tree(NamedTuple):
    """The content of a dataset: `ImageFile`s, {(split, class): folder}, `Problem`s."""

    files: list
    classes: dict
    problems: list


def walk(folder):
    """Lists a dataset of class folders, which may be within folders for the splits, as a `Tree`.

    The rules are those of `keras_vit.data.load`: split folders are called train, validation (val,
    valid) and test, and images may be at any depth in class folders.
    """
    walker = _Walker(os.fspath(folder))
    top = walker.folders_in("")
    splits = match_splits(top, walker.root)
    if not splits:
        walker.walk_classes(top)
    seen = set()
    for name in top if splits else ():
        split = splits.get(name)
        if split is None:
            walker.add("extra-folder", name, f"next to {', '.join(splits)}")
            continue
        walker.walk_classes(walker.folders_in(name, split), split, name + "/")
        if split in seen:
            reason = f"another folder is the {split} split too"
            walker.add("split-twice", name, reason, ("", split))
        seen.add(split)
    return Tree(walker.files, walker.classes, walker.problems)


def check_folder(path):
    """Raises `FileNotFoundError` unless `path` is a folder."""
    if not os.path.isdir(path):
        raise FileNotFoundError(
            f"A folder of class folders was expected. Received: {os.fspath(path)!r}, "
            f"{paths.describe(path)}. Pass a folder such as images/ with images/cat/1.jpg and "
            "images/dog/2.jpg."
        )


def printable(path):
    """Returns a path with invalid bytes and invisible characters escaped, and all others unchanged.

    This ignores the encoding of the system, which has no accents if LANG is C.
    """
    named = os.fsdecode(path).encode("utf-8", sys.getfilesystemencodeerrors())
    text = named.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def quote_distinctly(name, other):
    """Returns a name in quotes, in ASCII if `other` would look the same."""
    same = unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", other)
    return ascii(name) if same else repr(printable(name))


def normalize(name):
    """Returns a name without the differences of case and Unicode form that some systems ignore."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def match_splits(names, root):
    """Returns {folder: split} if the folders in `root` are splits, or {} if they are classes.

    Folders that are neither may be missing from the result, and so may be the training split.
    """
    found = {name: SPLIT_NAMES[name.lower()] for name in names if name.lower() in SPLIT_NAMES}
    hold_classes = (_has_classes(os.path.join(root, name)) for name in found)
    if "train" not in found.values():
        return found if len(found) == len(names) and all(hold_classes) else {}
    if len(found) == 1 and len(names) > 1 and not all(hold_classes):
        return {}  # a class may be called train
    return found


def _has_classes(folder):
    """Returns whether there are several folders in a folder, and no files."""
    try:
        inside = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
    except OSError:
        return False
    files = [entry for entry in inside if not entry.is_dir()]
    return len(inside) - len(files) > 1 and all(x.name.lower() in SYSTEM_FILES for x in files)


class _Walker:
    """Collects a `Tree`; a `place` is (class, split)."""

    def __init__(self, root):
        self.root = root
        self.files, self.classes, self.problems = [], {}, []

    def add(self, kind, path, reason, place=("", "")):
        self.problems.append(Problem(kind, path, reason, *place))

    def folders_in(self, folder, split=""):
        """Returns the names of the folders above the classes; reports files next to them."""
        names, place = [], ("", split)
        for entry, path in self._list(folder, place):
            if os.path.isdir(entry.path):
                if entry.is_symlink() and self._points_back(path):
                    self.add("link-loop", path, "it points to a folder that contains it")
                elif entry.name.lower() in SYSTEM_FOLDERS:
                    self.add("system-folder", path, "created by a program", place)
                else:
                    names.append(entry.name)
            elif _suffix(entry.name) in formats.IMAGE_SUFFIXES:
                self.add("outside-class", path, "not in a class folder", place)
            else:
                self._add_file(entry, path, place)
        return names

    def walk_classes(self, names, split="", above=""):
        """Lists class folders and the folders in them."""
        for name in names:
            place, waiting = (name, split), [above + name]
            self.classes[split, name] = above + name
            while waiting:
                for entry, path in self._list(waiting.pop(), place):
                    if entry.is_dir(follow_symlinks=False):
                        self.add("nested-folder", path, "in a class folder", place)
                        waiting.append(path)
                    else:
                        self._add_file(entry, path, place)

    def _list(self, folder, place):
        """Returns (entry, path) of everything in a folder except hidden and system files."""
        try:
            with os.scandir(os.path.join(self.root, folder)) as entries:
                listed = sorted(entries, key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            self.add("unreadable-folder", folder or ".", error.strerror or str(error), place)
            return []
        visible, alike = [], {}
        for entry in listed:
            name, path = entry.name, f"{folder}/{entry.name}" if folder else entry.name
            first = alike.setdefault(normalize(name), name)
            if first != name:
                self.add("names-alike", path, f"similar to {quote_distinctly(first, name)}", place)
            self._check_name(name, path, place)
            if name.lower() in SYSTEM_FILES or name.startswith("._"):
                self.add("system-file", path, "created by the system", place)
            elif name.startswith("."):
                self.add("hidden", path, "its name begins with a dot", place)
            else:
                visible.append((entry, path))
        return visible

    def _check_name(self, name, path, place):
        shown, stem = printable(name), os.path.splitext(name)[0]
        if any("\udc80" <= char <= "\udcff" for char in name):
            self.add("name-bytes", path, f"the name is {shown}", place)
        elif any(unicodedata.category(char) in ("Cc", "Cf") for char in name):
            self.add("name-control", path, f"the name is {shown}", place)
        if name != name.strip() or stem != stem.strip():
            self.add("name-spaces", path, f"the name is {shown!r}", place)

    def _add_file(self, entry, path, place):
        """Adds an entry that is not a folder."""
        is_link, full = entry.is_symlink(), os.path.join(self.root, path)
        target = f"it points to {printable(os.readlink(full))}" if is_link else ""
        try:
            mode = os.stat(full).st_mode
        except OSError as error:
            broken = "link-loop" if error.errno == errno.ELOOP else "dangling-link"
            kind = broken if is_link else "unreadable-file"
            return self.add(kind, path, target or error.strerror, place)
        suffix = _suffix(entry.name)
        if stat.S_ISDIR(mode):
            kind = "link-loop" if self._points_back(path) else "linked-folder"
            self.add(kind, path, target, place)
        elif not stat.S_ISREG(mode):
            kinds = {stat.S_ISFIFO(mode): "a pipe", stat.S_ISSOCK(mode): "a socket"}
            self.add("special-file", path, kinds.get(True, "a device"), place)
        elif suffix in formats.IMAGE_SUFFIXES:
            self.files.append(ImageFile(path, *place))
            inside = os.path.join(os.path.realpath(self.root), "")
            if is_link and not os.path.realpath(full).startswith(inside):
                self.add("link-outside", path, target, place)
        elif suffix in formats.UNREAD:
            self.add("unread-format", path, formats.UNREAD[suffix], place)
        elif (found := formats.recognize(_read_head(full))) in formats.IMAGES:
            self.add("unread-format", path, f"{found}, with another suffix", place)
        else:
            self.add("other-file", path, found or "unknown format", place)

    def _points_back(self, path):
        """Whether a link points to a folder that contains it."""
        full = os.path.join(self.root, path)
        here = os.path.join(os.path.realpath(os.path.dirname(full)), "")
        return here.startswith(os.path.join(os.path.realpath(full), ""))


def _suffix(name):
    return os.path.splitext(name)[1].lower()


def _read_head(path):
    """Returns the first bytes of a regular file, b"" if it cannot be read."""
    try:
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            return file.read(512)
    except OSError:
        return b""
