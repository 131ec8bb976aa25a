"""Accuracy, errors by class, loss and calibration of a classifier."""

import math
from typing import NamedTuple

import numpy as np

from keras_vit import arguments
from keras_vit.data import ImageDataset
from keras_vit.figures import one_line
from keras_vit.training.evaluation import class_names as naming
from keras_vit.training.evaluation.representation import predict_batches

NORMAL_95 = 1.959963984540054  # 95 % of a normal distribution are within this many deviations
LONGEST_NAME = 60  # characters of a class name in texts and figures
MOST_ROWS = 20  # rows of a printed table: the height of a terminal
LENGTHS = {"bins": arguments.positive_integer, "mistakes": arguments.natural_number}


class ClassScore(NamedTuple):
    """The scores of one class, from 0 to 1, or NaN if undefined."""

    name: str
    support: int  # number of images of the class
    recall: float  # share of them that was classified correctly
    interval: tuple  # 95 % interval of the recall
    precision: float  # share of correct images among those predicted as the class
    f1: float  # harmonic mean of recall and precision


class Mistake(NamedTuple):
    """A misclassified image, with the probability of the predicted class, `said`."""

    image: str
    true: str
    said: str
    probability: float


class Bin(NamedTuple):
    """The images with a confidence in (lower, upper], their mean confidence and accuracy."""

    lower: float
    upper: float
    images: int
    confidence: float
    accuracy: float


