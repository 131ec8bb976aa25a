"""Training a run from its images to its folder: everything behind `keras-vit train`."""

import datetime
import pathlib
import sys
import time

import keras

from keras_vit import environment, families
from keras_vit.checkpoints import loading
from keras_vit.training import adaptation
from keras_vit.training.evaluation import metrics
from keras_vit.training.evaluation.classifiers import baselines
from keras_vit.training.evaluation.representation import predict_all
from keras_vit.training.resuming.checkpoint import Checkpoint
from keras_vit.training.runs import messages, run_folder, saved_run


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
    columns=None,
    group_pattern=None,
    skip_empty=False,
    on_error="stop",
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
        columns: see `keras_vit.data.load`.
        group_pattern: see `keras_vit.data.load`.
        skip_empty: see `keras_vit.data.load`.
        on_error: see `keras_vit.data.load`.
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
    options = dict(locals())
    del options["out"]
    options = run_folder.complete(options)
    name = "digits" if options["data"] is None else pathlib.Path(options["data"]).stem
    target = run_folder.make(out, name)
    try:
        parts = build(options)
    except BaseException:
        run_folder.remove_if_empty(target)
        raise
    run_folder.write_settings(target, options)
    return _run(target, options, *parts)


def resume(folder):
    """Resumes an interrupted run exactly where it stopped; loads it if it is complete.

    Args:
        folder: folder of the run: `out` of `train`, or the one that it created.

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
    return _run(target, options, *build(options))


def build(options):
    """Returns the images, the compiled model and the `Recipe` of a run."""
    data = run_folder.load_images(options)
    recipe = run_folder.find_recipe(options, data)
    keras.utils.set_random_seed(options["seed"])
    shape = {"image_size": data.image_size, "num_classes": data.num_classes}
    if options["weights"] is not None:
        model = loading.load_pretrained(options["weights"], **shape, **recipe.model_arguments)
    else:
        shape["num_channels"] = data.num_channels
        model = families.create(recipe.model, **shape, **recipe.model_arguments)
    recipe.initialize(model)
    adaptation.freeze(model, recipe.adapt, recipe.rank)
    model.compile(**recipe.compile_arguments)
    return data, model, recipe


def _run(target, options, data, model, recipe):
    """Trains, tests and writes the results; resumes where an earlier call stopped."""
    started = time.perf_counter()
    name = model.name if options["weights"] else recipe.model
    print(messages.introduction(name, data, model, recipe, options["seed"], target), flush=True)
    references = baselines(data)
    print(messages.references(references, data.image_size), messages.START, sep="\n", flush=True)
    try:
        history, earlier = _fit(target, options, data, model, recipe)
    except (KeyboardInterrupt, SystemExit):
        print(messages.interrupted(target), flush=True)
        raise
    split = "test" if data.counts["test"] else "validation"
    own = {}
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
        "train_accuracy": history["accuracy"][-1],
        "baselines": references,
        **{f"{part}_images": count for part, count in data.counts.items()},
        "skipped_images": sorted(data.skipped),
        # what was trained, on what and with what, to repeat the run and to predict with it
        "data": "digits" if options["data"] is None else options["data"],
        "class_names": list(data.class_names),
        "model": name,
        "parameters": model.count_params(),
        "image_size": list(data.image_size),
        "num_channels": data.num_channels,
        "resize": data.resize,
        "seed": options["seed"],
        "options": options,
        "recipe": str(recipe),
        "epochs": recipe.epochs,
        "backend": keras.backend.backend(),
        "versions": environment.versions(),
        "hardware": environment.hardware(),
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "seconds": round(earlier + time.perf_counter() - started, 1),
    }
    run = saved_run.Run(target, model, numbers)
    saved_run.write(run, history, data, evaluation, logits, labels)
    print(messages.conclusion(target, numbers, options), flush=True)
    return run


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

    Returns the history by the names of the splits, such as "test_loss" for Keras's "val_loss", and
    the seconds of earlier sittings.
    """
    # This split is evaluated after each epoch; nothing is selected by it.
    split = "validation" if data.counts["validation"] else "test"
    arguments = recipe.fit_arguments
    progress = messages.ProgressLine(split, sys.stdout.isatty())
    arguments["callbacks"].append(progress)
    if options["tensorboard"]:
        arguments["callbacks"].append(messages.tensorboard(str(target / "logs")))
    arguments["callbacks"].append(Checkpoint(target / run_folder.STATES, data))
    begun = time.perf_counter()
    fitted = model.fit(data.train, validation_data=getattr(data, split), verbose=0, **arguments)
    earlier = progress.seconds - (time.perf_counter() - begun)
    columns = fitted.history.items()
    return {messages.rename_column(name, split): values for name, values in columns}, earlier
