"""BiT, the ResNet that the paper compares with (section 4.1).

x = pool(conv(images))                           BiTRoot
x = x + conv(relu(norm(...x...)))                BiTUnit, four stages of them
logits = mean(relu(norm(x))) W_head + b_head
"""

import functools

import keras
from keras import layers

from keras_vit import arguments as check
from keras_vit.convolutions import BiTRoot, BiTUnit, group_norm
from keras_vit.model import ImageModel, unique_name
from keras_vit.pixel_range import Normalize
from keras_vit.vit import Head


@keras.saving.register_keras_serializable(package="keras_vit")
class ResNet(ImageModel):
    """BiT's ResNet: images in (pixels 0 to 255), logits out.

    The paper's baseline, "ResNet (BiT)": a ResNet v2 with group normalization in place of batch
    normalization and standardized convolutions. Like `ViT` it is a functional model, each stage a
    node of its graph: `root`, `stage_1_unit_1` ... `norm`, `pooling`, `head`. The defaults are
    R50x1; `create` builds every named variant.

    Args:
        image_size: side of the images in pixels, or (height, width): any size.
        units: number of residual units in each stage; each stage after the first halves the map.
        width: factor that multiplies all channels.
        num_classes: length of the logits; None for a feature extractor without a head.
        num_channels: channels of the images.
        normalize: (mean, standard deviation) of the pixels, one number each or one per channel:
            the model's first node. The default maps 0..255 to -1..1; None takes images as they
            are.
        dtype: a dtype or policy, for example "mixed_bfloat16"; logits are float32 even then.

    Call arguments:
        images: (batch, height, width, num_channels), pixels 0 to 255, integers or floats.

    Returns:
        Logits (batch, num_classes); with `num_classes=None` the mean of the last map,
        (batch, 2048 * width) for four stages.

    Raises:
        ValueError: an argument is invalid, or the shape of images is not that of the model.

    Example:
    >>> model = keras_vit.ResNet(image_size=(33, 64), units=(1, 1), num_classes=10)
    >>> model.predict(np.zeros((2, 33, 64, 3)), verbose=0).shape
    (2, 10)

    Reference: section 4.1; "Big Transfer", https://arxiv.org/abs/1912.11370
    """

    unit = BiTUnit

    def __init__(
        self,
        image_size: check.height_width = 224,
        units: check.some_units = (3, 4, 6, 3),
        width: check.positive_integer = 1,
        num_classes: check.optional(check.positive_integer) = 1000,
        *,
        num_channels: check.positive_integer = 3,
        normalize: check.optional(check.pair) = (127.5, 127.5),
        dtype=None,
        name=None,
        trainable=True,
    ):
        self.keep(locals())
        images = keras.Input((*self.image_size, self.num_channels), name="images")
        x = Normalize(self.normalize, name="normalization")(images)
        x = self.part(BiTRoot, 64 * self.width, name="root")(x)
        for unit in stages(self.unit, self.units, 64 * self.width):
            x = self.part(unit)(x)  # (B, height / 4, width / 4, C), then half the size, twice C
        x = layers.ReLU(name="relu", dtype=self.policy)(group_norm(1e-5, "norm", self.policy)(x))
        x = self.part(layers.GlobalAveragePooling2D, "channels_last", name="pooling")(x)  # (B, C)
        if self.num_classes is not None:
            x = self.part(Head, self.num_classes, name="head")(x)  # (B, num_classes)
        super().__init__(images, x, name=name or unique_name("resnet"), trainable=trainable)


def stages(unit, units, filters=64):
    """Yields a function that makes each unit; each stage has twice the channels of the last.

    Args:
        unit: a class of units.
        units: number of units in each stage.
        filters: channels of the 3 x 3 convolutions of the first stage.
    """
    for stage, count in enumerate(units):
        for number in range(count):
            yield functools.partial(
                unit,
                filters=filters * 2**stage,
                strides=2 if stage > 0 and number == 0 else 1,
                name=f"stage_{stage + 1}_unit_{number + 1}",
            )
