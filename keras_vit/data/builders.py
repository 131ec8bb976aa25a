"""Finds a set of TensorFlow Datasets (TFDS) on the disk, or has it downloaded there."""

import difflib
import importlib
import os
import pathlib
import urllib.parse

from keras_vit import arguments, backend
from keras_vit.data import network, sets, vtab

KNOWN = "a path that is there or the name of a set of TensorFlow Datasets was expected"
NEEDED = ("tensorflow", "importlib_resources", "tensorflow_datasets")
PACKAGES = ("tensorflow", "tensorflow-datasets", "importlib_resources")


def tensorflow_datasets():
    """Imports TFDS and what it needs, or raises `ImportError` with the command to install it."""
    for name in NEEDED:
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            raise ImportError(
                f"Named datasets come from TensorFlow Datasets, which needs {name!r} ({error}). "
                f"Run: pip install {' '.join(PACKAGES)}"
            ) from error
    backend.leave_the_gpu()
    return module


def prepared(name, data_dir=None):
    """Returns the TFDS builder of a set that is prepared on the disk.

    A set that is not there is downloaded and prepared, if the network answers. It is then kept as
    array_record, where any image is at hand by its number.

    Args:
        name: of the set in TFDS, with its configuration.
        data_dir: folder of all sets; None for that of TFDS, $TFDS_DATA_DIR or
            ~/tensorflow_datasets.

    Raises:
        ImportError: TFDS or TensorFlow is not installed.
        ValueError: TFDS knows no such set.
        FileNotFoundError: its archives must be put there by hand.
        ConnectionError: it is not there, and its servers cannot be reached.
    """
    data_dir = None if data_dir is None else os.path.expanduser(os.fspath(data_dir))
    found = _find(name, data_dir)
    if found.is_prepared():
        return found
    random_access = backend.is_installed("array_record")
    file_format = {"file_format": "array_record"} if random_access else {}
    found = _find(name, data_dir, **file_format)
    check_obtainable(found)
    config = tensorflow_datasets().download.DownloadConfig(try_download_gcs=False)
    found.download_and_prepare(download_config=config)
    return found


def check_obtainable(found):
    """Raises unless the archives of a set lie in its folder for them, or can be downloaded."""
    by_hand = found.MANUAL_DOWNLOAD_INSTRUCTIONS
    missing = {address: _archive(address, info) for address, info in found.url_infos.items()}
    folder = archives(found)
    there = os.listdir(folder) if folder.is_dir() else []
    missing = {address: file for address, file in missing.items() if file not in there}
    if by_hand and not there:
        raise FileNotFoundError(
            f"{_where(found)}, and its archives must be downloaded by hand. TFDS says: "
            f"{' '.join(by_hand.split())} The folder for them (manual_dir) is {folder}"
        )
    reason = network.trouble(missing, network.SECONDS)
    if reason is not None:
        raise ConnectionError(
            f"{_where(found)}, and it cannot be downloaded ({reason}). On a machine with a network "
            f"run: {command(found)} and copy the folder {folder.parents[1] / found.name} here, to "
            f"the same place or into another data_dir. Or put {' and '.join(missing.values())} "
            f"into {folder} (from {' '.join(missing)}), and run this again."
        )


def archives(found):
    """The folder where TFDS looks for archives that were downloaded by hand."""
    return root(found) / "downloads" / "manual"


def root(found):
    """The folder of all sets, the `data_dir` of a builder."""
    return pathlib.Path(found.data_path).parents[found.info.full_name.count("/")]


def command(found, data_dir=None, download_dir=None):
    """The command that prepares a set as array_record."""
    name = found.info.full_name.rpartition("/")[0]
    downloads = f"download_dir={str(download_dir)!r}" if download_dir else ""
    return (
        f'python -c "import tensorflow_datasets as tfds; tfds.builder({name!r}, '
        f"data_dir={str(data_dir or root(found))!r}, file_format='array_record')"
        f'.download_and_prepare({downloads})"'
    )


def _find(name, data_dir, **file_format):
    tfds = tensorflow_datasets()
    try:
        return tfds.builder(name, data_dir=data_dir, **file_format)
    except tfds.core.DatasetNotFoundError:
        known = {*sets.SETS, *sets.ALIASES, *vtab.TASKS, *tfds.list_builders()}
        nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        advice = f"Did you mean {' or '.join(map(repr, nearest))}? " if nearest else ""
        advice += "See https://www.tensorflow.org/datasets/catalog, or give a folder of images."
        arguments.refuse(KNOWN, {"name": name}, advice)
    except (AssertionError, ValueError) as error:  # a version or a configuration
        said = " ".join(str(error).split())[:500]
        arguments.refuse(KNOWN, {"name": name}, f"TFDS says: {said}")


def _archive(address, info):
    """The name that a downloaded file has in the folder for archives."""
    return info.filename or os.path.basename(urllib.parse.urlsplit(address).path)


def _where(found):
    return f"{found.info.full_name!r} is not prepared in {root(found)}"
