"""Moves bad files aside, and back.

Files are renamed, never copied, so that their content and timestamps do not change. Each move is
written to the manifest, and to disk, before it happens: `undo` knows where every file was, even if
the program was interrupted.
"""

import errno
import json
import os

from keras_vit import arguments
from keras_vit.doctor.file_tree import printable
from keras_vit.doctor.problems import KINDS
from keras_vit.io.writing import flush_folder

MANIFEST = "manifest.jsonl"


def quarantine(report, to=None):
    """Moves the useless files of a report into a folder next to the dataset.

    Moves files that cannot be read as images and, if an image is in two splits, the copy in the
    earlier one (train before validation before test), unless the copies have different classes.
    Files with warnings, without read permission or in the wrong class are not moved.

    Args:
        report: a `DatasetReport` of `check`.
        to: target folder on the same disk; None for the name of the dataset with "-quarantine".

    Returns:
        List of the `Problem`s whose files were moved.

    Raises:
        ValueError: `to` is inside the dataset.
        OSError: a file cannot be moved. Files before it were moved; `undo` moves them back.

    Example:
    >>> keras_vit.data.quarantine(keras_vit.data.check("images/"))  # doctest: +SKIP
    """
    source, target = report.folder, quarantine_folder(report.folder, to)
    todo = {problem.path: problem for problem in reversed(_select_movable(report))}
    todo = dict(reversed(todo.items()))
    if not todo:
        return []
    os.makedirs(target, exist_ok=True)
    moved = []
    with _open_manifest(os.path.join(target, MANIFEST)) as manifest:
        for path, problem in todo.items():
            if not os.path.lexists(os.path.join(source, path)):
                continue
            _move(source, target, path, problem, manifest)
            moved.append(problem)
    return moved


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
            "in another folder, give that one with --quarantine."
        )
    moves = list(_plan_undo(folder, target, _read(manifest)))
    for source, here in moves:
        os.makedirs(os.path.dirname(os.path.join(folder, source)), exist_ok=True)
        _rename(os.path.join(target, here), os.path.join(folder, source))
    os.unlink(manifest)
    _remove_empty(target)
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
    clashes = {path for p in report.problems if p.kind == "label-clash" for path in _paths(p)}
    return [
        problem
        for problem in report.problems
        if KINDS[problem.kind].movable
        and not (problem.kind == "leak" and clashes.intersection(_paths(problem)))
    ]


def _paths(problem):
    return {problem.path, *problem.others}


def _move(source, target, path, problem, manifest):
    here = _find_free_name(target, os.path.join("files", path))
    os.makedirs(os.path.dirname(os.path.join(target, here)), exist_ok=True)
    line = {"from": path, "to": here, "kind": problem.kind, "reason": problem.reason}
    manifest.write(json.dumps(line).encode("ascii") + b"\n")
    manifest.flush()
    os.fsync(manifest.fileno())
    flush_folder(target)
    _rename(os.path.join(source, path), os.path.join(target, here))


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


def _find_free_name(target, path):
    """Returns a name for `path` in `target` that an earlier quarantine did not use."""
    free, number = path, 1
    while os.path.lexists(os.path.join(target, free)):
        number += 1
        free = f"{path}.{number}"
    return free


def _open_manifest(path):
    """Opens the manifest to append lines after its last complete line."""
    with open(path, "ab+") as file:
        file.seek(0)
        data = file.read()
    file = open(path, "rb+")
    file.truncate(data.rfind(b"\n") + 1)
    file.seek(0, os.SEEK_END)
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
        if not os.path.lexists(os.path.join(target, here)):
            if os.path.lexists(os.path.join(folder, source)):
                continue  # it was never moved, or was moved back before
            raise FileNotFoundError(
                errno.ENOENT, "A file of the quarantine is missing; nothing was moved back", here
            )
        if os.path.lexists(os.path.join(folder, source)) or source in taken:
            raise FileExistsError(
                errno.EEXIST,
                "Another file exists at an old path; nothing was moved back",
                printable(source),
            )
        taken.add(source)
        yield source, here


def _remove_empty(target):
    for folder, _, _ in os.walk(target, topdown=False):
        try:
            os.rmdir(folder)
        except OSError:  # it contains other files
            continue
