"""One pass through a model, in one compiled program that all views without gradients share.

Compiling takes longer than computing a few images, so views do not compile a pass of their own:
each takes what it needs of this one.
"""

import keras
import numpy as np

from keras_vit import arguments
from keras_vit.explain import computing, encoder, hooks, targets


def seen(model, images):
    """Returns what a model computes of a batch, as tensors.

    Args:
        model: a Keras model.
        images: a batch of images, as a function gets it that `computing.run` calls.

    Returns:
        A dict: "output" is the model's. An output (batch, classes) adds "logits" and
        "probabilities", as `targets` reads them; one Transformer encoder adds "inputs", a list of
        the tokens before each block, and "outputs", {name of the layer: tokens} after the
        `PatchEncoder`, each block and "encoder_norm".
    """
    return computing.program(_forward, model)(images)


def probabilities(model, images, batch_size=8):
    """Computes the probability of each class.

    Args:
        model: a Keras model whose output is (batch, classes).
        images: (batch, height, width, channels) as the model takes them.
        batch_size: images computed at once.

    Returns:
        (batch, classes), float32.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=16, num_classes=10)
    >>> keras_vit.explain.forward.probabilities(model, np.zeros((3, 16, 16, 3))).shape
    (3, 10)
    """
    return _part(model, images, batch_size, "probabilities")


def chosen_classes(model, images, classes=None, batch_size=8):
    """Returns the class to explain of every image, (batch,) int32.

    Args:
        model: a Keras model whose output is (batch, classes).
        images: images, checked by `computing.check_images`.
        classes: None for the most probable class of each image, one number for all, or one each.
        batch_size: images computed at once.

    Raises:
        ValueError: the model has another output, or there is no such class, or too few are given.
    """
    count = _number_of_classes(model, images)
    if classes is None:
        return _part(model, images, batch_size, "logits").argmax(axis=-1).astype("int32")
    picked = np.asarray(classes)
    if picked.dtype.kind not in "iu" or picked.shape not in ((), (len(images),)):
        want = "`classes` must be None, one number of a class, or one number for every image"
        arguments.refuse(want, {"classes": classes, "images": len(images)})
    if picked.min() < 0 or picked.max() >= count:
        want = f"the model has {count} classes, 0 to {count - 1}"
        arguments.refuse(want, {"classes": classes}, "Count them from 0.")
    return np.broadcast_to(picked.astype("int32"), len(images))


def _part(model, images, batch_size, name):
    def compute(model, images):
        return seen(model, images)[name]

    return computing.run(compute, model, images, batch_size=batch_size, compiled=False)


def _forward(model, images):
    blocks, watched = _watched(model)
    with hooks.recorded(blocks, "input") as inputs, hooks.recorded(watched) as outputs:
        output = model(images, training=False)
    found = {"output": output, "inputs": list(inputs.values()), "outputs": outputs}
    if len(getattr(output, "shape", ())) == 2:
        found["logits"], found["probabilities"] = targets.read(model, output)
    return found


def _watched(model):
    """Returns (blocks, layers whose output is all tokens), both empty without one encoder."""
    try:
        return encoder.find(model).blocks, encoder.token_layers(model).values()
    except ValueError:
        return (), ()


def _number_of_classes(model, images):
    outputs = model.compute_output_spec(keras.KerasTensor(images.shape, str(images.dtype)))
    shape = getattr(outputs, "shape", None)
    if shape is None or len(shape) != 2:
        advice = "Give the part of the model that ends in the classes."
        want = "this view needs a model with one output, (batch, classes)"
        arguments.refuse(want, {"output": outputs if shape is None else shape}, advice)
    return max(shape[-1], 2)
