"""The models that ViT is compared with, in this paper's Table 2 and after it, by name.

parts.py         the inverted bottleneck, which both families below share
efficientnet.py  EfficientNet, B0 to B7 and L2, which is Noisy Student's
attention.py     attention whose scores depend on the offset of two positions
coatnet.py       CoAtNet, 0 to 4, which has that

They are here to be counted and trained at small sizes; weights are not published for this code.
BiT-L, the third model of Table 2, is a `keras_vit.ResNet`: "R152x4".
"""

from keras_vit import arguments, vit
from keras_vit.comparison.attention import RelativeAttention
from keras_vit.comparison.coatnet import CoAtNet, CoAtNetShape
from keras_vit.comparison.efficientnet import EfficientNet, EfficientNetShape

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


def create(name, /, **overrides):
    """Builds a model that ViT is compared with, with fresh weights.

    Args:
        name: "EfficientNet-B0" to "-B7" and "-L2", "CoAtNet-0" to "-4", or "BiT-L".
        **overrides: arguments of the model: `num_classes`, `image_size`, `dtype`, ...

    Returns:
        An `EfficientNet`, a `CoAtNet` or a `keras_vit.ResNet`.

    Raises:
        ValueError: there is no such name, or an argument is unusable.

    Example:
    >>> model = keras_vit.comparison.create("CoAtNet-0", depths=(1, 1, 1, 1, 1),
    ...                                     widths=(8, 8, 8, 32, 32), image_size=64)
    >>> model.output_shape
    (None, 1000)
    """
    if name == BIT_L:
        return vit.create("R152x4", **overrides)
    arguments.one_of(*SHAPES, BIT_L)("name", name)
    shape = SHAPES[name]
    model = CoAtNet if isinstance(shape, CoAtNetShape) else EfficientNet
    return model(**{**shape._asdict(), "name": vit.graph_name(name), **overrides})


__all__ = [
    "BIT_L",
    "SHAPES",
    "CoAtNet",
    "CoAtNetShape",
    "EfficientNet",
    "EfficientNetShape",
    "RelativeAttention",
    "create",
]
