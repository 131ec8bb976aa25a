"""Moves bad files aside, and back.

Files are renamed, never copied. Each move is written to the manifest, and to disk, before it
happens, so `undo` knows where every file was even if the program was interrupted.
"""

import contextlib
import errno
import itertools
import json
import os
from collections import Counter

from keras_vit import arguments
from keras_vit.doctor import file_tree
from keras_vit.doctor.file_tree import printable
from keras_vit.doctor.problems import KINDS, Problem
from keras_vit.io.writing import flush_folder

MANIFEST = "manifest.jsonl"


def quarantine(report, to=None):
    """Moves the useless files of a report into a folder next to the dataset.

    It moves files that cannot be read as images, all copies of an image that is in two classes,
    and, of an image in two splits, the copy in the earlier split (train before validation before
    test). Then it moves class folders that training would refuse: those without images and, in a
    folder without splits, those with a single image. At least two classes always remain.
    Files with warnings or without read permission are not moved.

    Args:
        report: a `DatasetReport` of `check`.
        to: target folder on the same disk; None for the name of the dataset with "-quarantine".

    Returns:
        List of the `Problem`s whose files or folders were moved.

    Raises:
        ValueError: `to` is inside the dataset.
        OSError: a file cannot be moved. Earlier files have been moved; `undo` moves them back.

    Example:
    >>> keras_vit.data.quarantine(keras_vit.data.check("images/"))  # doctest: +SKIP
    """
    source, target = report.folder, quarantine_folder(report.folder, to)
    moved = _move_all(source, target, _select_movable(report))
    return moved + _move_all(source, target, _find_refused_classes(source))


def undo(folder, to=None):
    """Moves files back to where `quarantine` found them. Nothing is overwritten.

    Either all files can be moved back or none is moved. An interrupted call can be repeated.

    Args:
        folder: the dataset.
        to: as in `quarantine`.

    Returns:
        List of the paths that were moved back, relative to `folder`.

    Raises:
        FileNotFoundError: there is no quarantine.
        FileExistsError: another file now exists at the old path.
        OSError: a file cannot be moved.
    """
    folder = os.path.abspath(folder)
    target = quarantine_folder(folder, to)
    manifest = os.path.join(target, MANIFEST)
    if not os.path.isfile(manifest):
        raise FileNotFoundError(
            f"A quarantine was expected. Received: {target!r}, which has no {MANIFEST}. If it is "
            "in another folder, pass that one with --quarantine."
        )
    moves = list(_plan_undo(folder, target, _read(manifest)))
    for source, here in moves:
        os.makedirs(os.path.dirname(os.path.join(folder, source)), exist_ok=True)
        _rename(os.path.join(target, here), os.path.join(folder, source))
    os.unlink(manifest)
    for path, _, _ in os.walk(target, topdown=False):
        with contextlib.suppress(OSError):  # it contains other files
            os.rmdir(path)
    return [source for source, _ in moves]


def quarantine_folder(folder, to=None):
    """Returns the path of a dataset's quarantine, or raises if it is inside the dataset."""
    folder = os.path.abspath(folder)
    target = os.path.abspath(f"{folder}-quarantine" if to is None else to)
    inside = os.path.realpath(target) + os.sep
    if inside.startswith(os.path.realpath(folder) + os.sep):
        arguments.refuse(
            "the quarantine must be outside the dataset",
            {"folder": folder, "quarantine": target},
            "Choose a folder outside: the next check would find its files again.",
        )
    return target


def _select_movable(report):
    clashes = [problem for problem in report.problems if problem.kind == "label-clash"]
    for problem in clashes:
        for path in (problem.path, *problem.others):
            yield problem._replace(path=path, class_name="", split="", others=())
    in_clash = {path for problem in clashes for path in (problem.path, *problem.others)}
    for problem in report.problems:
        if KINDS[problem.kind].movable and not in_clash.intersection(problem.others):
            yield problem


