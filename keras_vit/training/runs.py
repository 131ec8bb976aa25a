"""The folder that a training leaves: how it is written, opened and used."""

import csv
import datetime
import json
import pathlib
from typing import NamedTuple

import keras
import numpy as np

from keras_vit import arguments
from keras_vit.data import read, read_digit
from keras_vit.training import reports


class Run(NamedTuple):
    """What a training left: its folder, the trained model, and `metrics.json` as a dictionary."""

    folder: pathlib.Path
    model: keras.Model
    metrics: dict


class Prediction(NamedTuple):
    """The most probable classes of one picture, as pairs (name, probability 0 to 1)."""

    file: str
    classes: tuple
    hint: str


def load(path):
    """Opens a run that `train` wrote.

    Args:
        path: its folder, or the file model.keras in it.

    Returns:
        A `Run`.

    Raises:
        FileNotFoundError: model.keras or metrics.json is not there.
        ValueError: one of them cannot be read.
    """
    path = pathlib.Path(path)
    target = path if path.is_dir() else path.parent
    for name in ("model.keras", "metrics.json"):
        if not path.exists() or not (target / name).is_file():
            raise FileNotFoundError(
                f"A run of `keras-vit train` with model.keras and metrics.json was expected. "
                f"Received: {str(path)!r}, {'without ' + name if path.exists() else 'not there'}."
            )
    try:
        metrics = json.loads((target / "metrics.json").read_text())
        model = keras.saving.load_model(target / "model.keras", compile=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"The run {str(target)!r} cannot be read: {error}. Train again."
        ) from error
    return Run(target, model, metrics)


def predict(run, files, invert=False, top=3):
    """Names the classes of picture files.

    A run of digits cuts a picture to its ink, as the digits it was trained on are.

    Args:
        run: a `Run`, or the path of one.
        files: paths of pictures.
        invert: whether dark and light are exchanged first, for dark ink on light paper.
        top: number of classes to name.

    Returns:
        A `Prediction` for every file, its classes in descending order of probability.

    Raises:
        FileNotFoundError, ValueError: a file is not there or is no picture; it is named.

    Example:
    >>> keras_vit.training.predict("runs/first", ["three.png"], invert=True)  # doctest: +SKIP
    """
    run = run if isinstance(run, Run) else load(run)
    metrics = run.metrics
    is_digits = metrics["data"] == "digits"
    size, channels = metrics["image_size"], metrics["num_channels"]
    pixels = [
        read_digit(file, invert) if is_digits else read(file, size, channels, invert)
        for file in files
    ]
    probabilities = predict_probabilities(run.model, np.stack(pixels))
    found = []
    for file, picture, row in zip(files, pixels, probabilities, strict=True):
        best = np.argsort(-row)[:top]
        classes = tuple((metrics["class_names"][i], float(row[i])) for i in best)
        bright = is_digits and not invert and picture.mean() > 127
        found.append(Prediction(str(file), classes, reports.INVERT_HINT if bright else ""))
    return found


def predict_probabilities(model, pictures):
    """Returns (pictures, classes), each row summing to 1, of pictures with pixels 0 to 255."""
    logits = model.predict(pictures, batch_size=256, verbose=0)
    return keras.ops.convert_to_numpy(keras.ops.softmax(logits))


def new_folder(out, name):
    """Makes the folder of a run, or raises unless it is new or empty and can be written."""
    now = datetime.datetime.now().strftime("%Y-%m-%d-%H%M%S")
    target = pathlib.Path(out) if out is not None else pathlib.Path("runs", f"{now}-{name}")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        advice = "Choose another, or remove it."
        arguments.refuse("`out` must be a new or an empty folder", {"out": str(target)}, advice)
    try:
        target.mkdir(parents=True, exist_ok=True)
        probe = target / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ValueError(
            f"`out` must be a folder that can be written. Received: out={str(target)!r} "
            f"({error.strerror}). Choose another."
        ) from error
    return target


def remove_if_empty(target):
    """Removes the folder of a run that ended before it left anything."""
    if not any(target.iterdir()):
        target.rmdir()


def write_history(path, history):
    """Writes a table with one row for each epoch: epoch, loss, accuracy, test loss and accuracy."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", *history])
        writer.writerows(zip(range(1, len(history["loss"]) + 1), *history.values(), strict=True))


def write_figures(target, model, history, metrics, data, probabilities):
    """Draws curves.png, predictions.png and positions.png, and saves a test picture."""
    from PIL import Image

    from keras_vit.training import plots

    plots.curves(history, metrics["baselines"]).savefig(target / "curves.png")
    plots.predictions(data.test_images, data.test_labels, probabilities, data.class_names).savefig(
        target / "predictions.png"
    )
    plots.positions(model).savefig(target / "positions.png")
    example = Image.fromarray(data.test_images[0].squeeze())
    larger = max(1, 128 // max(example.size))  # a digit of 8 x 8 pixels could hardly be seen
    example.resize(
        (example.width * larger, example.height * larger), Image.Resampling.NEAREST
    ).save(target / "example.png")
