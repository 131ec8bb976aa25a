"""Families of models that are refused, by their names in a configuration or by their tensors."""

import re
from typing import NamedTuple

from keras_vit import arguments as check
from keras_vit.checkpoints.configurations import configuration


class Family(NamedTuple):
    """A family of models: the feature that no layer here has, and patterns of its names.

    Attributes:
        reason: that feature.
        model_type: pattern of the `model_type` in transformers.
        architecture: pattern of the architecture in timm.
        tensors: pattern that matches only its sorted tensor names, one per line.
    """

    reason: str
    model_type: str
    architecture: str
    tensors: str


FAMILIES = {
    "SAM": Family(
        "attention in windows, with relative positions for rows and for columns",
        "sam[23]?(_.*)?", "samvit_.*", r"\.attn\.rel_pos_h$",
    ),
    "Swin": Family(
        "attention in windows that shift, and stages of different widths",
        "swin.*", "swin.*", r"(^|\.)layers\.\d+\.downsample\.reduction\.weight$",
    ),
    "Hiera": Family(
        "stages of different widths",
        "hiera", "(sam2_)?hiera_.*",
        r"^(hiera\.)?encoder\.stages\.\d\.layers\.\d+\.attn\.qkv\.weight$|^blocks\.\d+\.proj\.weight$",
    ),
    "AIMv2": Family(
        "RMS norms, and layers without biases",
        "aimv2.*", "aimv2_.*",
        r"\.rms_norm1\.weight$|^blocks\.0\.mlp\.fc1_g.*^patch_embed\.norm\.weight$",
    ),
    "NaFlex": Family(
        "images of any shape, in padded sequences",
        "siglip2(_vision_model)?", "naflexvit_.*", r"^embeds\.proj\.weight$",
    ),
}  # fmt: skip


def check_family(path, specs):
    """Raises `ValueError` if a file belongs to one of these families."""
    config = configuration.read_beside(path, "config.json")
    names = "\n".join(sorted(specs))
    for name, family in FAMILIES.items():
        found = {}
        for field in ("model_type", "architecture"):
            if re.fullmatch(getattr(family, field), str(config.get(field))):
                found[field] = config[field]
        match = re.search(family.tensors, names, re.DOTALL | re.MULTILINE)
        if match:
            found["tensor"] = names[: match.end()].split("\n")[-1]
        if found:
            want = "the weights must be those of a Vision Transformer with blocks as in the paper"
            advice = f"{name} has {family.reason}, so it is not supported."
            check.refuse(want, {"path": str(path), **found}, advice)
