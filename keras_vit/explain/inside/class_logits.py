"""The class that a view explains: the logit that is differentiated, and its probability.

A model's output is interpreted as follows.

| output | differentiated | probability |
| --- | --- | --- |
| logits | the logit of the class | softmax |
| one logit: class 1 against class 0 | the logit, its negative for class 0 | sigmoid |
| probabilities that sum to 1 | log p of the class, minus the mean of log p | p |
| last layer with activation sigmoid | log p - log(1 - p) | p; 1 - p for class 0 of one |

The third row recovers the logit before the softmax, minus the mean of all logits. Unlike p and
log p, its gradient does not vanish if p is close to 1.
"""

import keras
import numpy as np
from keras import ops

from keras_vit.guards.image_checks import find_last_activation

SMALLEST = 1e-37  # so that a probability rounded to 0 has a logarithm


def logits(model, images):
    """Returns the values to differentiate, (batch, classes), in float32 or wider."""
    return _logits(model, model(images, training=False))[0]


def probabilities(model, images):
    """Returns the probability of each class, (batch, classes), in float32 or wider."""
    return read(model, model(images, training=False))[1]


def read(model, output):
    """Returns logits and probabilities of a model's output, both (batch, classes)."""
    x, independent = _logits(model, output)
    return x, ops.sigmoid(x) if independent else ops.softmax(x)


def select(values, classes):
    """Selects the value of each image's class: (batch,) from (batch, classes)."""
    return ops.take_along_axis(values, classes[:, None], axis=1)[:, 0]


def divide_by_sum(maps):
    """Divides each map, (batch, ...), by its sum; a map of zeros stays zero."""
    total = maps.sum(axis=tuple(range(1, maps.ndim)), keepdims=True)
    return maps / np.where(total > 0, total, 1)


def _logits(model, output):
    """Returns logits, and whether each class has its own sigmoid."""
    x = ops.cast(output, keras.backend.result_type(output.dtype, "float32"))
    one, sigmoid = x.shape[-1] == 1, find_last_activation(model) == "sigmoid"
    if sigmoid:
        x = _log(x) - _log(1 - x)
    elif not one:
        log = _log(x)
        x = ops.where(_sums_to_one(x), log - ops.mean(log, axis=-1, keepdims=True), x)
    if one:
        x = ops.concatenate([-x, x], axis=-1)
    return x, one or sigmoid


def _log(x):
    return ops.log(ops.maximum(x, SMALLEST))


def _sums_to_one(x):
    """Returns whether the outputs for an image are probabilities, (batch, 1)."""
    total = ops.sum(x, axis=-1, keepdims=True)
    tolerance = 0.02  # rounding error of a thousand probabilities in bfloat16
    positive = ops.min(x, axis=-1, keepdims=True) >= 0
    return ops.logical_and(positive, ops.abs(total - 1) < tolerance)
