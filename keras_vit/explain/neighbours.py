"""Images that a model finds alike."""

from typing import NamedTuple

import numpy as np
from keras import ops

from keras_vit import arguments
from keras_vit.explain import computing, encoder, hooks, vectors


class Nearest(NamedTuple):
    """The nearest images of a gallery, the nearest first.

    Attributes:
        indices: (batch, k), their places in the gallery.
        similarity: (batch, k), cosine, -1 to 1, float32.
    """

    indices: np.ndarray
    similarity: np.ndarray


def nearest(model, images, gallery, k=5, layer=None, batch_size=32):
    """Finds the images of a gallery whose representations point the same way.

    Args:
        model: any Keras model of images; None where both are features.
        images: (batch, height, width, channels) as the model takes them, or their features
            (batch, D), as `keras_vit.training.features` makes them.
        gallery: the images to choose from, or their features.
        k: how many to find for each image.
        layer: name of the layer whose output is the representation, flattened; also of a layer in
            a model within the model. None for the input of the layer "head", or the model's output
            where no layer is so named.
        batch_size: images computed at once.

    Returns:
        `Nearest`, (batch, k) each. Of equal similarity, the first in the gallery comes first.

    Raises:
        ValueError: the gallery has fewer than `k` images, the model has no such layer, or
            features differ in length.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=16)
    >>> gallery = np.random.uniform(0, 255, (10, 16, 16, 3))
    >>> found = keras_vit.explain.nearest(model, gallery[3:5], gallery, k=2)
    >>> found.indices.shape, found.indices[:, 0]
    ((2, 2), array([3, 4]))
    """
    _check(model, k, len(gallery), layer)
    queries, others = (_directions(model, x, layer, batch_size) for x in (images, gallery))
    if queries.shape[1] != others.shape[1]:
        received = {"images": queries.shape[1], "gallery": others.shape[1]}
        arguments.refuse("features must be of the same length", received)
    similarity = queries @ others.T  # (batch, gallery)
    indices = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    return Nearest(indices, np.take_along_axis(similarity, indices, 1).astype("float32"))


def _check(model, k, count, layer):
    if arguments.positive_integer("k", k) > count:
        received = {"k": k, "images in the gallery": count}
        arguments.refuse("`k` must be no more than there are images", received)
    names = [member.name for member, _ in encoder.members(model)]
    if layer is not None and layer not in names:
        advice = f"The layers are {', '.join(names)}."
        arguments.refuse("`layer` must be the name of a layer", {"layer": layer}, advice)


def _directions(model, images, layer, batch_size):
    """Representations at length 1, (images, D)."""
    images = np.asarray(images)
    if images.ndim != 2:
        run = computing.run
        images = run(_representation, model, images, batch_size=batch_size, layer=layer)
    return vectors.unit(images.reshape(len(images), -1))


def _representation(model, images, layer):
    name, what = ("head", "input") if layer is None else (layer, "output")
    watched = [member for member, _ in encoder.members(model) if member.name == name][-1:]
    with hooks.recorded(watched, what) as found:
        output = model(images, training=False)
    x = found.get(name, output)
    return ops.reshape(x, (ops.shape(x)[0], -1))
