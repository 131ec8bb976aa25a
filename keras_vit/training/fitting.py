"""From pictures to a run: everything behind `keras-vit train`."""

import datetime
import json
import math
import pathlib
import sys
import time

import keras

from keras_vit import arguments
from keras_vit.data import Batches, Dataset, digits, folder, scan
from keras_vit.training import environment, recipes, reports, runs
from keras_vit.training.baselines import baselines, ensure_installed

LARGEST_SEED = 2**32 - 1  # NumPy's and Keras's limit
# Keras speaks of validation; here nothing is chosen by these pictures, so they are a test.
COLUMNS = {
    "loss": "loss",
    "accuracy": "accuracy",
    "val_loss": "test_loss",
    "val_accuracy": "test_accuracy",
}


def train(
    data=None,
    model=None,
    image_size=None,
    epochs=None,
    batch_size=None,
    learning_rate=None,
    seed=0,
    out=None,
):
    """Trains a small Vision Transformer and writes a folder with all that it gave.

    What is left at None comes from `RECIPES`: "digits" without `data`, "folder" with it. One fifth
    of the pictures is only tested on; nothing is chosen by their result: the weights of the last
    epoch are the ones that count. Progress and result are printed. Python's, NumPy's and Keras's
    random generators are seeded.

    Args:
        data: folder of class folders (see `keras_vit.data.folder`); None for the digits that come
            with scikit-learn.
        model: name of a variant, such as "ViT-Mini/2".
        image_size: side in pixels to which pictures of a folder are resized; digits are 8.
        epochs: passes over the training pictures.
        batch_size: pictures in a step.
        learning_rate: highest of the schedule.
        seed: of the split, the weights, the order and the dropout.
        out: folder to write; it must be new or empty. None makes `runs/<time>-<name>`.

    Returns:
        A `Run`. Its folder holds model.keras, history.csv, metrics.json, curves.png,
        predictions.png, positions.png and example.png.

    Raises:
        ValueError: an argument cannot be used; nothing has been written or trained.
        FileNotFoundError: there is no such folder.
        ImportError: scikit-learn is not installed.
        ArithmeticError: the loss is no longer a finite number.

    Example:
    >>> run = keras_vit.training.train(epochs=1, out="runs/first")  # doctest: +SKIP
    >>> run.metrics["test_accuracy"]  # doctest: +SKIP
    """
    started = time.perf_counter()
    settings = _settings(data, model, image_size, epochs, batch_size, learning_rate)
    _check_seed(seed)
    ensure_installed()
    others = () if data is None else scan(data).others
    target = runs.new_folder(out, "digits" if data is None else pathlib.Path(data).resolve().name)
    try:
        pictures = digits(seed) if data is None else folder(data, settings.image_size, seed)
        print(reports.introduction(pictures, settings, seed, others), flush=True)
        references = baselines(pictures)
        print(reports.references(pictures, references), flush=True)
        trained, history = fit(pictures, settings, seed)
        trained.save(target / "model.keras")
        runs.write_history(target / "history.csv", history)
    except BaseException:
        runs.remove_if_empty(target)
        raise
    probabilities = runs.predict_probabilities(trained, pictures.test_images)
    metrics = {
        **_result(pictures, probabilities, history, references),
        **_provenance(data, settings, seed, pictures.class_names, trained),
        "seconds": round(time.perf_counter() - started, 1),
    }
    (target / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    runs.write_figures(target, trained, history, metrics, pictures, probabilities)
    print(reports.conclusion(target, metrics, data), flush=True)
    return runs.Run(target, trained, metrics)


def fit(data: Dataset, settings, seed=0):
    """Trains a fresh model of a `Recipe` with `model.fit`.

    Args:
        data: a `keras_vit.data.Dataset`.
        settings: a `Recipe`.
        seed: of the weights, the order of the pictures and the dropout.

    Returns:
        The model, and its history {"loss": [one number an epoch], "accuracy": ..., "test_loss":
        ..., "test_accuracy": ...}.
    """
    keras.utils.set_random_seed(seed)
    model = recipes.build(settings, len(data.class_names), len(data.train_images))
    batches = Batches(
        data.train_images,
        data.train_labels,
        settings.batch_size,
        seed=seed,
        augmentation=settings.augmentation,
    )
    terminal = sys.stdout.isatty()
    history = model.fit(
        batches,
        epochs=settings.epochs,
        shuffle=False,  # `Batches` has shuffled them
        validation_data=(data.test_images, data.test_labels),
        validation_batch_size=512,  # one batch of digits: a second size would be compiled anew
        verbose=1 if terminal else 0,
        callbacks=[Progress(lines=not terminal)],
    )
    return model, {ours: history.history[theirs] for theirs, ours in COLUMNS.items()}


class Progress(keras.callbacks.Callback):
    """Prints one line an epoch where there is no terminal, and stops at a loss that is not finite.

    Args:
        lines: whether to print.
    """

    def __init__(self, lines=True):
        super().__init__()
        self.lines = lines

    def on_epoch_begin(self, epoch, logs=None):
        """Notes the time."""
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch, logs):
        """Prints the epoch's numbers."""
        if not math.isfinite(logs["loss"]):
            raise ArithmeticError(
                f"The loss became {logs['loss']} in epoch {epoch + 1}. "
                "Train again with a lower learning rate."
            )
        if self.lines:
            seconds = time.perf_counter() - self.started
            print(reports.epoch(epoch + 1, self.params["epochs"], logs, seconds), flush=True)


def _settings(data, model, image_size, epochs, batch_size, learning_rate):
    if data is None and image_size not in (None, 8):
        advice = "Leave image_size out, or give a folder of pictures."
        arguments.refuse("the digits are 8 x 8 pixels", {"image_size": image_size}, advice)
    return recipes.recipe(
        "digits" if data is None else "folder",
        model=model,
        image_size=image_size,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
    )


def _check_seed(seed):
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= LARGEST_SEED:
        arguments.refuse(f"`seed` must be an integer from 0 to {LARGEST_SEED}", {"seed": seed})


def _result(data, probabilities, history, references):
    correct = probabilities.argmax(axis=1) == data.test_labels
    return {
        "test_accuracy": float(correct.mean()),
        "test_mistakes": int((~correct).sum()),
        "train_accuracy": history["accuracy"][-1],
        "baselines": references,
        "train_pictures": len(data.train_images),
        "test_pictures": len(data.test_images),
    }


def _provenance(data, settings, seed, class_names, model):
    """Says what was trained, on what, with what: enough to repeat it and to predict with it."""
    return {
        "data": "digits" if data is None else str(pathlib.Path(data).resolve()),
        "class_names": list(class_names),
        "model": settings.model,
        "parameters": model.count_params(),
        "image_size": settings.image_size,
        "num_channels": settings.num_channels,
        "seed": seed,
        "options": {**settings._asdict(), "augmentation": settings.augmentation._asdict()},
        "backend": keras.backend.backend(),
        "versions": environment.versions(),
        "hardware": environment.hardware(),
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
    }
