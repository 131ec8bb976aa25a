"""What the commands share."""

import os
import pathlib

import keras

from keras_vit import arguments, backend, checkpoints
from keras_vit.training import runs

MODEL = "run of `keras-vit train`, .keras file, file of weights, or a name of `keras-vit weights`"


def command(commands, name, run, summary, description=None):
    """Adds a command to `keras-vit`.

    Args:
        commands: argparse's subparsers.
        name: word that calls it.
        run: function of the parsed options; an int that it returns is the exit code.
        summary: its line in `keras-vit --help`.
        description: what `keras-vit NAME --help` says; None for the summary.

    Returns:
        Its parser, for its arguments.
    """
    parser = commands.add_parser(name, help=summary, description=description or summary)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(run=run)
    return parser


def load_model(name, image_size=None):
    """Opens the model that a user names.

    Args:
        name: folder of a run or the model.keras in it; another .keras file; a file of published
            weights; or a name of the catalogue, which is downloaded once.
        image_size: side in pixels, or (height, width), for published weights; None for their own.

    Returns:
        (model, metrics of its run). For a model of no run `runs.stand_in` takes their place
        where the catalogue knows its classes, and else None.

    Raises:
        FileNotFoundError, ValueError: it is not there or cannot be read, or a saved model has
            another resolution.
    """
    path = pathlib.Path(name)
    if not path.is_dir() and path.suffix != ".keras":
        return _published(name, image_size)
    if path.is_file() and not (path.parent / runs.METRICS).is_file():
        model, metrics = _saved(path), None
    else:
        _, model, metrics = runs.load(path)
    if image_size is not None:
        _check_size(model, image_size)
    return model, metrics


def _published(name, image_size):
    chosen = {} if image_size is None else {"image_size": image_size}
    if os.path.exists(name):
        return checkpoints.load_pretrained(name, **chosen), None
    try:
        entry = checkpoints.catalogue.find(name)
    except ValueError as error:
        raise FileNotFoundError(
            f"A {MODEL} was expected. Received: {str(name)!r}, not there. "
            f"{checkpoints.catalogue.suggestion(name)}".rstrip()
        ) from error
    model = checkpoints.load_pretrained(name, **chosen)
    return model, entry.class_names and runs.stand_in(model, entry.class_names)


def _saved(path):
    try:
        with backend.blank_weights():
            return keras.saving.load_model(path, compile=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{str(path)!r} cannot be read as a Keras model: {error}.") from error


def _check_size(model, image_size):
    own = tuple(model.input_shape[1:3])
    if own != arguments.height_width("image_size", image_size):
        advice = f"Leave --image-size out: it has {own}."
        want = "a saved model has its own resolution"
        arguments.refuse(want, {"image_size": image_size}, advice)
