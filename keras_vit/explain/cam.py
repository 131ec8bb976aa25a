"""Grad-CAM: where in the image the features are that a class depends on."""

import keras
from keras import ops

from keras_vit import arguments
from keras_vit.explain import computing, encoder, forward, hooks, targets


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
    images = computing.pictures(model, images)
    _target(model, layer)
    classes = forward.chosen_classes(model, images, classes, batch_size)
    how = {"batch_size": batch_size, "compiled": False, "layer": layer}
    return targets.shares(computing.run(_maps, model, images, classes, **how))


def _maps(model, images, classes, layer):
    if _target(model, layer)[1] == "input":
        features = forward.seen(model, images)["inputs"][-1]
    else:
        features = computing.program(_features, model, layer=layer)(images)
    return computing.program(_weighted, model, layer=layer)(images, classes, features)


def _features(model, images, layer):
    target, what = _target(model, layer)
    with hooks.recorded([target], what) as kept:
        model(images, training=False)
    return kept[target.name]


def _weighted(model, images, classes, features, layer):
    """The map of features, from the gradient of what follows them."""
    target, what = _target(model, layer)

    def total(tensors):
        def instead(call, x):
            return call(tensors[0]) if what == "input" else tensors[0]

        with hooks.replaced({target: instead}):
            return ops.sum(targets.of_class(targets.logits(model, images), classes))

    gradient = computing.gradients(total, [features])[0]
    gradient, features = (_map(model, target, x) for x in (gradient, features))
    weights = ops.mean(gradient, axis=(1, 2), keepdims=True)  # (B, 1, 1, C)
    return ops.relu(ops.sum(weights * features, axis=-1))  # (B, rows, columns)


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
    """Returns (batch, rows, columns, channels) in float32 of a layer's output."""
    x = ops.cast(x, keras.backend.result_type(x.dtype, "float32"))
    rows, columns = _grid(model, layer, tuple(x.shape))
    if len(x.shape) == 3:
        x = ops.reshape(x[:, -rows * columns :], (-1, rows, columns, x.shape[-1]))
    return x


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
