"""Writes, loads and evaluates a finished run."""

import csv
import os
import pathlib
import shutil
from typing import NamedTuple

import keras
import numpy as np

from keras_vit import arguments
from keras_vit.checkpoints import keras_file
from keras_vit.data.batching import FixedBatches
from keras_vit.data.images import RESIZING
from keras_vit.data.pipelines import Loader
from keras_vit.data.sources import open_source
from keras_vit.data.sources.local import crop_to_ink
from keras_vit.data.sources.source import SPLITS, Subset
from keras_vit.data.transforms.image_transforms import find_resizing
from keras_vit.io import files, tensor_file, writing
from keras_vit.training.evaluation import class_names as naming
from keras_vit.training.evaluation.metrics import check_names, evaluate
from keras_vit.training.runs import run_folder

NEEDED = ("data", "class_names", "image_size", "num_channels", "resize")  # to predict


class Run(NamedTuple):
    """A finished training run: its folder, the trained model, and metrics.json as a dictionary."""

    folder: pathlib.Path
    model: keras.Model
    metrics: dict


def load(path):
    """Loads a `Run` of `train` from its folder, or from the file model.keras in it.

    Raises:
        FileNotFoundError: model.keras or metrics.json does not exist.
        ValueError: one of them cannot be read, or the path is that of another file.
    """
    target = run_folder.find(path)
    if os.path.isfile(path) and os.path.basename(path) != run_folder.MODEL:
        want = f"the folder of a run, or {run_folder.MODEL} in it, was expected"
        arguments.refuse(want, {"run": str(path)}, "Load other models with keras.saving.")
    try:
        metrics = files.read_json(target / run_folder.METRICS)
        if not isinstance(metrics, dict):
            raise ValueError(f"{run_folder.METRICS} has no object, {{...}}")
        if missing := [name for name in NEEDED if name not in metrics]:
            raise ValueError(f"{run_folder.METRICS} has no {', '.join(missing)}")
        model = keras_file.load(target / run_folder.MODEL)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).removesuffix(tensor_file.DOWNLOAD).rstrip(". ")
        problem = f"The run {str(target)!r} cannot be read: {reason}. Train again."
        raise ValueError(problem) from error
    return Run(target, model, metrics)


def default_metrics(model):
    """Returns the metrics that `predict` needs, for a model with logits that is not from a run."""
    if getattr(model, "num_classes", 0) is None:
        want = "a classifier was expected"
        advice = "Its features work with keras-vit few-shot; keras-vit train gives it a head."
        arguments.refuse(want, {"model": model.name, "num_classes": None}, advice)
    *size, channels = model.input_shape[1:]
    names = getattr(model, "class_names", None)
    return {
        "data": None,
        "class_names": list(names or naming.number_classes(model.output_shape[-1])),
        "image_size": size,
        "num_channels": channels,
        **RESIZING,
    }


def load_data(run):
    """Loads the data of a run, with the same splits, as a `keras_vit.data.ImageDataset`."""
    return run_folder.load_images(run_folder.read_settings(run.folder)[1])


def evaluate_run(run, data=None, split=None, progress=None, columns=None, **options):
    """Evaluates the model of a run on the run's own images or on others.

    Args:
        run: a `Run`, or the path of one. For a model without a folder: `Run(None, model, metrics)`
            with `default_metrics(model)`.
        data: None for images that the run did not train on; or a source of `keras_vit.data.load`,
            such as a folder of class folders: its test split, otherwise its validation split, or
            all of it if it has no splits. Its class names must be class names of the run; classes
            may be missing. ImageNet's folders (n01440764, ...) are recognized for 1,000 classes. A
            run on digits crops files to their ink, as in `predict_files`.
        split: "test" or "validation" of the run's own images; None for its test images or, if it
            has none, its validation images.
        progress: function of the batches and the number of images that returns the batches and may
            show how many have been taken; None for no progress.
        columns: columns of a table, as in `keras_vit.data.load`.
        **options: arguments of `evaluate`, such as class_names for a model that has none.
            class_names may also be a dictionary {class of `data`: class of the model, by name or
            number}.

    Returns:
        An `Evaluation`.

    Raises:
        FileNotFoundError, ValueError: the run or the images cannot be used. Nothing is predicted
            if a class does not fit.

    Example:
    >>> print(keras_vit.training.evaluate_run("runs/first"))  # doctest: +SKIP
    """
    run = run if isinstance(run, Run) else load(run)
    names = options.pop("class_names", None)
    mapping = names if isinstance(names, dict) else None
    known = list(run.metrics["class_names"] if mapping or names is None else names)
    check_names(known, run.model)
    if mapping and data is None:
        want = "a dictionary of classes applies only to images other than the run's own"
        arguments.refuse(want, {"data": None}, "Pass a folder of class folders.")
    if data is None and run.folder is None:
        want = "a model that is not a run has no images of its own"
        arguments.refuse(want, {"data": None}, "Pass a folder of class folders.")
    if data is None:
        own = load_data(run)
        if list(own.class_names) != known:
            want = "the run's own images must have the classes that it was trained on"
            received = {"classes": own.class_names[:20], "trained on": known[:20]}
            arguments.refuse(want, received, "Restore them, or evaluate on another folder.")
        if split is None:
            split = "test" if own.counts["test"] else "validation"
        if arguments.one_of(*SPLITS)("split", split) not in own.sources:
            advice = "Choose another split, or pass a folder of class folders."
            arguments.refuse("labeled images were expected", {"split": split, "images": 0}, advice)
        own.resize = run.metrics["resize"]  # which the caller may have changed
        batches = own.fixed_batches(split)
    else:
        batches, known = _read_batches(run, data, known, mapping, columns)
    images, names = Loader(batches), batches.source.names
    images = images if progress is None else progress(images, len(names))
    return evaluate(run.model, images, names=names, class_names=known, **options)


