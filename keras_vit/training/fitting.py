"""From images to a run: everything behind `keras-vit train`."""

import datetime
import math
import sys
import time
from typing import NamedTuple

import keras
import numpy as np

from keras_vit.training import (
    adaptation,
    environment,
    evaluation,
    experiment,
    reports,
    run_folder,
    runs,
)
from keras_vit.training.baselines import baselines
from keras_vit.training.checkpoint import Checkpoint
from keras_vit.training.features import collected
from keras_vit.training.options import Options
from keras_vit.training.tensorboard import tensorboard

CLEAR = "\x1b[K"  # a terminal's code for: the rest of the line is empty


def train(
    data=None,
    model=None,
    weights=None,
    recipe=None,
    adapt=None,
    image_size=None,
    epochs=None,
    batch_size=None,
    learning_rate=None,
    augment=None,
    seed=0,
    split_seed=None,
    validation_share=None,
    test_share=None,
    tensorboard=False,
    out=None,
):
    """Trains a Vision Transformer and writes a folder with all that it gave.

    What is left at None comes from the recipe. The test images are only tested on, once, with
    the weights of the last epoch. Progress and result are printed. The run may be killed at any
    moment: `resume` goes on with it exactly.

    Args:
        data: anything that `keras_vit.data.load` finds by a name or path: a folder of class
            folders, a table, a named set; None for the digits that come with scikit-learn.
        model: name of a variant, such as "ViT-Mini/2", for fresh weights.
        weights: file or name of published weights, as in `keras_vit.load_pretrained`.
        recipe: name in `keras_vit.training.recipe`; None for "finetune" with weights, "folder"
            with data alone, "digits" without.
        adapt: "full", "linear" or "lora": what of the model is trained.
        image_size: side in pixels to which images are resized; None for that of the recipe or of
            the weights.
        epochs: passes over the training images.
        batch_size: images in a step.
        learning_rate: highest of the schedule, taken as it is.
        augment: name of how training images are varied, see `keras_vit.data.load`.
        seed: of the weights, the order, the augmentation and the dropout.
        split_seed: of the division into parts; None for 0, with digits for `seed`.
        validation_share: see `keras_vit.data.load`.
        test_share: likewise.
        tensorboard: whether to log for TensorBoard, in the folder `logs` of the run.
        out: folder to write; it must be new or empty. None makes `runs/<time>-<name>`.

    Returns:
        A `Run`. Its folder holds settings.json, model.keras, history.csv, metrics.json, and
        figures.

    Raises:
        ValueError: an argument cannot be used; nothing has been trained.
        FileNotFoundError: there is no such folder or file.
        ImportError: something that was asked for is not installed.
        ArithmeticError: the loss is no longer a finite number.

    Example:
    >>> run = keras_vit.training.train(epochs=1, out="runs/first")  # doctest: +SKIP
    >>> run.metrics["test_accuracy"]  # doctest: +SKIP
    """
    given = dict(locals())
    given.pop("out")
    options = experiment.complete(Options(**given))
    target = run_folder.new_folder(out, run_folder.short_name(options))
    try:
        made = experiment.assemble(options)
    except BaseException:
        run_folder.remove_if_empty(target)
        raise
    run_folder.write_settings(target, options)
    return _run(target, options, made)


def resume(folder):
    """Goes on with a run that was interrupted, exactly where it was.

    Args:
        folder: of the run: what `out` was, or what `train` made.

    Returns:
        A `Run`; of a run that is complete, what it left.

    Raises:
        FileNotFoundError: it is no folder of a run.
        ValueError: the images are no longer those of the run, or its states are damaged.

    Example:
    >>> keras_vit.training.resume("runs/first")  # doctest: +SKIP
    """
    run_folder.check_resumable(folder)
    target, options = run_folder.read_settings(folder)
    if run_folder.is_complete(target):
        evaluate = run_folder.command_line("evaluate", target)
        print(f"Nothing to do: {target} is complete. Run: {evaluate}")
        return runs.load(target)
    return _run(target, options, experiment.assemble(options))


def _run(target, options, made):
    """Trains, tests, and writes what came out; goes on where an earlier call ended."""
    started = time.perf_counter()
    print(reports.introduction(made, options, target), flush=True)
    references = baselines(made.data)
    print(reports.references(references, made.data.image_size), reports.START, sep="\n", flush=True)
    try:
        history = fit(made, target, options)
    except (KeyboardInterrupt, SystemExit):
        print(reports.interrupted(target), flush=True)
        raise
    if made.settings.adapt == "lora":
        made = made._replace(model=adaptation.merge_lora(made.model))
    found = test(made)
    metrics = {
        **_result(made, found, history, references),
        **_provenance(options, made),
        "seconds": round(time.perf_counter() - started, 1),
    }
    runs.write(target, made, history, metrics, found)
    print(reports.conclusion(target, metrics, options), flush=True)
    return runs.Run(target, made.model, metrics)


