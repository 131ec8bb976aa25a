"""Table 1 of the paper and its relatives, as data."""

import difflib
import re
from typing import NamedTuple

# name: layers, hidden size D, MLP size, heads
SIZES = {
    "Mini": (4, 64, 128, 4),  # ours: pictures of 8 to 64 pixels on a laptop
    "Ti": (12, 192, 768, 3),  # Ti and S: DeiT, arXiv 2012.12877, Table 1; AugReg, arXiv 2106.10270
    "S": (12, 384, 1536, 6),
    "B": (12, 768, 3072, 12),  # B, L and H: Table 1
    "L": (24, 1024, 4096, 16),
    "H": (32, 1280, 5120, 16),
    "g": (40, 1408, 6144, 16),  # g and G: "Scaling Vision Transformers", arXiv 2106.04560, Table 2
    "G": (48, 1664, 8192, 16),
}
PATCH_SIZES = (8, 14, 16, 32)

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
    # The root divides by 4 and 8 x 8 of its positions are a patch: 32 pixels, whatever the name.
    "R+ViT-Ti/16": ("Ti", 32, ()),  # this, R26 and R50+ViT-L/32: AugReg, arXiv 2106.10270
    "R26+ViT-S/32": ("S", 32, DEPTHS["26"]),
    "R26+ViT-B/32": ("B", 32, DEPTHS["26"]),
    "R50+ViT-B/16": ("B", 16, (3, 4, 9)),
    "R50+ViT-B/32": ("B", 32, DEPTHS["50"]),
    "R50+ViT-L/16": ("L", 16, (3, 4, 9)),
    "R50+ViT-L/32": ("L", 32, DEPTHS["50"]),
}
# BiT, arXiv 1912.11370, and the paper's Table 6
BIT_NAMES = ("R50x1", "R50x2", "R50x3", "R101x1", "R101x3", "R152x1", "R152x2", "R152x4", "R200x3")

AXIAL_NAMES = ("Axial-ViT-B/32", "Axial-ViT-B/16", "Axial-R50x1")  # Figure 13


class Variant(NamedTuple):
    """One row of the table: the shape of a Vision Transformer, or of a hybrid with a ResNet."""

    num_layers: int
    hidden_dim: int
    mlp_dim: int
    num_heads: int
    patch_size: int
    resnet_units: tuple | None = None

    @property
    def parameters(self):
        """Number of weights at 224 x 224 x 3 pixels and 1000 classes, as published ones are."""
        return count_parameters(**self._asdict())


class BiT(NamedTuple):
    """The shape of a BiT ResNet: residual units in each stage, and a factor of all channels."""

    units: tuple
    width: int

    @property
    def parameters(self):
        """Number of weights for 3 channels and 1000 classes, as published ones are."""
        channels = 64 * self.width * 2 ** (len(self.units) + 1)
        root = 7 * 7 * 3 * 64 * self.width
        return root + _count_units(*self, count_bit_unit) + 2 * channels + (channels + 1) * 1000


class AxialViT(NamedTuple):
    """The shape of an Axial-ViT, whose blocks attend in rows and columns: Appendix D.6."""

    num_layers: int
    hidden_dim: int
    mlp_dim: int
    num_heads: int
    patch_size: int
    attention: str = "axial"
    pooling: str = "gap"  # a class token would stand in no row

    @property
    def parameters(self):
        """Number of weights at 224 x 224 x 3 pixels and 1000 classes."""
        return count_parameters(**self._asdict())


class AxialBiT(NamedTuple):
    """The shape of an AxialResNet: `BiT` with attention in place of 3 x 3 filters, App. D.6."""

    units: tuple
    width: int
    attention: str = "axial"

    @property
    def parameters(self):
        """Number of weights at 224 x 224 x 3 pixels and 1000 classes."""
        bit = BiT(self.units, self.width)
        return bit.parameters + count_axial_extra(*bit)


RESNETS = (BiT, AxialBiT)


def variants():
    """Returns every named model with its shape: `{"ViT-B/16": Variant(...), ...}`.

    `create` takes these names, the same sizes with any other patch, `"ViT-S/4"`, and the same
    ResNets with any other width, `"R26x1"`; all of these may be axial, `"Axial-ViT-S/16"`.

    Example:
    >>> keras_vit.variants()["R50+ViT-B/16"]
    Variant(num_layers=12, hidden_dim=768, mlp_dim=3072, num_heads=12, patch_size=16,
            resnet_units=(3, 4, 9))
    >>> keras_vit.variants()["R50x1"]
    BiT(units=(3, 4, 6, 3), width=1)
    >>> keras_vit.variants()["ViT-B/16"].parameters
    86567656

    Reference: Table 1, section 4.1 and Appendix D.6.
    """
    vits = [f"ViT-{size}/{patch}" for size in SIZES for patch in PATCH_SIZES]
    return {name: parse(name) for name in (*vits, *HYBRIDS, *BIT_NAMES, *AXIAL_NAMES)}