def _read_batches(run, data, known, mapping, columns):
    """Returns images that are not the run's own, in batches, and the names of all classes."""
    _, *size, channels = run.model.input_shape
    splits = open_source(data, channels, columns=columns)
    numbers, known = naming.match(splits.class_names, naming.name_both(known), data, mapping)
    if splits.test is None and splits.validation is None:
        warn_of_own_images(run.metrics, data)
    held_out = (splits.test, splits.validation, splits.train)
    whole = next(each for each in held_out if each is not None)
    source = Subset(whole, np.arange(len(whole)))
    source.labels = np.array(numbers)[whole.labels]
    batches = FixedBatches(source, channels, size, 64, **find_resizing(run.metrics))
    return read_as_predicted(batches, run.metrics), known


def read_as_predicted(batches, metrics):
    """Returns `FixedBatches` that read the files of a run on digits cropped to their ink."""
    if metrics.get("data") == "digits" and not batches.source.in_memory:
        batches.image = lambda index: crop_to_ink(batches.source.image(index))
    return batches


def warn_of_own_images(metrics, data):
    """Warns if `data` is the folder that a run was trained on: its accuracy there is too high."""
    own = metrics.get("data")
    if own and isinstance(data, str | os.PathLike) and os.path.exists(data):
        if os.path.realpath(data) == os.path.realpath(own):
            arguments.warn(
                f"{str(data)!r} contains the images that the run was trained on, and accuracy on "
                "these is too high. keras-vit evaluate without DATA takes those that it held out."
            )


def write(run, history, data, evaluation, logits, labels):
    """Writes the files of a complete run, then removes its states."""
    run.model.save(run.folder / run_folder.MODEL)
    with writing.replacing(run.folder / "history.csv") as partial:
        with open(partial, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["epoch", *history])
            epochs = range(1, len(history["loss"]) + 1)
            writer.writerows(zip(epochs, *history.values(), strict=True))
    writing.write_json(run.folder / run_folder.METRICS, run.metrics)
    _write_figures(run, history, data, evaluation, logits, labels)
    shutil.rmtree(run.folder / run_folder.STATES)  # the model has their weights


def _write_figures(run, history, data, evaluation, logits, labels):
    """Saves the run's figures, and a test image."""
    from PIL import Image

    from keras_vit.explain import plots, position_similarity
    from keras_vit.training.evaluation import evaluation_plots

    batches = data.fixed_batches("test" if data.test else "validation")
    shares = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    curves = evaluation_plots.curves(history, run.metrics["baselines"])
    curves.savefig(run.folder / "curves.png")
    predictions = evaluation_plots.predictions(batches.image, labels, shares, data.class_names)
    predictions.savefig(run.folder / "predictions.png")
    evaluation_plots.confusion(evaluation).savefig(run.folder / "confusion.png")
    if any(layer.name == "patch_encoder" for layer in run.model.layers):
        positions = plots.position_similarity(position_similarity(run.model))
        positions.savefig(run.folder / "positions.png")
    data.grid().savefig(run.folder / "images.png")
    example = Image.fromarray(batches.image(0).squeeze())
    larger = max(1, 128 // max(example.size))  # a digit of 8 x 8 pixels is hard to see
    size = example.width * larger, example.height * larger
    with writing.replacing(run.folder / "example.png", ".png") as partial:
        example.resize(size, Image.Resampling.NEAREST).save(partial)
