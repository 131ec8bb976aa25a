"""Training a run from its images to its folder: everything behind `keras-vit train`."""

import datetime
import sys
import time
from typing import NamedTuple

import keras
import numpy as np

from keras_vit import environment, families
from keras_vit.checkpoints import loading
from keras_vit.training import adaptation
from keras_vit.training.evaluation import metrics
from keras_vit.training.evaluation.pixel_baselines import baselines
from keras_vit.training.evaluation.representation import predict_all
from keras_vit.training.recipes import applied
from keras_vit.training.resuming.checkpoint import Checkpoint
from keras_vit.training.runs import callbacks, messages, run_folder, saved_run
from keras_vit.training.runs import options as run_options


class BuiltRun(NamedTuple):
    """What a run trains: a `keras_vit.data.ImageDataset`, a compiled model, and its `Recipe`."""

    data: object
    model: keras.Model
    recipe: applied.Recipe


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
    """Trains a Vision Transformer and writes the model, its numbers and figures to a folder.

    Arguments that are None come from the recipe. The test images are used only once, for the
    weights of the last epoch. Progress and result are printed. The run may be killed at any
    moment: `resume` continues it exactly.

    Args:
        data: a name or path that `keras_vit.data.load` accepts: a folder of class folders, a
            table, a named dataset; None for the digits of scikit-learn.
        model: name of a variant, such as "ViT-Mini/2", for random weights.
        weights: file or name of published weights, as in `keras_vit.load_pretrained`.
        recipe: name in `keras_vit.training.recipe`; None for "finetune" with weights, "folder"
            with data only, "digits" without.
        adapt: which weights are trained, "full", "linear" or "lora".
        image_size: side in pixels to which images are resized; None for that of the recipe or of
            the weights.
        epochs: passes over the training images.
        batch_size: images per step.
        learning_rate: peak of the schedule, not scaled with the batch.
        augment: name of an augmentation, see `keras_vit.data.load`.
        seed: of the weights, the order, the augmentation and dropout.
        split_seed: of the division into splits; None for 0, with digits for `seed`.
        validation_share: see `keras_vit.data.load`.
        test_share: see `keras_vit.data.load`.
        tensorboard: whether to log for TensorBoard, in the folder `logs` of the run.
        out: folder to write, new or empty. None creates `runs/<time>-<name>`.

    Returns:
        A `Run`. Its folder contains settings.json, model.keras, history.csv, metrics.json and
        figures.

    Raises:
        ValueError: an argument is invalid; nothing was trained.
        FileNotFoundError: a folder or file does not exist.
        ImportError: something that was requested is not installed.
        ArithmeticError: the loss is not finite.

    Example:
    >>> run = keras_vit.training.train(epochs=1, out="runs/first")  # doctest: +SKIP
    >>> run.metrics["test_accuracy"]  # doctest: +SKIP
    """
    given = dict(locals())
    given.pop("out")
    options = run_options.complete(run_options.Options(**given))
    target = run_folder.make(out, run_folder.short_name(options))
    try:
        setup = build(options)
    except BaseException:
        run_folder.remove_if_empty(target)
        raise
    run_folder.write_settings(target, options)
    return _run(target, options, setup)


def resume(folder):
    """Resumes an interrupted run exactly where it stopped.

    Args:
        folder: folder of the run: `out` of `train`, or the one that it created.

    Returns:
        A `Run`. If the run is complete, it is loaded.

    Raises:
        FileNotFoundError: `folder` is not the folder of a run.
        ValueError: the images have changed since, or the states are damaged.

    Example:
    >>> keras_vit.training.resume("runs/first")  # doctest: +SKIP
    """
    run_folder.check_resumable(folder)
    target, options = run_folder.read_settings(folder)
    if run_folder.is_complete(target):
        evaluate = run_folder.command_line("evaluate", target)
        print(f"Nothing to do: {target} is complete. Run: {evaluate}")
        return saved_run.load(target)
    return _run(target, options, build(options))


def build(options):
    """Loads the images, builds the model and compiles it; returns the `BuiltRun`."""
    data = run_options.load_data(options)
    recipe = applied.recipe(options.recipe, data, **run_options.overrides(options))
    keras.utils.set_random_seed(options.seed)
    model = _model(options, recipe, data)
    recipe.initialize(model)
    adaptation.freeze(model, recipe.settings.adapt, recipe.settings.rank)
    model.compile(**recipe.compile_arguments)
    return BuiltRun(data, model, recipe)


