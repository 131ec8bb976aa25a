"""Training a run from its images to its folder: everything behind `keras-vit train`."""

import contextlib
import datetime
import os
import pathlib
import shutil
import sys
from time import perf_counter

import keras
import numpy as np

from keras_vit import environment, families
from keras_vit.checkpoints import loading
from keras_vit.data.sources.source import check_shares
from keras_vit.io import writing
from keras_vit.training import adaptation
from keras_vit.training.evaluation import metrics
from keras_vit.training.evaluation.classifiers import baselines
from keras_vit.training.evaluation.representation import predict_all
from keras_vit.training.resuming import state_files
from keras_vit.training.resuming.checkpoint import Checkpoint
from keras_vit.training.runs import costs, messages, run_folder, saved_run, timing


def train(
    data=None,
    model=None,
    weights=None,
    recipe=None,
    adapt=None,
    image_size=None,
    epochs=None,
    time=None,
    early_stopping=None,
    batch_size=None,
    accumulate=None,
    learning_rate=None,
    weight_decay=None,
    layer_decay=None,
    label_smoothing=None,
    class_weights=None,
    augment=None,
    sampling=None,
    precision=None,
    seed=0,
    split_seed=None,
    validation_share=None,
    test_share=None,
    columns=None,
    group_pattern=None,
    skip_empty=False,
    on_error="stop",
    tensorboard=False,
    patch_size=None,
    out=None,
):
    """Trains a Vision Transformer and writes the model, its metrics and figures to a folder.

    Arguments that are None come from the recipe. The test images are used only once, to measure the
    final weights. Progress and result are printed. The run may be killed at any moment: `resume`
    continues it exactly.

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
        time: instead of `epochs`, seconds or a string such as "2h", "90m" or "1h30m": some steps
            are timed, and as many epochs as fit into this time are planned. The plan is then fixed:
            a resumed run completes it.
        early_stopping: epochs without a lower validation loss after which the training ends; the
            result has the weights of the best epoch, even if all epochs are trained. None: the
            result has the weights of the last epoch.
        batch_size: images per step. If None, a batch of the recipe that does not fit into the
            memory is divided into several, whose gradients make one update.
        accumulate: steps per update of the weights.
        learning_rate: peak of the schedule, not scaled with the batch.
        weight_decay: relative to the learning rate.
        layer_decay: factor of the learning rate from each block to the one before it.
        label_smoothing: share of every label that is distributed evenly over the classes.
        class_weights: "balanced" for images / (classes * images of the class), or a dictionary of
            class names and weights; classes that are not in it weigh 1.
        augment: augmentation of the training images, see `keras_vit.data.load`.
        sampling: "balanced" to draw every class equally often, see `keras_vit.data.load`.
        precision: "float32", "mixed_bfloat16" or "mixed_float16"; logits and loss are float32 in
            all of them. None for Keras's global policy.
        seed: seed of the weights, the order, the augmentation and dropout.
        split_seed: seed of the division into splits; None for 0 or, with digits, for `seed`.
        validation_share: see `keras_vit.data.load`.
        test_share: see `keras_vit.data.load`.
        columns: see `keras_vit.data.load`.
        group_pattern: see `keras_vit.data.load`.
        skip_empty: see `keras_vit.data.load`.
        on_error: see `keras_vit.data.load`.
        tensorboard: whether to log for TensorBoard, in the folder `logs` of the run.
        patch_size: side of a patch in pixels, with `weights` that have another: the kernel of the
            patch embedding is resized, as in `keras_vit.load_pretrained`.
        out: folder to write, new or empty. None creates `runs/<time>-<name>`.

    Returns:
        A `Run`. Its folder contains settings.json, model.keras, history.csv, metrics.json and
        figures.

    Raises:
        ValueError: an argument is invalid, or a step of `batch_size` images certainly does not fit
            into memory; nothing was trained.
        FileNotFoundError: a folder or file does not exist.
        ImportError: something that was requested is not installed.
        ArithmeticError: the loss is not finite.

    Example:
    >>> run = keras_vit.training.train(epochs=1, out="runs/first")
    keras_vit ...
    >>> run.metrics["test_accuracy"] > 0.1
    True
    """
    options = dict(locals())
    del options["out"]
    with starting(options, out) as (target, options, parts):
        run_folder.check_unused(target)
        with state_files.holding(target / run_folder.STATES):
            _write_settings(target, options)
            return _run(target, options, *parts)


