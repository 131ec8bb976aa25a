"""The shapes of the models that ViT is compared with, by name."""

from typing import NamedTuple


class EfficientNetShape(NamedTuple):
    """A row of the family: factors of all channels and layers, and the published resolution."""

    width: float
    depth: float
    image_size: int


class CoAtNetShape(NamedTuple):
    """A row of Table 3: blocks in each of five stages, and their channels."""

    depths: tuple
    widths: tuple
    image_size: int = 224


# name: width, depth, pixels. B0 to B7: arXiv 1905.11946 and its code; L2: arXiv 1911.04252
SHAPES = {
    "EfficientNet-B0": EfficientNetShape(1.0, 1.0, 224),
    "EfficientNet-B1": EfficientNetShape(1.0, 1.1, 240),
    "EfficientNet-B2": EfficientNetShape(1.1, 1.2, 260),
    "EfficientNet-B3": EfficientNetShape(1.2, 1.4, 300),
    "EfficientNet-B4": EfficientNetShape(1.4, 1.8, 380),
    "EfficientNet-B5": EfficientNetShape(1.6, 2.2, 456),
    "EfficientNet-B6": EfficientNetShape(1.8, 2.6, 528),
    "EfficientNet-B7": EfficientNetShape(2.0, 3.1, 600),
    "EfficientNet-L2": EfficientNetShape(4.3, 5.3, 800),
    # arXiv 2106.04803, Table 3
    "CoAtNet-0": CoAtNetShape((2, 2, 3, 5, 2), (64, 96, 192, 384, 768)),
    "CoAtNet-1": CoAtNetShape((2, 2, 6, 14, 2), (64, 96, 192, 384, 768)),
    "CoAtNet-2": CoAtNetShape((2, 2, 6, 14, 2), (128, 128, 256, 512, 1024)),
    "CoAtNet-3": CoAtNetShape((2, 2, 6, 14, 2), (192, 192, 384, 768, 1536)),
    "CoAtNet-4": CoAtNetShape((2, 2, 12, 28, 2), (192, 192, 384, 768, 1536)),
}
BIT_L = "BiT-L"  # the paper's name of R152x4, pre-trained on JFT-300M
