"""Every family of models: the class that a named variant is built with."""

import re

from keras_vit.ablations.axial import AxialResNet, AxialViT
from keras_vit.hybrid import HybridViT
from keras_vit.model import unique_name
from keras_vit.resnet import ResNet
from keras_vit.variants import AxialBiT, AxialVariant, BiT, HybridVariant, Variant, parse
from keras_vit.vit import ViT

# row of `variants`: its model. A new family is a row there and a line here.
FAMILIES = {
    Variant: ViT,
    HybridVariant: HybridViT,
    BiT: ResNet,
    AxialVariant: AxialViT,
    AxialBiT: AxialResNet,
}


def create(name, model=None, /, **overrides):
    """Builds a model by the name that the paper gives it.

    Args:
        name: such as "ViT-B/16", "R50+ViT-B/16", "R50x1" or "Axial-ViT-B/16". `list_variants()`
            lists them, and any patch may follow a ViT's size.
        model: the class to build, such as a subclass of `ViT`; None for the variant's own.
        **overrides: arguments of the model: `num_classes`, `image_size`, `pooling`, `dropout`, ...

    Returns:
        A `ViT`, a `HybridViT`, a `ResNet` for the names of BiT, or their axial relatives, with
        fresh weights, for 224 x 224 pixels and 1000 classes unless stated otherwise.

    Raises:
        ValueError: no variant is called so (the nearest are named), or an argument is unusable.

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
    """Returns a plain word that no model has: "R50+ViT-B/16" gives "r50_vit_b_16", then "..._1"."""
    return unique_name(re.sub(r"\W", "_", name.lower()))
