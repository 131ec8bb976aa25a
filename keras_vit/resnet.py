"""BiT, the ResNet that the paper compares with, and the ResNet in front of its hybrids (4.1)."""

import keras
from keras import layers

from keras_vit import arguments
from keras_vit.axial import AxialUnit
from keras_vit.convolutions import BiTRoot, BiTUnit, HybridRoot, HybridUnit, group_norm
from keras_vit.model import PictureModel, checked, dtype_policy, head, normalization

# The arguments of `ResNet`, each with its check. They are its attributes and its configuration.
CHECKS = {
    "image_size": arguments.height_width,
    "units": arguments.some_units,
    "width": arguments.positive_integer,
    "num_classes": arguments.optional(arguments.positive_integer),
    "num_channels": arguments.positive_integer,
    "head_bias": arguments.optional(arguments.number),
    "normalize": arguments.optional(arguments.pair),
    "attention": arguments.one_of(None, "axial"),
}
ROOT_WIDTH = 64  # channels after the root, and of the 3 x 3 filters of the first stage


@keras.saving.register_keras_serializable(package="keras_vit")
class ResNet(PictureModel):
    """BiT's ResNet: pictures in (pixels 0 to 255), logits out.

    The paper's baseline, "ResNet (BiT)": a ResNet v2 with group normalisation in place of batch
    normalisation and standardised convolutions. Like `ViT` it is a functional model, each stage a
    node of its graph: `root`, `stage_1_unit_1` ... `norm`, `pooling`, `head`. The defaults are
    R50x1; `create` builds every named variant.

    Args:
        image_size: side of the pictures in pixels, or (height, width): any size.
        units: number of residual units in each stage; each stage after the first halves the map.
        width: factor of all channels.
        num_classes: length of the logits; None for a feature extractor without a head.
        num_channels: channels of the pictures.
        head_bias: initial value of the head's bias, None for a head without one. Its kernel starts
            at zero, so every class starts equal.
        normalize: (mean, standard deviation) of the pixels, one number each or one per channel:
            the model's first node. The default maps 0..255 to -1..1; None takes pictures as they
            come.
        attention: "axial" for attention in rows and columns where each unit has 3 x 3 filters:
            the AxialResNet of Appendix D.6. None for convolutions alone.
        dtype: a dtype or policy, for example "mixed_bfloat16"; logits are float32 all the same.

    Call arguments:
        images: (batch, height, width, num_channels), pixels 0 to 255, integers or floats.

    Returns:
        Logits (batch, num_classes); with `num_classes=None` the mean of the last map,
        (batch, 2048 * width) where there are four stages.

    Raises:
        ValueError: an argument cannot be used, or pictures have another shape than the model.

    Example:
    >>> model = keras_vit.ResNet(image_size=(33, 64), units=(1, 1), num_classes=10)
    >>> tuple(model(np.zeros((2, 33, 64, 3))).shape)
    (2, 10)

    Reference: section 4.1; "Big Transfer", https://arxiv.org/abs/1912.11370
    """

    def __init__(
        self,
        image_size=224,
        units=(3, 4, 6, 3),
        width=1,
        num_classes=1000,
        *,
        num_channels=3,
        head_bias=0.0,
        normalize=(127.5, 127.5),
        attention=None,
        dtype=None,
        name="resnet",
        trainable=True,
    ):
        config, policy = checked(CHECKS, locals()), dtype_policy(dtype)
        unit = BiTUnit if attention is None else AxialUnit
        chain = [
            normalization(config["normalize"]),
            BiTRoot(ROOT_WIDTH * width, name="root", dtype=policy),
            *_stages(unit, config["units"], width, policy),
            group_norm(1e-5, "norm", policy),
            layers.ReLU(name="relu", dtype=policy),
            layers.GlobalAveragePooling2D("channels_last", name="pooling", dtype=policy),
            *head(config, policy),
        ]
        images = keras.Input((*config["image_size"], num_channels), name="images")
        x = images  # (B, height, width, C)
        for layer in chain:
            x = layer(x)  # at last (B, num_classes)
        super().__init__(images, x, config, policy, name=name, trainable=trainable)


def stem(units, policy):
    """Returns the layers of a hybrid's ResNet: the root, then the units of each stage, if any."""
    return [
        HybridRoot(ROOT_WIDTH, name="root", dtype=policy),
        *_stages(HybridUnit, units, 1, policy),
    ]


def step(units):
    """Returns how many pixels of the picture lie between two positions of the last stage's map.

    The root makes 4 of 1, and every stage after the first doubles it.

    Example:
    >>> keras_vit.resnet.step(()), keras_vit.resnet.step((3, 4, 9))
    (4, 16)
    """
    return 4 * 2 ** max(len(units) - 1, 0)


def _stages(unit, units, width, policy):
    """The units of all stages: each stage has twice the channels of the one before it."""
    return [
        unit(
            filters=ROOT_WIDTH * width * 2**stage,
            strides=2 if stage > 0 and number == 0 else 1,
            name=f"stage_{stage + 1}_unit_{number + 1}",
            dtype=policy,
        )
        for stage, count in enumerate(units)
        for number in range(count)
    ]
