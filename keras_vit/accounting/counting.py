"""Counts the cost of a model, given by name or already built."""

import functools
from concurrent import futures

import keras

from keras_vit import arguments, families
from keras_vit.accounting.layer_costs import count_layers
from keras_vit.guards import changes
from keras_vit.variants import BiT, parse

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "float64": 8}


def count(model_or_name, image_size=None, batch_size=1):
    """Counts the cost of a forward pass.

    The products of a model's layers are counted. A name stands for the model that `create` builds,
    with 1000 classes. Its weights are not allocated, so "ViT-G/14" fits in any memory.

    Args:
        model_or_name: a name, such as "ViT-B/16" or "R50x1", or a Keras model.
        image_size: side in pixels, or (height, width), for a name; None for 224. A built model has
            its own image size.
        batch_size: number of images.

    Returns:
        A `Cost`: `parameters`, `multiply_adds`, `flops` (two for each multiply-add),
        `activations`, `kept` for the backward pass, and separately the multiply-adds of `dense`
        layers, `convolutions` and `attention`.

    Raises:
        ValueError: the name is unknown, or its patches do not divide the image.

    Example:
    >>> cost = keras_vit.accounting.count("ViT-B/16")
    >>> cost.parameters, round(cost.multiply_adds / 1e9, 2), round(cost.flops / 1e9, 1)
    (86567656, 17.56, 35.1)
    >>> model = keras_vit.create("ViT-Mini/8", image_size=32, num_classes=10)
    >>> keras_vit.accounting.count(model).attention  # 4 layers, 17 tokens of 64 numbers
    147968
    """
    batch_size = arguments.positive_integer("batch_size", batch_size)
    if isinstance(model_or_name, keras.Model):
        cost = count_layers(_check_size(model_or_name, image_size))
    else:
        cost = count_name(model_or_name, image_size)
    return cost.multiply(batch_size)


def count_name(name, image_size=None, padding=True):
    """Returns the `Cost` of a name for one image; see `count` and `count_layers`."""
    variant = parse(name)
    size = arguments.height_width("image_size", 224 if image_size is None else image_size)
    if not isinstance(variant, BiT):
        arguments.divisible_image(size, (variant.patch_size, variant.patch_size))
    return _count_without_values(name, size, padding)


@functools.cache
def _count_without_values(name, size, padding):
    """Builds a model without values, in a thread with its own global Keras state."""

    def build_and_count():
        with keras.StatelessScope(initialize_variables=False):
            return count_layers(families.create(name, image_size=size), padding)

    with futures.ThreadPoolExecutor(1) as thread:
        return thread.submit(build_and_count).result()


def activation_memory(model_or_name, batch_size, image_size=None, dtype="float32"):
    """Estimates the memory that a training step keeps for the backward pass.

    The count includes the inputs of layers with weights, of GELU and of pooling, and queries, keys,
    values and attention scores, each once, as the equations need them. A backend may store values
    more than once: JAX on a CPU takes 1.2 to 2.1 times as much in float32. Weights, gradients and
    the optimizer's state are not included: 16 bytes per parameter for Adam in float32.

    Args:
        model_or_name: as for `count`.
        batch_size: number of images in a step.
        image_size: as for `count`.
        dtype: dtype of the layers: "float32", "bfloat16", "float16" or "float64".

    Returns:
        Number of bytes.

    Raises:
        ValueError: an argument is invalid.

    Example:
    >>> round(keras_vit.accounting.activation_memory("ViT-B/16", batch_size=32) / 2**30, 1)
    4.2
    """
    arguments.one_of(*BYTES)("dtype", dtype)
    return BYTES[dtype] * count(model_or_name, image_size, batch_size).kept


def _check_size(model, image_size):
    own = tuple(model.input_shape[1:3])
    if image_size is not None and arguments.height_width("image_size", image_size) != own:
        advice = f"Leave image_size out, or build the model with image_size={image_size}."
        received = {"image_size": image_size, "the model's": own}
        arguments.refuse("`image_size` must be that of the built model", received, advice)
    changes.check_not_quantized(
        model, {"model": model.name}, "Count the model before you quantize it."
    )
    if None in model.input_shape[1:]:
        want, received = "the input shape must be known", {"input shape": model.input_shape}
        arguments.refuse(want, received, "Build the model with a fixed image_size.")
    return model
