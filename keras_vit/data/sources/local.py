"""Datasets by name, without TensorFlow Datasets.

The digits come with scikit-learn. CIFAR-10, CIFAR-100 and the pets are read if this machine already
has them.
"""

import os
import pathlib
from typing import NamedTuple

import numpy as np

from keras_vit import arguments, backend, environment
from keras_vit.data import images
from keras_vit.data.sources import arrays, folders
from keras_vit.data.sources.source import ArraySource, Splits, divide, split

DIGITS = tuple("0123456789")


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
    return Digits("digits", DIGITS, pixels[train], labels[train], pixels[test], labels[test])


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


# --- CIFAR-10, CIFAR-100 and the pets -------------------------------------------------------------

FOLDER = "KERAS_VIT_DATA"  # environment variable: a folder with one folder for each dataset

# name: number of classes, archive of `keras.datasets`
LOCAL = {
    "cifar10": (10, "cifar-10-batches-py-target_archive"),
    "cifar100": (100, "cifar-100-python-target_archive"),
    "pets": (37, None),
}
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
VALIDATION_SHARE = 0.02  # share of CIFAR's training images that the paper holds out


def read_local(name, num_channels=3, seed=0, validation_share=None):
    """Returns the `Splits` of a name in `LOCAL`, or None if TFDS should read it.

    It reads the first of these that exists: the folder $KERAS_VIT_DATA/NAME; for CIFAR the folder
    $KERAS_VIT_DATA itself, unless it has folders of other datasets, and the archive that
    `keras.datasets` downloaded before; TensorFlow Datasets (then it returns None). If TFDS is not
    installed, `keras.datasets` downloads CIFAR.

    Raises:
        ValueError: the folder has a different number of classes.
        ConnectionError: there is no copy on this machine, and the download failed.
    """
    found = _read_folder(name, num_channels) or _read_archive(name)
    if found is None or found.validation is not None or name == "pets":
        return found
    share = VALIDATION_SHARE if validation_share is None else validation_share
    if not share:
        return found
    train, validation = divide(found.train, [seed, 1], share)
    return found._replace(train=train, validation=validation)


def is_here(name):
    """Returns whether `read_local` finds the images on this machine, without a download."""
    folder, archive = pathlib.Path(os.environ.get(FOLDER) or os.devnull), _archive(name)
    is_itself = archive and (folder / "train").is_dir()
    return bool((folder / name).is_dir() or is_itself or (archive and archive.exists()))


def _archive(name):
    """Returns the path where `keras.datasets` keeps a dataset, None if it does not have it."""
    archive = LOCAL[name][1]
    return archive and environment.keras_home() / "datasets" / archive


def _read_folder(name, num_channels):
    """Returns the images of $KERAS_VIT_DATA, or None if it is not set."""
    (count, archive), outer = LOCAL[name], os.environ.get(FOLDER)
    inner = pathlib.Path(outer or "", name)
    is_itself = archive and not any((inner.parent / other).is_dir() for other in LOCAL)
    if not outer or not (inner.is_dir() or is_itself):
        return None
    folder = inner if inner.is_dir() else inner.parent
    splits = folders.read_folder(folder, num_channels)
    if len(splits.class_names) != count:
        want = f"${FOLDER} must be the folder of {name}, with {count} classes"
        received = {FOLDER: str(folder), "classes": len(splits.class_names)}
        arguments.refuse(want, received, f"Unset it, or pass the folder in place of {name!r}.")
    return splits._replace(name=name)


def _read_archive(name):
    """Returns the images of `keras.datasets`, or None if TFDS should read them."""
    archive = _archive(name)
    if archive is None:
        return None
    if not archive.exists() and backend.is_installed("tensorflow_datasets"):
        return None
    import keras

    try:
        (x, y), (x_test, y_test) = getattr(keras.datasets, name).load_data()
    except Exception as error:  # Keras raises a plain `Exception` if it cannot download
        raise ConnectionError(
            f"{name!r} is not on this machine and cannot be downloaded ({error}). Set ${FOLDER} to "
            f"a folder with train/CLASS/ and test/CLASS/, or copy the archive to {archive}"
        ) from error
    if keras.config.image_data_format() == "channels_first":
        x, x_test = (images.transpose(0, 2, 3, 1) for images in (x, x_test))
    splits = arrays.read_arrays({"train": (x, y), "test": (x_test, y_test)}, name)
    return splits._replace(class_names=CIFAR10) if name == "cifar10" else splits
