"""RandAugment (Cubuk et al., arXiv:1909.13719): a few operations drawn at random from a table.

Operations take a Pillow image and a strength. Where a strength comes from is a table of its own:
the same magnitude means other strengths in the official code than in timm (and so in DeiT).

Sizes in pixels are from images of 224 pixels; here they are shares of the side, so that small
images keep their content.
"""

import math
from typing import NamedTuple

GREY = 128  # what enters where an image was turned, moved or cut


def rotation(degrees, width, height):
    """Turns about the middle."""
    angle = math.radians(degrees)
    cosine, sine = math.cos(angle), math.sin(angle)
    x, y = width / 2, height / 2
    return cosine, sine, x - cosine * x - sine * y, -sine, cosine, y + sine * x - cosine * y


# Where the pixel at (x, y) is read: at (a x + b y + c, d x + e y + f), given as (a, b, c, d, e, f).
MOVES = {
    "Rotate": rotation,
    "ShearX": lambda factor, width, height: (1, factor, 0, 0, 1, 0),
    "ShearY": lambda factor, width, height: (1, 0, 0, factor, 1, 0),
    "TranslateX": lambda share, width, height: (1, 0, share * width, 0, 1, 0),
    "TranslateY": lambda share, width, height: (1, 0, 0, 0, 1, share * height),
}


def auto_contrast(image, _):
    """Stretches every channel to 0..255."""
    from PIL import ImageOps

    return ImageOps.autocontrast(image)


def equalize(image, _):
    """Makes the values of every channel about equally frequent."""
    from PIL import ImageOps

    return ImageOps.equalize(image)


def invert(image, _):
    """Exchanges dark and light."""
    return per_value(image, lambda value: 255 - value)


def posterize(image, bits):
    """Keeps the highest `bits` of every value."""
    return per_value(image, lambda value: value >> 8 - bits << 8 - bits)


def solarize(image, threshold):
    """Inverts what is not darker than `threshold`."""
    return per_value(image, lambda value: value if value < threshold else 255 - value)


def solarize_add(image, addition):
    """Lightens what is darker than 128."""
    return per_value(image, lambda value: min(value + addition, 255) if value < 128 else value)


def enhance(kind):
    """Returns an operation of `PIL.ImageEnhance`: factor 0 takes `kind` away, 1 changes nothing."""

    def operation(image, factor):
        from PIL import ImageEnhance

        return getattr(ImageEnhance, kind)(image).enhance(factor)

    return operation


def cutout(image, place):
    """Makes a rectangle grey; `place` is (half its side, middle x, middle y) as shares."""
    half, x, y = place
    width, height = image.size
    box = [(x - half) * width, (y - half) * height, (x + half) * width, (y + half) * height]
    left, top, right, bottom = (round(edge) for edge in box)
    covered = image.copy()
    inside = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    covered.paste(grey(image), inside)
    return covered


CHANGES = {
    "AutoContrast": auto_contrast,
    "Equalize": equalize,
    "Invert": invert,
    "Posterize": posterize,
    "Solarize": solarize,
    "SolarizeAdd": solarize_add,
    "Color": enhance("Color"),
    "Contrast": enhance("Contrast"),
    "Brightness": enhance("Brightness"),
    "Sharpness": enhance("Sharpness"),
    "Cutout": cutout,
}


def operate(name, image, strength, interpolation="nearest"):
    """Returns an image after one operation.

    Args:
        name: of a row in `MOVES` or `CHANGES`.
        image: Pillow image of mode RGB or L.
        strength: what the operation takes; None for those that take nothing.
        interpolation: "nearest" or "bicubic", of the moves.

    Example:
    >>> from PIL import Image
    >>> dark = Image.new("L", (1, 1), 5)
    >>> keras_vit.data.randaugment.operate("Invert", dark, None).getpixel((0, 0))
    250
    """
    if name in CHANGES:
        return CHANGES[name](image, strength)
    return moved(image, MOVES[name](strength, *image.size), interpolation)


