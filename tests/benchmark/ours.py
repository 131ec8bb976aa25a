"""This package's model, and the same with one change, to show the effect of that change."""

import functools
import math

import keras
from keras import ops

import keras_vit
from keras_vit.layers import LayerNorm, SelfAttention, logits, weighted_sum


def model(setup, approximate=False):
    """The model itself; its images are already normalized, as for the peers."""
    return keras_vit.create(
        setup.model,
        image_size=setup.image_size,
        num_classes=setup.num_classes,
        num_layers=setup.variant.num_layers,
        normalize=None,
        approximate=approximate,
        dtype=setup.dtype,
    )


def with_keras_norm(setup):
    """Keras's own order of operations in layer normalization."""
    return _with_call(model(setup), LayerNorm, keras.layers.LayerNormalization.call)


def with_attention(form, setup):
    """Eq. 6 and 7 computed by `form(query, key, value)` on every backend."""

    def call(layer, x):
        x_heads = form(*layer.heads(x))  # (B, tokens, heads, d)
        return layer.drop(layer.projection(ops.reshape(x_heads, ops.shape(x))))

    return _with_call(model(setup), SelfAttention, call)


def _with_call(model, layer_class, call):
    """Replaces `call` in every layer of a class that `model` contains, before it is traced."""
    for layer in model._flatten_layers():
        if isinstance(layer, layer_class):
            layer.call = call.__get__(layer)
    return model


def matmul(query, key, value):
    """Heads moved to the front, one matrix product per head."""
    return weighted_sum(ops.softmax(logits(query, key)), value)  # (B, tokens, heads, d)


def einsum(query, key, value):
    """The same products, with the order of axes left to the backend."""
    scores = ops.einsum("bqhd,bkhd->bhqk", query / math.sqrt(query.shape[-1]), key)
    return ops.einsum("bhqk,bkhd->bqhd", ops.softmax(scores), value)  # (B, tokens, heads, d)


MODELS = {
    "ours": model,
    "ours-tanh": functools.partial(model, approximate=True),
    "keras": with_keras_norm,
    "matmul": functools.partial(with_attention, matmul),
    "einsum": functools.partial(with_attention, einsum),
    "kernel": functools.partial(with_attention, ops.dot_product_attention),
}
