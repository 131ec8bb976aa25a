"""`load`: images from wherever they are, in batches that `model.fit` takes."""

import math
import numbers
import os
import pathlib
import re
import warnings

from keras_vit import arguments, backend
from keras_vit.data import arrays, folders, tables
from keras_vit.data.augmentation import augmentation_of
from keras_vit.data.digits import digit_parts
from keras_vit.data.loaded import Data
from keras_vit.data.sources import Subset, decoded
from keras_vit.data.splits import hold_out

PARTS = ("train", "validation", "test")
VALIDATION_SHARE = 0.1
PIPELINES = ("tf.data", "keras")
ADVICE = (
    "Give a folder of class folders, a .csv table of files and labels, an .npz file, a pair "
    '(images, labels) of arrays, or the name of a TensorFlow Datasets set such as "cifar10".'
)


def load(
    source,
    image_size=224,
    batch_size=64,
    augment=None,
    seed=0,
    validation_share=None,
    test_share=0.2,
    num_channels=3,
    data_dir=None,
    resize="squash",
    split_seed=0,
    cache=None,
    pipeline=None,
):
    """Prepares images for `model.fit`: reads, divides, shuffles, varies and batches them.

    What a source has as its test part is tested on and nothing else. Parts that it lacks are
    drawn from its training images, each class by itself: first the test part, then the
    validation part. Which images these are depends on the labels and on `split_seed`. Order and
    augmentation depend on (`seed`, epoch, number of the image) alone: they are the same on every
    backend, on any number of threads, and after an interruption.

    Args:
        source: one of
            - a folder of class folders (`images/cat/1.jpg`), or of folders train, validation
              (val, valid) and test that hold class folders;
            - a .csv file with the columns file, label and, if wanted, split;
            - a pair (images, labels) of arrays, a dict of such pairs by part, or an .npz file
              with the arrays images and labels, or x_train, y_train, x_test, y_test;
            - the name of a TensorFlow Datasets set, such as "cifar10";
            - "digits", the handwritten digits of scikit-learn, 8 x 8 pixels of one channel.
        image_size: side in pixels that images are resized to, or (height, width).
        batch_size: images in a batch.
        augment: how training images are varied: a name in
            `keras_vit.data.augmentation.AUGMENTATIONS`, an `Augmentation`, or None.
        seed: of the order and of the augmentation, integer of 0 or more.
        validation_share: share of the training images that is held out for validation where the
            source has no such part; 0 for none; None for a tenth, or what the paper held out of
            a named set (see `keras_vit.data.named.parts`).
        test_share: share of all images that is held out for the test where the source has no
            such part; 0 for none.
        num_channels: 1 for grey, 3 for colours; images of the other kind are converted.
        data_dir: folder of the TensorFlow Datasets sets; None for its own default.
        resize: how validation and test images get their size: "squash" or "crop", see
            `keras_vit.data.prepare.evaluate`.
        split_seed: of the division into parts. It is apart from `seed`, so that no run is tested
            on what another one was trained on.
        cache: whether images are decoded once and held in memory. None: if none has a side of
            more than 64 pixels and each part takes 1 GiB at most.
        pipeline: "tf.data", "keras" for a `keras.utils.PyDataset`, or None for tf.data where
            TensorFlow is installed.

    Returns:
        A `Data`.

    Raises:
        FileNotFoundError: a path that is not there.
        ImportError: the source or the pipeline needs TensorFlow, which is not installed.
        ValueError: an argument, a table, an array or an image cannot be used; the message says
            which.

    Example:
    >>> images = np.zeros((100, 32, 32, 3), "uint8")
    >>> data = keras_vit.data.load((images, np.arange(100) % 2), image_size=32, batch_size=16)
    >>> data.counts
    {'train': 72, 'validation': 8, 'test': 20}
    """
    checks = {
        "image_size": arguments.height_width,
        "batch_size": arguments.positive_integer,
        "seed": check_seed,
        "validation_share": _check_optional_share,
        "test_share": check_share,
        "num_channels": arguments.one_of(1, 3),
        "resize": arguments.one_of("squash", "crop"),
        "split_seed": check_seed,
        "cache": arguments.one_of(None, True, False),
        "pipeline": arguments.one_of(None, *PIPELINES),
    }
    options = arguments.checked(checks, locals())
    augmentation = augmentation_of(augment)
    parts = find(source, num_channels, data_dir, split_seed, validation_share)
    parts = divided(parts, split_seed, validation_share, test_share)
    _warn_of_empty_classes(parts)
    parts = parts._replace(**{part: _cached(getattr(parts, part), cache) for part in PARTS})
    names = ("image_size", "batch_size", "seed", "num_channels", "resize")
    return Data(
        parts,
        augmentation=augmentation,
        pipeline=pipeline or ("tf.data" if _has_tensorflow() else "keras"),
        **{name: options[name] for name in names},
    )


