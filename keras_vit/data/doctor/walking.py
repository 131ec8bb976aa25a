"""Walks a folder of class folders and lists its images and what is wrong with names and places.

Nothing is opened but files without a suffix of an image, of which the first bytes are read.
"""

import errno
import os
import stat
import unicodedata
from typing import NamedTuple

from keras_vit.data import folders, images
from keras_vit.data.doctor import formats
from keras_vit.data.doctor.kinds import Problem

SYSTEM_FILES = ("thumbs.db", "ehthumbs.db", "desktop.ini", ".ds_store", "icon\r", ".directory")
SYSTEM_FOLDERS = ("__macosx", "@eadir", "$recycle.bin", "lost+found", "system volume information")


class Entry(NamedTuple):
    """An image file: path relative to the folder, its class and split ("" for none)."""

    path: str
    class_name: str
    split: str


class Tree(NamedTuple):
    """What a folder holds: image files, {(split, class): folder}, problems."""

    entries: list
    classes: dict
    problems: list


def walk(folder):
    """Lists a folder.

    Folders and files are told apart as `keras_vit.data.folders` does: class folders, perhaps
    within folders called train, validation (val, valid) and test; images at any depth in them.

    Args:
        folder: path of the dataset.

    Returns:
        A `Tree`, in alphabetical order.
    """
    walker = _Walker(os.fspath(folder))
    top = walker.folders_in("", "", "")
    splits = _splits(top)
    if not splits:
        walker.classes(top, "")
    for name in top if splits else ():
        split = splits.get(name)
        if split is None:
            walker.add("extra-folder", name, f"beside {', '.join(splits)}")
        else:
            walker.classes(walker.folders_in(name, "", split), split, name + "/")
    for name, split in splits.items():
        if list(splits.values()).index(split) != list(splits).index(name):
            walker.add("split-twice", name, f"another folder is the {split} split too", "", split)
    return Tree(walker.entries, walker.found, walker.problems)


def printable(path):
    """Returns a path with bytes that are no text, and characters that are not shown, escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def told_apart(name, other):
    """Returns a name as it is printed, in plain letters where `other` would look the same."""
    same = unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", other)
    return ascii(name) if same else repr(printable(name))


def _splits(names):
    """{folder: split} where the folders are splits, as `folders.find_splits` decides; else {}."""
    found = {name: folders.SPLITS[name.lower()] for name in names if name.lower() in folders.SPLITS}
    if "train" not in found.values() or (len(found) == 1 and len(names) > 1):
        return {}
    return found


class _Walker:
    def __init__(self, root):
        self.root = root
        self.real_root = os.path.realpath(root)
        self.entries, self.found, self.problems = [], {}, []

    def add(self, kind, path, reason, class_name="", split=""):
        self.problems.append(Problem(kind, path, reason, class_name, split))

    def folders_in(self, path, class_name, split):
        """Names of the folders in a folder that stands above the classes; reports its files."""
        names = []
        for entry in self._listed(path, class_name, split):
            if self._is_set_aside(entry, path, class_name, split):
                continue
            here = _join(path, entry.name)
            if _is_folder(entry):
                if entry.is_symlink() and self._leads_back(here):
                    self.add("link-loop", here, "it leads to a folder that it is in")
                elif entry.name.lower() in SYSTEM_FOLDERS:
                    self.add("system-folder", here, "a program made it", class_name, split)
                else:
                    names.append(entry.name)
            elif _suffix(entry.name) in images.SUFFIXES:
                self.add("outside-class", here, "it is in no class folder", class_name, split)
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
        """Lists a folder of a class; returns the folders in it."""
        nested = []
        for entry in self._listed(path, class_name, split):
            if self._is_set_aside(entry, path, class_name, split):
                continue
            here = _join(path, entry.name)
            if entry.is_dir(follow_symlinks=False):
                self.add("nested-folder", here, "a folder in a class", class_name, split)
                nested.append(here)
            else:
                self._file(entry, here, class_name, split)
        return nested

    def _listed(self, path, class_name, split):
        try:
            with os.scandir(os.path.join(self.root, path)) as entries:
                listed = sorted(entries, key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            reason = error.strerror or str(error)
            self.add("unreadable-folder", path or ".", reason, class_name, split)
            return []
        alike = {}
        for entry in listed:
            same = alike.setdefault(plain(entry.name), _join(path, entry.name))
            if same != _join(path, entry.name):
                reason = f"beside {told_apart(os.path.basename(same), entry.name)}"
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

    def _is_set_aside(self, entry, path, class_name, split):
        """Whether an entry is the system's or hidden."""
        if entry.name.lower() in SYSTEM_FILES or entry.name.startswith("._"):
            kind, reason = "system-file", "made by the system"
        elif entry.name.startswith("."):
            kind, reason = "hidden", "its name begins with a dot"
        else:
            return False
        self.add(kind, _join(path, entry.name), reason, class_name, split)
        return True

    def _file(self, entry, path, class_name, split):
        """Lists anything but a folder."""
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
            kind = "link-loop" if self._leads_back(path) else "linked-folder"
            self.add(kind, path, f"it leads to {printable(os.readlink(full))}", class_name, split)
        elif not stat.S_ISREG(mode):
            self.add("special-file", path, _type(mode), class_name, split)
        else:
            self._regular(entry, full, path, class_name, split)

    def _regular(self, entry, full, path, class_name, split):
        suffix = _suffix(entry.name)
        if suffix in images.SUFFIXES:
            self.entries.append(Entry(path, class_name, split))
            if entry.is_symlink() and not self._is_inside(full):
                target = printable(os.readlink(full))
                self.add("link-outside", path, f"it points to {target}", class_name, split)
        elif suffix in formats.UNREAD:
            self.add("unread-format", path, formats.UNREAD[suffix], class_name, split)
        elif (found := formats.name(_head(full))) in formats.IMAGES:
            self.add("unread-format", path, f"{found}, but not named so", class_name, split)
        else:
            self.add("other-file", path, found or "of no known kind", class_name, split)

    def _is_inside(self, full):
        return os.path.realpath(full).startswith(os.path.join(self.real_root, ""))

    def _leads_back(self, path):
        """Whether a link leads to a folder that it stands in."""
        real = os.path.realpath(os.path.join(self.root, path))
        here = os.path.join(os.path.realpath(os.path.dirname(os.path.join(self.root, path))), "")
        return here.startswith(os.path.join(real, ""))


def plain(name):
    """Returns a name without what some systems do not tell apart: case, accents' encoding."""
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


def _head(path):
    """The first bytes of a regular file, b"" where it cannot be read."""
    try:
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            return file.read(512)
    except OSError:
        return b""
