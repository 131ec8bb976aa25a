"""The folder of a training run: where it is, whether it is complete, its settings."""

import datetime
import json
import pathlib
import shlex

from keras_vit import arguments
from keras_vit.io import writing
from keras_vit.training.runs.options import Options

SETTINGS, MODEL, METRICS, STATES = "settings.json", "model.keras", "metrics.json", "states"


def command_line(*words):
    """Returns a `keras-vit` command for the shell; paths with spaces are quoted.

    Example:
    >>> keras_vit.training.runs.run_folder.command_line("evaluate", "my runs/first")
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
            problem = f"without {name}" if path.exists() else "which does not exist"
            raise FileNotFoundError(
                f"A run of `keras-vit train` with model.keras and metrics.json was expected. "
                f"Received: {str(path)!r}, {problem}. Train one with: keras-vit train"
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
        problem = "which has none" if target.exists() else "which does not exist"
        raise FileNotFoundError(
            "A folder of `keras-vit train` with settings.json was expected. "
            f"Received: {str(target)!r}, {problem}. Check the path."
        )
    try:
        return target, Options(**json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{str(path)!r} cannot be read: {error}. Train again.") from error


def write_settings(target, options):
    """Writes the arguments of a run."""
    writing.write_text(target / SETTINGS, json.dumps(options._asdict(), indent=2) + "\n")


def short_name(options):
    """Returns a word for the name of a run's folder."""
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
            advice = f"It contains an interrupted run. Resume it with {resume}, or choose another."
        arguments.refuse("`out` must be a new or an empty folder", {"out": str(target)}, advice)
    writing.check_folder(target)


def check_resumable(folder):
    """Raises unless the folder of a run allows to resume it; see `read_settings`."""
    target, _ = read_settings(folder)
    if not is_complete(target):
        writing.check_folder(target, "Make it writable, or copy the run to another disk.")


def make(out, name):
    """Creates the folder of a run and returns it; for None, runs/<time>-<name>."""
    check_out(out)
    now = datetime.datetime.now().strftime("%Y-%m-%d-%H%M%S")
    target = pathlib.Path("runs", f"{now}-{name}") if out is None else pathlib.Path(out)
    writing.make_folder(target)
    return target


def remove_if_empty(target):
    """Removes the folder of a run that ended before it wrote anything."""
    for folder in (target, *(parent for parent in target.parents if parent.name == "runs")):
        if not any(folder.iterdir()):
            folder.rmdir()
