"""Labeled images from any source, and a model's outputs and features for them."""

import math
from typing import NamedTuple

import keras
import numpy as np

from keras_vit import arguments
from keras_vit.data import ImageDataset
from keras_vit.data.batching import FixedBatches
from keras_vit.data.pipelines import Loader
from keras_vit.data.sources.source import FileSource
from keras_vit.explain.inside import find_encoder
from keras_vit.guards.image_checks import check_first
from keras_vit.training.evaluation.class_names import check_order


class Features(NamedTuple):
    """A model's vector for each image, (images, length) in float32, and its class."""

    features: np.ndarray
    labels: np.ndarray


class ImageFiles(Loader):
    """Images read from a list of files, batch by batch, in the order of the list.

    Args:
        files: paths of the images.
        labels: class of every image.
        image_size: side in pixels, or (height, width), to which they are resized.
        num_channels: 1 for grayscale, 3 for RGB.
        batch_size: images per batch; the last batch may be smaller.
        resize: "squash" or "crop", see `keras_vit.data.transforms.resize_image`.
        interpolation: "bilinear" or "bicubic", see there.

    Raises:
        ValueError: a size is not a positive integer, or files and labels differ in number.
    """

    def __init__(
        self, files, labels, image_size, num_channels=3, batch_size=64, resize="squash",
        interpolation="bilinear",
    ):  # fmt: skip
        size = arguments.height_width("image_size", image_size)
        arguments.positive_integer("batch_size", batch_size)
        files, labels = list(files), list(labels)
        if len(files) != len(labels):
            received = {"files": len(files), "labels": len(labels)}
            arguments.refuse("there must be one label for each file", received)
        source = FileSource(files, labels, num_channels)
        how = resize, interpolation
        super().__init__(FixedBatches(source, num_channels, size, batch_size, *how))
        self.names = source.names


def features(model, data, layer=None, split="test", batch_size=64):
    """Computes a model's representation of images: the input of its head.

    Args:
        model: a `ViT`, a `ResNet` or another functional model. Its weights are shared, not copied.
        data: labeled images, as in `evaluate`.
        layer: name of the layer whose output is returned, such as "block_5". None for the input
            of the layer "head", or for the model's output if it has no head.
        split: as in `evaluate`.
        batch_size: as in `evaluate`.

    Returns:
        `Features`: an array (images, ...), (images, D) for the representation, and labels.

    Raises:
        ValueError: the model has no such layer, or `data` has no labeled images.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=16, num_classes=2)
    >>> images, labels = np.zeros((5, 16, 16, 3)), np.array([0, 1, 0, 1, 0])
    >>> keras_vit.training.features(model, (images, labels)).features.shape
    (5, 64)
    """
    return predict_all(submodel(model, layer), data, split, batch_size)


def submodel(model, layer=None):
    """Returns the model up to the layer of `features`; it shares all weights."""
    return part_of(model, output_of(model, layer))


def part_of(model, outputs):
    """Returns the model that computes some outputs of a model, which checks images as it does."""
    part = keras.Model(model.inputs[0], outputs, name="representation")
    if getattr(model, "checks_pixels", False):
        part.checks_pixels, part.normalize = True, model.normalize
    return part


def output_of(model, layer=None, pool=None):
    """Returns the output of a model's layer, pooled as described in `keras_vit.features`."""
    names = [member.name for member in model.layers]
    blocks = [name for name in names if name.startswith("block_")]
    if type(layer) is int and -len(blocks) <= layer < len(blocks):
        layer = blocks[layer]
    if layer is not None and layer not in names:
        advice = f"Its layers: {', '.join(names)}."
        arguments.refuse("`layer` must be the name of a layer", {"layer": layer}, advice)
    if layer is not None:
        x = model.get_layer(layer).output
    elif pool is not None and "pooling" in names:
        x = model.get_layer("pooling").input  # the tokens that are pooled
    else:
        x = model.get_layer("head").input if "head" in names else model.outputs[0]
    return x if pool is None else _pooled(model, layer, x, pool)


def _pooled(model, layer, x, pool):
    """Returns the class token, the mean of the patches or their grid, from a layer's output."""
    prefix, grid, is_there = 0, x.shape[1:3], pool != "token"  # the map of a ResNet
    if len(x.shape) == 3:
        encoder = find_encoder.find(model)
        grid, prefix = encoder.grid, x.shape[1] - math.prod(encoder.grid)  # 0 in front of a pooling
        is_there = prefix >= 0 and (is_there or (prefix > 0 and encoder.class_tokens > 0))
        x = x[:, :1] if pool == "token" else x[:, prefix:]
    if len(x.shape) not in (3, 4) or not is_there:
        want = f"`pool={pool!r}` needs a layer that returns tokens" + " and a class token" * (
            pool == "token"
        )
        received = {"layer": layer, "shape": x.shape, "tokens before the patches": prefix}
        arguments.refuse(want, received, "Use pool='mean', or pool=None for its output.")
    if pool == "patches":
        return keras.ops.reshape(x, (-1, *grid, x.shape[-1]))  # (B, rows, columns, D)
    return keras.ops.mean(x, axis=tuple(range(1, len(x.shape) - 1)))  # (B, D)


