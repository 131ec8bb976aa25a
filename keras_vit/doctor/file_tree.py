"""Lists the images in a folder of class folders, and problems of their names and places.

Only files without an image suffix are opened, to recognize their format by their first bytes.
"""

import errno
import os
import stat
import unicodedata
from typing import NamedTuple

from keras_vit.doctor import formats
from keras_vit.doctor.problems import Problem

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
    "testing": "test",
}
SUFFIXES = {suffix for suffixes in formats.SUFFIXES.values() for suffix in suffixes}
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
    """Lists a dataset of class folders, which may be within folders for the splits.

    The rules are those of `keras_vit.data.load`: split folders are called train, validation (val,
    valid) and test, and images may be at any depth in class folders.

    Args:
        folder: path of the dataset.

    Returns:
        A `Tree`, in alphabetical order.
    """
    walker = _Walker(os.fspath(folder))
    top = walker.folders_in("", "", "")
    splits = match_splits(top)
    if not splits:
        walker.classes(top, "")
    for name in top if splits else ():
        split = splits.get(name)
        if split is None:
            walker.add("extra-folder", name, f"next to {', '.join(splits)}")
        else:
            walker.classes(walker.folders_in(name, "", split), split, name + "/")
    for name, split in splits.items():
        if list(splits.values()).index(split) != list(splits).index(name):
            walker.add("split-twice", name, f"another folder is the {split} split too", "", split)
    return Tree(walker.files, walker.found, walker.problems)


