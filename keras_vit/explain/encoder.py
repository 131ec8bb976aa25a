"""The Transformer encoder inside a model: where its blocks are, and what a token stands for."""

from typing import NamedTuple

import keras

from keras_vit import arguments
from keras_vit.axial import AxialBlock
from keras_vit.layers import PatchEncoder, Patches, TransformerBlock

BLOCKS = (TransformerBlock, AxialBlock)
# Views of an encoder whose attention has no (tokens, tokens) matrix
WITHOUT_SCORES = (
    "grad_cam, occlusion, logit_lens, token_similarity, token_colors, token_norms, cka, nearest, "
    "position_similarity, embedding_filters, deletion_curve"
)


class Encoder(NamedTuple):
    """A Transformer encoder as it stands in a model.

    Attributes:
        blocks: its `TransformerBlock`s, or `AxialBlock`s, in order.
        patches: its `Patches`.
        patch_encoder: its `PatchEncoder`.
        grid: (rows, columns) of patches.
        patch_size: (height, width) of a patch, in pixels of the image that the encoder gets.
        prefix_tokens: number of tokens before those of the patches.
    """

    blocks: tuple
    patches: Patches
    patch_encoder: PatchEncoder
    grid: tuple
    patch_size: tuple
    prefix_tokens: int


def find(model):
    """Finds the Transformer encoder in a model.

    Args:
        model: a `ViT`, hybrid or not; a model that was put together from `Patches`, `PatchEncoder`
            and `TransformerBlock`; or any Keras model that contains one of these.

    Returns:
        An `Encoder`.

    Raises:
        ValueError: the model has no Transformer blocks (a ResNet, for example), more than one
            encoder, or is not built yet.

    Example:
    >>> found = keras_vit.explain.encoder.find(keras_vit.create("ViT-Mini/8", image_size=(16, 32)))
    >>> len(found.blocks), found.grid, found.prefix_tokens
    (4, (2, 4), 1)
    """
    everything = list(members(model))
    patches = _only(Patches, everything, model)
    patch_encoder = _only(PatchEncoder, everything, model)
    blocks = tuple(layer for layer, _ in everything if isinstance(layer, BLOCKS))
    if not blocks:
        _refuse(model, "TransformerBlock", 0)
    owner = next(owner for layer, owner in everything if layer is patches)
    if not patches.built:
        want = "a model is built before it can be looked into"
        arguments.refuse(want, {"model": model.name}, "Call it once on an image.")
    return Encoder(
        blocks=blocks,
        patches=patches,
        patch_encoder=patch_encoder,
        grid=tuple(patches.grid),
        patch_size=_patch_size(patches, owner),
        prefix_tokens=patch_encoder.prefix_tokens,
    )


def find_attention(model):
    """Finds the encoder of a model whose tokens all attend to each other.

    Args:
        model: as for `find`.

    Returns:
        An `Encoder`.

    Raises:
        ValueError: `find` does, or attention is in rows and columns of patches.
    """
    found = find(model)
    axial = [block.name for block in found.blocks if isinstance(block, AxialBlock)]
    if axial:
        want = "this view needs attention among all tokens; within rows, then within columns "
        want += "there is no matrix (tokens, tokens)"
        advice = f"Of such a model these can be seen: {WITHOUT_SCORES}."
        arguments.refuse(want, {"model": model.name, "AxialBlock layers in it": len(axial)}, advice)
    return found


def has(model):
    """Whether there are blocks of a Transformer in a model."""
    return any(isinstance(layer, BLOCKS) for layer, _ in members(model))


def has_attention(model):
    """Whether there are blocks in a model, and tokens all attend to each other."""
    blocks = [layer for layer, _ in members(model) if isinstance(layer, BLOCKS)]
    return bool(blocks) and not any(isinstance(block, AxialBlock) for block in blocks)


def token_layers(model):
    """Returns the layers whose output is all tokens, {name: layer}, in the order of the model.

    They are the `PatchEncoder`, the blocks, and layers that are named "encoder_norm".

    Args:
        model: as for `find`.

    Raises:
        ValueError: `find` does.
    """
    found = find(model)
    norms = [layer for layer, _ in members(model) if layer.name == "encoder_norm"]
    return {layer.name: layer for layer in (found.patch_encoder, *found.blocks, *norms)}


def members(model):
    """Yields (layer, the model that it stands in), also from models within the model."""
    for layer in getattr(model, "layers", ()):
        if isinstance(layer, keras.Model):
            yield from members(layer)
        else:
            yield layer, model


def _patch_size(patches, owner):
    """In pixels of the image; `Patches` of a hybrid knows positions of its feature map."""
    shape = getattr(owner, "input_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 4 or None in shape[1:3]:
        return patches.patch_size  # a model with its own `call` does not say what it takes
    return shape[1] // patches.grid[0], shape[2] // patches.grid[1]


def _only(kind, everything, model):
    found = [layer for layer, _ in everything if isinstance(layer, kind)]
    if len(found) != 1:
        _refuse(model, kind.__name__, len(found))
    return found[0]


def _refuse(model, kind, count):
    want = "this view needs a model with one Transformer encoder, made of `Patches`, "
    want += "`PatchEncoder` and `TransformerBlock`s"
    advice = "Give the part of the model that has one."
    if not count:
        advice = "Of a model without attention these can be seen: "
        advice += "cka, grad_cam, occlusion, nearest, deletion_curve; of ours embedding_filters."
    arguments.refuse(want, {"model": model.name, f"{kind} layers in it": count}, advice)