def find(source, num_channels=3, data_dir=None, split_seed=0, validation_share=None):
    """Returns the `Parts` of a source as it is, before missing parts are drawn."""
    if isinstance(source, (tuple, list, dict)):
        return arrays.parts(source)
    if not isinstance(source, (str, os.PathLike)):
        arguments.refuse("images were expected", {"source": type(source).__name__}, ADVICE)
    path = pathlib.Path(source)
    if path.is_dir():
        return folders.parts(path, num_channels)
    if path.exists():
        return _of_file(path, num_channels)
    if source == "digits":
        return digit_parts(split_seed)
    check_source(source)
    from keras_vit.data import named  # tables that a folder of images does not need

    return named.parts(
        source,
        data_dir=data_dir,
        seed=split_seed,
        num_channels=num_channels,
        validation_share=validation_share,
    )


def check_source(source):
    """Raises `FileNotFoundError` unless a string is a path that exists or the name of a dataset."""
    from keras_vit.data.named import is_listed

    known = source == "digits" or os.path.exists(source) or is_listed(source)
    if not known and not (_has_sets() and _is_name(source)):
        raise FileNotFoundError(
            f"A dataset was expected. Received: {str(source)!r}, which does not exist. {ADVICE}"
        )


def check_share(name, value):
    """Returns a share of the images as a `float`, or raises `ValueError` unless 0 <= it < 1."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number or not 0 <= value < 1:
        advice = f"{name}=0.1 holds a tenth out, {name}=0 nothing."
        arguments.refuse(f"`{name}` must be at least 0 and less than 1", {name: value}, advice)
    return float(value)


def check_seed(name, value):
    """Returns a seed as an `int`, or raises `ValueError` unless NumPy's generators take it."""
    if value == 0 and not isinstance(value, bool):
        return 0
    return arguments.positive_integer(name, value, "0 is allowed too.")


def divided(parts, split_seed=0, validation_share=None, test_share=0.2):
    """Returns `Parts` in which missing parts are drawn from the training images."""
    validation_share = VALIDATION_SHARE if validation_share is None else validation_share
    shares = {"test": test_share, "validation": validation_share}
    for number, (part, share) in enumerate(shares.items()):
        if getattr(parts, part) is None and share:
            whole = parts.train
            rest, held = hold_out(whole.labels, [split_seed, number], share)
            drawn = Subset(whole, held) if len(held) else None
            parts = parts._replace(**{"train": Subset(whole, rest), part: drawn})
    return parts


def _is_name(source):
    """Whether something that is not there can be meant as a set: "mnist", "eurosat/rgb:2.0.0"."""
    from keras_vit.data import builders

    found = re.fullmatch(r"([A-Za-z0-9_]+)(/[\w.-]+)?(:[\d.*]+)?", str(source))
    if found is None or not found[2]:
        return found is not None
    return found[1] in builders.tensorflow_datasets().list_builders()


def _has_sets():
    """Whether TFDS can say if there is a set of a name."""
    return backend.is_installed("tensorflow_datasets")


def _of_file(path, num_channels):
    if path.suffix.lower() == ".csv":
        return tables.parts(path, num_channels)
    if path.suffix.lower() == ".npz":
        return arrays.npz_parts(path)
    return arguments.refuse(
        "a folder, a .csv or an .npz was expected", {"source": str(path)}, ADVICE
    )


def _cached(source, cache):
    if source is None or cache is False:
        return source
    return decoded(source) if cache is None else decoded(source, largest=math.inf, limit=math.inf)


def _warn_of_empty_classes(parts):
    """A class without images is no error, but few want it."""
    everyone = range(len(parts.class_names))
    for part in PARTS:
        source = getattr(parts, part)
        missing = sorted(set(everyone) - set(source.labels.tolist())) if source else []
        if missing:
            names = ", ".join(repr(parts.class_names[label]) for label in missing[:10])
            more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
            warnings.warn(
                f"The {part} part of {parts.name!r} has no image of class {names}{more}.",
                stacklevel=3,
            )


def _has_tensorflow():
    return backend.is_installed("tensorflow")


def _check_optional_share(name, value):
    return None if value is None else check_share(name, value)
