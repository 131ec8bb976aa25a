"""Finds a dataset of TensorFlow Datasets (TFDS) on disk, or downloads it."""

import http.client
import importlib
import os
import pathlib
import urllib.error
import urllib.parse
import urllib.request

from keras_vit import arguments, backend
from keras_vit.data.tfds.paper_datasets import ALIASES, DATASETS, TASKS

SECONDS = 5  # time to wait for each server
# A proxy answers with these if it denies access or cannot reach the server.
BLOCKED = (407, 502, 503, 504)
NEEDED = ("tensorflow", "importlib_resources", "tensorflow_datasets")
PACKAGES = ("tensorflow", "tensorflow-datasets", "importlib_resources")


def import_tfds():
    """Imports TFDS and its dependencies; an `ImportError` contains the command to install them."""
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


def prepare(name, data_dir=None):
    """Returns the TFDS builder of a dataset that is prepared on disk, after a download if needed.

    A download is prepared as array_record, which allows random access to its images. `data_dir` is
    the folder of TFDS; None for $TFDS_DATA_DIR or ~/tensorflow_datasets.

    Raises:
        ValueError: TFDS does not know the dataset.
        FileNotFoundError: its archives must be downloaded manually.
        ConnectionError: it is not on disk, and its servers cannot be reached.
    """
    data_dir = None if data_dir is None else os.path.expanduser(os.fspath(data_dir))
    builder = _find(name, data_dir)
    if builder.is_prepared():
        return builder
    if backend.is_installed("array_record"):
        builder = _find(name, data_dir, file_format="array_record")
    check_obtainable(builder)
    config = import_tfds().download.DownloadConfig(try_download_gcs=False)
    builder.download_and_prepare(download_config=config)
    return builder


def _find(name, data_dir, **file_format):
    tfds = import_tfds()
    try:
        return tfds.builder(name, data_dir=data_dir, **file_format)
    except tfds.core.DatasetNotFoundError:
        listed = {*DATASETS, *ALIASES, *TASKS, *tfds.list_builders()}
        advice = arguments.suggest(name, listed, 3)
        advice += "See https://www.tensorflow.org/datasets/catalog, or pass a folder of images."
    except (AssertionError, ValueError) as error:  # an unknown version or configuration
        advice = f"TFDS says: {' '.join(str(error).split())[:500]}"
    expected = "a path that exists or the name of a dataset of TensorFlow Datasets was expected"
    return arguments.refuse(expected, {"name": name}, advice)


def check_obtainable(builder):
    """Raises unless the archives of a dataset are on disk or can be downloaded."""
    name, data_dir = builder.info.full_name, data_dir_of(builder)
    folder = data_dir / "downloads" / "manual"  # for archives that were downloaded manually
    present = os.listdir(folder) if folder.is_dir() else []
    files = {
        address: info.filename or os.path.basename(urllib.parse.urlsplit(address).path)
        for address, info in builder.url_infos.items()
    }
    missing = {address: file for address, file in files.items() if file not in present}
    instructions = builder.MANUAL_DOWNLOAD_INSTRUCTIONS
    if instructions and not present:
        raise FileNotFoundError(
            f"{name!r} is not prepared in {data_dir}, and its archives must be downloaded "
            f"manually. TFDS says: {' '.join(instructions.split())} The folder for them "
            f"(manual_dir) is {folder}"
        )
    reason = find_network_problem(missing)
    if reason is not None:
        raise ConnectionError(
            f"{name!r} is not prepared in {data_dir}, and it cannot be downloaded ({reason}). On a "
            f"machine with a network connection, run: {preparation_command(builder)} and copy the "
            f"folder {data_dir / builder.name} here, to the same place or into another data_dir. "
            f"Or put {' and '.join(missing.values())} into {folder} (from {' '.join(missing)}), "
            "and run this again."
        )


def find_network_problem(addresses):
    """Returns why no server of `addresses` can be reached, or None if one can.

    TFDS retries for minutes and then reports only its last error, so each server gets one request
    first. Any answer is enough, unless it comes from a proxy that denies access.
    """
    servers = {urllib.parse.urlsplit(address).netloc: address for address in addresses}
    reasons = []
    for server, address in servers.items():
        request = urllib.request.Request(address, method="HEAD")
        try:
            urllib.request.build_opener().open(request, timeout=SECONDS).close()
        except urllib.error.HTTPError as error:
            error.close()
            reason = str(error) if error.code in BLOCKED else None
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                reason = f"no answer within {SECONDS} seconds"
        else:
            reason = None
        if reason is None:
            return None
        reasons.append(f"{server}: {reason}")
    return "; ".join(reasons) or None


def data_dir_of(builder):
    """Returns the folder of all datasets, the `data_dir` of a builder."""
    return pathlib.Path(builder.data_path).parents[builder.info.full_name.count("/")]


def preparation_command(builder, data_dir=None, download_dir=None):
    """Returns the command that prepares a dataset as array_record."""
    name = builder.info.full_name.rpartition("/")[0]
    downloads = f"download_dir={str(download_dir)!r}" if download_dir else ""
    return (
        f'python -c "import tensorflow_datasets as tfds; tfds.builder({name!r}, '
        f"data_dir={str(data_dir or data_dir_of(builder))!r}, file_format='array_record')"
        f'.download_and_prepare({downloads})"'
    )