def printable(path):
    """Returns a path with invalid bytes and invisible characters escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def quote_distinctly(name, other):
    """Returns a name in quotes, in ASCII if `other` would look the same."""
    same = unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", other)
    return ascii(name) if same else repr(printable(name))


def match_splits(names):
    """Returns {folder: split} if the folders are splits, or {} if they are classes."""
    found = {name: SPLIT_NAMES[name.lower()] for name in names if name.lower() in SPLIT_NAMES}
    if "train" not in found.values() or (len(found) == 1 and len(names) > 1):
        return {}  # a class may be called train
    return found


class _Walker:
    def __init__(self, root):
        self.root = root
        self.real_root = os.path.realpath(root)
        self.files, self.found, self.problems = [], {}, []

    def add(self, kind, path, reason, class_name="", split=""):
        self.problems.append(Problem(kind, path, reason, class_name, split))

    def folders_in(self, path, class_name, split):
        """Returns the names of the folders above the classes; reports files next to them."""
        names = []
        for entry in self._list(path, class_name, split):
            if self._is_ignored(entry, path, class_name, split):
                continue
            here = _join(path, entry.name)
            if _is_folder(entry):
                if entry.is_symlink() and self._points_back(here):
                    self.add("link-loop", here, "it points to a folder that contains it")
                elif entry.name.lower() in SYSTEM_FOLDERS:
                    self.add("system-folder", here, "created by a program", class_name, split)
                else:
                    names.append(entry.name)
            elif _suffix(entry.name) in SUFFIXES:
                self.add("outside-class", here, "not in a class folder", class_name, split)
            else:
                self._file(entry, here, class_name, split)
        return names

    def classes(self, names, split, above=""):
        """Lists class folders."""
        for name in names:
            self.found[split, name] = above + name
            waiting = [above + name]
            while waiting:
                waiting += self._files_of_class(waiting.pop(), name, split)

    def _files_of_class(self, path, class_name, split):
        """Lists one folder of a class; returns the folders in it."""
        nested = []
        for entry in self._list(path, class_name, split):
            if self._is_ignored(entry, path, class_name, split):
                continue
            here = _join(path, entry.name)
            if entry.is_dir(follow_symlinks=False):
                self.add("nested-folder", here, "in a class folder", class_name, split)
                nested.append(here)
            else:
                self._file(entry, here, class_name, split)
        return nested

    def _list(self, path, class_name, split):
        try:
            with os.scandir(os.path.join(self.root, path)) as entries:
                listed = sorted(entries, key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            reason = error.strerror or str(error)
            self.add("unreadable-folder", path or ".", reason, class_name, split)
            return []
        alike = {}
        for entry in listed:
            same = alike.setdefault(normalize(entry.name), _join(path, entry.name))
            if same != _join(path, entry.name):
                reason = f"similar to {quote_distinctly(os.path.basename(same), entry.name)}"
                self.add("names-alike", _join(path, entry.name), reason, class_name, split)
            self._check_name(entry.name, _join(path, entry.name), class_name, split)
        return listed

    def _check_name(self, name, path, class_name, split):
        shown = printable(name)
        if any("\udc80" <= char <= "\udcff" for char in name):
            self.add("name-bytes", path, f"the name is {shown}", class_name, split)
        elif any(unicodedata.category(char) in ("Cc", "Cf") for char in name):
            self.add("name-control", path, f"the name is {shown}", class_name, split)
        if name != name.strip() or os.path.splitext(name)[0] != os.path.splitext(name)[0].strip():
            self.add("name-spaces", path, f"the name is {shown!r}", class_name, split)

    def _is_ignored(self, entry, path, class_name, split):
        """Whether a file or folder is hidden or belongs to the system; reports it."""
        if entry.name.lower() in SYSTEM_FILES or entry.name.startswith("._"):
            kind, reason = "system-file", "created by the system"
        elif entry.name.startswith("."):
            kind, reason = "hidden", "its name begins with a dot"
        else:
            return False
        self.add(kind, _join(path, entry.name), reason, class_name, split)
        return True

    def _file(self, entry, path, class_name, split):
        """Lists anything that is not a folder."""
        full = os.path.join(self.root, path)
        try:
            mode = os.stat(full).st_mode
        except OSError as error:
            kind, reason = "unreadable-file", error.strerror
            if entry.is_symlink():
                kind = "link-loop" if error.errno == errno.ELOOP else "dangling-link"
                reason = f"it points to {printable(os.readlink(full))}"
            self.add(kind, path, reason, class_name, split)
            return
        if entry.is_symlink() and stat.S_ISDIR(mode):
            kind = "link-loop" if self._points_back(path) else "linked-folder"
            self.add(kind, path, f"it points to {printable(os.readlink(full))}", class_name, split)
        elif not stat.S_ISREG(mode):
            self.add("special-file", path, _type(mode), class_name, split)
        else:
            self._regular(entry, full, path, class_name, split)

    def _regular(self, entry, full, path, class_name, split):
        suffix = _suffix(entry.name)
        if suffix in SUFFIXES:
            self.files.append(ImageFile(path, class_name, split))
            if entry.is_symlink() and not self._is_inside(full):
                target = printable(os.readlink(full))
                self.add("link-outside", path, f"it points to {target}", class_name, split)
        elif suffix in formats.UNREAD:
            self.add("unread-format", path, formats.UNREAD[suffix], class_name, split)
        elif (found := formats.recognize(_read_head(full))) in formats.IMAGES:
            self.add("unread-format", path, f"{found}, with another suffix", class_name, split)
        else:
            self.add("other-file", path, found or "unknown format", class_name, split)

    def _is_inside(self, full):
        return os.path.realpath(full).startswith(os.path.join(self.real_root, ""))

    def _points_back(self, path):
        """Whether a link points to a folder that contains it."""
        real = os.path.realpath(os.path.join(self.root, path))
        here = os.path.join(os.path.realpath(os.path.dirname(os.path.join(self.root, path))), "")
        return here.startswith(os.path.join(real, ""))


def normalize(name):
    """Returns a name without case and encoding of accents, which some systems ignore."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _join(path, name):
    return f"{path}/{name}" if path else name


def _is_folder(entry):
    try:
        return entry.is_dir()
    except OSError:  # a link in a loop
        return False


def _suffix(name):
    return os.path.splitext(name)[1].lower()


def _type(mode):
    tests = {stat.S_ISFIFO: "a pipe", stat.S_ISSOCK: "a socket", stat.S_ISCHR: "a device"}
    return next((name for test, name in tests.items() if test(mode)), "a device")


def _read_head(path):
    """Returns the first bytes of a regular file, b"" if it cannot be read."""
    try:
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            return file.read(512)
    except OSError:
        return b""
