"""The compute of the paper's pre-training, published and counted: Tables 2 and 6."""

from typing import NamedTuple

from keras_vit import arguments
from keras_vit.accounting.counting import count, count_name

BACKWARD = 2  # times the forward pass: gradients with respect to inputs, and to weights
JFT_300M = 303_000_000  # images, section 4.1
IMAGENET_21K = 14_197_122
# bfloat16 FLOPs per second of a TPU v3 core, half a chip: cloud.google.com/tpu/docs/v3
TPU_V3_CORE = 61.5e12

# Table 6: our name, epochs of JFT-300M at 224 pixels, exaFLOPs
TABLE_6 = (
    ("ViT-B/32", 7, 55),
    ("ViT-B/16", 7, 224),
    ("ViT-L/32", 7, 196),
    ("ViT-L/16", 7, 783),
    ("ViT-L/16", 14, 1567),
    ("ViT-H/14", 14, 4262),
    ("R50x1", 7, 50),
    ("R50x2", 7, 199),
    ("R101x1", 7, 96),
    ("R152x1", 7, 141),
    ("R152x2", 7, 563),
    ("R152x2", 14, 1126),
    ("R200x3", 14, 3306),
    ("R50+ViT-B/32", 7, 106),
    ("R50+ViT-B/16", 7, 274),
    ("R50+ViT-L/32", 7, 246),
    ("R50+ViT-L/16", 7, 859),
    ("R50+ViT-L/16", 14, 1668),
)
# Table 2: our name, images, epochs, TPUv3-core-days. The 90 epochs of ImageNet-21k are one of two
# in Table 3; the 40 of BiT-L are from arXiv 1912.11370, section 3.3.
TABLE_2 = (
    ("ViT-H/14", JFT_300M, 14, 2500),
    ("ViT-L/16", JFT_300M, 14, 680),
    ("ViT-L/16", IMAGENET_21K, 90, 230),
    ("R152x4", JFT_300M, 40, 9900),
)


class Compute(NamedTuple):
    """A row of Table 6: published exaFLOPs, and counted ones with and without padding."""

    name: str
    epochs: int
    published: int
    exaflops: float
    without_padding: float

    @property
    def ratio(self):
        """Counted over published."""
        return self.exaflops / self.published


class CoreDays(NamedTuple):
    """A row of Table 2: published core-days, and the utilization of the cores' peak."""

    name: str
    images: int
    epochs: int
    core_days: int
    exaflops: float
    utilization: float


def training(model_or_name, images, epochs=1, image_size=None):
    """Returns the exaFLOPs (10^18) of a training run; the backward pass takes twice the forward.

    Args:
        model_or_name: as for `keras_vit.accounting.count`.
        images: number of images in an epoch.
        epochs: number of epochs.
        image_size: as for `count`.

    Raises:
        ValueError: an argument is invalid.

    Example:
    >>> round(keras_vit.accounting.training("ViT-B/16", 303_000_000, epochs=7))  # Table 6: 224
    224
    """
    images = arguments.positive_integer("images", images)
    images *= arguments.positive_number("epochs", epochs)
    return (1 + BACKWARD) * count(model_or_name, image_size).flops * images / 1e18


def core_days(exaflops, utilization, peak=TPU_V3_CORE):
    """Returns the days that a training run takes on one core.

    Args:
        exaflops: exaFLOPs of the run.
        utilization: fraction of the peak that is reached; 0.3 to 0.4 is common.
        peak: FLOPs per second; by default those of a TPU v3 core in bfloat16.

    Raises:
        ValueError: a number is not above 0.

    Example:
    >>> round(keras_vit.accounting.core_days(4258, utilization=0.32))  # ViT-H/14: 2500
    2504
    """
    utilization = arguments.positive_number("utilization", utilization)
    speed = utilization * arguments.positive_number("peak", peak)
    return arguments.positive_number("exaflops", exaflops) * 1e18 / speed / 86_400


def table_6():
    """Returns the `Compute` of every row of Table 6."""
    return [_count_compute(*row) for row in TABLE_6]


def table_2():
    """Returns the `CoreDays` of the rows of Table 2 whose training is known."""
    return [_count_core_days(*row) for row in TABLE_2]


def _count_compute(name, epochs, published):
    exaflops = training(name, JFT_300M, epochs)
    inside = count_name(name, padding=False).flops / count(name).flops
    return Compute(name, epochs, published, exaflops, inside * exaflops)


def _count_core_days(name, images, epochs, days):
    exaflops = training(name, images, epochs)
    return CoreDays(name, images, epochs, days, exaflops, core_days(exaflops, 1.0) / days)
