"""The folder that a training leaves: how it is written, opened and used."""

import contextlib
import csv
import json
import os
import pathlib
import shutil
from typing import NamedTuple

import keras
import numpy as np

from keras_vit import backend
from keras_vit.checkpoints import atomic
from keras_vit.data import read_digit, transforms
from keras_vit.data.images import open_image
from keras_vit.training import experiment, reports
from keras_vit.training.run_folder import METRICS, MODEL, STATES, find, read_settings, write_text


class Run(NamedTuple):
    """What a training left: its folder, the trained model, and `metrics.json` as a dictionary."""

    folder: pathlib.Path
    model: keras.Model
    metrics: dict


class Prediction(NamedTuple):
    """The most probable classes of one image, as pairs (name, probability 0 to 1)."""

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
    target = find(path)
    try:
        metrics = json.loads((target / METRICS).read_text())
        with backend.blank_weights():
            model = keras.saving.load_model(target / MODEL, compile=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"The run {str(target)!r} cannot be read: {error}. Train again."
        ) from error
    return Run(target, model, metrics)


def stand_in(model, class_names=None):
    """Returns what `predict` needs of a run's metrics, for a model of no run.

    Args:
        model: takes images of one size, (batch, height, width, channels), and gives logits.
        class_names: of the logits; None for "class 0", "class 1", ...
    """
    *size, channels = model.input_shape[1:]
    return {
        "data": None,
        "class_names": class_names or [f"class {i}" for i in range(model.output_shape[-1])],
        "image_size": size,
        "num_channels": channels,
        "resize": "squash",
    }


def test_data(run):
    """Returns the `ImageDataset` of a run: its `test` and `validation` are as they were."""
    return experiment.load_images(read_settings(run.folder)[1])


def watched(data):
    """Returns the part whose loss is shown while training: nothing is chosen by it."""
    return "validation" if data.counts["validation"] else "test"


def predict(run, files, invert=False, top=3):
    """Names the classes of image files.

    A run of digits cuts an image to its ink, as the digits it was trained on are.

    Args:
        run: a `Run`, or the path of one.
        files: paths of images.
        invert: whether dark and light are exchanged first, for dark ink on light paper.
        top: number of classes to name.

    Returns:
        A `Prediction` for every file, its classes in descending order of probability.

    Raises:
        FileNotFoundError, ValueError: a file is not there or is no image; it is named.

    Example:
    >>> keras_vit.training.predict("runs/first", ["three.png"], invert=True)  # doctest: +SKIP
    """
    run = run if isinstance(run, Run) else load(run)
    metrics = run.metrics
    is_digits = metrics["data"] == "digits"
    pixels = [read_pixels(file, metrics, invert) for file in files]
    logits = run.model.predict(np.stack(pixels), batch_size=256, verbose=0)
    probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    found = []
    for file, image, row in zip(files, pixels, probabilities, strict=True):
        best = np.argsort(-row)[:top]
        classes = tuple((metrics["class_names"][i], float(row[i])) for i in best)
        bright = is_digits and not invert and image.mean() > 127
        found.append(Prediction(str(file), classes, reports.INVERT_HINT if bright else ""))
    return found


def read_pixels(file, metrics, invert):
    """An image as the model of a run takes it."""
    if metrics["data"] == "digits":
        return read_digit(file, invert)
    image = open_image(file, metrics["num_channels"], invert)
    return transforms.resize_image(image, metrics["image_size"], metrics["resize"])


def write(target, made, history, metrics, found):
    """Writes all that a complete run leaves, then removes its states."""
    save_model(made.model, target / MODEL)
    write_history(target / "history.csv", history)
    write_text(target / METRICS, json.dumps(metrics, indent=2) + "\n")
    write_figures(target, made, history, metrics, found)
    shutil.rmtree(target / STATES)  # their weights are the model's


def save_model(model, path):
    """Saves a model so that the name stands for a complete file, whatever happens."""
    partial = path.with_name(f".partial-{path.name}")  # Keras looks at how the name ends
    with contextlib.ExitStack() as stack:
        stack.callback(partial.unlink, missing_ok=True)
        model.save(partial)
        atomic.flush(partial)
        os.replace(partial, path)


def write_history(path, history):
    """Writes a table with one row for each epoch: epoch, loss, accuracy, ..."""
    with atomic.replacing(path) as partial, open(partial, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", *history])
        writer.writerows(zip(range(1, len(history["loss"]) + 1), *history.values(), strict=True))


def write_figures(target, made, history, metrics, found):
    """Draws the run's figures, and saves a test image."""
    from PIL import Image

    from keras_vit.training import evaluation_plots, plots

    data, batches = made.data, made.data.fixed_batches("test" if made.data.test else "validation")
    plots.curves(history, metrics["baselines"]).savefig(target / "curves.png")
    plots.predictions(batches.image, found.labels, found.probabilities, data.class_names).savefig(
        target / "predictions.png"
    )
    evaluation_plots.confusion(found.evaluation).savefig(target / "confusion.png")
    if any(layer.name == "patch_encoder" for layer in made.model.layers):
        plots.positions(made.model).savefig(target / "positions.png")
    data.grid().savefig(target / "images.png")
    example = Image.fromarray(batches.image(0).squeeze())
    larger = max(1, 128 // max(example.size))  # a digit of 8 x 8 pixels could hardly be seen
    example.resize(
        (example.width * larger, example.height * larger), Image.Resampling.NEAREST
    ).save(target / "example.png")
