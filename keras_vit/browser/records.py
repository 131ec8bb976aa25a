"""A model as a list of records, one for each layer, from which the engine builds its own.

Layers are looked up by their exact class, so a subclass that computes something else is refused.
"""

import itertools

import keras
import numpy as np

from keras_vit import arguments
from keras_vit.ablations.placement import UnplacedPatchEncoder
from keras_vit.convolutions import HybridConv, HybridRoot, HybridUnit, SmallRoot
from keras_vit.descendants.beit import BiasedBlock, BiasedSelfAttention
from keras_vit.descendants.clip import QuickBlock, QuickMLP
from keras_vit.descendants.deit import ClassAndDistillationToken
from keras_vit.descendants.dinov2 import (
    ClassTokenAndMean,
    GatedBlock,
    GatedMLP,
    PatchMean,
    RegisterViT,
)
from keras_vit.descendants.dinov3 import RotaryBlock, RotarySelfAttention
from keras_vit.descendants.eva import EVABlock, EVASelfAttention, NormGatedMLP
from keras_vit.descendants.pe import PEBlock, PESelfAttention
from keras_vit.descendants.pooling import AttentionPooling
from keras_vit.descendants.timm_hybrid import TimmConv, TimmRoot, TimmUnit
from keras_vit.layers import (
    MLP,
    LayerNorm,
    PatchEncoder,
    Patches,
    SelfAttention,
    TransformerBlock,
)
from keras_vit.pixel_range import Normalize
from keras_vit.vit import ClassToken, Head

ACTIVATIONS = ("linear", "tanh")  # of dense layers
ADVICE = "Pages hold the paper's ViT, its hybrids and the models of keras_vit.descendants. For "
ADVICE += "others: docs/howto/export.md."


class Unknown(Exception):
    """A layer that the engine does not have."""


def describe(model):
    """Returns (records of the layers, sizes of the model).

    Raises:
        ValueError: the model is not a classifier, or has a layer that the engine does not compute.
    """
    received = {"model": type(model).__name__}
    layers = getattr(model, "operations", [])  # layers, and the operations between them
    if not _is_chain(model, layers):
        want = "a page needs a model whose layers follow one another"
        arguments.refuse(want, received, ADVICE)
    records, blocks = [], itertools.count()
    for layer in layers[1:]:
        try:
            record = {"name": getattr(layer, "path", layer.name), **_describe(layer, model)}
        except Unknown as error:
            want = "a page needs layers that its engine computes"
            arguments.refuse(want, {**received, "layer": layer.name, "class": str(error)}, ADVICE)
        if record["class"] == "TransformerBlock":
            record["number"] = next(blocks)
        records.append(record)
    found = {record["class"]: record for record in records}
    if not {"Patches", "PatchEncoder"} <= set(found) or not _is_classifier(model, records):
        advice = "keras-vit train gives a model a head."
        want = "a page needs a classifier"
        arguments.refuse(want, {**received, "output": model.output_shape}, advice)
    _, height, width, channels = model.input_shape
    if channels not in (1, 3):
        want = "a page needs a model of grayscale (1) or color (3) images"
        arguments.refuse(want, {**received, "channels": channels})
    return records, {
        "image_size": (height, width),
        "channels": channels,
        "grid": found["Patches"]["grid"],
        "prefix_tokens": found["PatchEncoder"]["prefix_tokens"],
        "pools_patches": found.get("Pool", {"tokens": 0})["tokens"] == 0,
        "blocks": next(blocks),
        "heads": found.get("TransformerBlock", {}).get("num_heads", 0),
    }


def _is_chain(model, layers):
    """Returns whether the only input of each layer is the output of the one before it."""
    try:
        pairs = itertools.pairwise(layers)
        return layers[-1].output is model.output and all(b.input is a.output for a, b in pairs)
    except (AttributeError, IndexError, ValueError):
        return False


def _is_classifier(model, records):
    """Returns whether a model ends in a linear layer for its classes."""
    has_head = getattr(model, "num_classes", 0) is not None  # CLIP's projection is not a head
    return has_head and records[-1].get("activation") == "linear"


def _describe(layer, model):
    """Returns the record of a layer, without its name."""
    name = type(layer).__name__
    describe_kind = _skip if name == "GetItem" else KINDS.get(type(layer))
    if describe_kind is None:
        raise Unknown(name)
    if any(getattr(part, "quantization_mode", None) for part in _parts(layer)):
        raise Unknown(f"{name}, quantized by Keras")
    if any(_has_activation(part) for part in _parts(layer) if part is not layer):
        raise Unknown(f"{name}, with an activation of its dense layers")
    return describe_kind(layer, model)


def _parts(layer):
    return layer._flatten_layers() if isinstance(layer, keras.Layer) else ()


def _has_activation(layer):
    """Returns whether the activation of a dense layer has been changed."""
    dense = isinstance(layer, (keras.layers.Dense, keras.layers.EinsumDense))
    return dense and layer.activation is not keras.activations.linear


def _normalize(layer, model):
    channels = model.input_shape[-1]
    pair = layer.normalize or (0.0, 1.0)
    mean, deviation = (np.broadcast_to(x, (channels,)).tolist() for x in pair)
    return {"class": "Normalize", "mean": mean, "deviation": deviation}