def predict_all(model, data, split="test", batch_size=64):
    """Returns the outputs of `model` and the labels of all images, as `Features`."""
    batches = predict_batches(model, data, split, batch_size)
    return Features(*(np.concatenate(arrays) for arrays in zip(*batches, strict=True)))


def predict_batches(model, data, split="test", batch_size=64):
    """Yields a model's outputs and the labels, both NumPy arrays, batch by batch."""
    check_order(model, data)
    compute = by_batch(model)
    for images, labels in iterate_batches(data, split, batch_size):
        yield compute(images), labels


def by_batch(model, batch_size=0):
    """Returns a function that computes a model's outputs for a batch, in float32.

    A batch smaller than `batch_size` or than the earlier ones is padded, because the model would be
    compiled again for it.
    """
    largest, is_checked = batch_size, False

    def compute(images):
        nonlocal largest, is_checked
        if not is_checked:
            check_first(model, images)
            is_checked = True
        count, largest = len(images), max(largest, len(images))
        padding = [(0, largest - count), *[(0, 0)] * (images.ndim - 1)]
        found = model.predict_on_batch(np.pad(images, padding, mode="edge"))
        return keras.tree.map_structure(lambda x: np.asarray(x, "float32")[:count], found)

    return compute


def iterate_batches(data, split="test", batch_size=64):
    """Yields (images, labels) of the data of `evaluate` as NumPy arrays, batch by batch.

    A split of an `ImageDataset` is read in its own order and without augmentation. Labels are class
    numbers or one-hot; without labeled images, a `ValueError` is raised.
    """
    arguments.one_of("train", "validation", "test")("split", split)
    step = arguments.positive_integer("batch_size", batch_size)
    empty = True
    for batch in iterate_pairs(data, split, step):
        empty = False
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            parts = f" of {len(batch)}" if isinstance(batch, (tuple, list)) else ""
            advice = "Leave out sample weights: every image counts once."
            received = {"batch": f"{type(batch).__name__}{parts}"}
            arguments.refuse("batches must be pairs (images, labels)", received, advice)
        images, labels = batch
        yield np.asarray(images), _class_numbers(np.asarray(labels))
    if empty:
        advice = "Choose another split, or pass images."
        arguments.refuse("labeled images were expected", {"split": split, "images": 0}, advice)


def read_labels(data, split="test", batch_size=64):
    """Returns the class of every image; the arguments are those of `iterate_batches`."""
    if isinstance(data, ImageDataset) and split in data.sources:
        return data.labels(split)
    return np.concatenate([labels for _, labels in iterate_batches(data, split, batch_size)])


def iterate_pairs(data, split, step):
    """Returns an iterable of (images, labels) of the data of `evaluate`, unconverted."""
    if isinstance(data, ImageDataset):  # iterating over `data.train` would advance its position
        data = Loader(data.fixed_batches(split)) if split in data.sources else ()
    if isinstance(data, keras.utils.PyDataset):  # Python's own iteration may not end
        return (data[i] for i in range(len(data)))
    is_pair = isinstance(data, (tuple, list)) and len(data) == 2 and hasattr(data[0], "shape")
    if is_pair and np.ndim(data[1]) < 3:  # not two batches of images
        images, labels = data
        if len(images) != len(labels):
            received = {"images": len(images), "labels": len(labels)}
            advice = "Pass labels in the order of the images."
            arguments.refuse("there must be one label for each image", received, advice)
        starts = range(0, len(images), step)
        return ((images[i : i + step], labels[i : i + step]) for i in starts)
    if not hasattr(data, "__iter__"):
        advice = "Pass (images, labels), data of keras_vit.data.load or other batches of pairs."
        arguments.refuse("labeled images were expected", {"data": type(data).__name__}, advice)
    return data


def _class_numbers(labels):
    """Returns the class of every image, (images,), from labels that may be one-hot."""
    if labels.ndim == 1 and np.issubdtype(labels.dtype, np.integer):
        return labels
    several = labels.ndim == 2 and labels.shape[1] > 1  # one column has class numbers
    if several and np.all((labels == 0) | (labels == 1)) and np.all(labels.sum(1) == 1):
        return labels.argmax(axis=1)
    arguments.refuse(
        "labels must be integers (images,) or one-hot (images, classes)",
        {"shape": labels.shape, "dtype": str(labels.dtype)},
        "Mixed images have no single class: evaluate without mixing.",
    )