def _find_refused_classes(folder):
    """Returns class folders that `keras_vit.data.load` refuses for lack of images, but not all."""
    tree = file_tree.walk(folder)
    images = Counter(file.class_name for file in tree.files)
    needed = 1 if any(split for split, _ in tree.classes) else 2  # one to train on, one to test on
    refused = {name for _, name in tree.classes if images[name] < needed}
    if len({name for _, name in tree.classes} - refused) < 2:
        return []
    return [
        Problem("empty-class", path, f"images left: {images[name]}", name, split)
        for (split, name), path in tree.classes.items()
        if name in refused
    ]


def _move_all(source, target, problems):
    """Moves the files or folders of problems, and returns the problems whose file was moved."""
    todo = {}
    for problem in problems:
        todo.setdefault(problem.path, problem)
    todo = [p for path, p in todo.items() if os.path.lexists(os.path.join(source, path))]
    if todo:
        os.makedirs(target, exist_ok=True)
        path = os.path.join(target, MANIFEST)
        try:
            with _open_manifest(path) as manifest:
                for problem in todo:
                    _move(source, target, problem, manifest)
        except OSError as error:
            if error.filename is not None:
                raise
            reason = f"{error.strerror}. Files are moved only once their line is written here"
            raise OSError(error.errno, reason, path) from error
    return todo


def _move(source, target, problem, manifest):
    here = free = os.path.join("files", problem.path)
    for number in itertools.count(2):
        if not os.path.lexists(os.path.join(target, free)):
            break
        free = f"{here}.{number}"  # an earlier quarantine used the name
    os.makedirs(os.path.dirname(os.path.join(target, free)), exist_ok=True)
    line = {"from": problem.path, "to": free, "kind": problem.kind, "reason": problem.reason}
    manifest.write(json.dumps(line).encode("ascii") + b"\n")
    manifest.flush()
    os.fsync(manifest.fileno())
    flush_folder(target)
    _rename(os.path.join(source, problem.path), os.path.join(target, free))


def _rename(source, target):
    if os.path.lexists(target):  # `rename` would replace it
        raise FileExistsError(errno.EEXIST, "Another file exists; nothing was overwritten", target)
    try:
        os.rename(source, target)
    except OSError as error:
        reason = error.strerror
        if error.errno == errno.EXDEV:
            reason = "The quarantine must be on the same disk; choose another one with --quarantine"
        raise OSError(error.errno, f"{reason}; the file was not moved", source) from error


def _open_manifest(path):
    """Opens the manifest to append lines after its last complete line."""
    file = open(path, "ab+")
    file.seek(0)
    file.truncate(file.read().rfind(b"\n") + 1)
    return file


def _read(manifest):
    """Yields the moves of a manifest. A move whose line is incomplete did not happen."""
    with open(manifest, "rb") as file:
        lines = file.read().split(b"\n")[:-1]
    for number, line in enumerate(lines, start=1):
        try:
            move = json.loads(line)
            paths = move["from"], move["to"]
        except (ValueError, TypeError, KeyError):
            raise ValueError(f"Line {number} of {manifest!r} cannot be read; repair it.") from None
        if any(not isinstance(path, str) or _escapes(path) for path in paths):
            raise ValueError(f"Line {number} of {manifest!r} points outside the folder; remove it.")
        yield paths


def _escapes(path):
    return os.path.isabs(path) or ".." in path.split("/") or ".." in path.split(os.sep)


def _plan_undo(folder, target, moves):
    """Yields the moves to undo, last first; raises if one of them is impossible."""
    taken = set()
    for source, here in reversed(list(moves)):
        there = os.path.lexists(os.path.join(folder, source))
        if not os.path.lexists(os.path.join(target, here)):
            if there:
                continue  # it was never moved, or was moved back before
            raise FileNotFoundError(
                errno.ENOENT, "A file of the quarantine is missing; nothing was moved back", here
            )
        if there or source in taken:
            message = "Another file exists at an old path; nothing was moved back"
            raise FileExistsError(errno.EEXIST, message, printable(source))
        taken.add(source)
        yield source, here
