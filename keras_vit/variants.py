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


class Variant(NamedTuple):
    """One row of the table: the shape of a Vision Transformer."""

    num_layers: int
    hidden_dim: int
    mlp_dim: int
    num_heads: int
    patch_size: int

    @property
    def parameters(self):
        """Number of weights at 224 x 224 x 3 pixels and 1000 classes, as published ones are."""
        return count_parameters(*self)


def variants():
    """Returns every named ViT with its shape: `{"ViT-B/16": Variant(...), ...}`.

    `create` takes these names, and the same sizes with any other patch: `"ViT-S/4"`.

    Example:
    >>> keras_vit.variants()["ViT-B/16"]
    Variant(num_layers=12, hidden_dim=768, mlp_dim=3072, num_heads=12, patch_size=16)
    >>> keras_vit.variants()["ViT-B/16"].parameters
    86567656

    Reference: Table 1.
    """
    return {
        f"ViT-{size}/{patch}": parse(f"ViT-{size}/{patch}")
        for size in SIZES
        for patch in PATCH_SIZES
    }


def parse(name):
    """Returns the `Variant` of a name such as `"ViT-B/16"`.

    Raises:
        ValueError: no variant is called so; the message suggests the nearest names.
    """
    match = re.fullmatch(r"ViT-(\w+)/([1-9]\d*)", name) if isinstance(name, str) else None
    if not match or match[1] not in SIZES:
        raise ValueError(
            f"`name` must be a size of {', '.join(SIZES)} and a patch, such as 'ViT-B/16'. "
            f"Received: name={name!r}. {_suggestion(name)}"
        )
    return Variant(*SIZES[match[1]], patch_size=int(match[2]))


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
    num_layers, hidden_dim, mlp_dim, num_heads, patch_size, image_size=224, num_classes=1000
):
    """Counts the weights of a ViT with a class token on square RGB images, term by term."""
    del num_heads  # heads share the width: their number changes no shape
    tokens = (image_size // patch_size) ** 2 + 1
    embedding = (3 * patch_size**2 + 1) * hidden_dim + hidden_dim + tokens * hidden_dim
    attention = 4 * (hidden_dim + 1) * hidden_dim
    mlp = (hidden_dim + 1) * mlp_dim + (mlp_dim + 1) * hidden_dim
    norm = 2 * hidden_dim
    head = (hidden_dim + 1) * num_classes
    return embedding + num_layers * (attention + mlp + 2 * norm) + norm + head
