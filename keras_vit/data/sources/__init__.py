"""Where labeled images come from: `open_source` identifies a source and opens it.

source.py       `Source`: images, read one at a time; `Splits`: training, validation and test
folders.py      files in class folders, or in a table
arrays.py       arrays, and .npz files
local.py        the digits; CIFAR-10, CIFAR-100 and the pets on this machine
groups.py       images that must be in one split
unreadable.py   skips images that cannot be read
disk_cache.py   images decoded once
"""

import os
import pathlib
import re

from keras_vit import arguments, backend
from keras_vit.data.sources import arrays, folders, groups, local
from keras_vit.doctor import image_table

ADVICE = (
    "Pass a folder of class folders, a .csv table of files and labels, an .npz file, a pair "
    '(images, labels) of arrays, or the name of a dataset of TensorFlow Datasets such as "cifar10".'
)


def open_source(
    source,
    num_channels=3,
    data_dir=None,
    split_seed=0,
    validation_share=None,
    columns=None,
    group_pattern=None,
    skip_empty=False,
):
    """Returns the `Splits` of a source as they are, before missing splits are drawn.

    The arguments are those of `keras_vit.data.load`.
    """
    image_table.check_columns(source, columns)
    named = (data_dir, split_seed, validation_share)
    splits = _open(source, num_channels, named, columns, skip_empty)
    if group_pattern is not None:
        for each in splits.sources.values():
            each.groups = groups.find(each.names, group_pattern)
    groups.check(splits)
    return splits


def _open(source, num_channels, named, columns, skip_empty):
    data_dir, seed, share = named  # for named datasets
    if isinstance(source, (tuple, list, dict)):
        return arrays.read_arrays(source)
    if not isinstance(source, (str, os.PathLike)):
        arguments.refuse("images were expected", {"source": type(source).__name__}, ADVICE)
    path = pathlib.Path(source)
    if path.is_dir():
        return folders.read_folder(path, num_channels, skip_empty)
    if image_table.is_table(path) and path.exists():
        return folders.read_table(path, num_channels, columns)
    if path.suffix.lower() == ".npz" and path.exists():
        return arrays.read_npz(path)
    if path.exists():
        expected = "a folder, a .csv or an .npz was expected"
        arguments.refuse(expected, {"source": str(path)}, ADVICE)
    if source == "digits":
        return local.read_digits(seed)
    check_source(source)
    if source in local.LOCAL and data_dir is None:
        found = local.read_local(source, num_channels, seed, share)
        if found is not None:
            return found
    from keras_vit.data import tfds  # `tfds` imports this package

    return tfds.load_splits(
        source,
        data_dir=data_dir,
        seed=seed,
        num_channels=num_channels,
        validation_share=share,
    )


def check_source(source, skip_empty=False, on_error="stop"):
    """Raises `FileNotFoundError` unless a string is a path that exists or the name of a dataset.

    The digits need scikit-learn (`ImportError`). Raises `ValueError` if one of the other arguments
    has no effect on this source.
    """
    from keras_vit.data.tfds import is_listed

    known = source == "digits" or os.path.exists(source) or is_listed(source)
    if not known and not (backend.is_installed("tensorflow_datasets") and _may_be_name(source)):
        raise FileNotFoundError(
            f"A dataset was expected. Received: {str(source)!r}, which does not exist. {ADVICE}"
        )
    if source == "digits":
        local.check_installed()
    received = {"data": str(source)}
    if skip_empty and not os.path.isdir(source):
        want = "`skip_empty` leaves out class folders, so the data must be a folder"
        arguments.refuse(want, received | {"skip_empty": True}, "Leave it out.")
    if on_error == "skip" and (source == "digits" or str(source).lower().endswith(".npz")):
        want = "`on_error` is for image files, and these images are arrays"
        arguments.refuse(want, received | {"on_error": "skip"}, "Leave it out.")


def _may_be_name(source):
    """Whether a value can be the name of a dataset: "mnist", "eurosat/rgb:2.0.0"."""
    from keras_vit.data.tfds import builders

    found = re.fullmatch(r"([A-Za-z0-9_]+)(/[\w.-]+)?(:[\d.*]+)?", str(source))
    if found is None or not found[2]:
        return found is not None
    return found[1] in builders.import_tfds().list_builders()
