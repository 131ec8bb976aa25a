"""EfficientNet (arXiv 1905.11946): the student of Noisy Student (arXiv 1911.04252) is its L2.

`keras.applications` has B0 to B7 but not the function that scales them, so L2 is built here. It
has no dropout and no stochastic depth.
"""

import math
from typing import NamedTuple

import keras
from keras import layers

from keras_vit import arguments
from keras_vit.comparison.parts import LAST, bottleneck, convolution, norm
from keras_vit.model import PictureModel, checked, dtype_policy, head, normalization

# Table 1 of arXiv 1905.11946: expansion, channels, layers, stride, kernel
STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
STEM, TOP = 32, 1280  # channels before and after the stages
DIVISOR = 8  # channels are a multiple of it
IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))  # mean, deviation of 0..255

CHECKS = {
    "image_size": arguments.height_width,
    "width": arguments.positive_number,
    "depth": arguments.positive_number,
    "num_classes": arguments.optional(arguments.positive_integer),
    "num_channels": arguments.positive_integer,
    "head_bias": arguments.optional(arguments.number),
    "normalize": arguments.optional(arguments.pair),
}


class Block(NamedTuple):
    """One inverted bottleneck."""

    expansion: int | None  # channels between; None for as many as come in
    filters: int
    strides: int
    kernel: int
    squeezed: int
    residual: bool


def channels(number, width):
    """Returns a number of channels times `width`: a multiple of 8, at most a tenth less.

    Example:
    >>> keras_vit.comparison.efficientnet.channels(32, width=4.3)
    136
    """
    wanted = number * width
    nearest = max(DIVISOR, int(wanted + DIVISOR / 2) // DIVISOR * DIVISOR)
    return nearest + DIVISOR if nearest < 0.9 * wanted else nearest


def blocks(width, depth):
    """Yields every `Block` of a member of the family."""
    before = channels(STEM, width)
    for expansion, base, count, strides, kernel in STAGES:
        filters = channels(base, width)
        for number in range(math.ceil(count * depth)):
            yield Block(
                expansion=None if expansion == 1 else expansion * before,
                filters=filters,
                strides=1 if number else strides,
                kernel=kernel,
                squeezed=max(1, before // 4),
                residual=before == filters and (number > 0 or strides == 1),
            )
            before = filters


@keras.saving.register_keras_serializable(package="keras_vit")
class EfficientNet(PictureModel):
    """EfficientNet: pictures in (pixels 0 to 255), logits out.

    Args:
        image_size: side of the pictures in pixels, or (height, width): any size.
        width: factor of all channels.
        depth: factor of the number of layers in each stage, rounded up.
        num_classes: length of the logits; None for a feature extractor without a head.
        num_channels: channels of the pictures.
        head_bias: initial value of the head's bias, None for a head without one.
        normalize: (mean, standard deviation) of the pixels, one number each or one per channel;
            None takes pictures as they come.
        dtype: a dtype or policy, for example "mixed_bfloat16"; logits are float32 all the same.

    Call arguments:
        images: (batch, height, width, num_channels), pixels 0 to 255, integers or floats.

    Returns:
        Logits (batch, num_classes), or with `num_classes=None` the mean of the last map.

    Raises:
        ValueError: an argument cannot be used, or pictures have another shape than the model.

    Example:
    >>> model = keras_vit.comparison.EfficientNet(image_size=32, width=0.01, depth=0.1,
    ...                                           num_classes=10)
    >>> model.output_shape
    (None, 10)

    Reference: "EfficientNet", https://arxiv.org/abs/1905.11946
    """

    def __init__(
        self,
        image_size=224,
        width=1.0,
        depth=1.0,
        num_classes=1000,
        *,
        num_channels=3,
        head_bias=0.0,
        normalize=IMAGENET,
        dtype=None,
        name="efficientnet",
        trainable=True,
    ):
        config, policy = checked(CHECKS, locals()), dtype_policy(dtype)
        images = keras.Input((*config["image_size"], num_channels), name="images")
        x = normalization(config["normalize"])(images)
        x = convolution(x, channels(STEM, width), 3, "stem", policy, strides=2)
        x = norm(x, "stem", policy, "silu")  # (B, height / 2, width / 2, 32 width)
        for number, block in enumerate(blocks(width, depth)):
            x = _residual(x, block, f"block_{number}", policy)
        x = convolution(x, channels(TOP, width), 1, "top", policy)
        x = norm(x, "top", policy, "silu")  # (B, height / 32, width / 32, 1280 width)
        x = layers.GlobalAveragePooling2D(LAST, name="pooling", dtype=policy)(x)
        for layer in head(config, policy):
            x = layer(x)  # (B, num_classes)
        super().__init__(images, x, config, policy, name=name, trainable=trainable)


def _residual(x, block, name, policy):
    y = bottleneck(
        x,
        block.filters,
        block.expansion,
        block.squeezed,
        name,
        policy,
        kernel=block.kernel,
        strides=(1, block.strides),
        activation="silu",
    )
    y = norm(y, f"{name}_project", policy)
    return layers.Add(name=f"{name}_add", dtype=policy)([x, y]) if block.residual else y
