"""Checks that images have the model's shape, and pixels that fit its normalization.

`check_batch` checks them, their labels and the loss for any model that contains a `ViT`.
"""

import os
from typing import NamedTuple

import keras
import numpy as np

from keras_vit import arguments, backend, pixel_range
from keras_vit.guards import labels as label_checks
from keras_vit.guards.labels import as_numpy

SAMPLE = 32  # images whose pixels are checked


class ImageSpec(NamedTuple):
    """The images that a model takes.

    Attributes:
        input_shape: (None, height, width, channels).
        normalize: (mean, standard deviation) of the pixels, or None.
    """

    input_shape: tuple
    normalize: tuple | None

    def check(self, images):
        """Raises `ValueError` unless the model takes `images`; warns if their pixels look odd.

        Only the pixels of the first 32 images of an array are checked.
        """
        self.check_shape(images.shape)
        if len(images) == 0:
            refuse_nothing()
        pixels = as_numpy(images[:SAMPLE])
        check_numbers(pixels)
        check_pixels(pixels, self.normalize)

    def check_shape(self, shape):
        """Raises `ValueError` unless such images can have this shape; None means unknown."""
        arguments.images(shape, self.input_shape)


def check_numbers(images):
    """Raises `ValueError` for an array of strings, objects or complex numbers."""
    if images.dtype.kind not in "biuf":
        advice = "Write np.stack(images).astype('uint8'), for example."
        arguments.refuse("pixels must be numbers", {"images": images.dtype.name}, advice)


def check_pixels(values, normalize):
    """Raises `ValueError` for pixels that are not finite; warns about odd ones."""
    low, high, whole = pixel_range.figures(values)
    if not np.isfinite([low, high]).all():  # the minimum of an array with NaN is NaN
        index = np.argwhere(~np.isfinite(values))[0]
        received = {"image": int(index[0]), "pixel": float(values[tuple(index)])}
        arguments.refuse("pixels must be finite numbers", received, "Repair or remove that image.")
    looks = pixel_range.looks_odd(low, high, whole)
    if looks and pixel_range.takes_bytes(normalize):
        arguments.warn(pixel_range.message(low, high, looks, normalize))


def expected(model):
    """Returns the `ImageSpec` of a model."""
    return ImageSpec(tuple(model.input_shape), model.normalize)


def get_single(x):
    """Returns the single array in an input of a Keras model, or None."""
    leaves = keras.tree.flatten(x)
    return leaves[0] if len(leaves) == 1 else None


def check_kind(x):
    """Raises `ValueError` for a list, images of several sizes, and anything but an array."""
    if x is None or isinstance(x, (str, os.PathLike)):
        advice = "Read a file with keras_vit.data.read, a folder with keras_vit.data.load."
        arguments.refuse("images must be an array or a dataset", {"images": x}, advice)
    is_list = isinstance(x, (list, tuple)) and len(x) > 0
    if is_list and (len(x) > 1 or not hasattr(x[0], "shape")):
        received, advice = f"a {type(x).__name__} of {len(x)}", "Write np.stack(images)."
    elif type(x).__name__ == "RaggedTensor":
        received, advice = "a RaggedTensor", ""
    else:
        return
    want = "images must be one array of shape (batch, height, width, channels), all of one size"
    arguments.refuse(want, {"images": received}, f"Resize them to the model's size. {advice}")


def check_input(x):
    """Raises `ValueError` for an input of a call that is not an array of numbers."""
    images = x if hasattr(x, "shape") else get_single(x)
    if not isinstance(x, dict):
        check_kind(x)
    if isinstance(images, np.ndarray) and images.dtype.kind in "OSUcmM":
        check_numbers(images)


def check_count(images, labels):
    """Raises `ValueError` unless there are as many labels as images."""
    if len(labels) != len(images):
        want = "there must be one label for each image"
        arguments.refuse(want, {"images": len(images), "labels": len(labels)})


def refuse_nothing():
    """Raises `ValueError` for data without an image."""
    advice = "Check the path, the filter or the split that made them."
    arguments.refuse("at least one image is needed", {"images": 0}, advice)


# --- One batch through any model ------------------------------------------------------------------

SHOWN = 8  # number of images to compute
PROBABILITIES = ("softmax", "sigmoid")


def check_batch(model, images, labels=None):
    """Checks one batch against a model that contains a `ViT` or `ResNet` of this package.

    `fit` of a `ViT` or `ResNet` checks its data itself. If the model is a layer of another one,
    such as a `keras.Sequential`, Keras does not call its `fit`. This function then checks the data
    that reach it. It warns about pixels that look scaled, shifted or 16-bit.

    Args:
        model: any Keras model: a `ViT`, or one that has a `ViT` as a layer.
        images: a batch as the model takes it, (batch, height, width, channels).
        labels: its labels, or None. They are checked against the last layer and the compiled loss.

    Returns:
        The number of models of this package in `model`.

    Raises:
        ValueError: `model` contains no such model, images have the wrong shape, labels do not fit
            the loss or are out of range, or the loss expects probabilities and the model returns
            logits, or vice versa.

    Example:
    >>> vit = keras_vit.create("ViT-Mini/8", image_size=16, num_classes=None)
    >>> model = keras.Sequential([vit, keras.layers.Dense(3)])
    >>> model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> keras_vit.check_batch(model, np.full((2, 16, 16, 3), 200.0), labels=[0, 2])
    1
    """
    if not isinstance(model, keras.Model):
        received = {"model": type(model).__name__}
        arguments.refuse("the model must be a Keras model", received, "Pass (model, images).")
    check_input(images)
    token = pixel_range.SEEN.set([])
    try:
        model(as_numpy(images[:SHOWN]), training=False)
        seen = pixel_range.SEEN.get()  # (layer that normalizes, the pixels that reach it)
    finally:
        pixel_range.SEEN.reset(token)
    if not seen:
        want = "the model must contain a ViT or ResNet of this package"
        arguments.refuse(
            want, {"model": model.name}, "Pass the model that contains one as a layer."
        )
    for layer, x in seen:
        check_pixels(as_numpy(x), layer.normalize)
    if labels is not None:
        _check_labels(model, images, labels)
    return len(seen)


def check_first(model, images):
    """Checks the first batch of a loop that calls a model without its `predict`."""
    if getattr(model, "checks_pixels", False):
        expected(model).check(images)
    elif not backend.can_report(model):
        if any(isinstance(layer, pixel_range.Normalize) for layer in model._flatten_layers()):
            check_batch(model, images)


def _check_labels(model, images, labels):
    name, settings = label_checks.identify_loss(getattr(model, "loss", None))
    kind = label_checks.find_kind(name)
    if kind is None:
        return
    activation = find_last_activation(model)
    if activation in PROBABILITIES and settings.get("from_logits"):
        want = "the loss must take probabilities, which this model returns by its "
        want += f"{activation}; it takes logits"
        advice = f"Remove the {activation}, or use a loss of Keras with from_logits=False."
        arguments.refuse(want, {"loss": name}, advice)
    if activation == "linear":
        label_checks.refuse_probabilities(name, settings)
    expected = label_checks.Labels(kind, model.output_shape[-1], settings.get("ignore_class"))
    check_count(images, expected.check(labels))


def find_last_activation(model):
    """Returns "linear", "softmax", ... of a model's last layer, which may be a model itself."""
    last = model
    while getattr(last, "layers", None):
        last = last.layers[-1]
    if isinstance(last, keras.layers.Softmax):
        return "softmax"
    return getattr(getattr(last, "activation", None), "__name__", None)
