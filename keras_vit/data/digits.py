"""Handwritten digits that come with scikit-learn: real images without a network."""

import numpy as np

from keras_vit.data import images
from keras_vit.data.sources import ArraySource, Parts
from keras_vit.data.splits import Dataset, split

NAMES = tuple("0123456789")


def digits(seed=0):
    """Loads 1,797 handwritten digits of 8 x 8 grey pixels, four fifths of them for training.

    They are the test part of the "Optical Recognition of Handwritten Digits" set (E. Alpaydin and
    C. Kaynak, UCI, 1998): every pixel counts the ink, 0 to 16, in a square of 4 x 4 points of a
    32 x 32 bitmap that is as tall as the digit. Here 16 becomes 255, white ink on black.

    Args:
        seed: of the split into training and test part.

    Returns:
        A `Dataset` with images (images, 8, 8, 1).

    Raises:
        ImportError: scikit-learn is not installed.

    Example:
    >>> keras_vit.data.digits().train_images.shape
    (1438, 8, 8, 1)
    """
    pixels, labels = _all_digits()
    train, test = split(labels, seed)
    return Dataset("digits", NAMES, pixels[train], labels[train], pixels[test], labels[test])


def digit_parts(seed=0):
    """Returns the `Parts` of `digits`: training and test, no validation."""
    data = digits(seed)
    train = ArraySource(data.train_images, data.train_labels)
    test = ArraySource(data.test_images, data.test_labels)
    return Parts("digits", NAMES, train, None, test)


def read_digit(path, invert=False):
    """Reads an image of one digit and makes it look like those of `digits`.

    It is cut to its ink, centred in a square, shrunk to 8 x 8 pixels, and its strongest ink
    becomes 255: a thin stroke would otherwise be much paler than any that was trained on.

    Args:
        path: image file.
        invert: whether dark and light are exchanged, for dark ink on light paper.

    Returns:
        uint8 array (8, 8, 1), light ink on black.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file cannot be read as an image; the message names it.

    Example:
    >>> keras_vit.data.read_digit("three.png", invert=True).shape  # doctest: +SKIP
    (8, 8, 1)
    """
    pixels = images.resized(_cut_to_ink(images.load(path, 1, invert)), 8, 8).astype("float64")
    lowest, highest = pixels.min(), max(pixels.max(), pixels.min() + 1)
    return np.rint((pixels - lowest) / (highest - lowest) * 255).astype("uint8")


def _cut_to_ink(image):
    """Cuts a grey Pillow image to its ink, in the middle of a square as tall or wide as that."""
    from PIL import Image

    # Paper is never quite even: what is below half of the strongest ink is background.
    threshold = image.getextrema()[1] // 2
    ink = image.crop(image.point(lambda pixel: 255 * (pixel > threshold)).getbbox())
    square = Image.new("L", (max(ink.size),) * 2, color=image.getextrema()[0])
    square.paste(ink, ((square.width - ink.width) // 2, (square.height - ink.height) // 2))
    return square


def _all_digits():
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "The digits come with scikit-learn, which is not installed. "
            "Run: pip install scikit-learn"
        ) from error
    ink, labels = load_digits(return_X_y=True)  # (1797, 64), 0 to 16
    pixels = np.round(ink * (255 / 16)).astype("uint8").reshape(-1, 8, 8, 1)
    return pixels, labels.astype("int32")
