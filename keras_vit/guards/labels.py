"""Checks, before the first step, that labels, loss and metrics fit the head of a model."""

from typing import NamedTuple

import keras
import numpy as np

from keras_vit import arguments

ROUNDING = 0.01  # tolerance of the sum of shares in half precision

# name of a loss: kind of its labels
KINDS = {
    "sparse_categorical_crossentropy": "number",
    "categorical_crossentropy": "shares",
    "categorical_focal_crossentropy": "shares",
    "binary_crossentropy": "each",
    "binary_focal_crossentropy": "each",
}
# registered name of a loss of this package, which takes logits: kinds of its labels, by their shape
OWN = {
    "keras_vit>SoftmaxCrossEntropy": "number or shares",
    "keras_vit>SigmoidCrossEntropy": "number or each",
    "keras_vit>BinaryCrossEntropy": "number or each",
}
# class of a metric: the right one for logits, and the settings that make it wrong
METRICS = {
    "BinaryAccuracy": ("BinaryAccuracy(threshold=0.0)", {"threshold": 0.5}),
    "Precision": ("Precision(thresholds=0.0)", {"thresholds": None}),
    "Recall": ("Recall(thresholds=0.0)", {"thresholds": None}),
    **{
        name: (f"{name}(from_logits=True)", {"from_logits": False})
        for name in (
            "AUC", "BinaryCrossentropy", "CategoricalCrossentropy", "SparseCategoricalCrossentropy",
        )
    },
}  # fmt: skip
TOP_K = "TopKCategoricalAccuracy"  # ends the names of two metrics
SHORT = {"auc": "AUC", "ce": "CategoricalCrossentropy", "bce": "BinaryCrossentropy"}


class Labels(NamedTuple):
    """The labels that a compiled model takes.

    Attributes:
        kind: "number" of the class, (batch,); "shares" of the classes, which sum to 1, or a value
            from 0 to 1 for "each" class, (batch, num_classes). "number or shares" and "number or
            each" for a loss that takes both. None for a custom loss.
        num_classes: length of the model's logits.
        ignored: a number that the loss ignores, or None.
    """

    kind: str | None
    num_classes: int | None
    ignored: int | None = None

    @property
    def width(self):
        """Length of the second axis of labels that have one."""
        return 1 if self.kind == "number" else self.num_classes

    def of_shape(self, shape):
        """Returns the `Labels` of one kind that labels of this shape are."""
        first, _, other = (self.kind or "").partition(" or ")
        if not other:
            return self
        is_number = len(shape) == 1 or (len(shape) == 2 and shape[1] == 1 != self.num_classes)
        return self._replace(kind=first if is_number else other)

    def check(self, labels):
        """Raises `ValueError` unless the model takes `labels`; returns them as a NumPy array."""
        labels = as_numpy(labels)
        if self.kind is None or labels.size == 0:
            return labels
        self.check_shape(labels.shape)
        self = self.of_shape(labels.shape)
        if labels.dtype.kind not in "biuf":
            advice = "Number the classes from 0: np.unique(labels, return_inverse=True)[1]."
            arguments.refuse("labels must be numbers", {"labels": labels.dtype.name}, advice)
        bad = labels[~np.isfinite(labels)]
        if len(bad):
            advice = "Leave out images without a class."
            arguments.refuse("labels must be finite numbers", {"label": float(bad[0])}, advice)
        if self.kind == "number":
            self._check_numbers(labels)
        else:
            self._check_shares(labels.astype("float32"))
        return labels

    def check_shape(self, shape):
        """Raises `ValueError` unless such labels can have this shape; None means unknown."""
        shape, classes = tuple(shape), self.num_classes
        self = self.of_shape(shape)
        if self.kind is None:
            return
        good = len(shape) == 2 and shape[1] in (self.width, None)
        good = good or (len(shape) == 1 and self.width == 1)
        if not good:
            want = f"the loss expects one value for each class, shape (batch, {classes})"
            if self.kind == "number":
                want = "the loss expects one class number for each image, shape (batch,)"
            arguments.refuse(want, {"labels shape": shape}, self._shape_advice(shape))

    def _shape_advice(self, shape):
        classes, loss = self.num_classes, "loss=keras.losses.{}(from_logits=True)".format
        if self.kind == "number" and len(shape) == 2:
            right = loss("CategoricalCrossentropy")
            return f"Pass class numbers, labels.argmax(-1), or compile with {right}."
        if self.kind != "number" and len(shape) == 2 and shape[1] != 1:
            return (
                f"Pass labels of {classes} classes, or build the model with num_classes={shape[1]}."
            )
        one_hot = f"keras.utils.to_categorical(labels, {classes})"
        if self.kind == "shares":
            return f"Compile with {loss('SparseCategoricalCrossentropy')}, or pass {one_hot}."
        return f"Pass {one_hot}." if classes else ""

    def _check_numbers(self, labels):
        if self.ignored is not None:
            labels = labels[labels != self.ignored]
        if labels.size == 0:
            return
        broken = labels[labels != np.floor(labels)]
        if len(broken):
            want = "labels must be whole numbers, one class each"
            advice = "Pass each image's class as an integer, counted from 0."
            arguments.refuse(want, {"label": float(broken[0])}, advice)
        classes, lowest, highest = self.num_classes, int(labels.min()), int(labels.max())
        if 0 <= lowest and highest < classes:
            return
        if lowest < 0:
            advice = "Leave out images without a class, or pass their label to a loss of Keras: "
            advice += f"ignore_class={lowest}."
        elif lowest >= 1 and highest == classes:
            advice = "Do your labels begin at 1? Subtract 1 from them."
        else:
            advice = f"Correct the labels, or build the model with num_classes={highest + 1}."
        want = f"labels must be from 0 to {classes - 1}, as the head has {classes} classes"
        arguments.refuse(want, {"lowest label": lowest, "highest label": highest}, advice)

    def _check_shares(self, labels):
        if labels.min() < 0 or labels.max() > 1:
            received = {"lowest": float(labels.min()), "highest": float(labels.max())}
            advice = "A one-hot label is 1 for the image's class and 0 for the others."
            arguments.refuse("labels of each class must be from 0 to 1", received, advice)
        errors = np.abs(labels.sum(-1) - 1)
        if self.kind == "shares" and errors.max() > ROUNDING:
            worst = float(labels.sum(-1)[errors.argmax()])
            advice = "For images of no class or of several, compile with "
            advice += "loss=keras.losses.BinaryCrossentropy(from_logits=True)."
            want = "the labels of an image must sum to 1 over the classes"
            arguments.refuse(want, {"sum": round(worst, 4)}, advice)


