"""Simple classifiers: few-shot accuracy and linear probe on features, baselines on pixels."""

import math
import statistics
from typing import NamedTuple

import keras
import numpy as np

from keras_vit import arguments, backend
from keras_vit.data import ImageDataset
from keras_vit.training.evaluation.representation import predict_all, read_labels, submodel

BIAS = 100.0  # constant feature, so large that the penalty hardly affects its weights
L2 = 2.0**10
# Both baselines take longer with more pixels and more images: 3,000 photographs take a minute.
LARGEST_SIDE = 32  # larger images are shrunk to this side
MOST = 2_000  # training images


class FewShotResult(NamedTuple):
    """The result of `few_shot`; `print` shows it as a table.

    `accuracies` is {shots: (accuracy of every seed, 0 to 1)}, `refused` is {shots: reason} for
    shots that cannot be computed.
    """

    accuracies: dict
    refused: dict

    def mean(self, shots):
        """Returns the mean of all seeds, or NaN if it cannot be computed."""
        return statistics.fmean(self.accuracies.get(shots, [math.nan]))

    def __str__(self):
        lines = [f"{'shots':>6}{'accuracy':>11}{'+-':>8}   each seed"]
        for shots, values in self.accuracies.items():
            spread = f"{100 * statistics.stdev(values):.1f} %" if len(values) > 1 else "-"
            each = "  ".join(f"{100 * value:.1f}" for value in values)
            lines.append(f"{shots:>6}{100 * self.mean(shots):>9.1f} %{spread:>8}   {each}")
        lines += [f"{shots:>6}{'-':>11}   {reason}" for shots, reason in self.refused.items()]
        return "\n".join(lines)


def few_shot(
    features_train,
    labels_train,
    features_test,
    labels_test,
    shots=(1, 5, 10, 25),
    seeds=3,
    l2=L2,
    class_names=None,
):
    """Evaluates a representation with a linear classifier on a few images per class.

    The classifier is regularized least squares from the features of the sampled images to
    {-1, 1}^K, in closed form (section 4.1). As in the authors' code, features are standardized to
    mean 0 and deviation 1 over the sampled images, a constant feature of 100 provides the bias, and
    the penalty is 1024. The image of a class for 1 shot is also among those for 5 shots.

    Args:
        features_train: (images, D), from which the shots are sampled.
        labels_train: integers (images,).
        features_test: (images, D).
        labels_test: integers (images,).
        shots: images per class, one number or several.
        seeds: number of random samples, with seeds 0, 1, 2, ...
        l2: penalty on the squared weights.
        class_names: names of the classes in the result; None for their numbers.

    Returns:
        A `FewShotResult`. If a class has too few images for some shots, these are in `refused`.

    Raises:
        ValueError: features or labels are invalid.

    Example:
    >>> x, y = np.eye(4)[[0, 0, 1, 1, 2, 2]], np.array([0, 0, 1, 1, 2, 2])
    >>> print(keras_vit.training.few_shot(x, y, x, y, shots=(1, 5), seeds=2))
     shots   accuracy      +-   each seed
         1    100.0 %   0.0 %   100.0  100.0
         5          -   class 0 has 2 images

    Reference: section 4.1 and the `fewshot_lsr` evaluator of
    https://github.com/google-research/big_vision
    """
    shots = _check_shots(shots)
    arguments.positive_integer("seeds", seeds)
    arguments.positive_number("l2", l2)
    x, y = _check(features_train, labels_train)
    x_test, y_test = _check(features_test, labels_test)
    if x.shape[1] != x_test.shape[1]:
        received = {"train": x.shape, "test": x_test.shape}
        arguments.refuse("both splits must have features of one length", received)
    classes = np.union1d(y, y_test)
    refused = find_too_few(y, classes, shots, class_names)
    accuracies = {number: [] for number in shots if number not in refused}
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        order = [rng.permutation(np.flatnonzero(y == label)) for label in classes]
        for number in accuracies:
            chosen = np.concatenate([members[:number] for members in order])
            targets = 2.0 * (y[chosen, None] == classes) - 1.0  # (images, K)
            scores = regress(x[chosen], targets, x_test, l2)
            accuracies[number].append(float(np.mean(classes[scores.argmax(axis=1)] == y_test)))
    return FewShotResult({n: tuple(values) for n, values in accuracies.items()}, refused)


