"""Grad-CAM: where in the image the features are that a class depends on."""

import math

import keras
import numpy as np
from keras import ops

from keras_vit import arguments
from keras_vit.explain import computing, encoder, forward, gradient_rollout, hooks, targets


def grad_cam(model, images, classes=None, layer=None, batch_size=8):
    """Computes where the features are that raise the logit of a class.

        w_k = mean over positions of dy / dF_k,   map = max(sum over k of w_k F_k, 0)

    F are the features at a layer: tokens, of which the class tokens are left out, or a feature map.
    y is the logit of the class (`keras_vit.explain.targets` says which for outputs that are
    probabilities).

    Args:
        model: a Keras model with an output (batch, classes), a ViT or a convolutional network.
        images: (batch, height, width, channels) as the model takes them, pixels 0 to 255.
        classes: None for the most probable class of each image, one number for all, or one each.
        layer: name of the layer whose output F is. None for the input of the last Transformer
            block: after it a class token reads nothing more from the patches, so they have no
            gradient. Without Transformer blocks it is the output of the last layer with a map
            (batch, rows, columns, channels).
        batch_size: images computed at once.

    Returns:
        (batch, rows, columns), float32. A map is not negative and sums to 1; it is 0 everywhere if
        nothing there raises the logit.

    Raises:
        ValueError: there is no such layer, or its output has no positions; the model takes other
            images or has no such class.

    Example:
    >>> model = keras_vit.create("R50x1", image_size=64, units=(1, 1), num_classes=5)
    >>> keras_vit.explain.grad_cam(model, np.zeros((1, 64, 64, 3)), classes=3).shape
    (1, 8, 8)

    Reference: Selvaraju et al., https://arxiv.org/abs/1610.02391, Eq. 1 and 2.
    """
    images = computing.check_images(model, images)
    target, _ = _target(model, layer)
    classes = forward.chosen_classes(model, images, classes, batch_size)
    transformer = layer is None and encoder.has_attention(model)
    compute, settings = (_of_tokens, {}) if transformer else (_of_layer, {"layer": layer})
    how = {"batch_size": batch_size, "compiled": not transformer, **settings}
    parts = computing.batches(compute, model, images, classes, **how)
    return targets.shares(np.concatenate([_weighted(model, target, *part) for part in parts]))


def _of_tokens(model, images, classes):
    """Features and gradients before the last block, from the programs that other views share."""
    features, found = forward.seen(model, images)["inputs"][-1], encoder.find(model)
    if features.shape[1] != found.prefix_tokens + math.prod(found.grid):  # a layer adds tokens
        return _of_layer(model, images, classes, None)
    return features, computing.program(gradient_rollout.gradients, model)(images, classes)[1]


def _of_layer(model, images, classes, layer):
    """Features and gradients of a layer."""
    target, what = _target(model, layer)
    with hooks.recorded([target], what) as kept:
        model(images, training=False)
    features = kept[target.name]

    def total(tensors):
        def instead(call, x):
            return call(tensors[0]) if what == "input" else tensors[0]

        with hooks.replaced({target: instead}):
            return ops.sum(targets.of_class(targets.logits(model, images), classes))

    return features, computing.gradients(total, [features])[0]


def _weighted(model, target, features, gradients):
    features, gradients = (_map(model, target, x) for x in (features, gradients))
    weights = gradients.mean(axis=(1, 2), keepdims=True)  # (B, 1, 1, C)
    return np.maximum(np.sum(weights * features, axis=-1), 0)  # (B, rows, columns)


def _target(model, name):
    """Returns (layer, "input" or "output"): the features to explain, wherever in the model."""
    if name is not None:
        named = _named(model, name)
        if _shape(named):
            _grid(model, named, _shape(named))
        return named, "output"
    if encoder.has(model):
        return encoder.find(model).blocks[-1], "input"
    layers = [layer for layer, _ in encoder.members(model)]
    maps = [layer for layer in layers if _is_map(layer)]
    if not maps:
        want = "this view needs a layer with an output (batch, rows, columns, channels)"
        advice = "Name the one to look at, with layer=."
        arguments.refuse(want, {"model": model.name, "layers": _names(layers)}, advice)
    return maps[-1], "output"


def _named(model, name):
    everything = {layer: None for pair in encoder.members(model) for layer in pair}
    found = [layer for layer in everything if layer.name == name]
    if len(found) != 1:
        want = "`layer` must be the name of one layer of the model"
        received = {"layer": name, "layers of this name": len(found), "names": _names(everything)}
        arguments.refuse(want, received)
    return found[0]


def _is_map(layer):
    shape = _shape(layer)
    return (
        len(shape) == 4 and shape[1:3] != (1, 1) and not isinstance(layer, keras.layers.InputLayer)
    )


def _shape(layer):
    """The shape of its output; of a layer outside of a graph nothing is known: ()."""
    return tuple(getattr(getattr(layer, "output", None), "shape", ()))


def _names(layers):
    return [layer.name for layer in layers]


def _map(model, layer, x):
    """Returns (batch, rows, columns, channels) of a layer's output."""
    rows, columns = _grid(model, layer, x.shape)
    return x[:, -rows * columns :].reshape(-1, rows, columns, x.shape[-1]) if x.ndim == 3 else x


def _grid(model, layer, shape):
    """Returns (rows, columns) of features, or raises `ValueError` where they have no positions."""
    if len(shape) == 4:
        return shape[1:3]
    if len(shape) == 3:
        rows, columns = encoder.find(model).grid
        if shape[1] >= rows * columns:
            return rows, columns
    want = "this view needs the tokens or the feature map of a layer"
    received = {"layer": layer.name, "output shape": shape}
    arguments.refuse(want, received, "Name one with positions, with layer=.")