def _encoder(layer, model):
    return {"class": "PatchEncoder", "prefix_tokens": layer.prefix_tokens}


def _norm(layer, model):
    if layer.rms_scaling or not (layer.center and layer.scale):
        raise Unknown("LayerNorm without center or scale")
    return {"class": "LayerNorm", "epsilon": layer.epsilon}


def _mlp(layer):
    """Returns what the engine needs to know about an MLP."""
    plain = {"activation": "approximate" if layer.approximate else "gelu", "gated": False}
    gated = {"activation": "silu", "gated": True}
    kinds = {
        MLP: plain,
        QuickMLP: {"activation": "quick", "gated": False},
        GatedMLP: gated,
        NormGatedMLP: gated,
    }
    if type(layer) not in kinds:
        raise Unknown(type(layer).__name__)
    return kinds[type(layer)]


def _block(layer, model):
    sizes = {"num_heads": layer.num_heads, "epsilon": layer.epsilon}
    return {
        "class": "TransformerBlock",
        **sizes,
        **_attention(layer.attention),
        **_mlp(layer.mlp),
    }


def _attention(layer):
    """Returns what the engine needs to know about an attention layer."""
    kinds = {
        SelfAttention: lambda layer: {"attention": "SelfAttention"},
        BiasedSelfAttention: lambda layer: {
            "attention": "BiasedSelfAttention",
            "grid": layer.grid,
        },
        RotarySelfAttention: _rotary,
        EVASelfAttention: _rotary,
        PESelfAttention: _rotary,
    }
    if type(layer) not in kinds:
        raise Unknown(type(layer).__name__)
    return kinds[type(layer)](layer)


def _rotary(layer):
    """Describes rotary positions: a patch's place is `first` + row * `down` + column * `right`."""
    places = layer.places().reshape(*layer.grid, 2)
    first, below, beside = places[0, 0], places[:2, 0][-1], places[0, :2][-1]
    return {
        "attention": "RotarySelfAttention",
        "grid": layer.grid,
        "prefix_tokens": layer.prefix_tokens,
        "first": first.tolist(),
        "down": (below - first).tolist(),
        "right": (beside - first).tolist(),
        "theta": layer.theta,
        "neighbors": isinstance(layer, EVASelfAttention),
    }


def _attention_pooling(layer, model):
    sizes = {"num_heads": layer.num_heads, "epsilon": layer.epsilon}
    return {"class": "AttentionPooling", **sizes, **_mlp(layer.mlp)}


def _patches(layer, model):
    return {"class": "Patches", "patch_size": layer.patch_size, "grid": layer.grid}


def _convolutions(kind):
    """Returns a function that describes a root or a unit of a hybrid's ResNet."""
    epsilons = {HybridConv: (0, 1e-5), TimmConv: (1e-8, 0)}  # inside and outside the square root

    def describe_convolutions(layer, model):
        sizes = {"size": getattr(layer, "kernel_size", None), "strides": layer.strides}
        return {
            "class": kind,
            **sizes,
            "epsilon": layer.epsilon,
            "epsilons": epsilons[layer.conv_layer],
        }

    return describe_convolutions


def _dense(layer, model):
    activation = keras.activations.serialize(layer.activation)
    if activation not in ACTIVATIONS:
        raise Unknown(f"Dense with activation {activation!r}")
    return {"class": "Dense", "activation": activation}


def _pool(tokens, mean_from=lambda layer: None):
    """Returns a function that describes a pooling of some tokens and the mean of the others."""
    return lambda layer, model: {
        "class": "Pool",
        "tokens": tokens,
        "mean_from": mean_from(layer),
    }


def _skip(layer, model):
    """Describes the slice by which `RegisterViT` leaves out its registers."""
    if not isinstance(model, RegisterViT):
        raise Unknown("GetItem")
    return {"class": "Skip", "tokens": model.num_registers}


KINDS = {
    Normalize: _normalize,
    **dict.fromkeys((HybridRoot, SmallRoot, TimmRoot), _convolutions("HybridRoot")),
    **dict.fromkeys((HybridUnit, TimmUnit), _convolutions("HybridUnit")),
    Patches: _patches,
    PatchEncoder: _encoder,
    UnplacedPatchEncoder: _encoder,
    TransformerBlock: _block,
    GatedBlock: _block,
    QuickBlock: _block,
    BiasedBlock: _block,
    RotaryBlock: _block,
    EVABlock: _block,
    PEBlock: _block,
    LayerNorm: _norm,
    ClassToken: _pool(1),
    ClassAndDistillationToken: _pool(2),
    ClassTokenAndMean: _pool(1, lambda layer: layer.prefix_tokens),
    PatchMean: _pool(0, lambda layer: layer.prefix_tokens),
    keras.layers.GlobalAveragePooling1D: _pool(0, lambda layer: 0),
    AttentionPooling: _attention_pooling,
    keras.layers.UnitNormalization: lambda layer, model: {"class": "UnitLength"},
    keras.layers.Dense: _dense,
    Head: _dense,
}
