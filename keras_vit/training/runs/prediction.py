"""Predictions for image files; threads read a few batches ahead of the model."""

import os
from typing import NamedTuple

import numpy as np

from keras_vit import arguments
from keras_vit.data import read_digit, transforms
from keras_vit.data.batching import FixedBatches, decoding_size
from keras_vit.data.images import open_image
from keras_vit.data.pipelines import Loader
from keras_vit.data.sources.folders import list_images
from keras_vit.data.sources.source import FileSource
from keras_vit.data.transforms.image_transforms import find_resizing
from keras_vit.training.evaluation.class_names import check_threshold, name_both, score_both
from keras_vit.training.evaluation.metrics import check_names
from keras_vit.training.evaluation.representation import by_batch
from keras_vit.training.runs import messages, saved_run


class Prediction(NamedTuple):
    """The most probable classes of an image, as pairs (name, probability from 0 to 1).

    `hint` is advice for the user, if there is any. If the file was skipped, `classes` is empty and
    `error` is the reason.
    """

    file: str
    classes: tuple
    hint: str
    error: str = ""


def predict(run, files, invert=False, top=3, **options):
    """Classifies image files and returns all predictions at once.

    Args:
        run: as in `predict_files`.
        files: as in `predict_files`.
        invert: as in `predict_files`.
        top: as in `predict_files`.
        **options: the other arguments of `predict_files`.

    Returns:
        A list with a `Prediction` for each file.

    Raises:
        FileNotFoundError, ValueError: as in `predict_files`.

    Example:
    >>> keras_vit.training.predict("runs/first", ["three.png"], invert=True)  # doctest: +SKIP
    """
    return list(predict_files(run, files, invert, top, **options))


def predict_files(
    run, files, invert=False, top=3, threshold=0.0, batch_size=32, on_error="stop", start=0
):  # fmt: skip
    """Classifies image files one batch at a time, in memory that does not grow with their number.

    Threads read the next batches while the model computes. The last batch is padded, so that the
    model is compiled once. A run on digits crops an image to its ink, like the digits that it was
    trained on.

    Args:
        run: a `Run`, or the path of one. For a model without a folder: `Run(None, model, metrics)`
            with `default_metrics(model)` of `keras_vit.training.runs.saved_run`.
        files: paths of images, or the path of a folder, whose images at any depth are read in
            alphabetical order.
        invert: whether to invert the colors first, for dark ink on light paper.
        top: number of classes to return, in descending order of probability.
        threshold: probability from 0 to 1; classes that are less probable are left out.
        batch_size: images per batch.
        on_error: "stop" raises at the first file that cannot be read, after the earlier
            predictions; "skip" yields a `Prediction` with an `error` for this file.
        start: number of files at the beginning to leave out, to continue earlier predictions. The
            others stay in the same batches, so they have the same probabilities.

    Returns:
        A generator of a `Prediction` for each file, in order.

    Raises:
        FileNotFoundError: a file does not exist.
        ValueError: an argument is invalid, a file is not an image, a logit is not finite, or the
            model and `metrics` differ in the number of classes.

    Example:
    >>> for found in keras_vit.training.predict_files("runs/pets", "new/"):  # doctest: +SKIP
    ...     print(found.file, *found.classes[0])
    new/1.jpg Bengal 0.9312845
    """
    arguments.positive_integer("top", top)
    arguments.positive_integer("batch_size", batch_size)
    check_threshold(threshold)
    arguments.one_of("stop", "skip")("on_error", on_error)
    arguments.natural_number("start", start)
    run = run if isinstance(run, saved_run.Run) else saved_run.load(run)
    if not hasattr(files, "__iter__") and not isinstance(files, os.PathLike):
        arguments.refuse("`files` must be paths of images, or a folder", {"files": files})
    check_names(run.metrics["class_names"], run.model)
    files = list_images(files) if isinstance(files, (str, os.PathLike)) else list(files)
    if start >= len(files):
        return iter(())
    batches = _Files(files, run.metrics, invert, batch_size, start)
    return _predict(run, batches, top, threshold, on_error)


class _Files(FixedBatches):
    """Batches of (files, the pixels of each or the error)."""

    def __init__(self, files, metrics, invert, batch_size, start):
        channels, size = metrics["num_channels"], metrics["image_size"]
        source = FileSource(files, np.zeros(len(files), "uint8"), channels)
        super().__init__(source, channels, size, batch_size, **find_resizing(metrics))
        self.metrics, self.invert, self.start = metrics, invert, start

    def begin(self):
        return 0, self.start // self.batch_size

    def batch(self, epoch, step):
        files = self.source.files[step * self.batch_size : (step + 1) * self.batch_size]
        return files, [self._read(file) for file in files]

    def _read(self, file):
        try:
            return read_pixels(file, self.metrics, self.invert)
        except (OSError, ValueError) as error:
            return error


def _predict(run, batches, top, threshold, on_error):
    compute, loader = by_batch(run.model, batches.batch_size), Loader(batches)
    surplus = batches.start % batches.batch_size  # files of the first batch to leave out
    try:
        for files, pixels in loader:
            images = [image for image in pixels if not isinstance(image, Exception)]
            rows = iter(_softmax(score_both(compute(np.stack(images)))) if images else ())
            pairs = [(x, None if isinstance(x, Exception) else next(rows)) for x in pixels]
            for file, (image, row) in list(zip(files, pairs, strict=True))[surplus:]:
                if row is not None:
                    yield Prediction(file, _best(run, row, top, threshold), _hint(batches, image))
                elif on_error == "skip":
                    yield Prediction(file, (), "", " ".join(str(image).split()))
                else:
                    raise image
            surplus = 0
    finally:
        loader.on_epoch_end()  # batches that were read ahead are no longer needed


def _best(run, row, top, threshold):
    """Returns the most probable classes of an image as pairs (name, probability)."""
    order = [i for i in np.argsort(-row, kind="stable")[:top] if row[i] >= threshold]
    names = name_both(run.metrics["class_names"])
    return tuple((names[i], float(row[i])) for i in order)


def _hint(batches, image):
    bright = batches.metrics["data"] == "digits" and not batches.invert and image.mean() > 127
    return messages.INVERT_HINT if bright else ""


def _softmax(logits):
    if not np.isfinite(logits).all():
        advice = "Its weights may be damaged, or its training may have failed."
        arguments.refuse("the model's logits must be finite", {"logits": "NaN or infinity"}, advice)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def read_pixels(file, metrics, invert=False):
    """Reads an image in the form that the model of a run takes, uint8 (height, width, channels)."""
    if metrics["data"] == "digits":
        return read_digit(file, invert)
    size = metrics["image_size"]
    image = open_image(file, metrics["num_channels"], invert, decoding_size(size))
    return transforms.resize_image(image, size, **find_resizing(metrics))
