"""What Appendix D of the paper varies in a `ViT`: its positions (D.4) and its attention (D.6)."""

import functools

from keras_vit import arguments
from keras_vit.axial import AxialBlock
from keras_vit.layers import TransformerBlock
from keras_vit.pooling import CLASS_TOKENS
from keras_vit.positions import KINDS
from keras_vit.relative import RelativeTransformerBlock

CHECKS = {
    "position_embedding": arguments.one_of(None, *KINDS, "relative"),
    "position_placement": arguments.one_of("stem", "every", "shared"),
    "attention": arguments.one_of("full", "axial"),
}


def check(config):
    """Raises `ValueError` where arguments of a `ViT` are usable each, but not together."""
    kind, pooling = config["position_embedding"], config["pooling"]
    placement, attention = config["position_placement"], config["attention"]
    if kind not in KINDS and placement != "stem":
        want = "only positions that are added to tokens, '1d', '2d' or 'sincos', can be placed"
        received = {"position_embedding": kind, "position_placement": placement}
        arguments.refuse(want, received, "Leave position_placement out.")
    if attention == "axial" and CLASS_TOKENS[pooling]:
        want = "axial attention has rows and columns of patches, in which no class token stands"
        received = {"attention": attention, "pooling": pooling}
        arguments.refuse(want, received, "Use pooling='gap' or 'map'.")
    if attention == "axial" and kind == "relative":
        want = "positions of a model with axial attention are added to its tokens"
        received = {"attention": attention, "position_embedding": kind}
        arguments.refuse(want, received, "Use position_embedding='1d', '2d' or 'sincos'.")


def in_patch_encoder(config):
    """Whether positions are E_pos of Eq. 1, the paper's own choice, which `PatchEncoder` adds."""
    return (config["position_embedding"], config["position_placement"]) == ("1d", "stem")


def positions(config, policy):
    """Returns {number of a block: the layer that adds positions before it}, without E_pos."""
    kind, placement = config["position_embedding"], config["position_placement"]
    if kind not in KINDS or in_patch_encoder(config):
        return {}
    class_tokens = CLASS_TOKENS[config["pooling"]]
    make = functools.partial(KINDS[kind], grid(config), class_tokens, dtype=policy)
    blocks = range(config["num_layers"])
    if placement == "every":
        return {i: make(name=f"positions_{i}") for i in blocks}
    return dict.fromkeys(blocks if placement == "shared" else [0], make(name="positions"))


def block(config):
    """Returns what makes a layer of the encoder from the arguments of `TransformerBlock`."""
    if config["attention"] == "axial":
        return functools.partial(AxialBlock, grid(config))
    relative = config["position_embedding"] == "relative"
    return RelativeTransformerBlock if relative else TransformerBlock


def grid(config):
    """Returns (rows, columns) of patches."""
    return arguments.grid(config["image_size"], config["patch_size"])
