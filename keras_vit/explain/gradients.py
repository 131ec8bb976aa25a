"""Maps from the gradient of a class's logit: relevance and Grad-CAM."""

import math

import keras
import numpy as np
from keras import ops

from keras_vit import arguments, hooks
from keras_vit.explain.inside import batched, class_logits, find_encoder, forward
from keras_vit.layers import weighted_sum


def relevance(model, images, classes=None, batch_size=8):
    """Computes which patches support a class, from attention scores and their gradients.

        A_l = mean over heads of max(dy / dA * A, 0),   R <- R + A_l R,   from R = I

    y is the logit of the class (`keras_vit.explain.inside.class_logits` defines it for outputs that
    are probabilities). The map is the row of the class token, or the mean of both rows with DeiT's
    distillation token. Without a class token it is the mean of the patches' rows minus I, which
    carries no information. Paths from a patch to the head that bypass attention are not included.
    Scores and gradients are float32, even if the model computes in another dtype.

    Args:
        model: a model that contains a Transformer encoder with attention among all tokens.
        images: (batch, height, width, channels) as the model takes them, pixels 0 to 255.
        classes: None for the most probable class of each image, one number for all images, or one
            number for each.
        batch_size: number of images computed at once. For each image, the scores of ViT-B/16 at 224
            pixels and their gradients take 22 MB each, and the activations of all blocks stay in
            memory.

    Returns:
        (batch, rows, columns) of patches, float32. A map is nonnegative and sums to 1; it is 0
        everywhere if no attention raises the logit, as in a model whose head is zero.

    Raises:
        ValueError: the model has no attention, does not take these images, or a class does not
            exist.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=(16, 32), num_classes=5)
    >>> maps = keras_vit.explain.relevance(model, np.zeros((2, 16, 32, 3)), classes=[3, 0])
    >>> maps.shape
    (2, 2, 4)

    Reference: Chefer, Gur and Wolf, https://arxiv.org/abs/2103.15679, Eq. 5 and 6.
    """
    encoder = find_encoder.find_attention(model)
    images = batched.check_images(model, images)
    classes = forward.choose_classes(model, images, classes, batch_size)
    batches = batched.batches(differentiate, model, images, classes, batch_size=batch_size)
    maps = np.concatenate([_roll_out(scores, encoder) for scores, _ in batches])
    return class_logits.divide_by_sum(maps).reshape(-1, *encoder.grid)


def grad_cam(model, images, classes=None, layer=None, batch_size=8):
    """Computes which positions have features that raise the logit of a class.

        w_k = mean over positions of dy / dF_k,   map = max(sum over k of w_k F_k, 0)

    F are the features at a layer: patch tokens or a feature map. y is the logit of the class
    (`keras_vit.explain.inside.class_logits` defines it for outputs that are probabilities).

    Args:
        model: a Keras model with an output (batch, classes), a ViT or a convolutional network.
        images: (batch, height, width, channels) as the model takes them, pixels 0 to 255.
        classes: None for the most probable class of each image, one number for all images, or one
            number for each.
        layer: name of the layer whose output is F. None for the input of the last Transformer
            block: after this block the class token reads nothing more from the patches, so their
            gradient is zero. Without Transformer blocks it is the output of the last layer with a
            map (batch, rows, columns, channels).
        batch_size: number of images computed at once.

    Returns:
        (batch, rows, columns), float32. A map is nonnegative and sums to 1; it is 0 everywhere if
        no features raise the logit.

    Raises:
        ValueError: the layer does not exist or its output has no positions, the model does not
            take these images, or a class does not exist.

    Example:
    >>> model = keras_vit.create("R50x1", image_size=64, units=(1, 1), num_classes=5)
    >>> keras_vit.explain.grad_cam(model, np.zeros((1, 64, 64, 3)), classes=3).shape
    (1, 8, 8)

    Reference: Selvaraju et al., https://arxiv.org/abs/1610.02391, Eq. 1 and 2.
    """
    images = batched.check_images(model, images)
    target, _ = _find_target(model, layer)
    classes = forward.choose_classes(model, images, classes, batch_size)
    transformer = layer is None and find_encoder.has_attention(model)
    compute, settings = (_at_last_block, {}) if transformer else (_at_layer, {"layer": layer})
    options = {"batch_size": batch_size, "compiled": not transformer, **settings}
    batches = batched.batches(compute, model, images, classes, **options)
    maps = np.concatenate([_weigh(model, target, *batch) for batch in batches])
    return class_logits.divide_by_sum(maps)


def differentiate(model, images, classes):
    """Returns the gradients that relevance and Grad-CAM need: one program, compiled once.

    Args:
        model: as for `relevance`.
        images: a batch of images, as in a function called by `batched.run`.
        classes: the class of each image, (batch,).

    Returns:
        ([A_1, ..., A_L] of `relevance`, each (batch, tokens, tokens); the gradient with respect to
        the tokens before the last block, (batch, tokens, D)).
    """
    encoder = find_encoder.find(model)
    layers, last = [block.attention for block in encoder.blocks], encoder.blocks[-1]
    batch, tokens = ops.shape(images)[0], encoder.prefix_tokens + math.prod(encoder.grid)
    factors = [ops.ones((batch, layer.num_heads, tokens, tokens)) for layer in layers]
    shift = ops.zeros((batch, tokens, encoder.patch_encoder.hidden_dim), last.compute_dtype)

    def total(tensors):
        *factors, shift = tensors
        calls = {
            layer: _multiply_scores(layer, x) for layer, x in zip(layers, factors, strict=True)
        }
        with hooks.replace({**calls, last: lambda call, x: call(x + shift)}):
            return ops.sum(class_logits.select(class_logits.logits(model, images), classes))

    # The gradient with respect to a factor of 1 on each score is dy / dA * A.
    *weighted, of_tokens = batched.gradients(total, [*factors, shift])
    return [ops.mean(ops.relu(x), axis=1) for x in weighted], of_tokens


