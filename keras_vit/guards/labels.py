"""Labels must be what the head and the compiled loss take them for, before the first step."""

from typing import NamedTuple

import keras
import numpy as np

from keras_vit import arguments

ROUNDING = 0.01  # by which shares in half precision may miss a sum of 1

KINDS = {
    "sparse_categorical_crossentropy": "number",
    "categorical_crossentropy": "shares",
    "categorical_focal_crossentropy": "shares",
    "binary_crossentropy": "each",
    "binary_focal_crossentropy": "each",
}


class Labels(NamedTuple):
    """What a compiled model takes as labels; a custom loss takes what it will.

    kind: "number" of the class (batch,), "shares" of each class that sum to 1 or a value 0 to 1 for
        "each" class by itself (batch, num_classes), None where that cannot be known.
    num_classes: length of the model's logits.
    ignored: a number that the loss leaves out, or None.
    """

    kind: str | None
    num_classes: int | None
    ignored: int | None = None

    @property
    def width(self):
        """Length of the second axis of labels that have one."""
        return 1 if self.kind == "number" else self.num_classes

    def check(self, labels):
        """Raises `ValueError` unless `labels` are such labels; returns them as NumPy array."""
        labels = as_numpy(labels)
        if self.kind is None or labels.size == 0:
            return labels
        self.check_shape(labels.shape)
        if labels.dtype.kind not in "biuf":
            advice = "Number the classes from 0 on: np.unique(labels, return_inverse=True)[1]."
            arguments.refuse("labels must be numbers", {"labels": labels.dtype.name}, advice)
        if labels.dtype.kind == "f":
            _check_finite(labels)
        if self.kind == "number":
            self._check_numbers(labels)
        else:
            self._check_shares(labels.astype("float32"))
        return labels

    def check_shape(self, shape):
        """Raises `ValueError` unless `shape` can be that of such labels; None is unknown."""
        shape, classes = tuple(shape), self.num_classes
        if self.kind is None:
            return
        if self.kind == "number":
            good = len(shape) == 1 or (len(shape) == 2 and shape[1] in (1, None))
            want = "the loss expects one class number for each image, shape (batch,)"
        else:
            good = len(shape) == 2 and shape[1] in (classes, None)
            good = good or (classes == 1 and len(shape) == 1)
            want = f"the loss expects one value for each class, shape (batch, {classes})"
        if not good:
            arguments.refuse(want, {"labels shape": shape}, self._shape_advice(shape))

    def _shape_advice(self, shape):
        classes = self.num_classes
        if self.kind == "number" and len(shape) == 2:
            loss = "keras.losses.CategoricalCrossentropy(from_logits=True)"
            return f"Give class numbers, labels.argmax(-1), or compile with loss={loss}."
        if self.kind != "number" and len(shape) == 2 and shape[1] != 1:
            built = f"num_classes={shape[1]}"
            return f"Give labels of {classes} classes, or build the model with {built}."
        if self.kind == "shares":
            loss = "keras.losses.SparseCategoricalCrossentropy(from_logits=True)"
            return (
                f"Compile with loss={loss}, or give keras.utils.to_categorical(labels, {classes})."
            )
        return f"Give keras.utils.to_categorical(labels, {classes})." if classes else ""

    def _check_numbers(self, labels):
        if self.ignored is not None:
            labels = labels[labels != self.ignored]
        if labels.size == 0:
            return
        broken = labels[labels != np.floor(labels)] if labels.dtype.kind == "f" else ()
        if len(broken):
            want = "labels must be whole numbers, one class each"
            advice = "Give the number of each image's class, from 0 on, as integer."
            arguments.refuse(want, {"label": float(broken[0])}, advice)
        lowest, highest = int(labels.min()), int(labels.max())
        if lowest < 0 or highest >= self.num_classes:
            want = f"labels must be from 0 to {self.num_classes - 1}, as the head has "
            want += f"{self.num_classes} classes"
            received = {"lowest label": lowest, "highest label": highest}
            arguments.refuse(want, received, self._range_advice(lowest, highest))

    def _range_advice(self, lowest, highest):
        if lowest < 0:
            mark = f"ignore_class={lowest}"
            return f"Leave out images without a class, or name their mark in the loss: {mark}."
        if lowest >= 1 and highest == self.num_classes:
            return "Do your labels begin at 1? Subtract 1 from them."
        return f"Correct the labels, or build the model with num_classes={highest + 1}."

    def _check_shares(self, labels):
        if labels.min() < 0 or labels.max() > 1:
            received = {"lowest": float(labels.min()), "highest": float(labels.max())}
            advice = "A one-hot label is 1 for the image's class and 0 for the others."
            arguments.refuse("labels of each class must be from 0 to 1", received, advice)
        sums = labels.sum(-1)
        if self.kind == "shares" and np.abs(sums - 1).max() > ROUNDING:
            worst = float(sums[np.abs(sums - 1).argmax()])
            advice = "For images of no class or of several, compile with "
            advice += "loss=keras.losses.BinaryCrossentropy(from_logits=True)."
            want = "the labels of an image must sum to 1 over the classes"
            arguments.refuse(want, {"sum": round(worst, 4)}, advice)


