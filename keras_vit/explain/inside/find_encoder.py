"""Finds the Transformer encoder inside a model: its blocks, its grid and its prefix tokens."""

import math
from typing import NamedTuple

import keras

from keras_vit import arguments
from keras_vit.ablations.axial import AxialBlock
from keras_vit.descendants import (
    AttentionPooling,
    ClassAndDistillationToken,
    ClassTokenAndMean,
    PatchMean,
)
from keras_vit.layers import PatchEncoder, Patches, TransformerBlock

BLOCKS = (TransformerBlock, AxialBlock)
# Views that work without a (tokens, tokens) matrix of attention scores.
WITHOUT_SCORES = (
    "grad_cam, occlusion, logit_lens, token_similarity, token_colors, token_norms, cka, nearest, "
    "position_similarity, embedding_filters, deletion_curve"
)


class Encoder(NamedTuple):
    """A Transformer encoder inside a model.

    Attributes:
        blocks: its `TransformerBlock`s, or `AxialBlock`s, in order.
        patches: its `Patches` layer.
        patch_encoder: its `PatchEncoder` layer.
        grid: (rows, columns) of patches.
        patch_size: (height, width) of a patch, in pixels of the image.
        prefix_tokens: number of tokens before the patch tokens.
        class_tokens: number of them that are not registers: 1, 2 with DeiT's distillation token, or
            0 in a model without a class token.
        pools_patches: whether the model pools the patches' tokens instead of a prefix token.
    """

    blocks: tuple
    patches: Patches
    patch_encoder: PatchEncoder
    grid: tuple
    patch_size: tuple
    prefix_tokens: int
    class_tokens: int
    pools_patches: bool

    @property
    def reads_class_token(self):
        """Whether the head reads class tokens, not the mean of the patches."""
        return self.class_tokens > 0 and not self.pools_patches


def find(model):
    """Finds the Transformer encoder in a model.

    Args:
        model: a `ViT`, hybrid or not; a model built from `Patches`, `PatchEncoder` and
            `TransformerBlock`; or any Keras model that contains one of these.

    Returns:
        An `Encoder`.

    Raises:
        ValueError: the model has no Transformer blocks (a ResNet, for example), has more than one
            encoder, or is not built yet.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=(16, 32))
    >>> encoder = keras_vit.explain.inside.find_encoder.find(model)
    >>> len(encoder.blocks), encoder.grid, encoder.prefix_tokens
    (4, (2, 4), 1)
    """
    if not hasattr(model, "layers"):
        want, advice = "this view needs a Keras model", "Pass the model first, then the images."
        arguments.refuse(want, {"model": type(model).__name__}, advice)
    pairs = list(walk(model))
    patches = _find_one(Patches, pairs, model)
    patch_encoder = _find_one(PatchEncoder, pairs, model)
    blocks = tuple(layer for layer, _ in pairs if isinstance(layer, BLOCKS))
    if not blocks:
        _refuse(model, "TransformerBlock", 0)
    owner = next(owner for layer, owner in pairs if layer is patches)
    if not patches.built:
        want = "the model must be built before its encoder is read"
        arguments.refuse(want, {"model": model.name}, "Call it once on an image.")
    layers, count = [layer for layer, _ in pairs], math.prod(patches.grid)
    return Encoder(
        blocks=blocks,
        patches=patches,
        patch_encoder=patch_encoder,
        grid=tuple(patches.grid),
        patch_size=_patch_size(patches, owner),
        prefix_tokens=patch_encoder.prefix_tokens,
        class_tokens=min(patch_encoder.prefix_tokens, _count_class_tokens(layers, count)),
        pools_patches=any(_pools_patches(layer, count) for layer in layers),
    )


