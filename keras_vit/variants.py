"""Table 1 of the paper and its relatives, as data."""

import difflib
import re
from typing import NamedTuple

# name: layers, hidden size D, MLP size, heads
SIZES = {
    "Mini": (4, 64, 128, 4),  # ours: images of 8 to 64 pixels on a laptop
    "Midi": (6, 128, 256, 4),  # ours: CIFAR-10 from scratch
    "Ti": (12, 192, 768, 3),  # Ti and S: DeiT, arXiv 2012.12877, Table 1; AugReg, arXiv 2106.10270
    "S": (12, 384, 1536, 6),
    "B": (12, 768, 3072, 12),  # B, L and H: Table 1
    "L": (24, 1024, 4096, 16),
    "H": (32, 1280, 5120, 16),
    "g": (40, 1408, 6144, 16),  # g and G: "Scaling Vision Transformers", arXiv 2106.04560, Table 2
    "G": (48, 1664, 8192, 16),
}
PATCH_SIZES = (8, 14, 16, 32)
# Names of the sizes in timm and at Hugging Face
ELSEWHERE = {"tiny": "Ti", "small": "S", "base": "B", "large": "L", "huge": "H"}

# depth: residual units in each stage, arXiv 1512.03385, Table 1; 26 and 200: big_vision, bit.py
DEPTHS = {
    "26": (2, 2, 2, 2),
    "50": (3, 4, 6, 3),
    "101": (3, 4, 23, 3),
    "152": (3, 8, 36, 3),
    "200": (3, 24, 36, 3),
}
# Section 4.1: /32 are the positions of stage 4; for /16 its units are moved into stage 3.
# name: size, patch in pixels, units in each stage
HYBRIDS = {
    # The root divides the size by 4, and a patch is 8 x 8 positions: 32 pixels, despite the name.
    "R+ViT-Ti/16": ("Ti", 32, ()),  # this, R26 and R50+ViT-L/32: AugReg, arXiv 2106.10270
    "R26+ViT-S/32": ("S", 32, DEPTHS["26"]),
    "R26+ViT-B/32": ("B", 32, DEPTHS["26"]),
    "R50+ViT-B/16": ("B", 16, (3, 4, 9)),
    "R50+ViT-B/32": ("B", 32, DEPTHS["50"]),
    "R50+ViT-L/16": ("L", 16, (3, 4, 9)),
    "R50+ViT-L/32": ("L", 32, DEPTHS["50"]),
}
# Ours, for images of 32 pixels: a smaller root, and two stages of half as many channels
SMALL_HYBRIDS = {"R+ViT-Midi/4": ("Midi", 4, (2, 2)), "R+ViT-Midi/8": ("Midi", 8, (2, 2))}
# BiT, arXiv 1912.11370, and the paper's Table 6
BIT_NAMES = ("R50x1", "R50x2", "R50x3", "R101x1", "R101x3", "R152x1", "R152x2", "R152x4", "R200x3")

AXIAL_NAMES = ("Axial-ViT-B/32", "Axial-ViT-B/16", "Axial-R50x1")  # Figure 13


# Number of weights at 224 x 224 x 3 pixels and 1000 classes. A test builds each model and counts
# them; those of ViT-B and ViT-L are also published.
PARAMETERS = {
    "ViT-Mini/8": 261_672,
    "ViT-Mini/14": 253_224,
    "ViT-Mini/16": 260_904,
    "ViT-Mini/32": 398_952,
    "ViT-Midi/8": 1_049_448,
    "ViT-Midi/14": 1_032_552,
    "ViT-Midi/16": 1_047_912,
    "ViT-Midi/32": 1_324_008,
    "ViT-Ti/8": 5_719_720,
    "ViT-Ti/14": 5_694_376,
    "ViT-Ti/16": 5_717_416,
    "ViT-Ti/32": 6_131_560,
    "ViT-S/8": 22_055_272,
    "ViT-S/14": 22_004_584,
    "ViT-S/16": 22_050_664,
    "ViT-S/32": 22_878_952,
    "ViT-B/8": 86_576_872,
    "ViT-B/14": 86_475_496,
    "ViT-B/16": 86_567_656,
    "ViT-B/32": 88_224_232,
    "ViT-L/8": 304_338_920,
    "ViT-L/14": 304_203_752,
    "ViT-L/16": 304_326_632,
    "ViT-L/32": 306_535_400,
    "ViT-H/8": 632_214_760,
    "ViT-H/14": 632_045_800,
    "ViT-H/16": 632_199_400,
    "ViT-H/32": 634_960_360,
    "ViT-g/8": 1_012_797_288,
    "ViT-g/14": 1_012_611_432,
    "ViT-g/16": 1_012_780_392,
    "ViT-g/32": 1_015_817_448,
    "ViT-G/8": 1_844_660_328,
    "ViT-G/14": 1_844_440_680,
    "ViT-G/16": 1_844_640_360,
    "ViT-G/32": 1_848_229_608,
    "R+ViT-Midi/4": 1_562_376,
    "R+ViT-Midi/8": 1_359_624,
    "R+ViT-Ti/16": 6_337_704,
    "R26+ViT-S/32": 36_431_912,
    "R26+ViT-B/32": 101_383_976,
    "R50+ViT-B/16": 98_659_112,
    "R50+ViT-B/32": 110_945_832,
    "R50+ViT-L/16": 316_483_624,
    "R50+ViT-L/32": 328_994_856,
    "R50x1": 25_549_352,
    "R50x2": 97_988_712,
    "R50x3": 217_319_080,
    "R101x1": 44_541_480,
    "R101x3": 387_934_888,
    "R152x1": 60_185_128,
    "R152x2": 236_335_208,
    "R152x4": 936_533_224,
    "R200x3": 568_633_000,
    "Axial-ViT-B/32": 173_277_160,
    "Axial-ViT-B/16": 171_620_584,
    "Axial-R50x1": 24_586_920,
}


