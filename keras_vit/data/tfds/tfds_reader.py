"""Reads images and labels of a prepared dataset of TensorFlow Datasets (TFDS), by index."""

import contextlib
import io
import os
import re
import zipfile
from typing import NamedTuple

import numpy as np

from keras_vit import arguments
from keras_vit.data import images
from keras_vit.data.sources.source import EncodedSource
from keras_vit.data.tfds import builders
from keras_vit.environment import __version__
from keras_vit.io import writing

MAX_BYTES = 4 * 2**30  # largest split in memory
MANY = 50_000  # reading the labels of this many images takes a while


class TfdsDataset(NamedTuple):
    """A prepared dataset: its TFDS builder, its `NamedDataset`, its name in this package."""

    builder: object
    row: object
    name: str
    class_names: tuple


def read(dataset, split, num_channels=3, max_bytes=MAX_BYTES):
    """Opens one split of a prepared dataset as a `Source`, with names such as "cifar10/train/17".

    A dataset in array_record is read image by image, on demand. Other formats can only be read
    sequentially, so their encoded images are kept in memory. `split` is in TFDS's notation, such as
    `train[:800]` or `train+validation`.

    Raises:
        ValueError: the split does not exist, a label is not one of the classes, or the images need
            more than `max_bytes`.
    """
    builder, row = dataset.builder, dataset.row
    _check_split(builder, split)
    tfds = builders.import_tfds()
    features = builder.info.features.items()
    encoded = [key for key, feature in features if isinstance(feature, tfds.features.Image)]
    skip = {key: tfds.decode.SkipDecoding() for key in encoded}
    try:
        examples = builder.as_data_source(split, decoders=skip)
    except NotImplementedError:  # TFDS reads this format only sequentially
        wanted = {key: True for key in (row.image, row.label, row.file_name) if key}
        skip = {key: decoder for key, decoder in skip.items() if key == row.image}
        decoders = tfds.decode.PartialDecoding(wanted, decoders=skip)
        examples = _read_into_memory(builder, row, split, decoders, max_bytes)
        labels, files = _read_labels(examples, row)
    else:
        labels, files = _cache_labels(dataset, split, examples)
    wrong = np.flatnonzero((labels < 0) | (labels >= len(dataset.class_names)))
    if len(wrong):
        received = {"dataset": dataset.name, "split": split, "label": int(labels[wrong[0]])}
        expected = f"every image must have one of the {len(dataset.class_names)} classes"
        arguments.refuse(expected, received, "Correct `to_class` or `class_names` of the dataset.")
    names = [f"{dataset.name}/{split}/{file}" for file in files]
    return EncodedSource(
        lambda index: encode(examples[index][row.image], row.white),
        labels,
        names,
        num_channels,
        origin=_find_origin(builder),
    )


def _find_origin(builder):
    """Returns a value that differs for another version of a dataset, or one prepared again."""
    described = os.path.join(builder.data_path, "dataset_info.json")  # TFDS writes it last
    try:
        return described, os.stat(described).st_mtime_ns
    except OSError:  # it is not on this machine
        return described, None


def encode(image, white=255):
    """Returns an image as the bytes of a file, with pixels scaled so that `white` becomes 255."""
    from PIL import Image

    is_file = isinstance(image, bytes)
    if is_file and white == 255:
        return remove_exif(image)
    opened = Image.open(io.BytesIO(image)) if is_file else images.from_array(image)
    file = io.BytesIO()
    opened.point(lambda value: value * 255 // white).save(file, "PNG")
    return file.getvalue()


def remove_exif(image):
    """Returns the bytes of a JPEG without EXIF data: the official code ignores the orientation."""
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


def _read_into_memory(builder, row, split, decoders, max_bytes):
    """Reads the required features of every example in a split."""
    _check_size(builder, split, _expected_bytes(builder, split), max_bytes)
    examples, total = [], 0
    for example in builder.as_dataset(split=split, decoders=decoders).as_numpy_iterator():
        total += len(example[row.image])
        _check_size(builder, split, total, max_bytes)
        examples.append(example)
    return examples


def _expected_bytes(builder, split):
    """Estimates the bytes of a split from those of the whole splits that TFDS records."""
    splits = builder.info.splits
    bases = [splits[name] for name in _base_splits(split)]
    share = splits[split].num_examples / max(sum(base.num_examples for base in bases), 1)
    return int(share * sum(base.num_bytes for base in bases))


def _base_splits(split):
    return [piece.split("[")[0] for piece in split.split("+")]


def _check_size(builder, split, total, max_bytes):
    if total > max_bytes:
        old = builders.data_dir_of(builder)
        new = old / "array_record"
        arguments.refuse(
            f"{builder.info.full_name!r} is stored in a format without random access, so its "
            f"{split!r} must fit into memory",
            {"bytes": total, "max_bytes": max_bytes},
            "Prepare it once as array_record: "
            f"{builders.preparation_command(builder, new, old / 'downloads')} "
            f"and load it with data_dir={str(new)!r}.",
        )


def _read_labels(examples, row):
    """Returns the class of every example, and the name of its file or its index."""
    labels, files = [], []
    for index in range(len(examples)):
        example = examples[index]
        labels.append((row.to_class or int)(example[row.label]))
        file = np.asarray(example[row.file_name]).item() if row.file_name else str(index)
        files.append(file.decode() if isinstance(file, bytes) else file)
    return np.array(labels, "int32"), np.array(files, "str")


def _cache_labels(dataset, split, examples):
    """Reads the labels once and keeps them in a file next to the dataset: reading them is slow."""
    folder = dataset.builder.data_path
    slug = re.sub(r"[^\w+]+", "-", f"{dataset.name}-{split}").strip("-")
    path = folder / f"keras_vit-{__version__}-{slug}.npz"
    with contextlib.suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        with open(path, "rb") as file, np.load(file) as cached:
            if len(cached["labels"]) == len(examples):
                return cached["labels"], cached["files"]
    if len(examples) >= MANY:
        print(f"Reading the labels of {len(examples):,} images of {dataset.name!r}, once only")
    labels, files = _read_labels(examples, dataset.row)
    with contextlib.suppress(OSError), writing.replacing(path) as temporary:
        with open(temporary, "wb") as file:
            np.savez(file, labels=labels, files=files)
    return labels, files


def _check_split(builder, split):
    known = list(builder.info.splits)
    if known and not set(_base_splits(split)) <= set(known):
        received = {"dataset": builder.info.full_name, "splits": known}
        advice = "Use one of its splits, or a slice of one such as train[:800]."
        arguments.refuse(f"the dataset must have the split {split!r}", received, advice)