class Evaluation(NamedTuple):
    """The result of `evaluate`; shares are from 0 to 1. `print` shows it as text.

    `interval` is the 95 % interval of the accuracy, `top_5` None for 5 classes or fewer,
    `class_accuracy` the mean recall of all classes, `loss` the mean negative log-likelihood
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
        parts = (_format_numbers, _format_classes, _format_confused, _format_mistakes)
        return "\n\n".join(text for part in parts if (text := part(self)))


class Outcomes(NamedTuple):
    """The outcome for each image, arrays of shape (images,)."""

    labels: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray  # probability of the predicted class
    rank: np.ndarray  # number of classes that rank above the true one
    loss: np.ndarray  # negative log-likelihood
    brier: np.ndarray  # squared distance of the probabilities from the one-hot label


def evaluate(
    model, data, split="test", class_names=None, names=None, bins=15, mistakes=25, batch_size=64
):
    """Evaluates a classifier on labeled images.

    If several classes have equal logits, the first one ranks highest, as in `argmax`.

    A calibrated model that reports 80 % confidence is right in 80 % of the cases. The expected
    calibration error (ECE) is the mean gap between confidence and accuracy over bins of equal
    width, weighted by the number of images in each bin. It is overestimated on few images.

    Args:
        model: model with logits (images, classes), one of them if it has two classes; or a `Run`.
        data: labeled images: a `keras_vit.data.ImageDataset`, a pair of arrays (images, labels), a
            `keras.utils.PyDataset`, a `tf.data.Dataset` or another iterable of such pairs.
        split: "train", "validation" or "test" of an `ImageDataset`.
        class_names: names of the classes; None for those of `data` or `model`, or their numbers.
        names: names of the images, in order; None for those of `data`, or their numbers.
        bins: number of bins of the reliability table.
        mistakes: number of mistakes to list.
        batch_size: images per batch if `data` is a pair of arrays.

    Returns:
        An `Evaluation`.

    Raises:
        ValueError: an argument is invalid, labels and logits do not match, or one is not finite.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=16, num_classes=2)
    >>> images, labels = np.zeros((4, 16, 16, 3)), np.array([0, 1, 1, 0])
    >>> result = keras_vit.training.evaluate(model, (images, labels), class_names=("cat", "dog"))
    >>> result.accuracy, result.confusion.tolist()
    (0.5, [[2, 0], [2, 0]])

    Reference: Guo et al., "On Calibration of Modern Neural Networks",
    https://arxiv.org/abs/1706.04599; E. B. Wilson's score interval, 1927
    """
    arguments.checked(LENGTHS, locals())
    model = getattr(model, "model", model)  # the model of a `Run`
    known = (class_names, *(getattr(one, "class_names", None) for one in (data, model)))
    class_names = next((tuple(names) for names in known if names), None)
    check_names(class_names, model)
    batches = []
    for logits, labels in predict_batches(model, data, split, batch_size):
        batches.append(compute_outcomes(logits, labels))
    outcomes = Outcomes(*(np.concatenate(arrays) for arrays in zip(*batches, strict=True)))
    class_names = class_names or tuple(map(str, range(max(2, logits.shape[-1]))))
    if names is None and isinstance(data, ImageDataset):
        names = data.sources[split].names
    _check_count(class_names, logits.shape[-1])
    return summarize(outcomes, naming.name_both(class_names), names, bins, mistakes)


def check_names(class_names, model):
    """Raises `ValueError` unless a model has a head and each logit a name, before predictions."""
    if getattr(model, "num_classes", 0) is None:
        advice = "Build it with num_classes=..., or use few_shot on its features."
        received = {"model": model.name, "num_classes": None}
        arguments.refuse("a classifier was expected", received, advice)
    shape = getattr(model, "output_shape", None)
    if class_names is not None and isinstance(shape, tuple):
        _check_count(class_names, shape[-1])


def _check_count(class_names, logits):
    if len(class_names) != logits and (len(class_names), logits) != (2, 1):
        received = {"class_names": len(class_names), "logits": logits}
        advice = "Pass `class_names` in the order of the logits."
        arguments.refuse("every class of the model must have one name", received, advice)


def compute_outcomes(logits, labels):
    """Returns the `Outcomes` of logits (images, classes) and labels (images,)."""
    logits, labels = naming.score_both(np.asarray(logits, "float64")), np.asarray(labels)
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
    number, images, right = len(class_names), len(outcomes.labels), outcomes.rank == 0
    names = naming.check_images(names, images)
    confusion = np.zeros((number, number), "int64")
    np.add.at(confusion, (outcomes.labels, outcomes.predicted), 1)
    classes = tuple(
        ClassScore(
            name, int(support), _share(hits, support), wilson(int(hits), int(support)),
            _share(hits, predicted), _share(2 * hits, support + predicted),
        )
        for name, hits, support, predicted in zip(
            class_names, confusion.diagonal(), confusion.sum(1), confusion.sum(0), strict=True
        )
    )  # fmt: skip
    table = reliability(outcomes.confidence, right, bins)
    wrong = np.flatnonzero(~right)
    wrong = wrong[np.argsort(-outcomes.confidence[wrong], kind="stable")][:mistakes]
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
        mistakes=tuple(
            Mistake(
                str(i if names is None else names[i]),
                class_names[outcomes.labels[i]],
                class_names[outcomes.predicted[i]],
                float(outcomes.confidence[i]),
            )
            for i in wrong
        ),
    )


def reliability(confidence, right, bins=15):
    """Returns a `Bin` for each of `bins` equal intervals of 0 to 1.

    `confidence` is the probability of the predicted class, `right` whether it is correct.
    """
    confidence, right = np.asarray(confidence), np.asarray(right)
    edges = np.linspace(0, 1, arguments.positive_integer("bins", bins) + 1)
    # Bin i has edges[i] < confidence <= edges[i + 1]; rounding may give 1.0000000000000002.
    index = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    table = []
    for i in range(bins):
        lower, upper, inside = float(edges[i]), float(edges[i + 1]), index == i
        count = int(inside.sum())
        means = (_share(values[inside].sum(), count) for values in (confidence, right))
        table.append(Bin(lower, upper, count, *means))
    return tuple(table)


def calibration_error(table):
    """Returns the expected calibration error, 0 to 1: Eq. 3 of arXiv 1706.04599."""
    gaps = [row.images * abs(row.accuracy - row.confidence) for row in table if row.images]
    return sum(gaps) / sum(row.images for row in table)


def wilson(right, number):
    """Returns the 95 % interval of a proportion by Wilson's score method; NaN if `number` is 0.

    It stays within 0 and 1, and it is valid for few images, unlike the usual normal interval.
    """
    if not number:
        return math.nan, math.nan
    share, z2 = right / number, NORMAL_95**2
    middle = (share + z2 / (2 * number)) / (1 + z2 / number)
    half = math.sqrt(share * (1 - share) / number + z2 / (4 * number**2)) * NORMAL_95
    half /= 1 + z2 / number
    return max(0.0, middle - half), min(1.0, middle + half)


def most_confused(evaluation, number=10):
    """Returns the most frequent mistakes, (true class, predicted class, images), descending."""
    names, confusion = evaluation.class_names, evaluation.confusion
    off_diagonal = confusion * (1 - np.eye(len(names), dtype="int64"))
    order = np.argsort(-off_diagonal, axis=None, kind="stable")[:number]
    pairs = zip(*np.unravel_index(order, off_diagonal.shape), strict=True)
    return [(names[i], names[j], int(confusion[i, j])) for i, j in pairs if off_diagonal[i, j]]


def percent(value):
    """Returns 0.9833 as "98.3 %", and NaN as "-"."""
    return "-" if math.isnan(value) else f"{100 * value:.1f} %"


def to_plain(value):
    """Returns an `Evaluation` as dictionaries and lists for JSON; NaN becomes None."""
    if hasattr(value, "_asdict"):
        return {name: to_plain(field) for name, field in value._asdict().items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (tuple, list)):
        return [to_plain(member) for member in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _format_numbers(evaluation):
    low, high = map(percent, evaluation.interval)
    filled = [row for row in evaluation.reliability if row.images]
    confidence = sum(row.images * row.confidence for row in filled) / evaluation.images
    rows = {
        "accuracy": f"{percent(evaluation.accuracy)}  (95 % interval: {low} to {high})",
        "top-5 accuracy": None if evaluation.top_5 is None else percent(evaluation.top_5),
        "mean class accuracy": percent(evaluation.class_accuracy),
        "loss": f"{evaluation.loss:.4f}  (mean negative log-likelihood)",
        "Brier score": f"{evaluation.brier:.4f}  (0 is best, 2 worst)",
        "calibration error": f"{percent(evaluation.calibration_error)}  (ECE of "
        f"{len(evaluation.reliability)} bins; mean confidence {percent(confidence)})",
    }
    lines = [f"{evaluation.images:,} images, {len(evaluation.class_names):,} classes"]
    return "\n".join(lines + [f"  {name:<20}{value}" for name, value in rows.items() if value])


def _format_classes(evaluation):
    rows, title = evaluation.classes, "Classes"
    if len(rows) > MOST_ROWS:
        rows = sorted((row for row in rows if row.support), key=lambda row: row.f1)[:MOST_ROWS]
        title = f"Classes with images, at most {MOST_ROWS}, the lowest F1 first"
    names = [one_line(row.name, LONGEST_NAME) for row in rows]
    width = max(len("name"), *map(len, names))
    lines = [title, f"  {'name':<{width}}{'images':>10}{'recall':>10}{'precision':>11}{'F1':>10}"]
    for name, row in zip(names, rows, strict=True):
        shares = f"{percent(row.recall):>10}{percent(row.precision):>11}{percent(row.f1):>10}"
        lines.append(f"  {name:<{width}}{row.support:>10,}{shares}")
    return "\n".join(lines)


def _format_confused(evaluation):
    pairs = most_confused(evaluation, number=5)
    lines = [
        f"  {count:>6,}  {one_line(true, LONGEST_NAME)} predicted as {one_line(said, LONGEST_NAME)}"
        for true, said, count in pairs
    ]
    return "\n".join(["Most frequent mistakes", *lines]) if pairs else "No mistakes."


def _format_mistakes(evaluation):
    lines = [
        f"  {percent(one.probability):>8}  {one_line(one.image, 2 * LONGEST_NAME)}: predicted "
        f"{one_line(one.said, LONGEST_NAME)}, true {one_line(one.true, LONGEST_NAME)}"
        for one in evaluation.mistakes[:10]
    ]
    return "\n".join(["Most confident mistakes", *lines]) if lines else ""


def _check(logits, labels):
    if logits.ndim != 2 or len(logits) != len(labels):
        want, advice = "a model with logits (images, classes)", "Evaluate a model with a head."
        received = {"output": logits.shape, "labels": labels.shape}
        arguments.refuse(f"{want} was expected", received, advice)
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        want = f"labels must be from 0 to {logits.shape[1] - 1}, the classes of the model"
        received = {"smallest": int(labels.min()), "largest": int(labels.max())}
        arguments.refuse(want, received, "Evaluate on data with the classes of the model.")
    if not np.isfinite(logits).all():
        advice = "Its weights may be damaged, or its training may have failed."
        arguments.refuse("the model's logits must be finite", {"logits": "NaN or infinity"}, advice)


def _share(part, whole):
    return float(part / whole) if whole else math.nan