@contextlib.contextmanager
def starting(options, out):
    """Yields the folder of a run, its options, and [text about costs, *result of `build`].

    A new folder in which nothing was written is removed after an error.
    """
    started = perf_counter()
    options = run_folder.complete(options)
    name = "digits" if options["data"] is None else pathlib.Path(options["data"]).stem
    with run_folder.making(out, name) as target:
        options, *parts = _build_within_memory(options)
        if options["time"] is not None:
            seconds = run_folder.seconds("time", options["time"])
            options["epochs"] = timing.plan_epochs(seconds, started, *parts[1:3])
            parts[1:] = build(options, parts[1])
        yield target, options, parts


def _write_settings(target, options):
    """Writes the settings of a run, or leaves no folder that looks like a run."""
    try:
        run_folder.write_settings(target, options)
    except OSError:
        shutil.rmtree(target / run_folder.STATES)
        raise


def resume(folder):
    """Resumes an interrupted run exactly where it stopped; loads it if it is complete.

    Args:
        folder: folder of the run: `out` of `train`, or the one that it created.

    Raises:
        FileNotFoundError: `folder` is not the folder of a run.
        ValueError: the images have changed since, or the states are damaged.

    Example:
    >>> run = keras_vit.training.train(epochs=1, out="runs/first")
    keras_vit ...
    >>> run = keras_vit.training.resume("runs/first")
    Nothing to do: runs/first is complete. Run: keras-vit evaluate runs/first
    """
    run_folder.check_resumable(folder)
    target, options = run_folder.read_settings(folder)
    if run_folder.is_complete(target):
        evaluate = run_folder.command_line("evaluate", target)
        print(f"Nothing to do: {target} is complete. Run: {evaluate}")
        return saved_run.load(target)
    with state_files.holding(target / run_folder.STATES):
        data, model, recipe = build(options)
        memory = costs.measure_memory(model, recipe)
        cost = costs.describe_memory(memory, recipe.batch_size)
        return _run(target, options, cost, data, model, recipe)


def build(options, data=None):
    """Returns the images, the compiled model and the `Recipe` of a run."""
    data = data or run_folder.load_images(options)
    recipe = run_folder.find_recipe(options, data)
    keras.utils.set_random_seed(options["seed"])
    shape = {"image_size": data.image_size, "num_classes": data.num_classes}
    if options["weights"] is not None:
        if options["patch_size"] is not None:
            shape["patch_size"] = options["patch_size"]
        model = loading.load_pretrained(options["weights"], **shape, **recipe.model_arguments)
    else:
        shape["num_channels"] = data.num_channels
        model = families.create(recipe.model, **shape, **recipe.model_arguments)
    model.class_names = data.class_names
    recipe.initialize(model)
    adaptation.freeze(model, recipe.adapt, recipe.rank)
    model.compile(**recipe.compile_arguments)
    return data, model, recipe


def model_name(options, model, recipe):
    """Returns the name of the variant that a run trains, or of its weights."""
    weights = options["weights"] or recipe.model
    return model.name if os.path.exists(weights) else weights


def _build_within_memory(options):
    """Divides the recipe's batch if a step does not fit into memory.

    Returns the options, lines about the costs, and the result of `build` for these options.
    """
    data = run_folder.load_images(options)
    check_shares(data, options)
    data, model, recipe = build(options, data)
    memory = costs.measure_memory(model, recipe)
    lines, given = [], options["batch_size"] is not None
    if options["weights"] is None:
        lines += costs.describe_enlargement(data, recipe)
    if divided := costs.divide_batch(memory, recipe, given):
        options, published = {**options, **divided}, recipe.batch_size
        data, model, recipe = build(options)
        lines.append(costs.describe_division(recipe, published))
    lines.append(costs.describe_memory(memory, recipe.batch_size))
    return options, "\n".join(lines), data, model, recipe


def _run(target, options, cost, data, model, recipe):
    """Trains, tests and writes the results; resumes where an earlier call stopped."""
    writing.remove_partial(target)
    try:
        return _train_and_test(target, options, cost, data, model, recipe)
    except (KeyboardInterrupt, SystemExit, OSError):  # a signal, or a full disk
        print(messages.interrupted(target), flush=True)
        raise