def moved(image, matrix, interpolation):
    """Returns an image of the same size, read where `matrix` (as in `MOVES`) points to."""
    from PIL import Image

    resampling = Image.Resampling[interpolation.upper()]
    affine = Image.Transform.AFFINE
    return image.transform(image.size, affine, matrix, resampling, fillcolor=grey(image))


def grey(image):
    """Returns the grey that fits an image's mode."""
    return GREY if image.mode == "L" else (GREY, GREY, GREY)


def per_value(image, function):
    """Returns an image whose values 0..255 went through `function`."""
    return image.point([function(value) for value in range(256)] * len(image.getbands()))


def nothing(level, rng):
    """The strength of operations that take none."""


def either_way(largest):
    """Strengths up to `largest` at level 10, in a random direction."""
    return lambda level, rng: largest * level / 10 * (1 if rng.random() < 0.5 else -1)


def factor(level, rng):
    """From 0.1 at level 0, little of it left, over 1 to 1.9 at level 10, much of it."""
    return 0.1 + 1.8 * level / 10


def factor_either_way(level, rng):
    """Further from 1 with the level, up or down at random."""
    return max(0.1, 1 + either_way(0.9)(level, rng))


def somewhere(level, rng):
    """A cutout of 80 pixels of 224 at level 10, its middle anywhere."""
    return (level / 10 * 40 / 224, rng.random(), rng.random())


# Table of the official code (big_vision): every operation is one of 16, each with the strength of
# its level. Magnitude 0 is not nothing: brightness goes down to a tenth, Solarize inverts. Two rows
# do as it does with 8-bit numbers: threshold 256 counts as 0, and one bit always stays.
TENSORFLOW = {
    "AutoContrast": nothing,
    "Equalize": nothing,
    "Invert": nothing,
    "Rotate": either_way(30),
    "Posterize": lambda level, rng: min(max(int(level / 10 * 4), 1), 8),
    "Solarize": lambda level, rng: int(level / 10 * 256) % 256,
    "Color": factor,
    "Contrast": factor,
    "Brightness": factor,
    "Sharpness": factor,
    "ShearX": either_way(0.3),
    "ShearY": either_way(0.3),
    "TranslateX": either_way(100 / 224),
    "TranslateY": either_way(100 / 224),
    "Cutout": somewhere,
    "SolarizeAdd": lambda level, rng: int(level / 10 * 110),
}

# timm's "inc1": a higher level always changes more, and there is no Cutout.
INCREASING = {name: strength for name, strength in TENSORFLOW.items() if name != "Cutout"} | {
    "Posterize": lambda level, rng: max(4 - int(level / 10 * 4), 1),  # no bit left would be black
    "Solarize": lambda level, rng: 256 - int(level / 10 * 256),
    "Color": factor_either_way,
    "Contrast": factor_either_way,
    "Brightness": factor_either_way,
    "Sharpness": factor_either_way,
    "TranslateX": either_way(0.45),
    "TranslateY": either_way(0.45),
}


class Style(NamedTuple):
    """What RandAugment is in one code base; `noise` is the deviation of the level."""

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

    Two things differ from both sources. What enters is grey, 128, where DeiT takes ImageNet's mean
    colour. Contrast 0 is the image's mean grey, as in Pillow and timm, where the official code
    takes the number of pixels / 256.

    Args:
        image: Pillow image of mode RGB or L.
        layers: operations per image.
        magnitude: strength on a scale of 10; the official code also takes 15 and 20.
        rng: a NumPy random generator.
        style: "tensorflow": 16 operations, always applied. "increasing": 15 operations, each
            applied with probability 0.5 at a level drawn from N(magnitude, 0.5), at most 10.

    Returns:
        A Pillow image of the same size and mode.

    Example:
    >>> from PIL import Image
    >>> draw = np.random.default_rng(0)
    >>> keras_vit.data.randaugment.randaugment(Image.new("RGB", (32, 24)), 2, 10, draw).size
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