def _model(options, recipe, data):
    shape = {"image_size": data.image_size, "num_classes": data.num_classes}
    if options.weights is not None:
        return loading.load_pretrained(options.weights, **shape, **recipe.model_arguments)
    shape["num_channels"] = data.num_channels
    return families.create(recipe.settings.model, **shape, **recipe.model_arguments)


def _run(target, options, setup):
    """Trains, tests and writes the results; resumes where an earlier call stopped."""
    started = time.perf_counter()
    print(messages.introduction(setup, options, target), flush=True)
    references = baselines(setup.data)
    print(messages.references(references, setup.data.image_size), messages.START, sep="\n")
    sys.stdout.flush()
    try:
        history = fit(setup, target, options)
    except (KeyboardInterrupt, SystemExit):
        print(messages.interrupted(target), flush=True)
        raise
    if setup.recipe.settings.adapt == "lora":
        setup = setup._replace(model=adaptation.merge_lora(setup.model))
    tested = test(setup)
    numbers = {
        **_result(setup, tested.evaluation, history, references),
        **_provenance(options, setup),
        "seconds": round(time.perf_counter() - started, 1),
    }
    saved_run.write(target, setup, history, numbers, tested)
    print(messages.conclusion(target, numbers, options), flush=True)
    return saved_run.Run(target, setup.model, numbers)


class Tested(NamedTuple):
    """The test of a run: (images, classes), (images,), and an `Evaluation`."""

    probabilities: np.ndarray
    labels: np.ndarray
    evaluation: object


def test(setup):
    """Evaluates a run on its test split, or on its validation split if there is none."""
    data = setup.data
    split = "test" if data.counts["test"] else "validation"
    logits, labels = predict_all(setup.model, data, split)
    outcomes = metrics.compute_outcomes(logits, labels)
    evaluation = metrics.summarize(outcomes, data.class_names, data.sources[split].names)
    return Tested(keras.ops.convert_to_numpy(keras.ops.softmax(logits)), labels, evaluation)


def fit(setup, target, options):
    """Trains with `model.fit`; its states are saved in the folder of the run.

    Returns:
        The history: {"loss": [one value per epoch], "accuracy": ..., and the same of the split
        that is evaluated, as "validation_loss" or "test_loss", ...}.
    """
    data, split = setup.data, saved_run.monitored_split(setup.data)
    fit_arguments = setup.recipe.fit_arguments
    hooks = [*fit_arguments.pop("callbacks"), callbacks.ProgressLine(split, sys.stdout.isatty())]
    if options.tensorboard:
        hooks.append(callbacks.tensorboard(str(target / "logs")))
    hooks.append(Checkpoint(target / run_folder.STATES, data))
    history = setup.model.fit(
        data.train,
        validation_data=getattr(data, split),
        verbose=0,
        callbacks=hooks,
        **fit_arguments,
    ).history
    return {callbacks.rename_column(name, split): values for name, values in history.items()}


def _result(setup, evaluation, history, references):
    return {
        "test_accuracy": evaluation.accuracy,
        "test_interval": list(evaluation.interval),
        "test_mistakes": int(round((1 - evaluation.accuracy) * evaluation.images)),
        "train_accuracy": history["accuracy"][-1],
        "baselines": references,
        **{f"{split}_images": count for split, count in setup.data.counts.items()},
    }


def _provenance(options, setup):
    """Returns what was trained, on what and with what, to repeat the run and to predict with it."""
    data, model, recipe = setup
    return {
        "data": "digits" if options.data is None else options.data,
        "class_names": list(data.class_names),
        "model": model.name if options.weights else recipe.settings.model,
        "parameters": model.count_params(),
        "image_size": list(data.image_size),
        "num_channels": data.num_channels,
        "resize": data.resize,
        "seed": options.seed,
        "options": options._asdict(),
        "recipe": str(recipe),
        "epochs": recipe.plan.epochs,
        "backend": keras.backend.backend(),
        "versions": environment.versions(),
        "hardware": environment.hardware(),
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
    }
