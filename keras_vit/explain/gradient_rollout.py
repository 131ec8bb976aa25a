"""Relevance: the attention rollout of one class, weighted by the gradient of its logit."""

import keras
import numpy as np
from keras import ops

from keras_vit.explain import computing, encoder, forward, hooks, targets
from keras_vit.layers import weighted_sum


def relevance(model, images, classes=None, batch_size=8):
    """Computes which patches speak for a class, from attention scores and their gradients.

        A_l = mean over heads of max(dy / dA * A, 0),   R <- R + A_l R,   from R = I

    y is the logit of the class (`keras_vit.explain.targets` says which for outputs that are
    probabilities). The map is the row of the class token (with DeiT's distillation token, the mean
    of both); without one, the mean of the patches' rows less I, which says nothing. What a patch
    gives to the head without attention is not seen. Scores and gradients are float32 whatever the
    model computes in.

    Args:
        model: a model with a Transformer encoder in it, see `encoder.find_attention`.
        images: (batch, height, width, channels) as the model takes them, pixels 0 to 255.
        classes: None for the most probable class of each image, one number for all, or one each.
        batch_size: images computed at once. For each, the scores of ViT-B/16 at 224 pixels and
            their gradients take 22 MB each, and the activations of all blocks stay in memory.

    Returns:
        (batch, rows, columns) of patches, float32. A map is not negative and sums to 1; it is 0
        everywhere if no attention raises the logit, as in a model whose head is still zero.

    Raises:
        ValueError: the model has no attention, takes other images or has no such class.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=(16, 32), num_classes=5)
    >>> maps = keras_vit.explain.relevance(model, np.zeros((2, 16, 32, 3)), classes=[3, 0])
    >>> maps.shape
    (2, 2, 4)

    Reference: Chefer, Gur and Wolf, https://arxiv.org/abs/2103.15679, Eq. 5 and 6.
    """
    found = encoder.find_attention(model)
    images = computing.check_images(model, images)
    classes = forward.chosen_classes(model, images, classes, batch_size)
    parts = computing.batches(gradients, model, images, classes, batch_size=batch_size)
    maps = np.concatenate([_relevance(scores, found) for scores, _ in parts])
    return targets.shares(maps).reshape(-1, *found.grid)


def _relevance(weighted, found):
    """The maps (batch, patches) of A_1 ... A_L, each (batch, tokens, tokens)."""
    tokens = weighted[0].shape[-1]
    readers = found.prefix_tokens or tokens  # the tokens that the head reads, the first ones
    start = row = (np.arange(tokens) < readers).astype(weighted[0].dtype)[None, None] / readers
    for scores in reversed(weighted):  # a row of (I + A_L) ... (I + A_1), from its left
        row = row + row @ scores  # (B, 1, tokens)
    return (row - start)[:, 0, found.prefix_tokens :]  # (B, N)


def gradients(model, images, classes):
    """Returns all gradients of a class that views need: compiled once, relevance and Grad-CAM.

    Args:
        model: as for `relevance`.
        images: a batch of images, as a function gets it that `computing.run` calls.
        classes: the class of each, (batch,).

    Returns:
        ([A_1, ..., A_L] of `relevance`, each (batch, tokens, tokens); the gradient with respect to
        the tokens before the last block, (batch, tokens, D)).
    """
    found = encoder.find(model)
    layers, last = [block.attention for block in found.blocks], found.blocks[-1]
    batch, tokens = ops.shape(images)[0], found.prefix_tokens + found.grid[0] * found.grid[1]
    factors = [ops.ones((batch, layer.num_heads, tokens, tokens)) for layer in layers]
    shift = ops.zeros((batch, tokens, found.patch_encoder.hidden_dim), last.compute_dtype)

    def total(tensors):
        *factors, shift = tensors
        calls = {layer: _with_factor(layer, x) for layer, x in zip(layers, factors, strict=True)}
        with hooks.replaced({**calls, last: lambda call, x: call(x + shift)}):
            return ops.sum(targets.of_class(targets.logits(model, images), classes))

    # The gradient with respect to a factor of 1 on each score is dy / dA * A.
    *weighted, of_tokens = computing.gradients(total, [*factors, shift])
    return [ops.mean(ops.relu(x), axis=1) for x in weighted], of_tokens


def _with_factor(layer, factor):
    def attend(call, x):
        wide = keras.backend.result_type(x.dtype, "float32")
        query, key, value = (ops.cast(part, wide) for part in layer.heads(x))
        scores = layer.scores(query, key) * factor
        return layer.projection(ops.reshape(weighted_sum(scores, value), ops.shape(x)))

    return attend
