"""CoAtNet (arXiv 2106.04803): two stages of convolutions, then two of relative attention.

What the paper leaves open is settled here as follows. The squeeze-and-excitation's hidden layer
has a quarter of the block's output channels, the expansion four times these. The last convolution
of a block, which no normalisation follows, has a bias, like all dense layers. A tanh layer as wide
as the last stage stands before the head: with it the counts are the published ones to 0.7 %,
without it up to 2.2 % fewer. It has no stochastic depth.
"""

import keras
from keras import layers

from keras_vit import arguments
from keras_vit.comparison.attention import RelativeAttention
from keras_vit.comparison.parts import LAST, bottleneck, convolution, norm
from keras_vit.layers import LayerNorm
from keras_vit.model import PictureModel, checked, dtype_policy, head, normalization

EXPANSION = 4  # of the bottleneck and of the feed-forward layers
HEAD_DIM = 32
EPSILON = 1e-6

CHECKS = {
    "image_size": arguments.height_width,
    "depths": arguments.units,
    "widths": arguments.units,
    "num_classes": arguments.optional(arguments.positive_integer),
    "num_channels": arguments.positive_integer,
    "representation": arguments.boolean,
    "head_bias": arguments.optional(arguments.number),
    "normalize": arguments.optional(arguments.pair),
}


@keras.saving.register_keras_serializable(package="keras_vit")
class CoAtNet(PictureModel):
    """CoAtNet: pictures in (pixels 0 to 255), logits out. The defaults are CoAtNet-0.

    Args:
        image_size: side of the pictures in pixels, or (height, width); each stage halves the map.
        depths: number of blocks in each of the five stages: a stem of convolutions, two stages
            of inverted bottlenecks, two of relative attention.
        widths: channels of each, in the last two multiples of 32.
        num_classes: length of the logits; None for a feature extractor without a head.
        num_channels: channels of the pictures.
        representation: whether a tanh layer stands before the head.
        head_bias: initial value of the head's bias, None for a head without one.
        normalize: (mean, standard deviation) of the pixels, one number each or one per channel;
            None takes pictures as they come.
        dtype: a dtype or policy, for example "mixed_bfloat16"; logits are float32 all the same.

    Call arguments:
        images: (batch, height, width, num_channels), pixels 0 to 255, integers or floats.

    Returns:
        Logits (batch, num_classes), or with `num_classes=None` the representation.

    Raises:
        ValueError: an argument cannot be used, or pictures have another shape than the model.

    Example:
    >>> model = keras_vit.comparison.CoAtNet(image_size=64, depths=(1, 1, 1, 1, 1),
    ...                                      widths=(8, 8, 8, 32, 32), num_classes=10)
    >>> model.output_shape
    (None, 10)

    Reference: Table 3, https://arxiv.org/abs/2106.04803
    """

    def __init__(
        self,
        image_size=224,
        depths=(2, 2, 3, 5, 2),
        widths=(64, 96, 192, 384, 768),
        num_classes=1000,
        *,
        num_channels=3,
        representation=True,
        head_bias=0.0,
        normalize=(127.5, 127.5),
        dtype=None,
        name="coatnet",
        trainable=True,
    ):
        config, policy = checked(CHECKS, locals()), dtype_policy(dtype)
        _check_stages(depths, widths)
        images = keras.Input((*config["image_size"], num_channels), name="images")
        x = _stem(normalization(config["normalize"])(images), depths[0], widths[0], policy)
        for stage in range(1, 5):
            block = _bottleneck if stage < 3 else _transformer
            for number in range(depths[stage]):
                x = block(x, widths[stage], not number, f"stage_{stage}_{number}", policy)
        x = LayerNorm(EPSILON, name="norm", dtype=policy)(x)  # (B, height / 32, width / 32, D)
        x = layers.GlobalAveragePooling2D(LAST, name="pooling", dtype=policy)(x)
        if representation:
            x = layers.Dense(widths[-1], "tanh", name="pre_logits", dtype=policy)(x)
        for layer in head(config, policy):
            x = layer(x)  # (B, num_classes)
        super().__init__(images, x, config, policy, name=name, trainable=trainable)


def _check_stages(depths, widths):
    if len(depths) != 5 or len(widths) != 5:
        advice = "CoAtNet-0 is depths=(2, 2, 3, 5, 2), widths=(64, 96, 192, 384, 768)."
        received = {"depths": depths, "widths": widths}
        arguments.refuse("`depths` and `widths` must name five stages", received, advice)
    for width in widths[3:]:
        if width % HEAD_DIM:
            advice = f"Use {arguments.nearest_multiples(width, HEAD_DIM)}."
            want = f"the last two of `widths` must be multiples of {HEAD_DIM}, the size of a head"
            arguments.refuse(want, {"widths": widths}, advice)


def _stem(x, depth, width, policy):
    """3 x 3 convolutions, the first of which halves the picture; norms between them."""
    for number in range(depth):
        name = f"stem_{number}"
        if number:
            x = norm(x, name, policy, "gelu")
        x = convolution(x, width, 3, name, policy, strides=1 if number else 2)
    return x  # (B, height / 2, width / 2, width)


def _shortcut(x, width, name, policy):
    """Proj(Pool(x)), where a stage begins."""
    x = _pool(x, f"{name}_shortcut_pool", policy)
    if x.shape[-1] == width:
        return x
    return convolution(x, width, 1, f"{name}_shortcut", policy, bias=True)


def _pool(x, name, policy):
    return layers.MaxPooling2D(2, 2, "same", LAST, name=name, dtype=policy)(x)


def _bottleneck(x, width, begins, name, policy):
    """X + Conv(DepthConv(Conv(Norm(x)))), the first convolution with step 2 where it begins."""
    y = bottleneck(
        norm(x, name, policy),
        width,
        EXPANSION * width,
        width // 4,
        name,
        policy,
        kernel=3,
        strides=(2 if begins else 1, 1),
        activation="gelu",
        bias=True,
    )
    x = _shortcut(x, width, name, policy) if begins else x
    return layers.Add(name=f"{name}_add", dtype=policy)([x, y])


def _transformer(x, width, begins, name, policy):
    """X + Attention(Norm(x)), then x + FFN(Norm(x)); both are pooled where a stage begins."""
    y = LayerNorm(EPSILON, name=f"{name}_norm_1", dtype=policy)(x)
    if begins:
        x = _shortcut(x, width, name, policy)
        y = _pool(y, f"{name}_pool", policy)
    y = RelativeAttention(width, width // HEAD_DIM, name=f"{name}_attention", dtype=policy)(y)
    x = layers.Add(name=f"{name}_add_1", dtype=policy)([x, y])
    y = LayerNorm(EPSILON, name=f"{name}_norm_2", dtype=policy)(x)
    y = layers.Dense(EXPANSION * width, name=f"{name}_expand", dtype=policy)(y)
    y = layers.Activation("gelu", name=f"{name}_gelu", dtype=policy)(y)
    y = layers.Dense(width, name=f"{name}_contract", dtype=policy)(y)
    return layers.Add(name=f"{name}_add_2", dtype=policy)([x, y])
