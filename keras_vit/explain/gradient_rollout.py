"""Relevance: the attention rollout of one class, weighted by the gradient of its logit."""

import keras
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
    images = computing.pictures(model, images)
    classes = forward.chosen_classes(model, images, classes, batch_size)
    maps = computing.run(_relevance, model, images, classes, batch_size=batch_size)
    return targets.shares(maps).reshape(-1, *found.grid)


def _relevance(model, images, classes):
    found = encoder.find(model)
    weighted = [ops.mean(ops.relu(x), axis=1) for x in _weighted_scores(model, images, classes)]
    patches, batch = found.grid[0] * found.grid[1], ops.shape(images)[0]
    readers = found.class_tokens or patches  # the tokens that the head reads, the first ones
    tokens = found.class_tokens + patches
    row = ops.cast(ops.arange(tokens) < readers, weighted[0].dtype) / readers
    start = row = ops.broadcast_to(row, (batch, 1, tokens))
    for scores in reversed(weighted):  # a row of (I + A_L) ... (I + A_1), from its left
        row = row + ops.matmul(row, scores)  # (B, 1, tokens)
    return (row - start)[:, 0, found.class_tokens :]  # (B, N)


def _weighted_scores(model, images, classes):
    """Returns dy / dA * A of every block, (batch, heads, tokens, tokens).

    That is the gradient with respect to a factor of 1 on each score.
    """
    found = encoder.find(model)
    layers = [block.attention for block in found.blocks]
    tokens = found.class_tokens + found.grid[0] * found.grid[1]
    batch = ops.shape(images)[0]
    factors = [ops.ones((batch, layer.num_heads, tokens, tokens)) for layer in layers]

    def total(factors):
        pairs = zip(layers, factors, strict=True)
        with hooks.replaced({layer: _with_factor(layer, factor) for layer, factor in pairs}):
            return ops.sum(targets.of_class(targets.logits(model, images), classes))

    return computing.gradients(total, factors)


def _with_factor(layer, factor):
    def attend(call, x):
        wide = keras.backend.result_type(x.dtype, "float32")
        query, key, value = (ops.cast(part, wide) for part in layer.heads(x))
        scores = layer.scores(query, key) * factor
        return layer.projection(ops.reshape(weighted_sum(scores, value), ops.shape(x)))

    return attend
