"""How good a trained classifier is, in numbers: accuracy, errors by class, calibration."""

import math
from typing import NamedTuple

import numpy as np

from keras_vit import arguments
from keras_vit.data import ImageDataset
from keras_vit.data.batching import FixedBatches
from keras_vit.data.opening import open_source
from keras_vit.data.pipelines import Loader
from keras_vit.data.sources.source import Subset
from keras_vit.training import evaluation_words
from keras_vit.training.calibration import calibration_error, reliability, wilson
from keras_vit.training.features import outputs


class ClassScore(NamedTuple):
    """How one class did; shares are 0 to 1, NaN where nothing can be said.

    `support` counts its images, `recall` is the share of them that was named right (the accuracy
    on the class) with its 95 % `interval`, `precision` the share of images named so that are,
    `f1` the harmonic mean of the two.
    """

    name: str
    support: int
    recall: float
    interval: tuple
    precision: float
    f1: float


class Mistake(NamedTuple):
    """An image that was named wrongly, with the probability that was given to the wrong class."""

    image: str
    true: str
    said: str
    probability: float


class Evaluation(NamedTuple):
    """What `evaluate` finds; shares are 0 to 1. `print` shows it as a text.

    `interval` is accuracy's 95 % interval. `top_5` is None with 5 classes or fewer.
    `class_accuracy` is the mean of all classes' recall, `loss` the mean negative log-likelihood
    (natural logarithm), `brier` the mean squared distance of the probabilities from the truth (0
    to 2), `calibration_error` the ECE over `reliability`. Row i, column j of `confusion` counts
    the images of class i that were named j. `mistakes` begins with the surest.
    """

    class_names: tuple
    images: int
    accuracy: float
    interval: tuple
    top_5: float | None
    class_accuracy: float
    loss: float
    brier: float
    calibration_error: float
    reliability: tuple
    classes: tuple
    confusion: np.ndarray
    mistakes: tuple

    def __str__(self):
        return evaluation_words.text(self)


class Outcomes(NamedTuple):
    """How each image did: arrays (images,).

    Label, class predicted and its probability; number of classes ranked before the true one; its
    negative log-likelihood; squared distance of the probabilities from the truth.
    """

    labels: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    rank: np.ndarray
    loss: np.ndarray
    brier: np.ndarray


