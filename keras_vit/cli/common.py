"""Shared by several commands: adding a parser, and loading the model that a user names."""

import argparse
import os
import pathlib

from keras_vit import arguments
from keras_vit.checkpoints.catalogue import find, hub, suggestion
from keras_vit.doctor import image_table
from keras_vit.io import files
from keras_vit.training.runs import run_folder

# Texts of --help that several commands share.
MODEL = "run of `keras-vit train`, .keras file, file or folder of weights, hf://owner/name, "
MODEL += "or a name of `keras-vit weights`"
RESIZE = "how images are resized: squash ignores their proportions, crop keeps the center; "
RESIZE += "default: as in the run, or in a JSON file beside the weights; otherwise squash"
INVERT = "invert the colors first, for dark ink on paper"
DEFAULT = "default: %(default)s"


def command(commands, name, start, run, summary, description):
    """Adds a command to `keras-vit` and returns its parser, without its arguments.

    Args:
        commands: argparse's subparsers.
        name: name of the command.
        start: function of the parsed options, called before Keras is imported. It raises if an
            argument is invalid, and returns an exit code if nothing is left to do.
        run: function of the parsed options that does the rest and may return an exit code; None if
            `start` does everything.
        summary: its line in `keras-vit --help`.
        description: text of `keras-vit NAME --help`.
    """
    parser = commands.add_parser(name, help=summary, description=description)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(start=start, run=run)
    return parser


def adder(parser):
    """Returns a function that adds an argument to a parser or to a group of one.

    `add("--epochs N", text, int)` adds an option, `add("--strict", text)` a switch and
    `add("folder FOLDER", text)` a positional argument.
    """

    def add(name, text, kind=None, **more):
        name, _, metavar = name.partition(" ")
        if metavar:
            more["metavar"] = metavar
        if not (metavar or kind or "choices" in more):
            more["action"] = "store_true"
        else:
            more["type"] = kind or _check_text
        parser.add_argument(name, help=text, **more)

    return add


def _check_text(value):
    """Refuses an empty string, which a shell passes for a variable that is not set."""
    if not value:
        raise argparse.ArgumentTypeError("expected a value, received an empty string: ''")
    return value


def add_columns(add):
    """Adds the options for the columns of a table, which become the dictionary `columns`."""

    class Column(argparse.Action):
        def __call__(self, parser, options, name, option=None):
            role = option.strip("-").removesuffix("-column")
            options.columns = {**(options.columns or {}), role: name}

    roles = {"image": "files", "label": "labels", "split": "train, validation or test"}
    roles["group"] = "groups, such as patients: no group is in two splits"
    for role, content in roles.items():
        usual = " or ".join(image_table.NAMES[role][:3])
        text = f"column of a table with {content}; default: one with a usual name, such as {usual}"
        add(f"--{role}-column NAME", text, dest="columns", action=Column)


def check_model(name):
    """Raises `FileNotFoundError` unless `load_model` would find a model; opens no file."""
    path = pathlib.Path(name)
    if hub.is_address(name):
        hub.parse(name)
    elif is_run(path):
        run_folder.find(path)
    elif not path.exists():
        _entry(name)


def load_model(name, image_size=None, precision=None):
    """Loads a `MODEL`.

    `image_size`, a side or (height, width), is for published weights; None for their own. The model
    computes in `precision`, a policy of Keras; None for its own.

    Returns (model, metrics of its run). If the model is not from a run, the metrics are
    `saved_run.default_metrics` if it has the names of its classes, otherwise only how images are
    resized. Raises `FileNotFoundError` or `ValueError` if the model cannot be read or has another
    resolution.
    """
    from keras_vit import load_pretrained, resizing
    from keras_vit.checkpoints import keras_file, loading
    from keras_vit.data.images import RESIZING
    from keras_vit.training.runs import saved_run

    path, metrics, how = pathlib.Path(name), None, {}
    if hub.is_address(name) or not (is_run(path) or path.suffix == ".keras"):
        wanted = {"image_size": image_size, "dtype": precision}
        wanted = {field: value for field, value in wanted.items() if value is not None}
        model, how = load_pretrained(name, **wanted), loading.find_resizing(name, image_size)
        precision = None
    elif is_run(path):
        _, model, metrics = saved_run.load(path)
        _check_size(model, image_size)
    else:
        model = keras_file.load(path)
        _check_size(model, image_size)
    if precision is not None:
        model = resizing.rebuild(model, dtype=precision)
    if metrics is None:
        named = getattr(model, "class_names", None)
        known = saved_run.default_metrics(model) if named else RESIZING
        metrics = {**known, **how}
    return model, metrics


def _check_size(model, image_size):
    own = tuple(model.input_shape[1:3])
    if image_size is not None and own != arguments.height_width("image_size", image_size):
        advice = f"Leave --image-size out: it has {own}."
        want = "a saved model has its own resolution"
        arguments.refuse(want, {"image_size": image_size}, advice)


def load_run(name, **changes):
    """Loads a `MODEL` as a `Run`; a run itself keeps its folder, which has its images.

    `changes` replace fields of its metrics, except those that are None.
    """
    from keras_vit import training
    from keras_vit.training.runs.saved_run import default_metrics

    if is_run(name):
        run = training.load(name)
    else:
        model, metrics = load_model(name)
        run = training.Run(None, model, {**default_metrics(model), **metrics})
    changes = {field: value for field, value in changes.items() if value is not None}
    return run._replace(metrics={**run.metrics, **changes})


def name_model(name):
    """Returns the last part of a `MODEL` that is a path; otherwise its name, such as "ViT-S/16"."""
    return pathlib.Path(name).name if os.path.exists(name) else name


def is_run(path):
    """Returns whether `path` is a folder without weights, or model.keras beside metrics.json."""
    path = pathlib.Path(path)
    if path.is_dir():
        return not files.is_folder_of_weights(path)
    is_of_run = path.name == run_folder.MODEL and (path.parent / run_folder.METRICS).is_file()
    alone = path.is_file() and not is_of_run
    return path.suffix == ".keras" and not alone


def _entry(name):
    try:
        return find(name)
    except ValueError as error:
        raise FileNotFoundError(
            f"A {MODEL} was expected. Received: {str(name)!r}, which does not exist. "
            f"{suggestion(name)}".rstrip()
        ) from error