def expected(model):
    """Returns the `Labels` that a compiled model takes."""
    _, settings = named_loss(model.loss)
    kind = kind_of(model, model.loss)
    return Labels(kind, model.num_classes, settings.get("ignore_class"))


def kind_of(model, loss):
    """Returns the kind of labels that a loss takes, None if that cannot be known."""
    if model.num_classes is None or _is_customized(model):
        return None
    return kind_of_loss(named_loss(loss)[0])


def kind_of_loss(name):
    """Returns the kind of labels that a loss of this name takes, None for a custom one."""
    return KINDS.get(name)


def warn_of_one_class(labels, expects):
    """Warns where all class numbers of a training set, `labels`, are one."""
    if expects.kind == "number" and expects.num_classes > 1 and labels.size > 1:
        first = labels.reshape(-1)[0]
        if (labels == first).all():
            arguments.warn(
                f"All {labels.size} training labels are class {int(first)}: from them a model "
                "learns to give that class always. Check how the labels were made."
            )


def as_numpy(values):
    """Returns labels or images of any kind of array as NumPy array."""
    if not isinstance(values, np.ndarray):
        try:
            values = keras.ops.convert_to_numpy(values)
        except (TypeError, ValueError, AttributeError):  # such as a column of a table, or text
            values = np.asarray(values)
    return values.astype("float32") if values.dtype.name == "bfloat16" else values


def named_loss(loss):
    """Returns a loss's name in Keras, and its settings; a custom one has none."""
    if isinstance(loss, (list, tuple)) and len(loss) == 1:
        loss = loss[0]
    if isinstance(loss, str):
        loss = keras.losses.get(loss)
    if isinstance(loss, keras.losses.Loss):
        for name in KINDS:
            if type(loss) is getattr(keras.losses, class_name(name)):
                return name, loss.get_config()
    for name in KINDS:
        if loss is not None and loss is getattr(keras.losses, name):
            return name, {}
    return None, {}


def class_name(name):
    """Returns "BinaryCrossentropy" for "binary_crossentropy"."""
    return "".join(word.capitalize() for word in name.split("_"))


def _is_customized(model):
    """Whether a subclass computes its loss by itself."""
    methods = ("compute_loss", "train_step", "stateless_compute_loss")
    return any(getattr(type(model), m, 0) is not getattr(keras.Model, m, 0) for m in methods)


def _check_finite(labels):
    bad = labels[~np.isfinite(labels)]
    if len(bad):
        advice = "Leave out images without a class."
        arguments.refuse("labels must be finite numbers", {"label": float(bad[0])}, advice)
