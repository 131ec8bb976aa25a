"""One forward pass, in one compiled program that all views without gradients share.

Compiling takes longer than computing a few images, so views do not compile passes of their own but
share the results of this one.
"""

import keras
import numpy as np

from keras_vit import arguments, hooks
from keras_vit.explain.inside import batched, class_logits, find_encoder


def run(model, images):
    """Returns the results of a model for a batch, as tensors.

    Args:
        model: a Keras model.
        images: a batch of images, as in a function called by `batched.run`.

    Returns:
        A dict with the key "output". If the output is (batch, classes), it also has "logits" and
        "probabilities", see `class_logits`. If the model has one Transformer encoder, it also has
        "inputs", a list of the tokens before each block, and "outputs", {name of the layer: tokens}
        after the `PatchEncoder`, each block and "encoder_norm".
    """
    return batched.program(_forward, model)(images)


def probabilities(model, images, batch_size=8):
    """Computes the probability of each class.

    Args:
        model: a Keras model whose output is (batch, classes).
        images: (batch, height, width, channels) as the model takes them.
        batch_size: number of images computed at once.

    Returns:
        (batch, classes), float32.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=16, num_classes=10)
    >>> images = np.zeros((3, 16, 16, 3))
    >>> keras_vit.explain.inside.forward.probabilities(model, images).shape
    (3, 10)
    """
    return _compute(model, images, batch_size, "probabilities")


def choose_classes(model, images, classes=None, batch_size=8):
    """Returns the class to explain for every image, (batch,) int32.

    Args:
        model: a Keras model whose output is (batch, classes).
        images: images, checked by `batched.check_images`.
        classes: None for the most probable class of each image, one number for all images, or one
            number for each.
        batch_size: number of images computed at once.

    Raises:
        ValueError: the model has a different output, a class does not exist, or the number of
            classes is not the number of images.
    """
    count = _number_of_classes(model, images)
    if classes is None:
        return _compute(model, images, batch_size, "logits").argmax(axis=-1).astype("int32")
    chosen = np.asarray(classes)
    if chosen.dtype.kind not in "iu" or chosen.shape not in ((), (len(images),)):
        want = "`classes` must be None, the number of a class, or one number for every image"
        arguments.refuse(want, {"classes": classes, "images": len(images)})
    if chosen.min() < 0 or chosen.max() >= count:
        want = f"the model has {count} classes, 0 to {count - 1}"
        arguments.refuse(want, {"classes": classes}, "Count classes from 0.")
    return np.broadcast_to(chosen.astype("int32"), len(images))


def _compute(model, images, batch_size, name):
    def compute(model, images):
        return run(model, images)[name]

    return batched.run(compute, model, images, batch_size=batch_size, compiled=False)


def _forward(model, images):
    blocks, token_layers = _token_layers(model)
    with hooks.record(blocks, "input") as inputs, hooks.record(token_layers) as outputs:
        output = model(images, training=False)
    results = {"output": output, "inputs": list(inputs.values()), "outputs": outputs}
    if len(getattr(output, "shape", ())) == 2:
        results["logits"], results["probabilities"] = class_logits.read(model, output)
    return results


def _token_layers(model):
    """Returns (blocks, layers that output all tokens), both empty unless there is one encoder."""
    try:
        return find_encoder.find(model).blocks, find_encoder.find_token_layers(model).values()
    except ValueError:
        return (), ()


def _number_of_classes(model, images):
    outputs = model.compute_output_spec(keras.KerasTensor(images.shape, str(images.dtype)))
    shape = getattr(outputs, "shape", None)
    if shape is None or len(shape) != 2:
        advice = "Pass the submodel whose output is the classes."
        want = "this view needs a model with one output, (batch, classes)"
        arguments.refuse(want, {"output": outputs if shape is None else shape}, advice)
    return max(shape[-1], 2)