def evaluate(
    model, data, part="test", class_names=None, names=None, bins=15, mistakes=25, batch_size=64
):
    """Measures a classifier on labelled images.

    If several classes have equal logits, the first one ranks highest, as in `argmax`.

    A calibrated model that reports 80 % confidence is right in 80 % of the cases. The expected
    calibration error (ECE) is the mean gap between confidence and accuracy over bins of equal
    width, weighted by the number of images in each bin. It is overestimated on few images.

    Args:
        model: model with logits (images, classes), or a run written by `keras-vit train`.
        data: labelled images: a `keras_vit.data.ImageDataset`, a pair of arrays (images, labels), a
            `keras.utils.PyDataset`, a `tf.data.Dataset` or another iterable of such pairs.
        part: "train", "validation" or "test" of an `ImageDataset`.
        class_names: names of the classes; None for those of `data`, or their numbers.
        names: names of the images, in order; None for those of `data`, or their numbers.
        bins: number of bins of the reliability table.
        mistakes: number of mistakes to list.
        batch_size: images per batch if `data` is a pair of arrays.

    Returns:
        An `Evaluation`.

    Raises:
        ValueError: labels and logits do not match, or a logit is not finite.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=16, num_classes=2)
    >>> images, labels = np.zeros((4, 16, 16, 3)), np.array([0, 1, 1, 0])
    >>> found = keras_vit.training.evaluate(model, (images, labels), class_names=("cat", "dog"))
    >>> found.accuracy, found.confusion.tolist()
    (0.5, [[2, 0], [2, 0]])

    Reference: `keras_vit.training.calibration` for calibration and intervals.
    """
    model = getattr(model, "model", model)  # of a `Run`
    parts = []
    for logits, labels in outputs(model, data, part, batch_size):
        parts.append(outcomes(logits, labels))
    together = Outcomes(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
    numbers = map(str, range(logits.shape[-1]))
    class_names = class_names or getattr(data, "class_names", None) or numbers
    if names is None and isinstance(data, ImageDataset):
        names = data.sources[part].names
    class_names = tuple(class_names)
    if len(class_names) != logits.shape[-1]:
        received = {"class_names": len(class_names), "logits": logits.shape[-1]}
        arguments.refuse("every class of the model must have one name", received)
    return summary(together, class_names, names, bins, mistakes)


def of_run(run, data=None, part="test", **options):
    """Measures the model of a run on the run's own images, or on others.

    Args:
        run: a `Run`, or the path of one.
        data: None for images that the run did not train on; or a source of `keras_vit.data.load`,
            such as a folder of class folders: its test part, or all of it where it has no parts.
            Its classes must be classes of the run by their names; it may lack some.
        part: "test" or "validation" of the run's own images.
        **options: of `evaluate`.

    Returns:
        An `Evaluation`.

    Raises:
        FileNotFoundError, ValueError: run or images cannot be used.

    Example:
    >>> print(keras_vit.training.of_run("runs/first"))  # doctest: +SKIP
    """
    from keras_vit.training import runs  # which measures with this module

    run = run if isinstance(run, runs.Run) else runs.load(run)
    options["class_names"] = run.metrics["class_names"]
    if data is None:
        return evaluate(run.model, runs.test_data(run), part, **options)
    source = _source(run, data)
    _, *size, channels = run.model.input_shape
    batches = FixedBatches(source, channels, size, 64, run.metrics["resize"], "bilinear")
    return evaluate(run.model, Loader(batches), names=source.names, **options)


def outcomes(logits, labels):
    """Returns the `Outcomes` of logits (images, classes) and labels (images,)."""
    logits, labels = np.asarray(logits, "float64"), np.asarray(labels)
    _check(logits, labels)
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_likelihood = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    probabilities = np.exp(log_likelihood)  # (images, classes)
    rows, predicted = np.arange(len(labels)), logits.argmax(axis=1)
    true = logits[rows, labels][:, None]
    is_earlier = np.arange(logits.shape[1]) < labels[:, None]
    rank = ((logits > true) | ((logits == true) & is_earlier)).sum(axis=1)
    likelihood = probabilities[rows, labels]
    brier = (probabilities**2).sum(axis=1) - likelihood**2 + (1 - likelihood) ** 2
    confidence = probabilities[rows, predicted]
    return Outcomes(labels, predicted, confidence, rank, -log_likelihood[rows, labels], brier)


def summary(outcomes, class_names, names=None, bins=15, mistakes=25):
    """Returns the `Evaluation` of `Outcomes`; its arguments are those of `evaluate`."""
    number, images = len(class_names), len(outcomes.labels)
    right = outcomes.rank == 0
    confusion = np.zeros((number, number), "int64")
    np.add.at(confusion, (outcomes.labels, outcomes.predicted), 1)
    classes = tuple(_class_score(name, i, confusion) for i, name in enumerate(class_names))
    table = reliability(outcomes.confidence, right, bins)
    return Evaluation(
        class_names=class_names,
        images=images,
        accuracy=float(right.mean()),
        interval=wilson(int(right.sum()), images),
        top_5=float((outcomes.rank < 5).mean()) if number > 5 else None,
        class_accuracy=float(np.mean([row.recall for row in classes if row.support])),
        loss=float(outcomes.loss.mean()),
        brier=float(outcomes.brier.mean()),
        calibration_error=calibration_error(table),
        reliability=table,
        classes=classes,
        confusion=confusion,
        mistakes=_surest_mistakes(outcomes, class_names, names, mistakes),
    )


def _source(run, data):
    """The images to test on, labelled with the classes of the run."""
    parts, known = open_source(data, run.model.input_shape[-1]), list(run.metrics["class_names"])
    unknown = [name for name in parts.class_names if name not in known]
    if unknown:
        some = ", ".join(known[:20]) + (" ..." if len(known) > 20 else "")
        want = "the classes must be called as those that the model knows"
        received = {"data": str(data), "unknown": unknown[:20]}
        arguments.refuse(want, received, f"It knows: {some}.")
    whole = parts.train if parts.test is None else parts.test
    source = Subset(whole, np.arange(len(whole)))
    source.labels = np.array([known.index(name) for name in parts.class_names])[whole.labels]
    return source


def _class_score(name, i, confusion):
    right, support, said = confusion[i, i], confusion[i].sum(), confusion[:, i].sum()
    return ClassScore(
        name=name,
        support=int(support),
        recall=_share(right, support),
        interval=wilson(int(right), int(support)),
        precision=_share(right, said),
        f1=_share(2 * right, support + said),
    )


def _surest_mistakes(outcomes, class_names, names, number):
    wrong = np.flatnonzero(outcomes.rank > 0)
    order = wrong[np.argsort(-outcomes.confidence[wrong], kind="stable")][:number]
    return tuple(
        Mistake(
            str(names[i] if names is not None else i),
            class_names[outcomes.labels[i]],
            class_names[outcomes.predicted[i]],
            float(outcomes.confidence[i]),
        )
        for i in order
    )


def _check(logits, labels):
    if logits.ndim != 2 or len(logits) != len(labels):
        arguments.refuse(
            "a model of logits (images, classes) was expected",
            {"output": logits.shape, "labels": labels.shape},
            "Evaluate a model with a head.",
        )
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        arguments.refuse(
            f"labels must be from 0 to {logits.shape[1] - 1}, the model's classes",
            {"smallest": int(labels.min()), "largest": int(labels.max())},
            "Evaluate with the data that the model was made for.",
        )
    if not np.isfinite(logits).all():
        advice = "Its weights may be damaged, or its training may have failed."
        arguments.refuse("the model's logits must be finite", {"logits": "NaN or infinity"}, advice)


def _share(part, whole):
    return float(part / whole) if whole else math.nan
