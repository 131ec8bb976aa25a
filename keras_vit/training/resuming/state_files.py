"""States of a training run as files: the newest one and the one before it.

A file is an npz archive of `facts`, JSON as bytes, and the arrays. Each member has a checksum that
is compared when it is read. A new file gets its name when all of it is on the disk, and only then
is the oldest removed, so the folder contains a complete state at every moment.
"""

import contextlib
import json
import os
import pathlib
import re
import tempfile
import warnings
from typing import NamedTuple

import numpy as np

from keras_vit.io.npz_file import NpzFile, write_npz
from keras_vit.io.tensor_file import MAX_TENSORS, InvalidFileError

FORMAT = 1
KEPT = 2
NAME = re.compile(r"epoch-(\d+)-step-(\d+)\.npz")
UNFINISHED = ".epoch-*.partial"  # left by `writing.replacing` if the process is killed
LOCK = ".lock"
EXPECTED = "A complete state of a training run was expected."
_locks = {}
_held = set()  # paths of the folders of `holding`


class StateFile(NpzFile):
    """An open state, which has more tensors than weights: moments, averages, summed gradients."""

    most = 2 * MAX_TENSORS  # 60 blocks have 4,900


class State(NamedTuple):
    """Where training resumes, `step` batches into `epoch`, counted from 0, and all it needs."""

    epoch: int
    step: int
    facts: dict
    arrays: dict


def prepare(folder):
    """Creates and locks the folder, and removes files that killed processes left in it.

    Raises:
        OSError: the folder cannot be written, or another process trains in it.
    """
    folder = pathlib.Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"1")
    except OSError as error:
        what = f"{error.strerror}. Checkpoints need a folder that can be written; choose another"
        raise type(error)(error.errno, what, str(folder)) from error
    _lock(folder)
    for partial in folder.glob(UNFINISHED):
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def holding(folder):
    """Keeps other processes out of the folder, also before and after training.

    Raises:
        OSError: as in `prepare`.
    """
    path = os.path.realpath(folder)
    is_outer = path not in _held
    prepare(folder)
    _held.add(path)
    try:
        yield
    finally:
        if is_outer:
            _held.remove(path)
            release(folder)


def release(folder):
    """Lets other processes train in the folder again, unless this one is `holding` it."""
    if os.path.realpath(folder) in _held:
        return
    held = _locks.pop(os.path.realpath(folder), None)
    if held is not None:
        os.close(held)


def paths(folder):
    """Returns the state files in a folder, oldest first."""
    matches = {p: NAME.fullmatch(p.name) for p in pathlib.Path(folder).glob("epoch-*.npz")}
    places = {path: tuple(map(int, match.groups())) for path, match in matches.items() if match}
    return sorted(places, key=places.get)


def write(folder, state):
    """Writes a state, removes all but the two newest, and returns the path of the new file.

    If it cannot be written (`OSError`), or has too many arrays to be read (`ValueError`), the
    earlier states remain.
    """
    path = pathlib.Path(folder) / f"epoch-{state.epoch + 1:04d}-step-{state.step:06d}.npz"
    place = {"format": FORMAT, "epoch": state.epoch, "step": state.step}
    facts = {**state.facts, **place, "arrays": list(state.arrays)}
    text = np.frombuffer(json.dumps(facts).encode(), "uint8")
    try:
        write_npz(path, {"facts": text, **state.arrays}, StateFile.most)
    except OSError as error:
        before = describe_newest(folder)
        left = "it was the first" if before == "none" else f"that of {before} is complete"
        what = (
            f"{error.strerror or error}. The state of epoch {state.epoch + 1}, step {state.step} "
            f"was not written; {left}. Free space or repair the disk, then resume the run"
        )
        raise type(error)(error.errno, what, str(folder)) from error
    for old in paths(folder)[:-KEPT]:
        with contextlib.suppress(OSError):  # the new state is safe; the next save tries again
            old.unlink()
    return path


def read(path):
    """Reads a state; raises `ValueError` if it is damaged, or from another version."""
    with StateFile(path) as file:
        with file.wrap_errors("its facts cannot be read"):
            facts = json.loads(file.read("facts").tobytes())
        if facts["format"] != FORMAT:
            file.refuse(f"whose format is {facts['format']}, not {FORMAT}")
        arrays = {name: file.read(name) for name in file.specs if name != "facts"}
        # Only the table of contents of the archive has no checksum.
        if sorted(arrays) != sorted(facts["arrays"]):
            file.refuse("which does not contain the arrays that it lists")
    return State(facts["epoch"], facts["step"], facts, arrays)


def read_newest(folder):
    """Reads the newest complete state, or returns None if there is none yet.

    Newer files that are damaged are renamed to end in `.damaged`, with a warning; if all of them
    are damaged, a `ValueError` is raised.
    """
    damaged = []
    for path in reversed(paths(folder)):
        try:
            state = read(path)
        except InvalidFileError as error:  # its advice is for a download
            damaged.append((path, f"{EXPECTED} Received: {str(path)!r}, {error.what}"))
            continue
        for bad, problem in damaged:
            bad.replace(bad.with_name(bad.name + ".damaged"))
            warnings.warn(f"{problem}. {path} is used instead.", stacklevel=2)
        return state
    if damaged:
        advice = "Remove the folder to train from the start."
        raise ValueError(f"{damaged[0][1]}, and no earlier one. {advice}")
    return None


def describe_newest(folder):
    """Returns a string such as "epoch 3, step 20 (runs/a/epoch-0003-step-000020.npz)"."""
    files = paths(folder)
    if not files:
        return "none"
    epoch, step = map(int, NAME.fullmatch(files[-1].name).groups())
    return f"epoch {epoch}, step {step} ({files[-1]})"


def _lock(folder):
    """Locks the folder until this process ends, on systems that have such locks."""
    path = os.path.realpath(folder)
    if path in _locks:
        return
    try:
        import fcntl
    except ImportError:
        return
    held = os.open(os.path.join(path, LOCK), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.lockf(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        os.close(held)
        what = "Another process trains in this folder. Wait until it ends, or choose another"
        raise BlockingIOError(error.errno, what, str(folder)) from error
    except OSError:  # some network file systems
        os.close(held)
        return
    _locks[path] = held
