"""Images must have the model's shape and pixels that its normalisation takes."""

from typing import NamedTuple

import keras
import numpy as np

from keras_vit import arguments
from keras_vit.guards.labels import as_numpy

SAMPLE = 32  # images whose pixels are looked at
# Pixels 0 to 255 divided by 255 or 127.5, or standardised by ImageNet's figures, end below this.
LARGEST_SCALED = 4.0
LARGEST = 260.0  # a little above 255, which resizing by cubic curves exceeds


class ImageSpec(NamedTuple):
    """What a model takes as images.

    input_shape: (None, height, width, channels).
    normalize: (mean, standard deviation) of the pixels, or None.
    """

    input_shape: tuple
    normalize: tuple | None

    def check(self, images):
        """Raises `ValueError` unless `images` are such images, warns if their pixels are odd.

        Of an array, the pixels of the first 32 images are looked at.
        """
        self.check_shape(images.shape)
        if len(images) == 0:
            refuse_nothing()
        pixels = as_numpy(images[:SAMPLE])
        lowest, highest = float(pixels.min()), float(pixels.max())
        if not np.isfinite([lowest, highest]).all():  # NaN is the minimum of whatever it is in
            _refuse_pixels(pixels)
        looks = self._looks(lowest, highest, pixels.dtype.kind)
        if looks:
            mean, deviation = self.normalize
            arguments.warn(
                f"Pixels from {lowest:.5g} to {highest:.5g} look {looks}, but this model takes 0 "
                f"to 255 and normalises them itself: (pixels - {mean}) / {deviation}. Give it "
                "pixels 0 to 255, or build it with normalize=None."
            )

    def check_shape(self, shape):
        """Raises `ValueError` unless `shape` can be that of such images; None is unknown."""
        arguments.images(shape, self.input_shape)

    def _looks(self, lowest, highest, kind):
        """Returns what was done to pixels that are not 0 to 255, in words, or None."""
        mean = 0 if self.normalize is None else np.max(np.abs(self.normalize[0]))
        if not LARGEST_SCALED < mean < LARGEST:
            return None  # it brings its own range, which nobody knows here
        if highest > LARGEST:
            return "like those of 16 bits (divide them by 257)"
        if lowest < -LARGEST_SCALED:
            return "as if a mean had been subtracted already"
        if not lowest < highest <= LARGEST_SCALED:
            return None
        if kind == "f":
            return "scaled already"
        return "like a mask" if kind == "b" else "divided by 255 and cut to whole numbers"


def expected(model):
    """Returns the `Images` that a model takes."""
    return ImageSpec(tuple(model.input_shape), model.normalize)


def only(x):
    """Returns the one array in what Keras takes as input of a model, or None."""
    leaves = keras.tree.flatten(x)
    return leaves[0] if len(leaves) == 1 else None


def check_kind(x):
    """Raises `ValueError` for a list of images, and for images of several sizes."""
    is_list = isinstance(x, (list, tuple)) and len(x) > 0
    if is_list and (len(x) > 1 or not hasattr(x[0], "shape")):
        received, advice = f"a {type(x).__name__} of {len(x)}", "Write np.stack(images)."
    elif type(x).__name__ == "RaggedTensor":
        received, advice = "a RaggedTensor", ""
    else:
        return
    want = "images must be one array of shape (batch, height, width, channels), all of one size"
    arguments.refuse(want, {"images": received}, f"Resize them to the model's size. {advice}")


def refuse_nothing():
    """Raises `ValueError` for data without an image."""
    advice = "Check the path, the filter or the split that made them."
    arguments.refuse("at least one image is needed", {"images": 0}, advice)


def _refuse_pixels(pixels):
    bad = ~np.isfinite(pixels)
    index = np.argwhere(bad)[0]
    received = {"image": int(index[0]), "pixel": float(pixels[tuple(index)])}
    arguments.refuse("pixels must be finite numbers", received, "Repair or leave out that image.")
