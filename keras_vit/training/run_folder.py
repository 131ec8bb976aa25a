"""The folder of a training run: where it is, whether it is complete, what it was made from."""

import datetime
import json
import pathlib
import shlex

from keras_vit import arguments, writable
from keras_vit.checkpoints import atomic
from keras_vit.training.options import Options

SETTINGS, MODEL, METRICS, STATES = "settings.json", "model.keras", "metrics.json", "states"


def command_line(*words):
    """Returns a call of `keras-vit` as a shell takes it: paths with spaces are quoted.

    Example:
    >>> keras_vit.training.run_folder.command_line("evaluate", "my runs/first")
    "keras-vit evaluate 'my runs/first'"
    """
    return shlex.join(["keras-vit", *map(str, words)])


def find(path):
    """Returns the folder of a complete run.

    Args:
        path: the folder, or the file model.keras in it.

    Raises:
        FileNotFoundError: model.keras or metrics.json does not exist.
    """
    path = pathlib.Path(path)
    target = path if path.is_dir() else path.parent
    complete = (target / METRICS).is_file() and (target / MODEL).is_file()
    if (target / SETTINGS).is_file() and not complete:
        raise FileNotFoundError(
            f"A complete run was expected. Received: {str(target)!r}, which was interrupted. "
            f"Run: {command_line('train', '--resume', target)}"
        )
    for name in (MODEL, METRICS):
        if not path.exists() or not (target / name).is_file():
            raise FileNotFoundError(
                f"A run of `keras-vit train` with model.keras and metrics.json was expected. "
                f"Received: {str(path)!r}, {'without ' + name if path.exists() else 'not there'}."
            )
    return target


def is_complete(target):
    """Returns whether a run is complete: its states are removed last."""
    return (target / METRICS).is_file() and not (target / STATES).exists()


def read_settings(folder):
    """Returns (folder, `Options`) of a run, complete or not."""
    target = pathlib.Path(folder)
    path = target / SETTINGS
    if not path.is_file():
        raise FileNotFoundError(
            "A folder that `keras-vit train` wrote, with settings.json in it, was expected. "
            f"Received: {str(target)!r}, {'without it' if target.exists() else 'not there'}."
        )
    try:
        return target, Options(**json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{str(path)!r} cannot be read: {error}. Train again.") from error


def write_settings(target, options):
    """Writes what a run is made from."""
    write_text(target / SETTINGS, json.dumps(options._asdict(), indent=2) + "\n")


def write_text(path, text):
    """Writes a small file as a whole or not at all."""
    with atomic.replacing(path) as partial:
        pathlib.Path(partial).write_text(text)


def short_name(options):
    """Returns a word for the folder of a run."""
    return "digits" if options.data is None else pathlib.Path(options.data).stem


def check_out(out):
    """Raises `ValueError` unless a run can be written to `out`: a new or empty folder.

    None stands for a new folder in runs/.
    """
    target = pathlib.Path("runs" if out is None else out)
    if out is not None and target.exists() and (not target.is_dir() or any(target.iterdir())):
        advice = "Choose another, or remove it."
        if (target / SETTINGS).is_file() and not is_complete(target):
            resume = command_line("train", "--resume", target)
            advice = f"It holds an interrupted run. Resume it with {resume}, or choose another."
        arguments.refuse("`out` must be a new or an empty folder", {"out": str(target)}, advice)
    writable.check_folder(target)


def check_resumable(folder):
    """Raises unless a run can be resumed, as far as its folder shows; see `read_settings`."""
    target, _ = read_settings(folder)
    if not is_complete(target):
        writable.check_folder(target, "Make it writable, or copy the run to another disk.")


def new_folder(out, name):
    """Makes the folder of a run and returns it; None makes runs/<time>-<name>."""
    check_out(out)
    now = datetime.datetime.now().strftime("%Y-%m-%d-%H%M%S")
    target = pathlib.Path("runs", f"{now}-{name}") if out is None else pathlib.Path(out)
    writable.make_folder(target)
    return target


def remove_if_empty(target):
    """Removes the folder of a run that ended before it wrote anything."""
    for folder in (target, *(parent for parent in target.parents if parent.name == "runs")):
        if not any(folder.iterdir()):
            folder.rmdir()