class Test(NamedTuple):
    """What the test of a run gave: (images, classes), (images,), and an `Evaluation`."""

    probabilities: np.ndarray
    labels: np.ndarray
    evaluation: object


def test(made):
    """Returns the `Test` of an `Experiment`: of its validation part where there is no test part."""
    data = made.data
    part = "test" if data.counts["test"] else "validation"
    logits, labels = collected(made.model, data, part)
    outcomes = evaluation.outcomes(logits, labels)
    found = evaluation.summary(outcomes, data.class_names, data.sources[part].names)
    return Test(keras.ops.convert_to_numpy(keras.ops.softmax(logits)), labels, found)


def fit(made, target, options):
    """Trains an `Experiment` with `model.fit`, its states in a folder of the run.

    Returns:
        The history: {"loss": [one number an epoch], "accuracy": ..., and the same of the part that
        was watched, as "validation_loss" or "test_loss", ...}.
    """
    data, part = made.data, runs.watched(made.data)
    arguments = made.recipe.fit_arguments
    callbacks = [*arguments.pop("callbacks"), Progress(part, live=sys.stdout.isatty())]
    if options.tensorboard:
        callbacks.append(tensorboard(str(target / "logs")))
    callbacks.append(Checkpoint(target / run_folder.STATES, data))
    history = made.model.fit(
        data.train,
        validation_data=getattr(data, part),
        verbose=0,
        callbacks=callbacks,
        **arguments,
    )
    return {_column(name, part): values for name, values in history.history.items()}


class Progress(keras.callbacks.Callback):
    """Prints one line per epoch, and stops if the loss is not finite.

    Args:
        part: the split that is evaluated after each epoch, "validation" or "test".
        live: whether the line is shown and updated while the epoch runs, as a terminal can.
    """

    def __init__(self, part="validation", live=False):
        super().__init__()
        self.part, self.live = part, live

    def on_epoch_begin(self, epoch, logs=None):
        """Notes the time."""
        self.epoch = epoch
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        """Shows the numbers so far."""
        if self.live:
            step = f"step {batch + 1}/{self.params['steps']}"
            print(f"{self._line(logs)}  {step}{CLEAR}", end="\r", flush=True)

    def on_epoch_end(self, epoch, logs):
        """Prints the epoch's numbers."""
        if not math.isfinite(logs["loss"]):
            raise ArithmeticError(
                f"The loss became {logs['loss']} in epoch {epoch + 1}. "
                "Train again with a lower learning rate."
            )
        seconds = f"{time.perf_counter() - self.started:.1f} s"
        print(f"{self._line(logs)}  {seconds}{CLEAR if self.live else ''}", flush=True)

    def _line(self, logs):
        named = {_column(name, self.part): value for name, value in logs.items()}
        return reports.epoch(self.epoch + 1, self.params["epochs"], named)


def _column(name, part):
    """Keras says validation even if the images are those of the test split."""
    return name.replace("val_", f"{part}_") if name.startswith("val_") else name


def _result(made, found, history, references):
    return {
        "test_accuracy": found.evaluation.accuracy,
        "test_interval": list(found.evaluation.interval),
        "test_mistakes": int(round((1 - found.evaluation.accuracy) * found.evaluation.images)),
        "train_accuracy": history["accuracy"][-1],
        "baselines": references,
        **{f"{part}_images": count for part, count in made.data.counts.items()},
    }


def _provenance(options, made):
    """Says what was trained, on what, with what: enough to repeat it and to predict with it."""
    data, model = made.data, made.model
    return {
        "data": "digits" if options.data is None else options.data,
        "class_names": list(data.class_names),
        "model": model.name if options.weights else made.settings.model,
        "parameters": model.count_params(),
        "image_size": list(data.image_size),
        "num_channels": data.num_channels,
        "resize": data.resize,
        "seed": options.seed,
        "options": options._asdict(),
        "recipe": str(made.recipe),
        "epochs": made.recipe.plan.epochs,
        "backend": keras.backend.backend(),
        "versions": environment.versions(),
        "hardware": environment.hardware(),
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
    }
