"""Losses and accuracy for class numbers (batch,) and soft labels (batch, classes)."""

import keras
from keras import ops

from keras_vit import arguments

register = keras.saving.register_keras_serializable(package="keras_vit")


class CrossEntropy(keras.losses.Loss):
    """Base class of both cross-entropies; `label_smoothing` is spread evenly over the classes."""

    def __init__(self, label_smoothing=0.0, class_weights=None, name=None, **kwargs):
        super().__init__(name=name, **kwargs)
        self.label_smoothing = arguments.fraction("label_smoothing", label_smoothing)
        if class_weights is not None:
            class_weights = arguments.positive_numbers("class_weights", tuple(class_weights))
        self.class_weights = class_weights

    def call(self, labels, logits):  # noqa: D102
        classes = logits.shape[-1]
        labels = ops.cast(to_soft(labels, classes), logits.dtype)
        smooth = labels * (1 - self.label_smoothing) + self.label_smoothing / classes
        entropy = self.entropy(smooth, logits)
        if self.class_weights is None:
            return entropy
        if len(self.class_weights) != classes:
            received = {"class_weights": len(self.class_weights), "classes": classes}
            arguments.refuse("every class needs a weight", received, "Use 1.0 for no change.")
        return entropy * ops.sum(labels * ops.cast(self.class_weights, labels.dtype), axis=-1)

    def get_config(self):  # noqa: D102
        own = {"label_smoothing": self.label_smoothing, "class_weights": self.class_weights}
        return {**super().get_config(), **own}


@register
class SoftmaxCrossEntropy(CrossEntropy):
    """-sum_c y_c log softmax(logits)_c, for one class per image or soft labels.

    Args:
        label_smoothing: share of every label that is distributed evenly over the classes.
        class_weights: weight of every class in their order, or None. An image has the weight of its
            class or, with soft labels, the sum of share * weight before smoothing. As in Keras, the
            loss of a batch is divided by the number of images, not by their weights.

    Call arguments:
        labels: class numbers (batch,) or soft labels (batch, classes).
        logits: (batch, classes).

    Example:
    >>> loss = keras_vit.training.losses.SoftmaxCrossEntropy()
    >>> round(float(loss(np.array([1]), np.zeros((1, 4), "float32"))), 4)  # log 4
    1.3863
    """

    def entropy(self, labels, logits):  # noqa: D102
        return -ops.sum(labels * ops.log_softmax(logits), axis=-1)


@register
class SigmoidCrossEntropy(CrossEntropy):
    """-sum_c y_c log s_c + (1 - y_c) log (1 - s_c), with s = sigmoid(logits).

    This is the loss for ImageNet-21k, where an image may show several classes. The sum over the
    classes follows the official code; Keras's `BinaryCrossentropy` takes the mean and would need a
    different learning rate for each number of classes. Initialize the bias of the head to a low
    value, such as -10 for 21,843 classes; otherwise the first steps only learn that every class is
    rare.

    Arguments are those of `SoftmaxCrossEntropy`.

    Example:
    >>> loss = keras_vit.training.losses.SigmoidCrossEntropy()
    >>> round(float(loss(np.array([1]), np.zeros((1, 4), "float32"))), 4)  # 4 log 2
    2.7726
    """

    def entropy(self, labels, logits):  # noqa: D102
        of_others = (1 - labels) * ops.log_sigmoid(-logits)
        return -ops.sum(labels * ops.log_sigmoid(logits) + of_others, axis=-1)


@register
class BinaryCrossEntropy(SigmoidCrossEntropy):
    """Mean over the classes of `SigmoidCrossEntropy`; every class with a share counts as present.

    An image that mixup made of two classes shows both. Label smoothing would make all classes
    present, so there is none.

    Args:
        class_weights: as in `SoftmaxCrossEntropy`.

    Raises:
        ValueError: `label_smoothing` is not 0.

    Example:
    >>> loss = keras_vit.training.losses.BinaryCrossEntropy()
    >>> mixed = np.array([[0.75, 0.25, 0.0, 0.0]])
    >>> round(float(loss(mixed, np.zeros((1, 4), "float32"))), 4)  # log 2
    0.6931

    Reference: DeiT-III, https://arxiv.org/abs/2204.07118, and its code
    """

    def __init__(self, label_smoothing=0.0, class_weights=None, **kwargs):
        if label_smoothing:
            want = "the binary cross-entropy counts a class as present or not"
            arguments.refuse(want, {"label_smoothing": label_smoothing}, "Use label_smoothing=0.")
        super().__init__(0.0, class_weights, **kwargs)

    def entropy(self, labels, logits):  # noqa: D102
        present = ops.cast(labels > 0, logits.dtype)
        return super().entropy(present, logits) / logits.shape[-1]


LOSSES = {
    "softmax": SoftmaxCrossEntropy,
    "sigmoid": SigmoidCrossEntropy,
    "binary": BinaryCrossEntropy,
}


@register
def accuracy(labels, logits):
    """Returns 1 for every image whose highest logit is its class or largest soft label, else 0.

    Example:
    >>> logits = np.array([[1.0, 2.0], [1.0, 2.0]])
    >>> np.asarray(keras_vit.training.losses.accuracy(np.array([1, 0]), logits))
    array([1., 0.], dtype=float32)
    """
    largest = ops.argmax(to_soft(labels, logits.shape[-1]), axis=-1)
    return ops.cast(ops.equal(largest, ops.argmax(logits, axis=-1)), "float32")


def to_soft(labels, classes):
    """Returns soft labels (batch, classes) from class numbers, (batch,) or (batch, 1), or these."""
    if len(labels.shape) == 2 and labels.shape[1] == 1 != classes:
        labels = ops.squeeze(labels, axis=1)
    if len(labels.shape) == 1:
        return ops.one_hot(ops.cast(labels, "int32"), classes)
    return labels