@property
def _parameters(row):
    """Number of weights at 224 x 224 x 3 pixels and 1000 classes; None if it is not tabulated."""
    counts = {(type(parse(name)), parse(name)): count for name, count in PARAMETERS.items()}
    return counts.get((type(row), row))


class Variant(NamedTuple):
    """One row of the table: the shape of a Vision Transformer."""

    num_layers: int
    hidden_dim: int
    mlp_dim: int
    num_heads: int
    patch_size: int
    parameters = _parameters


class HybridVariant(NamedTuple):
    """The shape of a hybrid: a Vision Transformer on the feature map of a ResNet."""

    num_layers: int
    hidden_dim: int
    mlp_dim: int
    num_heads: int
    patch_size: int
    resnet_units: tuple
    parameters = _parameters


class SmallHybridVariant(HybridVariant):
    """The shape of a hybrid for images of 32 pixels."""


class BiT(NamedTuple):
    """The shape of a BiT ResNet: residual units in each stage, and a factor for all channels."""

    units: tuple
    width: int
    parameters = _parameters


class AxialVariant(Variant):
    """The shape of an Axial-ViT, whose blocks attend in rows and columns: Appendix D.6."""


class AxialBiT(BiT):
    """The shape of an AxialResNet: `BiT` with attention in place of 3 x 3 filters, App. D.6."""


# Rows that have a name of their own, not one composed of a size: a new family adds its rows here
# and its model to `families.FAMILIES`.
NAMED = {
    name: kind(*SIZES[size], *row)
    for kind, table in ((SmallHybridVariant, SMALL_HYBRIDS), (HybridVariant, HYBRIDS))
    for name, (size, *row) in table.items()
}


def list_variants():
    """Returns every named model with its shape: `{"ViT-B/16": Variant(...), ...}`.

    `create` takes these names, the same sizes with any other patch, `"ViT-S/4"`, and the same
    ResNets with any other width, `"R26x1"`; all of these may be axial, `"Axial-ViT-S/16"`.

    Example:
    >>> keras_vit.list_variants()["R50+ViT-B/16"]
    HybridVariant(num_layers=12, hidden_dim=768, mlp_dim=3072, num_heads=12, patch_size=16,
                  resnet_units=(3, 4, 9))
    >>> keras_vit.list_variants()["R50x1"]
    BiT(units=(3, 4, 6, 3), width=1)
    >>> keras_vit.list_variants()["ViT-B/16"].parameters
    86567656

    Reference: Table 1, section 4.1 and Appendix D.6.
    """
    vits = [f"ViT-{size}/{patch}" for size in SIZES for patch in PATCH_SIZES]
    return {name: parse(name) for name in (*vits, *NAMED, *BIT_NAMES, *AXIAL_NAMES)}


def parse(name):
    """Returns the row of the table for a name.

    It is the `Variant` of "ViT-B/16", the `HybridVariant` of "R50+ViT-B/16", the `BiT` of "R50x1",
    the `AxialVariant` of "Axial-ViT-B/16", the `AxialBiT` of "Axial-R50x1". Its fields are
    arguments of the model.

    Raises:
        ValueError: no variant has this name; the message suggests the nearest ones.
    """
    text = name if isinstance(name, str) else ""
    if text in NAMED:
        return NAMED[text]
    vit = re.fullmatch(r"(Axial-)?ViT-(\w+)/([1-9]\d*)", text)
    if vit and vit[2] in SIZES:
        kind = AxialVariant if vit[1] else Variant
        return kind(*SIZES[vit[2]], patch_size=int(vit[3]))
    bit = re.fullmatch(r"(Axial-)?R(\d+)x([1-9]\d*)", text)
    if bit and bit[2] in DEPTHS:
        kind = AxialBiT if bit[1] else BiT
        return kind(DEPTHS[bit[2]], width=int(bit[3]))
    raise ValueError(
        f"`name` must be a size of {', '.join(SIZES)} and a patch, such as 'ViT-B/16', a hybrid "
        f"such as 'R50+ViT-B/16' or a ResNet such as 'R50x1'. Received: name={name!r}. "
        f"{_suggestion(name)}"
    )


def _suggestion(name):
    """Names the nearest variants; capitals are compared last, since g and G differ by them."""
    known = list(list_variants())
    by_lower_case = {}
    for variant in known:
        by_lower_case.setdefault(variant.lower(), []).append(variant)
    spelled = str(name).replace("_", "/").replace("vit/", "vit-").lower()
    elsewhere = re.search(rf"({'|'.join(ELSEWHERE)}).*?p(?:atch)?_?(\d+)", str(name).lower())
    if elsewhere:  # as timm and Hugging Face spell it: "vit_base_patch16_224"
        spelled = f"vit-{ELSEWHERE[elsewhere[1]]}/{elsewhere[2]}".lower()
    near = difflib.get_close_matches(spelled, by_lower_case, n=1, cutoff=0.5)
    names = by_lower_case[near[0]] if near else ["ViT-B/16"]
    return f"Did you mean {' or '.join(map(repr, names))}? keras_vit.list_variants() lists all."
