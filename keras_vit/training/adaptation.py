"""Which weights of a model are trained: all, only its head, or low-rank updates (LoRA)."""

import operator
from typing import NamedTuple

import numpy as np

from keras_vit import arguments, resizing
from keras_vit.ablations.axial import AxialBlock

# The dense layers of a block, which have most of the weights. LoRA updates all of them.
DENSE = ("attention.query_key_value", "attention.projection", "mlp.expand", "mlp.contract")
# Layers that drop units in training, and the attribute of their owner that holds the rate
DROPPING = {
    "drop": "dropout",
    "attention.drop": "attention.dropout",
    "mlp.drop_1": "mlp.dropout",
    "mlp.drop_2": "mlp.dropout",
    "skip_1": "stochastic_depth",
    "skip_2": "stochastic_depth",
}


class Counts(NamedTuple):
    """Number of parameters of a model."""

    trainable: int
    frozen: int


def freeze(model, mode, rank=8):
    """Selects the weights of a model that are trained. Call it before `compile`.

    - "full": everything.
    - "linear": only the head (a linear probe). The other layers compute as in inference, without
      dropout, so that the head is trained on the features that it sees later.
    - "lora": every dense layer of the blocks computes x (W + A B), with the trained W frozen, A
      (inputs, rank) random and B (rank, outputs) zero. A, B and the head are trained; biases,
      normalizations, class token and positions are frozen too. `merge_lora` adds A B to W.

    Args:
        model: a `ViT`; for "full" any model, for "linear" any model with a layer named "head".
        mode: "full", "linear" or "lora".
        rank: rank of A and B.

    Returns:
        `Counts(trainable, frozen)` of the model's weights.

    Raises:
        ValueError: `mode` is invalid, the model has no head or no blocks, or it already has LoRA
            and should be merged first.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=32, num_classes=10)
    >>> keras_vit.training.freeze(model, "linear")
    Counts(trainable=650, frozen=147520)
    >>> keras_vit.training.freeze(model, "lora", rank=4)
    Counts(trainable=12938, frozen=147520)

    Reference: https://arxiv.org/abs/2106.09685 (LoRA)
    """
    arguments.one_of("full", "linear", "lora")("mode", mode)
    arguments.positive_integer("rank", rank)
    _check(model, mode)
    model.trainable = True
    for layer in model.layers:  # on TensorFlow, `model.trainable` does not change its layers
        layer.trainable = mode != "linear" or layer.name == "head"
    if mode == "lora":
        for layer in _dense_layers(model):
            layer.enable_lora(rank)
        for layer in model.layers:
            for weight in layer.weights:
                weight.trainable = layer.name == "head" or "lora_kernel" in weight.name
    for layer in _layers(model):
        _set_dropout(layer, layer.trainable)
    trainable = _size(model.trainable_weights)
    return Counts(trainable, _size(model.weights) - trainable)


def merge_lora(model):
    """Returns a copy of a model in which W + A B replaces LoRA's W, A and B.

    It can be exported and written as a checkpoint, like any model without LoRA; it is trainable and
    not compiled.

    Args:
        model: a model of this package after `freeze(model, "lora")`; it is not changed.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=32, num_classes=10)
    >>> counts = keras_vit.training.freeze(model, "lora")
    >>> len(model.weights) - len(keras_vit.training.merge_lora(model).weights)
    32
    """
    return resizing.rebuild(model)


def _dense_layers(model):
    blocks = _layers(model, "block_")
    return [operator.attrgetter(path)(block) for block in blocks for path in DENSE]


def _layers(model, prefix=""):
    """Returns the layers with a name prefix; an `AxialBlock` is replaced by its two blocks."""
    layers = [layer for layer in model.layers if layer.name.startswith(prefix)]
    pairs = [(x.row, x.column) if isinstance(x, AxialBlock) else (x,) for x in layers]
    return [layer for pair in pairs for layer in pair]


def _set_dropout(layer, active):
    """Turns a layer's dropout on or off, since Keras also applies it in frozen layers."""
    for path, argument in DROPPING.items():
        try:
            dropout, rate = operator.attrgetter(path, argument)(layer)
        except AttributeError:
            continue
        dropout.rate = rate if active else 0.0


def _check(model, mode):
    resizing.check_model(model)
    names = [layer.name for layer in model.layers]
    if mode != "full" and "head" not in names:
        advice = "Create it with num_classes=..."
        arguments.refuse("the model must have a head to train", {"model": model.name}, advice)
    if any(layer.lora_enabled for layer in _dense_layers(model)):
        advice = "Use keras_vit.training.merge_lora(model), which returns a model without it."
        arguments.refuse("the model must not have LoRA already", {"mode": mode}, advice)
    if mode == "lora" and not any(name.startswith("block_") for name in names):
        advice = 'Use mode="linear" or "full" for a ResNet.'
        arguments.refuse("LoRA needs Transformer blocks", {"model": model.name}, advice)


def _size(weights):
    return sum(int(np.prod(weight.shape)) for weight in weights)
