"""Accuracy, errors by class, loss and calibration of a classifier."""

import math
from typing import NamedTuple

import numpy as np

from keras_vit import arguments
from keras_vit.data import ImageDataset
from keras_vit.training.evaluation import wording
from keras_vit.training.evaluation.calibration import calibration_error, reliability, wilson
from keras_vit.training.evaluation.representation import predict_batches


class ClassScore(NamedTuple):
    """The scores of one class, from 0 to 1, or NaN if undefined.

    `support` is the number of its images, `recall` the share of them that was classified
    correctly, with its 95 % `interval`, `precision` the share of correct images among those
    predicted as the class, `f1` the harmonic mean of the two.
    """

    name: str
    support: int
    recall: float
    interval: tuple
    precision: float
    f1: float


class Mistake(NamedTuple):
    """A misclassified image, with the probability of the predicted class `said`."""

    image: str
    true: str
    said: str
    probability: float


class Evaluation(NamedTuple):
    """The result of `evaluate`; shares are from 0 to 1. `print` shows it as text.

    `interval` is the 95 % interval of the accuracy. `top_5` is None for 5 classes or fewer.
    `class_accuracy` is the mean recall of all classes, `loss` the mean negative log-likelihood
    (natural logarithm), `brier` the mean squared distance of the probabilities from the one-hot
    label (0 to 2), `calibration_error` the ECE of `reliability`. Row i, column j of `confusion`
    counts the images of class i that were predicted as j. `mistakes` are in descending order of
    probability.
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
        return wording.format_text(self)


class Outcomes(NamedTuple):
    """The outcome for each image, arrays of shape (images,).

    Label, predicted class and its probability; number of classes that rank above the true one;
    negative log-likelihood; squared distance of the probabilities from the one-hot label.
    """

    labels: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    rank: np.ndarray
    loss: np.ndarray
    brier: np.ndarray


def evaluate(
    model, data, split="test", class_names=None, names=None, bins=15, mistakes=25, batch_size=64
):
    """Evaluates a classifier on labelled images.

    If several classes have equal logits, the first one ranks highest, as in `argmax`.

    A calibrated model that reports 80 % confidence is right in 80 % of the cases. The expected
    calibration error (ECE) is the mean gap between confidence and accuracy over bins of equal
    width, weighted by the number of images in each bin. It is overestimated on few images.

    Args:
        model: model with logits (images, classes), or a `Run`.
        data: labelled images: a `keras_vit.data.ImageDataset`, a pair of arrays (images, labels), a
            `keras.utils.PyDataset`, a `tf.data.Dataset` or another iterable of such pairs.
        split: "train", "validation" or "test" of an `ImageDataset`.
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
    >>> result = keras_vit.training.evaluate(model, (images, labels), class_names=("cat", "dog"))
    >>> result.accuracy, result.confusion.tolist()
    (0.5, [[2, 0], [2, 0]])

    Reference: `keras_vit.training.evaluation.calibration` for calibration and intervals.
    """
    model = getattr(model, "model", model)  # of a `Run`
    batches = []
    for logits, labels in predict_batches(model, data, split, batch_size):
        batches.append(compute_outcomes(logits, labels))
    outcomes = Outcomes(*(np.concatenate(arrays) for arrays in zip(*batches, strict=True)))
    numbers = map(str, range(logits.shape[-1]))
    class_names = tuple(class_names or getattr(data, "class_names", None) or numbers)
    if names is None and isinstance(data, ImageDataset):
        names = data.sources[split].names
    if len(class_names) != logits.shape[-1]:
        received = {"class_names": len(class_names), "logits": logits.shape[-1]}
        advice = "Pass `class_names` in the order of the logits."
        arguments.refuse("every class of the model must have one name", received, advice)
    return summarize(outcomes, class_names, names, bins, mistakes)


def compute_outcomes(logits, labels):
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


def summarize(outcomes, class_names, names=None, bins=15, mistakes=25):
    """Returns the `Evaluation` of `Outcomes`; the arguments are those of `evaluate`."""
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
        mistakes=_list_mistakes(outcomes, class_names, names, mistakes),
    )


def _class_score(name, i, confusion):
    right, support, predicted = confusion[i, i], confusion[i].sum(), confusion[:, i].sum()
    return ClassScore(
        name=name,
        support=int(support),
        recall=_share(right, support),
        interval=wilson(int(right), int(support)),
        precision=_share(right, predicted),
        f1=_share(2 * right, support + predicted),
    )


def _list_mistakes(outcomes, class_names, names, number):
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
            "a model with logits (images, classes) was expected",
            {"output": logits.shape, "labels": labels.shape},
            "Evaluate a model with a head.",
        )
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        arguments.refuse(
            f"labels must be from 0 to {logits.shape[1] - 1}, the classes of the model",
            {"smallest": int(labels.min()), "largest": int(labels.max())},
            "Evaluate on data with the classes of the model.",
        )
    if not np.isfinite(logits).all():
        advice = "Its weights may be damaged, or its training may have failed."
        arguments.refuse("the model's logits must be finite", {"logits": "NaN or infinity"}, advice)


def _share(part, whole):
    return float(part / whole) if whole else math.nan
