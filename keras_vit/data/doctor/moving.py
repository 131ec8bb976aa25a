"""Moves bad files aside, and back.

Files are renamed, never copied, so their bytes and times stay as they are. Before each move its
line is written to the manifest and is on the disk: whatever ends the program in between, `undo`
knows where every file was.
"""

import errno
import json
import os

from keras_vit import arguments
from keras_vit.data.doctor.kinds import KINDS
from keras_vit.data.doctor.walking import printable
from keras_vit.io.writing import flush_folder

MANIFEST = "manifest.jsonl"


def quarantine(report, to=None):
    """Moves the files that a report found to be of no use into a folder beside the dataset.

    It moves files that cannot be read as images, and of an image that is in two splits the copy
    in the earlier one (train before validation before test), unless copies differ in class. It
    moves nothing for warnings, nor files that only lack a right or stand in the wrong class.

    Args:
        report: of `check`.
        to: folder to move to, on the same disk; None for one beside the dataset, with its name
            and "-quarantine".

    Returns:
        List of the problems whose files were moved.

    Raises:
        ValueError: `to` is inside the dataset.
        OSError: a file cannot be moved; those before it were, and `undo` brings them back.

    Example:
    >>> keras_vit.data.quarantine(keras_vit.data.check("images/"))  # doctest: +SKIP
    """
    source, target = report.folder, quarantine_folder(report.folder, to)
    todo = {problem.path: problem for problem in reversed(_movable(report))}
    todo = dict(reversed(todo.items()))
    if not todo:
        return []
    os.makedirs(target, exist_ok=True)
    moved = []
    with _ending_line(os.path.join(target, MANIFEST)) as manifest:
        for path, problem in todo.items():
            if not os.path.lexists(os.path.join(source, path)):
                continue
            _move(source, target, path, problem, manifest)
            moved.append(problem)
    return moved


def undo(folder, to=None):
    """Moves back what `quarantine` moved, exactly to where it was, and overwrites nothing.

    It looks at all files first and moves none unless all can be moved. Should it be interrupted,
    it can be called again.

    Args:
        folder: the dataset.
        to: as in `quarantine`.

    Returns:
        List of the paths that were moved back, relative to `folder`.

    Raises:
        FileNotFoundError: there is no quarantine.
        FileExistsError: another file stands where one was.
        OSError: a file cannot be moved.
    """
    folder = os.path.abspath(folder)
    target = quarantine_folder(folder, to)
    manifest = os.path.join(target, MANIFEST)
    if not os.path.isfile(manifest):
        raise FileNotFoundError(
            f"A quarantine was expected. Received: {target!r} has no {MANIFEST}. Give its folder "
            "with --quarantine if it is another."
        )
    moves = list(_still_moved(folder, target, _read(manifest)))
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
            "Otherwise its files would be found again.",
        )
    return target


def _movable(report):
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
    here = _free(target, os.path.join("files", path))
    os.makedirs(os.path.dirname(os.path.join(target, here)), exist_ok=True)
    line = {"from": path, "to": here, "kind": problem.kind, "reason": problem.reason}
    manifest.write(json.dumps(line).encode("ascii") + b"\n")
    manifest.flush()
    os.fsync(manifest.fileno())
    flush_folder(target)
    _rename(os.path.join(source, path), os.path.join(target, here))


def _rename(source, target):
    if os.path.lexists(target):  # `rename` would replace it
        raise FileExistsError(
            errno.EEXIST, "Another file is there; nothing was overwritten", target
        )
    try:
        os.rename(source, target)
    except OSError as error:
        reason = error.strerror
        if error.errno == errno.EXDEV:
            reason = "The quarantine must be on the same disk; choose another with --quarantine"
        raise OSError(error.errno, f"{reason}; the file was not moved", source) from error


def _free(target, path):
    """A name for `path` in `target` that is not taken, as by an earlier quarantine."""
    free, number = path, 1
    while os.path.lexists(os.path.join(target, free)):
        number += 1
        free = f"{path}.{number}"
    return free


def _ending_line(path):
    """Opens the manifest to append to it, after the last whole line."""
    with open(path, "ab+") as file:
        file.seek(0)
        data = file.read()
    file = open(path, "rb+")
    file.truncate(data.rfind(b"\n") + 1)
    file.seek(0, os.SEEK_END)
    return file


def _read(manifest):
    """The moves of a manifest. A last line that was cut off is of a move that did not begin."""
    with open(manifest, "rb") as file:
        lines = file.read().split(b"\n")[:-1]
    for number, line in enumerate(lines, start=1):
        try:
            move = json.loads(line)
            paths = move["from"], move["to"]
        except (ValueError, TypeError, KeyError):
            raise ValueError(f"Line {number} of {manifest!r} cannot be read; mend it.") from None
        if any(not isinstance(path, str) or _escapes(path) for path in paths):
            raise ValueError(f"Line {number} of {manifest!r} leads out of the folder.")
        yield paths


def _escapes(path):
    return os.path.isabs(path) or ".." in path.split("/") or ".." in path.split(os.sep)


def _still_moved(folder, target, moves):
    """The moves to undo, last first; raises before any if one cannot be."""
    taken = set()
    for source, here in reversed(list(moves)):
        if not os.path.lexists(os.path.join(target, here)):
            if os.path.lexists(os.path.join(folder, source)):
                continue  # it was never moved, or is back already
            raise FileNotFoundError(
                errno.ENOENT, "A file of the quarantine has gone; nothing was moved back", here
            )
        if os.path.lexists(os.path.join(folder, source)) or source in taken:
            raise FileExistsError(
                errno.EEXIST,
                "Another file stands where one was; nothing was moved back",
                printable(source),
            )
        taken.add(source)
        yield source, here


def _remove_empty(target):
    for folder, _, _ in os.walk(target, topdown=False):
        try:
            os.rmdir(folder)
        except OSError:  # something else is in it: it stays
            continue
