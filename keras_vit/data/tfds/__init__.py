"""Named datasets from TensorFlow Datasets (TFDS): those of the paper, VTAB-1k, and all others.

paper_datasets.py               the images that the paper and VTAB train, validate and test on
builders.py, tfds_reader.py     finds or downloads a dataset, reads its images and labels
"""

import numpy as np

from keras_vit import arguments
from keras_vit.data.sources.source import VALIDATION_SHARE, Splits, check_share, divide
from keras_vit.data.tfds import builders, tfds_reader
from keras_vit.data.tfds.paper_datasets import ALIASES, DATASETS, TASKS, NamedDataset

__all__ = ["load_splits"]


def load_splits(
    name,
    data_dir=None,
    seed=0,
    num_channels=3,
    validation_share=None,
    max_bytes=tfds_reader.MAX_BYTES,
):
    """Opens a dataset of TensorFlow Datasets (TFDS) and splits it as the paper does.

    | name | training | validation | test |
    |---|---|---|---|
    | "cifar10", "cifar100" | `train`, 98 % | 2 % of it | `test` |
    | "oxford_flowers102", "oxford_iiit_pet" | `train`, 90 % | 10 % of it | `test` |
    | "imagenet2012" | `train`, 99 % | 1 % of it | `validation` |
    | "vtab/cifar100" and 18 more | 800 images | 200 images | as in VTAB |
    | any other of TFDS | `train` | `validation`, or 10 % of `train` | `test` |

    A dataset that TFDS does not split at all is one training split; `load` divides it. Validation
    images are drawn stratified by class and depend only on the labels and the seed. The EXIF
    orientation of images is not applied, as in the official code.

    Args:
        name: a name above, "flowers102", "pets", "imagenet", or any dataset of TFDS.
        data_dir: folder of TFDS; None for $TFDS_DATA_DIR or ~/tensorflow_datasets. Archives that
            must be downloaded manually belong in its folder downloads/manual.
        seed: seed of the validation split, a non-negative integer.
        num_channels: 1 for grayscale, 3 for RGB.
        validation_share: share of the training images to hold out for validation if TFDS has no
            such split; 0 to train on all of them (for VTAB: on all 1,000); None for the shares
            above.
        max_bytes: memory that each split may use, in bytes. Only a dataset that is not stored as
            array_record is read into memory.

    Returns:
        `Splits` with a `Source` or None for each.

    Raises:
        ImportError: TFDS or TensorFlow is not installed.
        ValueError: the dataset is unknown, or has no classes.
        OSError: the dataset is neither on disk nor can it be downloaded; the message lists the
            missing files.

    Example:
    >>> cifar = keras_vit.data.tfds.load_splits("cifar10")  # doctest: +SKIP
    >>> len(cifar.train), len(cifar.validation), len(cifar.test)  # doctest: +SKIP
    (49000, 1000, 10000)
    """
    name = ALIASES.get(name, name)
    row = DATASETS.get(name) or TASKS.get(name)
    _check(name, row, validation_share)
    builder = builders.prepare(row.tfds if row else name, data_dir)
    row = row or _make_row(builder)
    if name in TASKS and validation_share == 0:
        row = row._replace(train=f"{row.train}+{row.validation}", validation=None)
    class_names = row.class_names or _class_names(builder, row)
    dataset = tfds_reader.TfdsDataset(builder, row, name, class_names)

    def read(split):
        return split and tfds_reader.read(dataset, split, num_channels, max_bytes)

    train, test = read(row.train), read(row.test)
    if row.validation is None or isinstance(row.validation, str):
        return Splits(name, class_names, train, read(row.validation), test)
    share = row.validation if validation_share is None else validation_share
    train, validation = divide(train, [seed, 1], share) if share else (train, None)
    return Splits(name, class_names, train, validation, test)


def is_listed(name):
    """Whether a name is in the tables of this package, or begins with VTAB's prefix."""
    return isinstance(name, str) and (
        name in DATASETS or name in ALIASES or name.startswith("vtab/")
    )


def _check(name, row, share):
    if row is None and name.startswith("vtab/"):
        advice = f"Choose one of {', '.join(task.removeprefix('vtab/') for task in TASKS)}."
        arguments.refuse("the name must be a task of VTAB-1k", {"name": name}, advice)
    if share is not None:
        check_share("validation_share", share)
    if name in TASKS and share:
        expected = "the 800 and 200 images of a VTAB task are fixed"
        advice = "Leave validation_share out, or set it to 0 to train on all 1,000."
        arguments.refuse(expected, {"name": name, "validation_share": share}, advice)


def _make_row(builder):
    """Makes the row of a dataset that is not in the tables from its description in TFDS."""
    info = builder.info
    if "train" not in info.splits:
        received = {"dataset": info.full_name, "splits": sorted(info.splits)}
        advice = "Choose another dataset of TensorFlow Datasets."
        arguments.refuse("the dataset must have a split named 'train'", received, advice)
    keys = info.supervised_keys or ()
    if len(keys) != 2 or not all(isinstance(key, str) for key in keys):
        keys = ("image", "label")
    drawn = VALIDATION_SHARE if "test" in info.splits else None
    return NamedDataset(
        info.full_name,
        "train",
        validation="validation" if "validation" in info.splits else drawn,
        test="test" if "test" in info.splits else None,
        image=keys[0],
        label=keys[1],
    )


def _class_names(builder, row):
    """Returns the names of the classes, if the dataset consists of images with one class each."""
    features = dict(builder.info.features.items())
    image, names = features.get(row.image), getattr(features.get(row.label), "names", None)
    shape, dtype = getattr(image, "shape", None), getattr(image, "np_dtype", None)
    is_image = len(shape or ()) == 3 and np.dtype(dtype).name in ("uint8", "uint16")
    if not names or not is_image:
        expected = "the dataset must have images of 8 or 16 bits, each with one class"
        received = {"dataset": builder.info.full_name, "features": sorted(features)}
        arguments.refuse(expected, received, "Choose another dataset of TensorFlow Datasets.")
    return tuple(names)
