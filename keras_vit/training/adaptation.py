"""What of a trained model is trained further: all of it, its head, or low-rank changes (LoRA)."""

import operator
from typing import NamedTuple

import keras
import numpy as np

from keras_vit import arguments
from keras_vit.axial import AxialBlock

# The dense layers of a block, all of which LoRA changes. Their weights are most of the model.
DENSE = ("attention.query_key_value", "attention.projection", "mlp.expand", "mlp.contract")
# Layers that drop in training, and the argument of their owner that says how often
DROPPING = {
    "drop": "dropout",
    "attention.drop": "attention.dropout",
    "mlp.drop_1": "mlp.dropout",
    "mlp.drop_2": "mlp.dropout",
    "skip_1": "stochastic_depth",
    "skip_2": "stochastic_depth",
}


class Counts(NamedTuple):
    """Numbers of single values in a model's weights."""

    trainable: int
    frozen: int


def freeze(model, mode, rank=8):
    """Sets what of a model is trained. Call it before `compile`.

    - "full": everything.
    - "linear": the head alone. The rest computes as in inference: nothing is dropped, so the head
      sees the features that it will see later (a linear probe).
    - "lora": every dense layer of the blocks computes x (W + A B) with the trained W frozen, A
      (inputs, rank) random and B (rank, outputs) zero; A, B and the head are trained. Biases,
      normalisations, class token and positions are frozen too. `merge_lora` adds A B to W again.

    Args:
        model: a `ViT`; for "full" any model, for "linear" any that has a layer called "head".
        mode: "full", "linear" or "lora".
        rank: of A and B.

    Returns:
        `Counts(trainable, frozen)` of the model's weights.

    Raises:
        ValueError: there is no such mode, the model has no head or no blocks, or it is trained by
            LoRA already and should be merged first.

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
    for layer in model.layers:  # on TensorFlow the model's own setting does not reach its layers
        layer.trainable = mode != "linear" or layer.name == "head"
    if mode == "lora":
        _add_lora(model, rank)
    for layer in _parts(model):
        _drop(layer, layer.trainable)
    trainable = _size(model.trainable_weights)
    return Counts(trainable, _size(model.weights) - trainable)


def merge_lora(model):
    """Returns the same model without LoRA: W + A B in place of W, A and B.

    It has the weights of a model that never had LoRA, so it can be saved, exported and written as a
    checkpoint like any other. Where the model has no LoRA, it is a copy.

    Args:
        model: a model of this package after `freeze(model, "lora")`; it stays as it is.

    Returns:
        A new model, all trainable, not compiled.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=32, num_classes=10)
    >>> counts = keras_vit.training.freeze(model, "lora")
    >>> len(model.weights) - len(keras_vit.training.merge_lora(model).weights)
    32
    """
    merged = type(model).from_config(model.get_config())
    values = {w.path: keras.ops.convert_to_numpy(w) for w in model.weights}
    for layer in _dense_layers(model):
        if layer.lora_enabled:
            a, b = (values[w.path] for w in (layer.lora_kernel_a, layer.lora_kernel_b))
            kernel = f"{layer.path}/kernel"
            values[kernel] = values[kernel] + np.matmul(a, b) * layer.lora_alpha / layer.lora_rank
    for weight in merged.weights:
        weight.assign(values[weight.path])
    return merged


def _add_lora(model, rank):
    for layer in _dense_layers(model):
        layer.enable_lora(rank)
    for layer in model.layers:
        for weight in layer.weights:
            weight.trainable = layer.name == "head" or "lora_kernel" in weight.name


def _dense_layers(model):
    blocks = _parts(model, "block_")
    return [operator.attrgetter(path)(block) for block in blocks for path in DENSE]


def _parts(model, prefix=""):
    """The layers of these names; in place of an `AxialBlock` the two blocks that it is."""
    layers = [layer for layer in model.layers if layer.name.startswith(prefix)]
    pairs = [(x.row, x.column) if isinstance(x, AxialBlock) else (x,) for x in layers]
    return [layer for pair in pairs for layer in pair]


def _drop(layer, active):
    """Lets a layer's dropout work, or not: Keras drops in a frozen layer as well."""
    for path, argument in DROPPING.items():
        try:
            dropout, rate = operator.attrgetter(path, argument)(layer)
        except AttributeError:
            continue
        dropout.rate = rate if active else 0.0


def _check(model, mode):
    names = [layer.name for layer in model.layers]
    if mode != "full" and "head" not in names:
        advice = "Make it with num_classes=..."
        arguments.refuse("the model must have a head to train", {"model": model.name}, advice)
    if any(layer.lora_enabled for layer in _dense_layers(model)):
        advice = "Use keras_vit.training.merge_lora(model), which returns a model without."
        arguments.refuse("the model must not have LoRA already", {"mode": mode}, advice)
    if mode == "lora" and not any(name.startswith("block_") for name in names):
        advice = 'Use mode="linear" or "full" for a ResNet.'
        arguments.refuse("LoRA needs a Transformer's blocks", {"model": model.name}, advice)


def _size(weights):
    return sum(int(np.prod(weight.shape)) for weight in weights)
