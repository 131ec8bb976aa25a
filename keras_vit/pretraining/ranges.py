"""Pixels must be 0 to 255: colours of another range would be learned wrong, without an error."""

from keras_vit import arguments
from keras_vit.guards import image_checks, sources
from keras_vit.guards.labels import as_numpy
from keras_vit.pixels import LARGEST_SCALED


def check_range(x):
    """Returns what Keras takes as `x`, its first images looked at.

    Raises:
        ValueError: pixels lie outside of 0 to 255, or look scaled already.
    """
    if sources.kind(x) is None:
        images = image_checks.only(x) if x is not None else None
    elif hasattr(x, "position"):  # of `keras_vit.data`, which gives 0 to 255; a look moves it
        images = None
    else:
        first, x = sources.first_batch(x)
        images = None if first is None else sources.unpacked(first)[0]
    if hasattr(images, "shape") and len(images):
        _check(as_numpy(images[: image_checks.SAMPLE]))
    return x


def _check(pixels):
    low, high = float(pixels.min()), float(pixels.max())
    scaled = pixels.dtype.kind == "f" and low < high <= LARGEST_SCALED
    if low < 0 or high > 255 or scaled:
        received = {"lowest": round(low, 4), "highest": round(high, 4)}
        advice = "Undo the scaling: 255 * images for 0 to 1, 127.5 * (images + 1) for -1 to 1."
        arguments.refuse("pre-training takes pixels 0 to 255", received, advice)
