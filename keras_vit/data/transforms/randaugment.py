"""RandAugment (Cubuk et al., arXiv:1909.13719): a few operations drawn at random from a table.

Strengths are a second table, since the same magnitude means different strengths in the official
code and in timm (and DeiT).

Sizes in pixels were defined for images of 224 pixels; here they are shares of the side, so that
small images keep their content.
"""

import math
from typing import NamedTuple

import numpy as np

from keras_vit.data.transforms.operations import change

DRAWS = 5  # random numbers that an operation needs for an image

# A strength is a function of the levels, (images,), and of three random numbers for each image.


def no_strength(levels, draws):
    """Returns zeros, for operations without a strength."""
    return np.zeros(len(levels))


def either_sign(largest):
    """Returns a strength that is `largest` at level 10, with a random sign."""
    return lambda levels, draws: largest * levels / 10 * np.where(draws[:, 0] < 0.5, 1, -1)


def whole(function):
    """Returns a strength: `function` of the levels, truncated to whole numbers."""
    return lambda levels, draws: function(levels).astype(int)


def factor(levels, draws):
    """Returns a factor that grows from 0.1 at level 0 to 1.9 at level 10."""
    return 0.1 + 1.8 * levels / 10


def factor_around_one(levels, draws):
    """Returns a factor that deviates more from 1 with the level, up or down at random."""
    return np.maximum(0.1, 1 + either_sign(0.9)(levels, draws))


# Table of the official code (big_vision): 16 operations with equal probability, each with the
# strength of its level. Magnitude 0 still changes images: brightness falls to a tenth, Solarize
# inverts. Two rows follow its 8-bit arithmetic: threshold 256 is 0, and one bit always remains.
TENSORFLOW = {
    "AutoContrast": no_strength,
    "Equalize": no_strength,
    "Invert": no_strength,
    "Rotate": either_sign(30),
    "Posterize": whole(lambda levels: np.clip(levels / 10 * 4, 1, 8)),
    "Solarize": whole(lambda levels: levels / 10 * 256 % 256),
    "Color": factor,
    "Contrast": factor,
    "Brightness": factor,
    "Sharpness": factor,
    "ShearX": either_sign(0.3),
    "ShearY": either_sign(0.3),
    "TranslateX": either_sign(100 / 224),
    "TranslateY": either_sign(100 / 224),
    # A square of 80 of 224 pixels at level 10, with a random center.
    "Cutout": lambda levels, draws: np.column_stack([levels / 10 * 40 / 224, draws[:, 1:]]),
    "SolarizeAdd": whole(lambda levels: levels / 10 * 110),
}

# timm's "inc1": a higher level always changes more; without Cutout.
INCREASING = {name: strength for name, strength in TENSORFLOW.items() if name != "Cutout"} | {
    # 0 bits would make the image black.
    "Posterize": whole(lambda levels: np.maximum(4 - (levels / 10 * 4).astype(int), 1)),
    "Solarize": whole(lambda levels: 256 - (levels / 10 * 256).astype(int)),
    "Color": factor_around_one,
    "Contrast": factor_around_one,
    "Brightness": factor_around_one,
    "Sharpness": factor_around_one,
    "TranslateX": either_sign(0.45),
    "TranslateY": either_sign(0.45),
}


class Style(NamedTuple):
    """The settings of RandAugment in one code base; `noise` is the deviation of the level."""

    strengths: dict
    probability: float
    noise: float
    highest: float
    interpolation: str


STYLES = {
    "tensorflow": Style(TENSORFLOW, 1.0, 0.0, math.inf, "nearest"),
    "increasing": Style(INCREASING, 0.5, 0.5, 10.0, "bicubic"),  # rand-m9-mstd0.5-inc1
}


def randaugment(images, layers, magnitude, draws, style="tensorflow"):
    """Changes images, in place, by `layers` operations, drawn at random for each of them.

    Two things differ from both sources. Empty areas are filled with gray, 128; DeiT uses ImageNet's
    mean color. Contrast 0 is the image's mean gray, as in Pillow and timm; the official code uses
    the number of pixels / 256.

    Args:
        images: uint8, (images, height, width, 1 or 3).
        layers: operations per image.
        magnitude: strength on a scale of 10; the official code also uses 15 and 20.
        draws: random numbers in [0, 1), (images, 5 * layers).
        style: "tensorflow": 16 operations, always applied. "increasing": 15 operations, each
            applied with probability 0.5 at a level drawn from N(magnitude, 0.5), at most 10.

    Returns:
        The images.

    Example:
    >>> images, draws = np.zeros((3, 24, 32, 3), "uint8"), np.random.default_rng(0).random((3, 10))
    >>> keras_vit.data.transforms.randaugment.randaugment(images, 2, 10, draws).shape
    (3, 24, 32, 3)
    """
    strengths, probability, noise, highest, interpolation = STYLES[style]
    for draw in np.split(draws, layers, axis=1):
        operations = np.floor(draw[:, 0] * len(strengths))
        operations[draw[:, 1] >= probability] = -1
        # Box and Muller's transform of the last two numbers, of which only Cutout needs both.
        normal = np.sqrt(-2 * np.log1p(-draw[:, 3])) * np.cos(2 * np.pi * draw[:, 4])
        levels = np.clip(magnitude + noise * normal, 0, highest)
        for number, (name, strength) in enumerate(strengths.items()):
            drawn = strength(levels, draw[:, 2:])
            change(images, operations == number, name, drawn, interpolation)
    return images