def expected(model):
    """Returns the `Labels` that a compiled model takes."""
    name, settings = identify_loss(model.loss)
    kind = None if _is_custom(model) else find_kind(name)
    return Labels(kind, model.num_classes, settings.get("ignore_class"))


def check_list(name, values):
    """Raises `ValueError` for a list, which Keras would treat as the labels of several outputs."""
    if isinstance(values, (list, tuple)) and not (len(values) == 1 and np.ndim(values[0])):
        received = {name: f"a {type(values).__name__} of {len(values)}"}
        arguments.refuse(f"`{name}` must be one array", received, f"Write np.array({name}).")


def check_weights(given, images, num_classes):
    """Raises `ValueError` unless the weights in the arguments of `fit` or `evaluate` are valid.

    Keras ignores weights of classes that do not exist, and a weight that is not finite ruins a
    model.
    """
    weights = given.get("sample_weight")
    if weights is not None:
        check_list("sample_weight", weights)
        weights = as_numpy(weights)
        if hasattr(images, "shape") and weights.shape[:1] != images.shape[:1]:
            received = {"images": len(images), "sample_weight": weights.shape}
            arguments.refuse("there must be one weight for each image", received)
        _check_finite("sample_weight", weights)
    classes = given.get("class_weight") or {}
    unknown = [key for key in classes if key not in range(num_classes or 0)]
    if unknown and num_classes:
        want = f"`class_weight` must have class numbers from 0 to {num_classes - 1} as keys"
        arguments.refuse(want, {"keys": unknown[:5]}, "Number the classes as the labels do.")
    values = np.array([*classes.values()], "float64")
    _check_finite("class_weight", values)
    if (values < 0).any():
        want, advice = "`class_weight` must be 0 or more", "Use 0 to ignore a class."
        arguments.refuse(want, {"weight": float(values.min())}, advice)


def _check_finite(name, weights):
    bad = weights[~np.isfinite(weights)]
    if bad.size:
        arguments.refuse(f"`{name}` must be finite numbers", {"weight": float(bad.flat[0])})


def warn_of_one_class(labels, expects):
    """Warns if all class numbers of a training set, `labels`, are equal."""
    if expects.kind == "number" and expects.num_classes > 1 and labels.size > 1:
        first = labels.reshape(-1)[0]
        if (labels == first).all():
            arguments.warn(
                f"All {labels.size} training labels are class {int(first)}: a model trained on "
                "them always predicts this class. Check how the labels were made."
            )


def as_numpy(values):
    """Returns labels or images of any kind of array as a NumPy array."""
    if not isinstance(values, np.ndarray):
        try:
            values = keras.ops.convert_to_numpy(values)
        except (TypeError, ValueError, AttributeError):  # for example, a column of a table, or text
            values = np.asarray(values)
    return values.astype("float32") if values.dtype.name == "bfloat16" else values