def find_attention(model):
    """Finds the encoder of a model in which every token attends to all tokens.

    Args:
        model: as for `find`.

    Returns:
        An `Encoder`.

    Raises:
        ValueError: as for `find`, and if attention is axial, along rows and columns.
    """
    encoder = find(model)
    axial = [block.name for block in encoder.blocks if isinstance(block, AxialBlock)]
    if axial:
        want = "this view needs attention among all tokens; axial attention, along rows and then "
        want += "along columns, has no matrix (tokens, tokens)"
        advice = f"Views that work with this model: {WITHOUT_SCORES}."
        arguments.refuse(want, {"model": model.name, "AxialBlock layers in it": len(axial)}, advice)
    return encoder


def has_blocks(model):
    """Returns whether a model contains Transformer blocks."""
    return any(isinstance(layer, BLOCKS) for layer, _ in walk(model))


def has_attention(model):
    """Returns whether a model contains blocks whose tokens all attend to each other."""
    blocks = [layer for layer, _ in walk(model) if isinstance(layer, BLOCKS)]
    return bool(blocks) and not any(isinstance(block, AxialBlock) for block in blocks)


def find_token_layers(model):
    """Returns the layers that output all tokens, {name: layer}, in the order of the model.

    They are the `PatchEncoder`, the blocks, and layers named "encoder_norm" before pooling.

    Args:
        model: as for `find`.

    Raises:
        ValueError: as for `find`.
    """
    encoder = find(model)
    norms = [layer for layer, _ in walk(model) if layer.name == "encoder_norm"]
    norms = [norm for norm in norms if _takes_tokens(norm)]
    return {layer.name: layer for layer in (encoder.patch_encoder, *encoder.blocks, *norms)}


def _count_class_tokens(layers, count):
    """Returns the number of class tokens of a model of `count` patches with prefix tokens."""
    if any(isinstance(layer, ClassAndDistillationToken) for layer in layers):
        return 2
    return 0 if any(_takes_patches_alone(layer, count) for layer in layers) else 1


def _takes_patches_alone(layer, count):
    """Returns whether a layer pools the tokens of `count` patches and receives no others."""
    pools = isinstance(layer, (keras.layers.GlobalAveragePooling1D, AttentionPooling))
    return pools and _find_input_shape(layer)[1:2] == (count,)


def _pools_patches(layer, count):
    """Returns whether a layer pools the tokens of `count` patches, not only a prefix token."""
    if isinstance(layer, keras.layers.GlobalAveragePooling1D):
        return _takes_patches_alone(layer, count)
    kinds = (AttentionPooling, PatchMean)
    return isinstance(layer, kinds) and not isinstance(layer, ClassTokenAndMean)


def _takes_tokens(layer):
    """Returns whether a layer is called with tokens; True if that is unknown."""
    return len(_find_input_shape(layer)) in (0, 3)


def _find_input_shape(layer):
    """Returns the shape of a layer's input; () if the layer is not part of a graph."""
    try:
        return tuple(layer.input.shape)
    except (AttributeError, ValueError):
        return ()


def walk(model):
    """Yields (layer, the model that contains it), including the layers of nested models."""
    for layer in getattr(model, "layers", ()):
        if isinstance(layer, keras.Model):
            yield from walk(layer)
        else:
            yield layer, model


def _patch_size(patches, owner):
    """Returns the patch size in image pixels; a hybrid's `Patches` counts positions of its map."""
    shape = getattr(owner, "input_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 4 or None in shape[1:3]:
        return patches.patch_size  # the input shape of a subclassed model is unknown
    return shape[1] // patches.grid[0], shape[2] // patches.grid[1]


def _find_one(kind, pairs, model):
    layers = [layer for layer, _ in pairs if isinstance(layer, kind)]
    if len(layers) != 1:
        _refuse(model, kind.__name__, len(layers))
    return layers[0]


def _refuse(model, kind, count):
    want = "this view needs a model with one Transformer encoder, made of `Patches`, "
    want += "`PatchEncoder` and `TransformerBlock`s"
    advice = "Pass the submodel that contains one encoder."
    if not count:
        advice = "Views that work without attention: "
        advice += "cka, grad_cam, occlusion, nearest, deletion_curve, and embedding_filters for a "
        advice += "`keras_vit.ResNet`."
    arguments.refuse(want, {"model": model.name, f"{kind} layers in it": count}, advice)
