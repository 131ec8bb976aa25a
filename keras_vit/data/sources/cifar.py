"""CIFAR-10 and CIFAR-100 from wherever this machine has them."""

import os
import pathlib

from keras_vit import arguments, backend, environment
from keras_vit.data.sources import arrays, folders
from keras_vit.data.sources.source import divide

FOLDER = "KERAS_VIT_DATA"  # environment variable: a folder of class folders, or one that has it
# name: number of classes, archive of `keras.datasets`
SETS = {
    "cifar10": (10, "cifar-10-batches-py-target_archive"),
    "cifar100": (100, "cifar-100-python-target_archive"),
}
VALIDATION_SHARE = 0.02  # of the training images, as the paper holds out
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def read_cifar(name, num_channels=3, seed=0, validation_share=None):
    """Returns the `Splits` of "cifar10" or "cifar100", or None if TFDS should read it.

    The first of these that exists: the folder $KERAS_VIT_DATA/cifar10, the folder $KERAS_VIT_DATA
    itself, the archive that `keras.datasets` downloaded before, TensorFlow Datasets (None). If TFDS
    is not installed, `keras.datasets` downloads it.

    Raises:
        ValueError: the folder has another number of classes.
        ConnectionError: there is no copy on this machine, and the download failed.
    """
    found = _read_folder(name, num_channels) or _read_archive(name)
    if found is None or found.validation is not None:
        return found
    share = VALIDATION_SHARE if validation_share is None else validation_share
    if not share:
        return found
    train, validation = divide(found.train, [seed, 1], share)
    return found._replace(train=train, validation=validation)


def is_here(name):
    """Returns whether `read_cifar` finds its images on this machine, without a download."""
    return bool(os.environ.get(FOLDER)) or _archive(name).exists()


def _archive(name):
    return environment.keras_home() / "datasets" / SETS[name][1]


def _read_folder(name, num_channels):
    """Returns the images of $KERAS_VIT_DATA, or None if it is not set."""
    if not os.environ.get(FOLDER):
        return None
    folder = pathlib.Path(os.environ[FOLDER])
    folder = folder / name if (folder / name).is_dir() else folder
    splits, count = folders.read_folder(folder, num_channels), SETS[name][0]
    if len(splits.class_names) != count:
        want = f"${FOLDER} must be the folder of {name}, with {count} classes"
        received = {FOLDER: str(folder), "classes": len(splits.class_names)}
        arguments.refuse(want, received, f"Unset it, or give the folder in place of {name!r}.")
    return splits._replace(name=name)


def _read_archive(name):
    """Returns the images of `keras.datasets`, or None if TFDS is installed and they are not."""
    archive = _archive(name)
    if not archive.exists() and backend.is_installed("tensorflow_datasets"):
        return None
    import keras

    try:
        (x, y), (x_test, y_test) = getattr(keras.datasets, name).load_data()
    except Exception as error:  # Keras raises a plain one if it cannot download
        raise ConnectionError(
            f"{name!r} is not on this machine and cannot be downloaded ({error}). Set ${FOLDER} to "
            f"a folder with train/CLASS/ and test/CLASS/, or copy the archive to {archive}"
        ) from error
    if keras.config.image_data_format() == "channels_first":
        x, x_test = (images.transpose(0, 2, 3, 1) for images in (x, x_test))
    splits = arrays.read_arrays({"train": (x, y), "test": (x_test, y_test)}, name)
    return splits._replace(class_names=CIFAR10) if name == "cifar10" else splits