def regress(x, targets, x_test, l2=L2):
    """Returns the scores (images, K) of `x_test` from least squares of `x` to `targets` (N, K).

    They are computed in float64: in float32, a nearly constant feature would be only rounding
    error.
    """
    x, x_test = np.asarray(x, "float64"), np.asarray(x_test, "float64")
    mean, deviation = x.mean(axis=0), x.std(axis=0) + 1e-5
    x, x_test = (
        np.pad((each - mean) / deviation, ((0, 0), (0, 1)), constant_values=BIAS)
        for each in (x, x_test)
    )  # (N, D + 1)
    number, length = x.shape
    if number >= length:
        weights = np.linalg.solve(x.T @ x + l2 * np.eye(length), x.T @ targets)
    else:  # a smaller system with the same weights
        weights = x.T @ np.linalg.solve(x @ x.T + l2 * np.eye(number), targets)
    return x_test @ weights  # (images, K)


def linear_probe(features_train, labels_train, features_test, labels_test, penalty=1.0):
    """Returns the accuracy, 0 to 1, of scikit-learn's logistic regression on standardized features.

    Args:
        features_train: (images, D).
        labels_train: (images,).
        features_test: (images, D).
        labels_test: (images,).
        penalty: penalty on half the squared weights, 1 / C in scikit-learn.

    Raises:
        ImportError: scikit-learn is not installed.
        ValueError: features or labels are invalid.

    Example:
    >>> x, y = np.eye(3)[[0, 0, 1, 1, 2, 2]], np.array([0, 0, 1, 1, 2, 2])
    >>> keras_vit.training.linear_probe(x, y, x, y)
    1.0
    """
    backend.check_sklearn("The linear probe needs")
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    inverse = 1.0 / arguments.positive_number("penalty", penalty)
    if len(np.unique(labels_train)) < 2:
        received, advice = {"classes": len(np.unique(labels_train))}, "Add images of another class."
        arguments.refuse("there must be at least two classes to train on", received, advice)
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=inverse, max_iter=2000))
    probe.fit(*_check(features_train, labels_train))
    return float(probe.score(*_check(features_test, labels_test)))


def baselines(data):
    """Trains a linear and a kernel classifier on the pixels of a dataset.

    Both are scikit-learn's, on pixels divided by 255 and without augmentation: logistic regression,
    and a support vector machine with RBF kernel.

    Args:
        data: a `keras_vit.data.ImageDataset`; images larger than 32 pixels are shrunk to that.

    Returns:
        Test accuracy of each, from 0 to 1: {"logistic regression": ..., "RBF SVC": ...}. Empty if
        scikit-learn is not installed, if there is no test split, or if there are more than 2,000
        training images, for which both would take a minute or more.

    Example:
    >>> data = keras_vit.data.load("digits", image_size=8, num_channels=1, pipeline="keras")
    >>> keras_vit.training.baselines(data)["RBF SVC"] > 0.95
    True
    """
    too_large = data.counts["train"] > MOST or not data.counts["test"]
    if too_large or not backend.is_installed("sklearn"):
        return {}
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import SVC

    train, test = read_pixels(data, "train"), read_pixels(data, "test")
    # Folders of photographs converge slowly; digits need about 100 steps.
    methods = {"logistic regression": LogisticRegression(max_iter=2000), "RBF SVC": SVC()}
    return {name: float(method.fit(*train).score(*test)) for name, method in methods.items()}


def read_pixels(data, split):
    """Returns pixels from 0 to 1, (images, numbers), shrunk to at most 32 a side, and labels."""
    from PIL import Image

    scale = min(1.0, LARGEST_SIDE / max(data.image_size))
    height, width = (max(1, round(scale * side)) for side in data.image_size)
    batches, labels = data.fixed_batches(split), data.sources[split].labels
    rows = []
    for i in range(len(labels)):
        image = Image.fromarray(batches.image(i).squeeze())  # gray has no channel axis in Pillow
        shrunk = image.resize((width, height), Image.Resampling.BILINEAR)
        rows.append(np.asarray(shrunk).ravel() / 255.0)
    return np.stack(rows), labels


