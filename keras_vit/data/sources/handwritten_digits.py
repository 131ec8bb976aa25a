"""Handwritten digits that come with scikit-learn: real images without a download."""

from typing import NamedTuple

import numpy as np

from keras_vit import backend
from keras_vit.data import images
from keras_vit.data.sources.source import ArraySource, Splits, split

NAMES = tuple("0123456789")


class Digits(NamedTuple):
    """Images uint8 (images, 8, 8, 1), pixels 0 to 255, and labels int32 (images,)."""

    name: str
    class_names: tuple
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def digits(seed=0):
    """Loads 1,797 handwritten digits of 8 x 8 grayscale pixels, four fifths for training.

    They are the test split of "Optical Recognition of Handwritten Digits" (E. Alpaydin and C.
    Kaynak, UCI, 1998): a 32 x 32 bitmap as tall as the digit, reduced to 8 x 8 pixels, each the
    number of ink points in a square of 4 x 4. Here 16 points become 255, white ink on black.

    Args:
        seed: seed of the division into training and test images.

    Returns:
        A `Digits` with `train_images`, `train_labels`, `test_images` and `test_labels`.

    Raises:
        ImportError: scikit-learn is not installed.

    Example:
    >>> keras_vit.data.digits().train_images.shape
    (1438, 8, 8, 1)
    """
    check_installed()
    from sklearn.datasets import load_digits

    ink, labels = load_digits(return_X_y=True)  # (1797, 64), 0 to 16
    pixels = np.round(ink * (255 / 16)).astype("uint8").reshape(-1, 8, 8, 1)
    labels = labels.astype("int32")
    train, test = split(labels, seed)
    return Digits("digits", NAMES, pixels[train], labels[train], pixels[test], labels[test])


def check_installed():
    """Raises `ImportError` unless scikit-learn is installed."""
    backend.check_sklearn("The digits come with")


def read_digits(seed=0):
    """Returns the `Splits` of `digits`: training and test, no validation."""
    name, class_names, *arrays = digits(seed)
    return Splits(name, class_names, ArraySource(*arrays[:2]), None, ArraySource(*arrays[2:]))


def read_digit(path, invert=False):
    """Reads an image of one digit and makes it look like those of `digits`.

    The image is cropped to its ink, centered in a square and resized to 8 x 8 pixels. Its strongest
    ink becomes 255, since a thin stroke would be much paler than the training images.

    Args:
        path: image file.
        invert: whether to invert the pixels, for dark ink on light paper.

    Returns:
        uint8 array (8, 8, 1), light ink on black. Raises the errors of `keras_vit.data.read`.

    Example:
    >>> keras_vit.data.read_digit("three.png", invert=True).shape  # doctest: +SKIP
    (8, 8, 1)
    """
    return crop_to_ink(images.open_image(path, 1, invert))


def crop_to_ink(image):
    """Returns the pixels of a grayscale Pillow image of a digit, as `read_digit` does."""
    from PIL import Image

    darkest, brightest = image.getextrema()
    # Paper is never quite even: anything below half of the strongest ink is background.
    ink = image.crop(image.point(lambda pixel: 255 * (pixel > brightest // 2)).getbbox())
    square = Image.new("L", (max(ink.size),) * 2, color=darkest)
    square.paste(ink, ((square.width - ink.width) // 2, (square.height - ink.height) // 2))
    pixels = images.resize(square, 8, 8).astype("float64")
    lowest, highest = pixels.min(), max(pixels.max(), pixels.min() + 1)
    return np.rint((pixels - lowest) / (highest - lowest) * 255).astype("uint8")
