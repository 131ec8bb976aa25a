"""The class with which each named variant is built."""

import re

from keras_vit.ablations.axial import AxialResNet, AxialViT
from keras_vit.hybrid import HybridViT, SmallHybridViT
from keras_vit.model import unique_name
from keras_vit.resnet import ResNet
from keras_vit.variants import (
    AxialBiT,
    AxialVariant,
    BiT,
    HybridVariant,
    SmallHybridVariant,
    Variant,
    parse,
)
from keras_vit.vit import ViT

# Type of the row in `variants`: its model. A new family is a row type there and a line here.
FAMILIES = {
    Variant: ViT,
    HybridVariant: HybridViT,
    SmallHybridVariant: SmallHybridViT,
    BiT: ResNet,
    AxialVariant: AxialViT,
    AxialBiT: AxialResNet,
}


def create(name, model=None, /, **overrides):
    """Builds a model by its name in the paper.

    Args:
        name: such as "ViT-B/16", "R50+ViT-B/16", "R50x1" or "Axial-ViT-B/16". `list_variants()`
            lists them; a ViT may have any patch size.
        model: the class to build, such as a subclass of `ViT`; None for the usual one.
        **overrides: arguments of the model: `num_classes`, `image_size`, `pooling`, `dropout`, ...

    Returns:
        A `ViT`, `HybridViT`, `ResNet` (for names of BiT) or an axial relative, with random
        weights, for 224 x 224 pixels and 1000 classes by default.

    Raises:
        ValueError: the name is unknown (similar ones are suggested), or an argument is invalid.

    Example:
    >>> model = keras_vit.create("ViT-Ti/16", num_classes=10, image_size=(160, 320))
    >>> model.count_params()
    5527114

    Reference: Table 1.
    """
    variant = parse(name)
    model = model or FAMILIES[type(variant)]
    overrides["name"] = overrides.get("name") or graph_name(name)
    return model(**{**variant._asdict(), **overrides})


def graph_name(name):
    """Returns a unique name for a model: "R50+ViT-B/16" gives "r50_vit_b_16", then "..._1"."""
    return unique_name(re.sub(r"\W", "_", name.lower()))
