"""Checks that images have the model's shape, and pixels that fit its normalization."""

import os
from typing import NamedTuple

import keras
import numpy as np

from keras_vit import arguments, pixel_range
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
