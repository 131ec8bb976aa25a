"""Sets of images that are known by a name: those of the paper, VTAB-1k, and all of TFDS."""

import math
import numbers

import numpy as np

from keras_vit import arguments
from keras_vit.data import builders, records, sets, vtab
from keras_vit.data.sources import Parts, Subset
from keras_vit.data.splits import hold_out

VALIDATION_SHARE = 0.1  # of a set in no table that has a test split and no validation split


def parts(
    name,
    data_dir=None,
    seed=0,
    num_channels=3,
    validation_share=None,
    max_bytes=records.MAX_BYTES,
):
    """Opens a named set of TensorFlow Datasets (TFDS) and divides it as the paper does.

    | name | trained on | validation | test |
    |---|---|---|---|
    | "cifar10", "cifar100" | `train`, 98 % | 2 % of it | `test` |
    | "oxford_flowers102", "oxford_iiit_pet" | `train`, 90 % | 10 % of it | `test` |
    | "imagenet2012" | `train`, 99 % | 1 % of it | `validation` |
    | "vtab/cifar100" and 18 more | 800 images | 200 images | as in VTAB |
    | any other of TFDS | `train` | `validation`, or 10 % of `train` | `test` |

    A set that TFDS does not divide at all is left whole: `load` divides it. What is drawn for
    validation depends on the labels and the seed alone, each class by itself. Images lie as
    they are in their files: a rotation that a camera noted (EXIF) is not applied, for the
    official code does not.

    Args:
        name: a name above, "flowers102", "pets", "imagenet", or any that TFDS knows.
        data_dir: folder where TFDS keeps its sets; None for $TFDS_DATA_DIR or
            ~/tensorflow_datasets. Archives that were downloaded by hand belong into
            downloads/manual in it.
        seed: of what is drawn for validation, integer of 0 or more.
        num_channels: 1 for grey, 3 for colours.
        validation_share: share of the training images that is drawn for validation where TFDS
            has no such split; 0 to train on all of them (of VTAB: on all 1,000); None as above.
        max_bytes: that each part may take in memory; only a set that is not kept as array_record
            is read into it.

    Returns:
        `Parts` with a `Source` or None for each.

    Raises:
        ImportError: TFDS or TensorFlow is not installed.
        ValueError: there is no such set, or it has no classes.
        OSError: the set is not there and cannot be had; the message says what to put where.

    Example:
    >>> cifar = keras_vit.data.named.parts("cifar10")  # doctest: +SKIP
    >>> len(cifar.train), len(cifar.validation), len(cifar.test)  # doctest: +SKIP
    (49000, 1000, 10000)
    """
    name = sets.ALIASES.get(name, name)
    row = sets.SETS.get(name) or vtab.TASKS.get(name)
    _check_share(name, validation_share)
    builder = builders.prepared(_tfds_name(name, row), data_dir)
    row = row or _described(builder)
    if name in vtab.TASKS and validation_share == 0:
        row = row._replace(train=f"{row.train}+{row.validation}", validation=None)
    class_names = row.class_names or _class_names(builder, row)
    place = records.Place(builder, row, name, class_names)

    def read(split):
        return split and records.read(place, split, num_channels, max_bytes)

    train, test = read(row.train), read(row.test)
    if row.validation is None or isinstance(row.validation, str):
        return Parts(name, class_names, train, read(row.validation), test)
    share = row.validation if validation_share is None else validation_share
    return Parts(name, class_names, *_drawn(train, seed, share), test)


def is_listed(name):
    """Whether a name is in our tables, or begins as those of VTAB do."""
    plain = isinstance(name, str)
    return plain and (name in sets.SETS or name in sets.ALIASES or name.startswith("vtab/"))


def _drawn(source, seed, share):
    """Divides a source; the second part is None where nothing is drawn."""
    first, second = hold_out(source.labels, [seed, 1], share) if share else ((), ())
    return (Subset(source, first), Subset(source, second)) if len(second) else (source, None)


def _tfds_name(name, row):
    if row is None and name.startswith("vtab/"):
        arguments.refuse(
            "the name must be that of a task of VTAB-1k",
            {"name": name},
            f"Choose from {', '.join(task.removeprefix('vtab/') for task in vtab.TASKS)}.",
        )
    return row.tfds if row else name


def _check_share(name, share):
    if share is None:
        return
    real = isinstance(share, numbers.Real) and not isinstance(share, bool)
    if not real or not math.isfinite(share) or not 0 <= share < 1:
        advice = "Write validation_share=0.1 for a tenth, 0 for none."
        expected = "`validation_share` must be a number of at least 0 and less than 1"
        arguments.refuse(expected, {"validation_share": share}, advice)
    if name in vtab.TASKS and share:
        expected = "the 800 and 200 images of a VTAB task are fixed"
        advice = "Leave validation_share out, or set it to 0 to train on all 1,000."
        arguments.refuse(expected, {"name": name, "validation_share": share}, advice)


def _described(builder):
    """Makes the row of a set that is in no table from what TFDS knows of it."""
    info = builder.info
    known = set(info.splits)
    if "train" not in known:
        received = {"set": info.full_name, "splits": sorted(known)}
        arguments.refuse("the set must have the split 'train'", received)
    keys = info.supervised_keys or ()
    if len(keys) != 2 or not all(isinstance(key, str) for key in keys):
        keys = ("image", "label")
    drawn = VALIDATION_SHARE if "test" in known else None
    return sets.NamedSet(
        info.full_name,
        "train",
        validation="validation" if "validation" in known else drawn,
        test="test" if "test" in known else None,
        image=keys[0],
        label=keys[1],
    )


def _class_names(builder, row):
    """Names of the classes, if the set has images of which each is of one class."""
    features = dict(builder.info.features.items())
    image, label = features.get(row.image), features.get(row.label)
    names = getattr(label, "names", None)
    if not names or not _is_image(image):
        expected = "the set must have images of 8 or 16 bits, each with one class"
        received = {"set": builder.info.full_name, "features": sorted(features)}
        arguments.refuse(expected, received, "Choose another set of TensorFlow Datasets.")
    return tuple(names)


def _is_image(feature):
    shape, dtype = getattr(feature, "shape", None), getattr(feature, "np_dtype", None)
    return len(shape or ()) == 3 and np.dtype(dtype).name in ("uint8", "uint16")
