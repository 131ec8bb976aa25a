"""The models that ViT is compared with, in this paper's Table 2 and after it, by name.

shapes.py        their shapes, as data
parts.py         the inverted bottleneck, which both families below share
efficientnet.py  EfficientNet, B0 to B7 and L2, which is Noisy Student's
attention.py     attention whose scores depend on the offset of two positions
coatnet.py       CoAtNet, 0 to 4, which has that

They are here to be counted and trained at small sizes; weights are not published for this code.
BiT-L, the third model of Table 2, is a `keras_vit.ResNet`: "R152x4".
"""

from keras_vit import arguments, startup
from keras_vit.comparison.shapes import BIT_L, SHAPES, CoAtNetShape, EfficientNetShape

if not startup.postpone(__name__):
    from keras_vit import vit
    from keras_vit.comparison.attention import RelativeAttention
    from keras_vit.comparison.coatnet import CoAtNet
    from keras_vit.comparison.efficientnet import EfficientNet


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
