"""Reads images and labels of a prepared set of TensorFlow Datasets (TFDS), by number."""

import contextlib
import functools
import io
import re
import zipfile
from typing import NamedTuple

import numpy as np

from keras_vit import arguments
from keras_vit.data import builders
from keras_vit.data.sources import EncodedSource
from keras_vit.environment import __version__
from keras_vit.io import writing

MAX_BYTES = 4 * 2**30  # of a part that is held in memory
MANY = 50_000  # images whose labels take a while to read


class Place(NamedTuple):
    """Where to read: a TFDS builder, its row of the table, and the name it was asked for by."""

    builder: object
    row: object
    name: str
    class_names: tuple


def read(place, split, num_channels=3, max_bytes=MAX_BYTES):
    """Opens one part of a prepared set.

    A set in array_record is read image by image when they are asked for. One in another
    format can only be read from its beginning to its end, so its files are held in memory, as
    they are (JPEG or PNG).

    Args:
        place: a `Place`.
        split: in the words of TFDS, such as `train[:800]` or `train+validation`.
        num_channels: 1 for grey, 3 for colours.
        max_bytes: that may be held in memory.

    Returns:
        A `Source`, named as in "cifar10/train/17".

    Raises:
        ValueError: there is no such split, a label is not one of the classes, or the part does
            not fit into `max_bytes`.
    """
    builder, row = place.builder, place.row
    _check_split(builder, split)
    skip = {key: _skip_decoding() for key in _images(builder)}
    try:
        examples = builder.as_data_source(split, decoders=skip)
    except NotImplementedError:  # TFDS reads this format only in order
        examples = _in_memory(builder, row, split, max_bytes)
        labels, files = _labels(examples, row)
    else:
        labels, files = _kept_labels(place, split, examples)
    _check_labels(place, split, labels)
    names = [f"{place.name}/{split}/{file}" for file in files]
    getter = functools.partial(_encoded, examples, row)
    return EncodedSource(getter, labels, names, num_channels)


def encoded(image, white=255):
    """Returns the bytes of an image as a file, its brightest value `white` turned into 255.

    Args:
        image: bytes of a file, or pixels (height, width, 1 or 3), uint8.
        white: the value of white.
    """
    from PIL import Image

    if isinstance(image, bytes) and white == 255:
        return without_exif(image)
    if isinstance(image, bytes):
        opened = Image.open(io.BytesIO(image))
    else:
        opened = Image.fromarray(image[:, :, 0] if image.shape[-1] == 1 else image)
    file = io.BytesIO()
    opened.point(lambda value: value * 255 // white).save(file, "PNG")
    return file.getvalue()


def without_exif(image):
    """Returns the bytes of a JPEG without what its camera noted, such as its rotation.

    The official code does not look at it: images of a published set are seen as they lie.
    """
    if image[:2] != b"\xff\xd8":
        return image
    kept, start = [image[:2]], 2
    while image[start : start + 1] == b"\xff" and image[start + 1 : start + 2] != b"\xda":
        end = start + 2 + int.from_bytes(image[start + 2 : start + 4], "big")
        segment = image[start:end]
        if segment[1:2] != b"\xe1" or segment[4:8] != b"Exif":
            kept.append(segment)
        start = end
    return b"".join([*kept, image[start:]])


def _encoded(examples, row, number):
    return encoded(examples[number][row.image], row.white)


def _skip_decoding():
    return builders.tensorflow_datasets().decode.SkipDecoding()


def _images(builder):
    """Names of the features that are encoded images."""
    image = builders.tensorflow_datasets().features.Image
    return [key for key, feature in builder.info.features.items() if isinstance(feature, image)]


def _in_memory(builder, row, split, max_bytes):
    """Reads what is needed of every example of a split."""
    decode = builders.tensorflow_datasets().decode
    wanted = {key: True for key in (row.image, row.label, row.file_name) if key}
    skip = {row.image: decode.SkipDecoding()} if row.image in _images(builder) else {}
    decoders = decode.PartialDecoding(wanted, decoders=skip)
    _check_size(builder, split, _expected_bytes(builder, split), max_bytes)
    examples, total = [], 0
    for example in builder.as_dataset(split=split, decoders=decoders).as_numpy_iterator():
        total += len(example[row.image])
        _check_size(builder, split, total, max_bytes)
        examples.append(example)
    return examples


def _expected_bytes(builder, split):
    """Bytes of a split as far as TFDS knows, in proportion where only some of it is read."""
    splits = builder.info.splits
    bases = [splits[re.split(r"\[", piece)[0]] for piece in split.split("+")]
    share = splits[split].num_examples / max(sum(base.num_examples for base in bases), 1)
    return int(share * sum(base.num_bytes for base in bases))


def _check_size(builder, split, total, max_bytes):
    if total > max_bytes:
        old = builders.root(builder)
        new = old / "array_record"
        arguments.refuse(
            f"{builder.info.full_name!r} is kept in a format that is read only in order, so its "
            f"{split!r} must fit into memory",
            {"bytes": total, "max_bytes": max_bytes},
            "Prepare it once as array_record, where any image is at hand: "
            f"{builders.command(builder, new, old / 'downloads')} "
            f"and load it with data_dir={str(new)!r}.",
        )


def _labels(examples, row):
    """Returns the class of every example, and the name of its file or its number."""
    labels, files = [], []
    for number in range(len(examples)):
        example = examples[number]
        value = example[row.label]
        labels.append(int(value) if row.to_class is None else row.to_class(value))
        files.append(_text(example[row.file_name]) if row.file_name else str(number))
    return np.array(labels, "int32"), np.array(files, "str")


def _text(value):
    value = np.asarray(value).item()
    return value.decode() if isinstance(value, bytes) else value


def _kept_labels(place, split, examples):
    """Reads the labels; of a set on the disk they are kept beside it, for they lie far apart."""
    folder = place.builder.data_path
    slug = re.sub(r"[^\w+]+", "-", f"{place.name}-{split}").strip("-")
    path = folder / f"keras_vit-{__version__}-{slug}.npz"
    with contextlib.suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        with open(path, "rb") as file, np.load(file) as kept:
            if len(kept["labels"]) == len(examples):
                return kept["labels"], kept["files"]
    if len(examples) >= MANY:
        print(f"Reading the labels of {len(examples):,} images of {place.name!r}, this once")
    labels, files = _labels(examples, place.row)
    with contextlib.suppress(OSError), writing.replacing(path) as temporary:
        with open(temporary, "wb") as file:
            np.savez(file, labels=labels, files=files)
    return labels, files


def _check_split(builder, split):
    known = list(builder.info.splits)
    wanted = [piece.split("[")[0] for piece in split.split("+")]
    if known and not set(wanted) <= set(known):
        received = {"set": builder.info.full_name, "splits": known}
        arguments.refuse(f"the set must have the split {split!r}", received)


def _check_labels(place, split, labels):
    wrong = np.flatnonzero((labels < 0) | (labels >= len(place.class_names)))
    if len(wrong):
        received = {"set": place.name, "split": split, "label": int(labels[wrong[0]])}
        expected = f"every image must be of one of the {len(place.class_names)} classes"
        arguments.refuse(expected, received)
