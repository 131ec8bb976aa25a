"""Features of images without labels, of any layer."""

import os

import keras
import numpy as np

from keras_vit import arguments
from keras_vit.data.sources.folders import list_images
from keras_vit.training.evaluation.representation import (
    ImageFiles,
    by_batch,
    iterate_pairs,
    output_of,
    part_of,
)


def features(
    model, images, layers=None, pool=None, batch_size=32, split="test", resize="squash",
    verbose="auto", interpolation="bilinear",
):  # fmt: skip
    """Computes features of images, the outputs of a model's layers; no labels are needed.

    Args:
        model: a `ViT`, a `ResNet` or another functional model.
        images: array (images, height, width, channels); the path of a folder, whose images at any
            depth are read in alphabetical order; an image file or a list of them; or a dataset, as
            in `keras_vit.training.evaluate`, whose labels are not used.
        layers: name of a layer, such as "encoder_norm", or number of a block, -1 for the last; or
            a list of these. None for the input of the head or, with `pool`, for the last tokens.
        pool: "token" for the class token, "mean" for the mean of the patches, "patches" for the
            patches in their grid; registers are never among them. None for the whole output of a
            layer.
        batch_size: images per batch.
        split: split of an `ImageDataset`.
        resize: "squash" or "crop", how files are resized to the size of the model.
        verbose: 0 for no progress bar, 1 for one, 2 for a line at the end; "auto" for one.
        interpolation: "bilinear" or "bicubic", of files too. A run's metrics.json has both.

    Returns:
        float32 array (images, D), with `pool="patches"` (images, rows, columns, D); a dictionary
        {layer: array} for a list of layers.

    Raises:
        FileNotFoundError: a file or folder does not exist.
        ValueError: the model does not have the layer or token, or `images` is empty.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=(16, 24), num_classes=2)
    >>> images = np.zeros((5, 16, 24, 3))
    >>> keras_vit.features(model, images, verbose=0).shape
    (5, 64)
    >>> found = keras_vit.features(model, images, ["block_0", -1], pool="patches", verbose=0)
    >>> found[-1].shape
    (5, 2, 3, 64)
    """
    arguments.one_of(None, "token", "mean", "patches")("pool", pool)
    wanted = layers if isinstance(layers, (list, tuple)) else [layers]
    outputs = [output_of(model, layer, pool) for layer in wanted]
    compute = by_batch(part_of(model, outputs))
    batches, count = unlabeled(model, images, batch_size, split, resize, interpolation)
    progress = keras.utils.Progbar(count, verbose=1 if verbose == "auto" else verbose)
    parts = []
    for batch in batches:
        parts.append(keras.tree.flatten(compute(batch)))
        progress.update(len(parts))
    if not parts:
        arguments.refuse("at least one image was expected", {"images": 0})
    if count is None:
        progress.update(len(parts), finalize=True)
    arrays = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
    return dict(zip(wanted, arrays, strict=True)) if wanted is layers else arrays[0]


def unlabeled(model, images, batch_size, split="test", *resizing):
    """Returns batches of images only, and their number, None if it is unknown."""
    arguments.one_of("train", "validation", "test")("split", split)
    step = arguments.positive_integer("batch_size", batch_size)
    if images is None:
        advice = "Pass an array, image files, a folder or a dataset."
        arguments.refuse("images were expected", {"images": None}, advice)
    if isinstance(images, (str, os.PathLike)):
        images = [images] if os.path.isfile(images) else list_images(images)
    if isinstance(images, (list, tuple)) and all(isinstance(x, (str, os.PathLike)) for x in images):
        _, *size, channels = model.input_shape
        if not len(images):
            advice = "The folder has no images, or the list is empty."
            arguments.refuse("at least one image was expected", {"images": 0}, advice)
        images = ImageFiles(images, [0] * len(images), size, channels, step, *resizing)
    if isinstance(images, (list, tuple)) and all(np.ndim(image) == 3 for image in images):
        images = np.stack(images)
    count = len(images) if isinstance(images, keras.utils.PyDataset) else None
    if hasattr(images, "shape"):
        arguments.images(np.shape(images), model.input_shape)
        count = -(-len(images) // step)
        images = images, np.zeros(len(images))
    pairs = iterate_pairs(images, split, step)
    alone = (pair[0] if isinstance(pair, (tuple, list)) else pair for pair in pairs)
    return map(np.asarray, alone), count
