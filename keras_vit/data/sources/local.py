"""CIFAR-10, CIFAR-100 and the pets, if this machine already has them."""

import os
import pathlib

from keras_vit import arguments, backend, environment
from keras_vit.data.sources import arrays, folders
from keras_vit.data.sources.source import divide

FOLDER = "KERAS_VIT_DATA"  # environment variable: a folder with one folder for each dataset

# name: number of classes, archive of `keras.datasets`
LOCAL = {
    "cifar10": (10, "cifar-10-batches-py-target_archive"),
    "cifar100": (100, "cifar-100-python-target_archive"),
    "pets": (37, None),
}
VALIDATION_SHARE = 0.02  # share of CIFAR's training images that the paper holds out
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


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