def parse(name):
    """Returns the row of the table that a name stands for.

    It is the `Variant` of "ViT-B/16" or "R50+ViT-B/16", the `BiT` of "R50x1", the `AxialViT` of
    "Axial-ViT-B/16", the `AxialBiT` of "Axial-R50x1". Its fields are arguments of the model.

    Raises:
        ValueError: no variant is called so; the message suggests the nearest names.
    """
    text = name if isinstance(name, str) else ""
    if text in HYBRIDS:
        size, patch_size, units = HYBRIDS[text]
        return Variant(*SIZES[size], patch_size, units)
    vit = re.fullmatch(r"(Axial-)?ViT-(\w+)/([1-9]\d*)", text)
    if vit and vit[2] in SIZES:
        kind = AxialViT if vit[1] else Variant
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
    known = list(variants())
    by_lower_case = {}
    for variant in known:
        by_lower_case.setdefault(variant.lower(), []).append(variant)
    spelled = str(name).replace("_", "/").replace("vit/", "vit-").lower()
    near = difflib.get_close_matches(spelled, by_lower_case, n=1, cutoff=0.5)
    names = by_lower_case[near[0]] if near else ["ViT-B/16"]
    return f"Did you mean {' or '.join(map(repr, names))}? keras_vit.variants() lists all."


def count_parameters(
    num_layers,
    hidden_dim,
    mlp_dim,
    num_heads,
    patch_size,
    resnet_units=None,
    image_size=224,
    num_classes=1000,
    attention="full",
    pooling="token",
):
    """Counts the weights of a ViT on square RGB images, term by term.

    `pooling` is "token", or "gap" for one without a class token.
    """
    del num_heads  # heads share the width: their number changes no shape
    class_tokens = int(pooling == "token")
    tokens = (image_size // patch_size) ** 2 + class_tokens
    stem, patch = 0, 3 * patch_size**2  # numbers in a patch
    if resnet_units is not None:
        root = 7 * 7 * 3 * 64 + 2 * 64
        stem = root + _count_units(resnet_units, 1, count_hybrid_unit)
        stages = len(resnet_units)
        step, channels = 4 * 2 ** max(stages - 1, 0), 64 * 2 ** (stages + 1) if stages else 64
        patch = (patch_size // step) ** 2 * channels
    embedding = (patch + 1) * hidden_dim + (class_tokens + tokens) * hidden_dim
    msa = 4 * (hidden_dim + 1) * hidden_dim
    mlp = (hidden_dim + 1) * mlp_dim + (mlp_dim + 1) * hidden_dim
    norm = 2 * hidden_dim
    block = (msa + mlp + 2 * norm) * (2 if attention == "axial" else 1)  # in rows and in columns
    head = (hidden_dim + 1) * num_classes
    return stem + embedding + num_layers * block + norm + head


def _count_units(units, width, count_unit):
    """Counts the weights of all stages; the first unit of each has a projection."""
    total, channels = 0, 64 * width
    for stage, number in enumerate(units):
        filters = 64 * width * 2**stage
        total += count_unit(channels, filters, projection=True)
        channels = 4 * filters
        total += (number - 1) * count_unit(channels, filters, projection=False)
    return total


def count_hybrid_unit(channels, filters, projection):
    """Counts the weights of a unit that normalises after each convolution."""
    norms = 2 * (filters + filters + 4 * filters)
    shortcut = (channels + 2) * 4 * filters if projection else 0
    return (channels + 9 * filters + 4 * filters) * filters + norms + shortcut


def count_bit_unit(channels, filters, projection):
    """Counts the weights of a unit that normalises before each convolution."""
    norms = 2 * (channels + filters + filters)
    shortcut = channels * 4 * filters if projection else 0
    return (channels + 9 * filters + 4 * filters) * filters + norms + shortcut


def count_axial_extra(units, width, side=56):
    """Counts how many more weights axial attention has than the 3 x 3 filters; below 0: fewer.

    `side` is that of the map of the first stage, 56 for 224 pixels. A row and a column have an
    attention each, with a vector for each of 2 `side` - 1 offsets; the first unit of a later stage
    attends before it halves the map.
    """
    total = 0
    for stage, number in enumerate(units):
        filters = 64 * width * 2**stage
        after = side // 2**stage
        for before in (2 * after if stage else after, *(number - 1) * (after,)):
            attention = 4 * (filters + 1) * filters + (2 * before - 1) * filters
            total += 2 * attention - 9 * filters**2
    return total