def _multiply_scores(layer, factor):
    def attend(call, x):
        wide = keras.backend.result_type(x.dtype, "float32")
        query, key, value = (ops.cast(part, wide) for part in layer.heads(x))
        scores = layer.scores(query, key)
        scores = scores * ops.cast(factor, scores.dtype)
        return layer.projection(ops.reshape(weighted_sum(scores, value), ops.shape(x)))

    return attend


def _roll_out(weighted, encoder):
    """Returns the maps (batch, patches) of A_1 ... A_L, each (batch, tokens, tokens)."""
    places = np.arange(weighted[0].shape[-1])
    is_read = places < encoder.class_tokens  # whether the head reads the token
    if not encoder.reads_class_token:
        is_read = places >= encoder.prefix_tokens
    start = row = (is_read / is_read.sum()).astype(weighted[0].dtype)[None, None]
    for scores in reversed(weighted):  # the row times (I + A_L) ... (I + A_1)
        row = row + row @ scores  # (B, 1, tokens)
    return (row - start)[:, 0, encoder.prefix_tokens :]  # (B, N)


def _at_last_block(model, images, classes):
    """Returns features and gradients before the last block, from programs that views share."""
    features, encoder = forward.run(model, images)["inputs"][-1], find_encoder.find(model)
    if features.shape[1] != encoder.prefix_tokens + math.prod(encoder.grid):  # a layer adds some
        return batched.program(_at_layer, model, layer=None)(images, classes)
    return features, batched.program(differentiate, model)(images, classes)[1]


def _at_layer(model, images, classes, layer):
    """Returns the features and gradients of a layer."""
    target, what = _find_target(model, layer)
    with hooks.record([target], what) as tensors:
        model(images, training=False)
    features = tensors[target.name]

    def total(tensors):
        def use_features(call, x):
            return call(tensors[0]) if what == "input" else tensors[0]

        with hooks.replace({target: use_features}):
            return ops.sum(class_logits.select(class_logits.logits(model, images), classes))

    return features, batched.gradients(total, [features])[0]


def _weigh(model, target, features, gradients):
    features, gradients = (_as_map(model, target, x) for x in (features, gradients))
    weights = gradients.mean(axis=(1, 2), keepdims=True)  # (B, 1, 1, C)
    return np.maximum(np.sum(weights * features, axis=-1), 0)  # (B, rows, columns)


def _find_target(model, name):
    """Returns (layer, "input" or "output"): the features to explain, at any depth of nesting."""
    if name is not None:
        layer = _find_layer(model, name)
        if _output_shape(layer):
            _grid(model, layer, _output_shape(layer))
        return layer, "output"
    if find_encoder.has_blocks(model):
        return find_encoder.find(model).blocks[-1], "input"
    layers = [layer for layer, _ in find_encoder.walk(model)]
    maps = [layer for layer in layers if _outputs_map(layer)]
    if not maps:
        want = "this view needs a layer with an output (batch, rows, columns, channels)"
        advice = "Choose a layer by name, with layer=."
        arguments.refuse(want, {"model": model.name, "layers": _names(layers)}, advice)
    return maps[-1], "output"


def _find_layer(model, name):
    layers = {layer: None for pair in find_encoder.walk(model) for layer in pair}
    matches = [layer for layer in layers if layer.name == name]
    if len(matches) != 1:
        want = "`layer` must be the name of one layer of the model"
        received = {"layer": name, "layers of this name": len(matches), "names": _names(layers)}
        arguments.refuse(want, received)
    return matches[0]


def _outputs_map(layer):
    shape = _output_shape(layer)
    return (
        len(shape) == 4 and shape[1:3] != (1, 1) and not isinstance(layer, keras.layers.InputLayer)
    )


def _output_shape(layer):
    """Returns the shape of a layer's output; () if it is unknown, as outside a graph."""
    return tuple(getattr(getattr(layer, "output", None), "shape", ()))


def _names(layers):
    return [layer.name for layer in layers]


def _as_map(model, layer, x):
    """Returns a layer's output as (batch, rows, columns, channels)."""
    rows, columns = _grid(model, layer, x.shape)
    return x[:, -rows * columns :].reshape(-1, rows, columns, x.shape[-1]) if x.ndim == 3 else x


def _grid(model, layer, shape):
    """Returns (rows, columns) of features, or raises `ValueError` if they have no positions."""
    if len(shape) == 4:
        return shape[1:3]
    if len(shape) == 3:
        rows, columns = find_encoder.find(model).grid
        if shape[1] >= rows * columns:
            return rows, columns
    want = "this view needs the tokens or the feature map of a layer"
    received = {"layer": layer.name, "output shape": shape}
    arguments.refuse(want, received, "Choose a layer with positions, with layer=.")
