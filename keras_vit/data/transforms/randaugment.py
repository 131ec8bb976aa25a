"""RandAugment (Cubuk et al., arXiv:1909.13719): a few operations drawn at random from a table.

Operations take a Pillow image and a strength. Strengths are a second table, since the same
magnitude means different strengths in the official code and in timm (and DeiT).

Sizes in pixels were defined for images of 224 pixels; here they are shares of the side, so that
small images keep their content.
"""

import math
from typing import NamedTuple

GRAY = 128  # Pillow's "gray": fills what a rotation, translation or cutout leaves empty


def rotation_matrix(degrees, width, height):
    """Returns the matrix of a rotation about the center."""
    angle = math.radians(degrees)
    cosine, sine = math.cos(angle), math.sin(angle)
    x, y = width / 2, height / 2
    return cosine, sine, x - cosine * x - sine * y, -sine, cosine, y + sine * x - cosine * y


# The pixel at (x, y) is read at (a x + b y + c, d x + e y + f), given as (a, b, c, d, e, f).
MOVES = {
    "Rotate": rotation_matrix,
    "ShearX": lambda factor, width, height: (1, factor, 0, 0, 1, 0),
    "ShearY": lambda factor, width, height: (1, 0, 0, factor, 1, 0),
    "TranslateX": lambda share, width, height: (1, 0, share * width, 0, 1, 0),
    "TranslateY": lambda share, width, height: (1, 0, 0, 0, 1, share * height),
}


def map_values(function):
    """Returns an operation that applies `function` to every value 0..255 and its strength."""

    def operation(image, strength):
        table = [function(value, strength) for value in range(256)]
        return image.point(table * len(image.getbands()))

    return operation


def enhance(kind):
    """Returns an operation of `PIL.ImageEnhance`: factor 0 removes `kind`, 1 changes nothing."""

    def operation(image, factor):
        from PIL import ImageEnhance

        return getattr(ImageEnhance, kind)(image).enhance(factor)

    return operation


def histogram(name):
    """Returns an operation of `PIL.ImageOps` on the histogram of every channel."""

    def operation(image, _):
        from PIL import ImageOps

        return getattr(ImageOps, name)(image)

    return operation


def cutout(image, place):
    """Fills a square with gray; `place` is (half its side, center x, center y) as shares."""
    half, x, y = place
    width, height = image.size
    box = [(x - half) * width, (y - half) * height, (x + half) * width, (y + half) * height]
    left, top, right, bottom = (round(edge) for edge in box)
    covered = image.copy()
    inside = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    covered.paste("gray", inside)
    return covered


CHANGES = {
    "AutoContrast": histogram("autocontrast"),  # stretches every channel to 0..255
    "Equalize": histogram("equalize"),
    "Invert": map_values(lambda value, _: 255 - value),
    "Posterize": map_values(lambda value, bits: value >> 8 - bits << 8 - bits),
    "Solarize": map_values(lambda value, limit: value if value < limit else 255 - value),
    "SolarizeAdd": map_values(lambda value, add: min(value + add, 255) if value < 128 else value),
    "Color": enhance("Color"),
    "Contrast": enhance("Contrast"),
    "Brightness": enhance("Brightness"),
    "Sharpness": enhance("Sharpness"),
    "Cutout": cutout,
}


def operate(name, image, strength, interpolation="nearest"):
    """Returns a Pillow image after one operation, a row of `MOVES` or `CHANGES`.

    `strength` is None if the operation has none; `interpolation` ("nearest" or "bicubic") is used
    by rows of `MOVES`.
    """
    from PIL import Image

    if name in CHANGES:
        return CHANGES[name](image, strength)
    matrix, affine = MOVES[name](strength, *image.size), Image.Transform.AFFINE
    resampling = Image.Resampling[interpolation.upper()]
    return image.transform(image.size, affine, matrix, resampling, fillcolor="gray")


def no_strength(level, rng):
    """Returns None, for operations without a strength."""


def either_sign(largest):
    """Returns a strength that is `largest` at level 10, with a random sign."""
    return lambda level, rng: largest * level / 10 * (1 if rng.random() < 0.5 else -1)


def factor(level, rng):
    """Returns a factor that grows from 0.1 at level 0 to 1.9 at level 10."""
    return 0.1 + 1.8 * level / 10


def factor_around_one(level, rng):
    """Returns a factor that deviates more from 1 with the level, up or down at random."""
    return max(0.1, 1 + either_sign(0.9)(level, rng))


# Table of the official code (big_vision): 16 operations with equal probability, each with the
# strength of its level. Magnitude 0 still changes images: brightness falls to a tenth, Solarize
# inverts. Two rows follow its 8-bit arithmetic: threshold 256 is 0, and one bit always remains.
TENSORFLOW = {
    "AutoContrast": no_strength,
    "Equalize": no_strength,
    "Invert": no_strength,
    "Rotate": either_sign(30),
    "Posterize": lambda level, rng: min(max(int(level / 10 * 4), 1), 8),
    "Solarize": lambda level, rng: int(level / 10 * 256) % 256,
    "Color": factor,
    "Contrast": factor,
    "Brightness": factor,
    "Sharpness": factor,
    "ShearX": either_sign(0.3),
    "ShearY": either_sign(0.3),
    "TranslateX": either_sign(100 / 224),
    "TranslateY": either_sign(100 / 224),
    # A square of 80 pixels of 224 at level 10, its center anywhere.
    "Cutout": lambda level, rng: (level / 10 * 40 / 224, rng.random(), rng.random()),
    "SolarizeAdd": lambda level, rng: int(level / 10 * 110),
}

# timm's "inc1": a higher level always changes more; without Cutout.
INCREASING = {name: strength for name, strength in TENSORFLOW.items() if name != "Cutout"} | {
    "Posterize": lambda level, rng: max(4 - int(level / 10 * 4), 1),  # 0 bits would be black
    "Solarize": lambda level, rng: 256 - int(level / 10 * 256),
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


def randaugment(image, layers, magnitude, rng, style="tensorflow"):
    """Returns an image after `layers` operations drawn at random, one after the other.

    Two things differ from both sources. Empty areas are filled with gray, 128; DeiT uses ImageNet's
    mean color. Contrast 0 is the image's mean gray, as in Pillow and timm; the official code uses
    the number of pixels / 256.

    Args:
        image: Pillow image of mode RGB or L.
        layers: operations per image.
        magnitude: strength on a scale of 10; the official code also uses 15 and 20.
        rng: a NumPy random generator.
        style: "tensorflow": 16 operations, always applied. "increasing": 15 operations, each
            applied with probability 0.5 at a level drawn from N(magnitude, 0.5), at most 10.

    Example:
    >>> from PIL import Image
    >>> image, rng = Image.new("RGB", (32, 24)), np.random.default_rng(0)
    >>> keras_vit.data.transforms.randaugment.randaugment(image, 2, 10, rng).size
    (32, 24)
    """
    strengths, probability, noise, highest, interpolation = STYLES[style]
    names = list(strengths)
    for choice in rng.integers(len(names), size=layers):
        if rng.random() < probability:
            level = min(max(rng.normal(magnitude, noise), 0.0), highest)
            strength = strengths[names[choice]](level, rng)
            image = operate(names[choice], image, strength, interpolation)
    return image