def _train_and_test(target, options, cost, data, model, recipe):
    started = perf_counter()
    references = _introduce(target, options, cost, data, model, recipe)
    history, earlier, skipped = _fit(target, options, data, model, recipe)
    split = "test" if data.counts["test"] else "validation"
    own, best = {}, -1
    if recipe.early_stopping is not None:
        best = int(np.nanargmin(history["validation_loss"]))
        own = {"best_epoch": best + 1, "trained_epochs": len(history["loss"])}
        print(messages.early_stopping(**own, patience=recipe.early_stopping), flush=True)
    print(f"Evaluating the {data.counts[split]:,} {split} images.", flush=True)
    if recipe.moving_average is not None:
        own["unaveraged_accuracy"] = _test_unaveraged(target, model, data, split)
    if recipe.adapt == "lora":
        model = adaptation.merge_lora(model)
    logits, labels = predict_all(model, data, split)
    outcomes = metrics.compute_outcomes(logits, labels)
    evaluation = metrics.summarize(outcomes, data.class_names, data.sources[split].names)
    numbers = {
        "test_accuracy": evaluation.accuracy,
        "test_interval": list(evaluation.interval),
        "test_mistakes": int(round((1 - evaluation.accuracy) * evaluation.images)),
        **own,
        "train_accuracy": history["accuracy"][best],
        "baselines": references,
        **{f"{part}_images": count for part, count in data.counts.items()},
        "skipped_images": skipped,
        **_describe(options, data, model, recipe),
        "seconds": round(earlier + perf_counter() - started, 1),
    }
    run = saved_run.Run(target, model, numbers)
    saved_run.write(run, history, data, evaluation, logits, labels)
    print(messages.conclusion(target, numbers, options), flush=True)
    return run


def _introduce(target, options, cost, data, model, recipe):
    """Prints a description of the run; returns the accuracies of the baselines."""
    name = model_name(options, model, recipe)
    introduction = messages.introduction(name, data, model, recipe, options["seed"], target)
    print(introduction, cost, sep="\n", flush=True)
    references = baselines(data)
    lines = messages.references(references, data), *messages.start()
    print(*lines, sep="\n", flush=True)
    return references


def _describe(options, data, model, recipe):
    """Returns the model, data and settings of a run, with which to repeat it and to predict."""
    return {
        "data": "digits" if options["data"] is None else options["data"],
        "class_names": list(data.class_names),
        "model": model_name(options, model, recipe),
        "parameters": model.count_params(),
        "image_size": list(data.image_size),
        "num_channels": data.num_channels,
        "resize": data.resize,
        "interpolation": data.augmentation.interpolation,
        "seed": options["seed"],
        "options": options,
        "recipe": str(recipe),
        "epochs": recipe.epochs,
        "backend": keras.backend.backend(),
        "versions": environment.versions(),
        "hardware": environment.hardware(),
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def _test_unaveraged(target, model, data, split):
    """Keeps the weights of the last update in a file, and returns their accuracy."""
    averages = [keras.ops.convert_to_numpy(weight) for weight in model.weights]
    Checkpoint(target / run_folder.STATES).load_weights(model)
    model.save_weights(target / run_folder.UNAVERAGED)
    logits, labels = predict_all(model, data, split)
    for weight, average in zip(model.weights, averages, strict=True):
        weight.assign(average)
    return float((logits.argmax(axis=-1) == labels).mean())


def _fit(target, options, data, model, recipe):
    """Trains with `model.fit`, whose states are saved in the folder of the run.

    Returns the history by the names of the splits, such as "test_loss" for Keras's "val_loss", the
    seconds of earlier parts of the run, and the names of images that could not be read in any part.
    """
    # This split is evaluated after each epoch; only early stopping uses it for selection.
    split = "validation" if data.counts["validation"] else "test"
    arguments = recipe.fit_arguments
    progress = messages.ProgressLine(split, sys.stdout.isatty(), data)
    arguments["callbacks"].append(progress)
    if options["tensorboard"]:
        arguments["callbacks"].append(messages.tensorboard(str(target / "logs")))
    arguments["callbacks"].append(Checkpoint(target / run_folder.STATES, data))
    begun = perf_counter()
    fitted = model.fit(data.train, validation_data=getattr(data, split), verbose=0, **arguments)
    earlier = progress.seconds - (perf_counter() - begun)
    history = {messages.rename_column(n, split): values for n, values in fitted.history.items()}
    return history, earlier, progress.skipped
