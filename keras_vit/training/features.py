"""Labelled images from any source, and what a model makes of them: outputs and features."""

from typing import NamedTuple

import keras
import numpy as np

from keras_vit import arguments
from keras_vit.data import Data
from keras_vit.data.batches import FixedBatches
from keras_vit.data.pipelines import Loader
from keras_vit.data.sources import FileSource
from keras_vit.guards.batches import check_first


class Features(NamedTuple):
    """A model's vector for each image, (images, length) in float32, and its class."""

    features: np.ndarray
    labels: np.ndarray


class ImageFiles(Loader):
    """Images read from the files of a list, batch by batch, in the order of the list.

    Args:
        files: paths of the images.
        labels: class of every image.
        image_size: side in pixels, or (height, width), to which they are resized.
        num_channels: 1 for grey, 3 for colours.
        batch_size: images in a batch; the last one has the rest.
        resize: "squash" or "crop", see `keras_vit.data.prepare.evaluate`.

    Example:
    >>> images = keras_vit.training.ImageFiles(
    ...     ["cat.jpg", "dog.jpg"], [0, 1], image_size=224
    ... )  # doctest: +SKIP
    """

    def __init__(self, files, labels, image_size, num_channels=3, batch_size=64, resize="squash"):
        size = arguments.height_width("image_size", image_size)
        source = FileSource(files, labels, num_channels)
        super().__init__(FixedBatches(source, num_channels, size, batch_size, resize, "bilinear"))
        self.names = source.names


def features(model, data, layer=None, part="test", batch_size=64):
    """Computes a model's representation of images: what its head would see.

    Args:
        model: a `ViT`, a `ResNet` or another functional model. Its weights are used where they
            are, not copied.
        data: labelled images, as in `batches`.
        layer: name of the layer whose output is taken, such as "block_5". None for the input of
            the layer "head", or the model's output where there is no head.
        part: "train", "validation" or "test" of a `Data`.
        batch_size: images in a batch, where `data` is arrays.

    Returns:
        `Features`: an array (images, ...), (images, D) for the representation, and labels.

    Raises:
        ValueError: the model has no such layer, or `data` has no labelled images.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=16, num_classes=2)
    >>> images, labels = np.zeros((5, 16, 16, 3)), np.array([0, 1, 0, 1, 0])
    >>> keras_vit.training.features(model, (images, labels)).features.shape
    (5, 64)
    """
    return collected(submodel(model, layer), data, part, batch_size)


def collected(model, data, part="test", batch_size=64):
    """Returns the `Features` that are the outputs of `model` itself."""
    found = outputs(model, data, part, batch_size)
    return Features(*(np.concatenate(arrays) for arrays in zip(*found, strict=True)))


def submodel(model, layer=None):
    """Returns the part of a functional model up to a layer's output; it shares all weights.

    Args:
        model: a functional model.
        layer: name of a layer, None as in `features`.
    """
    names = [member.name for member in model.layers]
    if layer is None:
        outputs = model.get_layer("head").input if "head" in names else model.outputs[0]
        return keras.Model(model.inputs[0], outputs, name="representation")
    if layer not in names:
        advice = f"Its layers: {', '.join(names)}."
        arguments.refuse("`layer` must be the name of a layer", {"layer": layer}, advice)
    return keras.Model(model.inputs[0], model.get_layer(layer).output, name="representation")


def outputs(model, data, part="test", batch_size=64):
    """Yields a model's outputs and the labels, both NumPy arrays, for every batch of images.

    A batch smaller than those before it is filled up for the model, which would be compiled anew.
    """
    largest = 0
    for images, labels in batches(data, part, batch_size):
        if not largest:
            check_first(model, images)
        largest = max(largest, len(images))
        if missing := largest - len(images):
            filling = np.repeat(images[-1:], missing, axis=0)
            images = np.concatenate([images, filling])
        yield np.asarray(model.predict_on_batch(images), "float32")[: len(labels)], labels


def batches(data, part="test", batch_size=64):
    """Yields (images, labels) as NumPy arrays, batch by batch.

    Args:
        data: a `keras_vit.data.Data`, of which a part is taken, also the training images
            unvaried and in their own order; a pair of arrays; a `keras.utils.PyDataset`; a
            `tf.data.Dataset`; or anything else that gives pairs when it is iterated over. Labels
            are numbers of classes, or one-hot.
        part: "train", "validation" or "test" of a `Data`.
        batch_size: images in a batch, where `data` is arrays.

    Raises:
        ValueError: there are no images, or their labels are not classes.
    """
    arguments.one_of("train", "validation", "test")("part", part)
    step = arguments.positive_integer("batch_size", batch_size)
    empty = True
    for images, labels in _pairs(data, part, step):
        empty = False
        yield np.asarray(images), _classes(np.asarray(labels))
    if empty:
        arguments.refuse("labelled images were expected", {"part": part, "images": 0})


def labels_of(data, part="test", batch_size=64):
    """Returns the class of every image, in the order of `batches`, whose arguments it takes."""
    if isinstance(data, Data) and part in data.sources:
        return data.labels(part)
    return np.concatenate([labels for _, labels in batches(data, part, batch_size)])


def _pairs(data, part, step):
    if isinstance(data, Data):  # `data.train` itself would move the place where training stands
        data = Loader(data.fixed_batches(part)) if part in data.sources else ()
    if isinstance(data, keras.utils.PyDataset):  # Python's own iteration may not end
        return (data[i] for i in range(len(data)))
    if isinstance(data, (tuple, list)) and len(data) == 2 and hasattr(data[0], "shape"):
        images, labels = data
        starts = range(0, len(images), step)
        return ((images[i : i + step], labels[i : i + step]) for i in starts)
    return data


def _classes(labels):
    """Returns the class of every image, (images,), of labels that may be one-hot."""
    if labels.ndim == 1 and np.issubdtype(labels.dtype, np.integer):
        return labels
    if labels.ndim == 2 and np.all((labels == 0) | (labels == 1)) and np.all(labels.sum(1) == 1):
        return labels.argmax(axis=1)
    arguments.refuse(
        "labels must be integers (images,) or one-hot (images, classes)",
        {"shape": labels.shape, "dtype": str(labels.dtype)},
        "Images that are mixed have no one class: evaluate without mixing.",
    )
