"""The class that a view explains: which it is, its logit to differentiate, its probability.

What a model gives is read as follows.

| output | differentiated | probability |
| --- | --- | --- |
| logits | the logit of the class | softmax |
| one logit: class 1 against class 0 | the logit, for class 0 its negative | sigmoid |
| probabilities that sum to 1 | log p of the class, less the mean of log p | p |
| last layer with activation sigmoid | log p - log(1 - p) | p, and 1 - p for class 0 of one |

The third is the logit before the softmax, less the mean of all logits: unlike p and log p it keeps
its gradient where p is all but 1.
"""

import keras
import numpy as np
from keras import ops

from keras_vit import arguments
from keras_vit.explain import computing

LEAST = 1e-37  # a probability that was rounded to 0 has a logarithm too


def chosen(model, images, classes, batch_size):
    """Returns the class to explain of every picture, (pictures,) int32.

    Args:
        model: a Keras model whose output is (batch, classes).
        images: pictures, checked by `computing.pictures`.
        classes: None for the most probable class of each picture, one number for all, or one each.
        batch_size: pictures computed at once.

    Raises:
        ValueError: the output is another, or a class that does not exist, or too few of them.
    """
    count = _number_of_classes(model, images)
    if classes is None:
        found = computing.run(logits, model, images, batch_size=batch_size)
        return found.argmax(axis=-1).astype("int32")
    picked = np.asarray(classes)
    if picked.dtype.kind not in "iu" or picked.shape not in ((), (len(images),)):
        want = "`classes` must be None, one number of a class, or one number for every picture"
        arguments.refuse(want, {"classes": classes, "pictures": len(images)})
    if picked.min() < 0 or picked.max() >= count:
        want = f"the model has {count} classes, 0 to {count - 1}"
        arguments.refuse(want, {"classes": classes}, "Count them from 0.")
    return np.broadcast_to(picked.astype("int32"), len(images))


def logits(model, images):
    """Returns what is differentiated, (batch, classes), float32 or wider."""
    return _read(model, images)[0]


def probabilities(model, images):
    """Returns the probability of each class, (batch, classes), float32 or wider."""
    x, independent = _read(model, images)
    return ops.sigmoid(x) if independent else ops.softmax(x)


def of_class(values, classes):
    """Returns the entry of each picture's class: (batch,) of (batch, classes)."""
    return ops.take_along_axis(values, classes[:, None], axis=1)[:, 0]


def shares(maps):
    """Divides each map, (batch, ...), by its sum; one of zeros stays as it is."""
    total = maps.sum(axis=tuple(range(1, maps.ndim)), keepdims=True)
    return maps / np.where(total > 0, total, 1)


def _read(model, images):
    """Returns logits, and whether each class has its own sigmoid."""
    x = model(images, training=False)
    x = ops.cast(x, keras.backend.result_type(x.dtype, "float32"))
    one, sigmoid = x.shape[-1] == 1, _ends_in_sigmoid(model)
    if sigmoid:
        x = _log(x) - _log(1 - x)
    elif not one:
        log = _log(x)
        x = ops.where(_sums_to_one(x), log - ops.mean(log, axis=-1, keepdims=True), x)
    if one:
        x = ops.concatenate([-x, x], axis=-1)
    return x, one or sigmoid


def _log(x):
    return ops.log(ops.maximum(x, LEAST))


def _sums_to_one(x):
    """Whether the outputs for a picture are probabilities, (batch, 1)."""
    total = ops.sum(x, axis=-1, keepdims=True)
    rounding = 0.02  # of a thousand probabilities in bfloat16
    positive = ops.min(x, axis=-1, keepdims=True) >= 0
    return ops.logical_and(positive, ops.abs(total - 1) < rounding)


def _ends_in_sigmoid(model):
    last = model
    while getattr(last, "layers", None):
        last = last.layers[-1]
    return getattr(last, "activation", None) is keras.activations.sigmoid


def _number_of_classes(model, images):
    outputs = model.compute_output_spec(keras.KerasTensor(images.shape, str(images.dtype)))
    shape = getattr(outputs, "shape", None)
    if shape is None or len(shape) != 2:
        advice = "Give the part of the model that ends in the classes."
        want = "this view needs a model with one output, (batch, classes)"
        arguments.refuse(want, {"output": outputs if shape is None else shape}, advice)
    return max(shape[-1], 2)