# --- Loss and metrics ----------------------------------------------------------------------------


def find_kind(name):
    """Returns the kind of the labels of a loss by its name of `identify_loss`, None if unknown."""
    return KINDS.get(name) or OWN.get(name)


def identify_loss(loss):
    """Returns a loss's name, in Keras or in `OWN`, and its settings; (None, {}) for another one."""
    if isinstance(loss, (list, tuple)) and len(loss) == 1:
        loss = loss[0]
    own = keras.saving.get_registered_name(type(loss))
    if own in OWN:
        return own, {"from_logits": True}
    if isinstance(loss, str):
        loss = keras.losses.get(loss)
    for name in KINDS:
        if type(loss) is getattr(keras.losses, _class_name(name)):
            return name, loss.get_config()
        if loss is getattr(keras.losses, name):
            return name, {}
    return None, {}


def check_compiled(model, loss, metrics=()):
    """Raises `ValueError` if the loss, or warns if a metric, misreads logits as probabilities."""
    if isinstance(loss, type):
        advice = f"Write keras.losses.{loss.__name__}(from_logits=True), with parentheses."
        arguments.refuse("`loss` must be an instance, not a class", {"loss": loss.__name__}, advice)
    layers = getattr(model, "layers", None)
    if not layers or getattr(layers[-1], "activation", 0) is not keras.activations.linear:
        return
    name, settings = identify_loss(loss)
    kind = None if _is_custom(model) else find_kind(name)
    if kind is not None:
        refuse_probabilities(name, settings)
    for metric in keras.tree.flatten(metrics):
        _check_metric(metric, kind, model.num_classes)


def refuse_probabilities(name, settings):
    """Raises `ValueError` unless a loss with these settings takes logits."""
    if not settings.get("from_logits"):
        write = f"loss=keras.losses.{_class_name(name)}(from_logits=True)"
        want = "the loss must take logits, which this model returns; this one takes probabilities, "
        want += "and its first step would make all weights NaN"
        arguments.refuse(want, {"loss": name}, f"Compile with {write}.")


def _check_metric(metric, kind, num_classes):
    """Raises `ValueError` for a metric that cannot be computed, warns about one that misleads."""
    shown = repr(metric) if isinstance(metric, str) else type(metric).__name__
    name, settings = _identify_metric(metric)
    k = settings.get("k", 5)
    if kind and name.endswith(TOP_K) and k > num_classes:
        advice = f"Compile with keras.metrics.{name}(k=2), for example."
        received = {"k": k, "num_classes": num_classes}
        arguments.refuse("a top-k metric needs at least k classes", received, advice)
    right = _find_right_metric(name, settings, kind)
    problem = f"returns logits, but its metric {shown} treats them as probabilities"
    if right is None:
        right = _find_twin(name, kind)
        problem = f"is trained on labels that its metric {shown} misreads"
    if right:
        advice = f"Compile with keras.metrics.{right}."
        arguments.warn(f"This model {problem}, so its value is meaningless. {advice}")


def _identify_metric(metric):
    """Returns the name of a metric's class, and its settings if it is not given by name."""
    if isinstance(metric, str):
        return SHORT.get(metric.lower(), _class_name(metric)), {}
    name = type(metric).__name__
    return name, metric.get_config() if name in METRICS or name.endswith(TOP_K) else {}


def _find_right_metric(name, settings, kind):
    """Returns the replacement of a metric that misreads logits, or None."""
    if name in ("Accuracy", "Acc"):  # Keras chooses by the shape of the labels
        return METRICS["BinaryAccuracy"][0] if kind == "each" else None
    right, wrong = METRICS.get(name, (None, {}))
    return right if all(settings.get(key, value) == value for key, value in wrong.items()) else None


def _find_twin(name, kind):
    """Returns the replacement of a metric for labels in a form other than the loss takes, or None.

    A metric for one value per class reads class numbers as images of class 0.
    """
    plain = name.removeprefix("Sparse")
    twin = {"number": f"Sparse{plain}", "shares": plain}.get(kind, name)
    is_pair = all(hasattr(keras.metrics, each) for each in (plain, f"Sparse{plain}"))
    return twin if is_pair and twin != name else None


def _class_name(name):
    """Returns "BinaryCrossentropy" for "binary_crossentropy"."""
    return "".join(word[:1].upper() + word[1:] for word in name.split("_"))


def _is_custom(model):
    """Returns whether a model has no logits, or a subclass computes its own loss."""
    methods = ("compute_loss", "train_step", "stateless_compute_loss")
    own = any(getattr(type(model), m, 0) is not getattr(keras.Model, m, 0) for m in methods)
    return own or model.num_classes is None