class FewShot(keras.callbacks.Callback):
    """Adds the few-shot accuracy of the model to the training logs, as `few_shot_5`.

    `History`, the progress bar and later callbacks, such as `CSVLogger`, show it. Training is
    unaffected: the weights are the same to the last bit with and without the callback.

    Args:
        train: a `keras_vit.data.ImageDataset`, whose training images the shots are sampled from,
            without augmentation; or labeled images as in `features`, but not the batches that the
            model is trained on, because their order changes.
        test: an `ImageDataset`, whose validation images are classified; or labeled images. None
            for `train`, if that is an `ImageDataset`.
        shots: one number or several.
        every: epochs between evaluations. The last epoch is evaluated too, even if training stops
            early; epochs in between have NaN in the logs. If the callback that stops is behind this
            one, only `History` gets the last value.
        seeds: see `few_shot`.
        l2: see `few_shot`.
        layer: see `features`.
        batch_size: see `features`.

    Raises:
        ValueError: an argument is invalid, or, at the beginning of the training, a class has too
            few images.

    Example:
    >>> few_shot = keras_vit.training.FewShot(data, shots=(1, 5), every=5)  # doctest: +SKIP
    >>> model.fit(data.train, epochs=50, callbacks=[few_shot])  # doctest: +SKIP
    """

    def __init__(
        self, train, test=None, shots=5, every=1, seeds=3, l2=L2, layer=None, batch_size=64
    ):
        super().__init__()
        if test is None and not isinstance(train, ImageDataset):
            received = {"train": type(train).__name__, "test": None}
            advice = "Pass labeled images; only an ImageDataset contains both splits."
            arguments.refuse("`test` must be labeled images", received, advice)
        self.splits = ((train, "train"), (train if test is None else test, "validation"))
        self.layer = layer
        self.batch_size = arguments.positive_integer("batch_size", batch_size)
        self.every = arguments.positive_integer("every", every)
        arguments.positive_integer("seeds", seeds)
        arguments.positive_number("l2", l2)
        self.options = {"shots": _check_shots(shots), "seeds": seeds, "l2": l2}

    def on_train_begin(self, logs=None):
        """Checks the layer and the number of images before the first epoch."""
        self.representation = submodel(self.model, self.layer)  # only here, so it is compiled once
        self.is_evaluated = True  # the last epoch
        train, test = (read_labels(*split, self.batch_size) for split in self.splits)
        refused = find_too_few(train, np.union1d(train, test), self.options["shots"])
        if refused:
            want = "every class must have images for all `shots`"
            advice = f"Lower `shots`: {', '.join(sorted(set(refused.values())))}."
            arguments.refuse(want, {"shots": self.options["shots"]}, advice)

    def on_epoch_end(self, epoch, logs=None):
        """Evaluates the model and adds the means to the logs."""
        is_last = epoch + 1 == self.params["epochs"] or self.model.stop_training
        self.is_evaluated = is_last or (epoch + 1) % self.every == 0
        result = self._evaluate() if self.is_evaluated else FewShotResult({}, {})
        for number in self.options["shots"]:
            logs[f"few_shot_{number}"] = result.mean(number)

    def on_train_end(self, logs=None):
        """Evaluates the last epoch, if a callback behind this one has stopped the training."""
        if self.is_evaluated:
            return
        result, history = self._evaluate(), self.model.history.history
        for number in self.options["shots"]:
            history[f"few_shot_{number}"][-1] = result.mean(number)

    def _evaluate(self):
        train, test = (
            predict_all(self.representation, *split, self.batch_size) for split in self.splits
        )
        return few_shot(*train, *test, **self.options)


def find_too_few(labels, classes, shots, class_names=None):
    """Returns {shots: reason} for each of `shots` for which a class has too few images."""
    counts = [int(np.sum(labels == label)) for label in classes]
    smallest, label = min(zip(counts, map(int, classes), strict=True))
    images = "image" if smallest == 1 else "images"
    name = class_names[label] if class_names else label
    reason = f"class {name} has {smallest or 'no'} {images}"
    return {number: reason for number in shots if number > smallest}


def _check_shots(shots):
    several = shots if isinstance(shots, (tuple, list)) else (shots,)
    if not several:
        arguments.refuse("`shots` must be one number or several", {"shots": shots})
    return tuple(arguments.positive_integer("shots", number) for number in several)


def _check(features, labels):
    features, labels = np.asarray(features), np.asarray(labels)
    received = {"features": features.shape, "labels": labels.shape}
    if features.ndim != 2 or labels.shape != features.shape[:1] or not len(labels):
        arguments.refuse("features must be (images, D) and labels (images,)", received)
    if not np.issubdtype(labels.dtype, np.integer):
        arguments.refuse("labels must be integers", {"labels": str(labels.dtype)})
    if not np.isfinite(features).all():
        arguments.refuse("features must be finite", {"features": "NaN or infinity"})
    return features, labels
