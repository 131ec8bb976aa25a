"""RandAugment (Cubuk et al., arXiv:1909.13719): a few operations drawn at random from a table.

Operations take a batch of images, uint8 (images, height, width, channels), and a strength for each
image. Strengths are a second table, since the same magnitude means different strengths in the
official code and in timm (and DeiT).

Sizes in pixels were defined for images of 224 pixels; here they are shares of the side, so that
small images keep their content.
"""

import functools
import math
from typing import NamedTuple

import numpy as np

GRAY = 128  # Pillow's "gray": fills what a rotation, translation or cutout leaves empty
DRAWS = 5  # random numbers that an operation needs for an image
VALUES = np.arange(256, dtype="int16")
CHUNK = 2**16  # pixels that are computed at once, to stay within the processor's cache


def change(images, chosen, name, strengths, interpolation="nearest"):
    """Applies an operation, a row of `MOVES` or `CHANGES`, to the chosen images, in place."""
    operation = CHANGES.get(name) or functools.partial(MOVES[name], interpolation=interpolation)
    chosen, step = np.flatnonzero(chosen), max(1, CHUNK // math.prod(images.shape[1:3]))
    for some in (chosen[start : start + step] for start in range(0, len(chosen), step)):
        images[some] = operation(images[some], strengths[some])


# --- Operations that replace values --------------------------------------------------------------


def look_up(images, tables):
    """Replaces every value by its entry in a table, (images, 1 or channels, 256)."""
    tables, result = np.clip(tables, 0, 255).astype("uint8"), np.empty_like(images)
    for image, table, changed in zip(images, tables, result, strict=True):
        if len(table) == 1:
            np.take(table[0], image, out=changed, mode="clip")
        else:
            for channel, row in enumerate(table):
                changed[..., channel] = np.take(row, image[..., channel])
    return result


def map_values(function):
    """Returns an operation that applies `function` to every value 0..255 and its strength."""

    def operation(images, strengths):
        tables = function(VALUES, strengths[:, None, None])
        return look_up(images, np.broadcast_to(tables, (len(images), 1, 256)))

    return operation


def extrapolate(base, values, factors):
    """Returns `base` for a factor of 0, `values` for 1, and continues the line beyond them."""
    base = np.asarray(base, "float32")
    result = (values - base) * factors.astype("float32")
    result += base
    return np.clip(result, 0, 255, out=result).astype("uint8")


def contrast(images, factors):
    """Moves the values away from the image's mean gray, or towards it."""
    mean = np.floor(to_gray(images).mean(axis=(1, 2, 3)) + 0.5)
    return look_up(images, extrapolate(mean[:, None, None], VALUES, factors[:, None, None]))


def auto_contrast(images, _):
    """Stretches every channel to 0..255."""
    seen = count_values(images) > 0
    low = seen.argmax(axis=-1)[..., None]
    high = 255 - seen[..., ::-1].argmax(axis=-1)[..., None]
    scale = 255 / np.maximum(high - low, 1)
    return look_up(images, np.where(high > low, VALUES * scale - low * scale, VALUES))


def equalize(images, _):
    """Spreads the values of every channel so that all become about equally frequent."""
    counts = count_values(images)
    highest = 255 - (counts > 0)[..., ::-1].argmax(axis=-1)
    last = np.take_along_axis(counts, highest[..., None], axis=-1)
    step = (counts.sum(axis=-1, keepdims=True) - last) // 255
    before = np.cumsum(counts, axis=-1) - counts
    return look_up(images, np.where(step > 0, (step // 2 + before) // np.maximum(step, 1), VALUES))


def count_values(images):
    """Returns how often each value occurs in each channel, (images, channels, 256)."""
    channels = np.moveaxis(images, -1, 1).reshape(-1, math.prod(images.shape[1:3]))
    counts = [np.bincount(channel, minlength=256) for channel in channels]
    return np.reshape(counts, (len(images), -1, 256))


# --- Operations that combine values --------------------------------------------------------------


def to_gray(images):
    """Returns 0.299 red + 0.587 green + 0.114 blue, (images, height, width, 1)."""
    if images.shape[-1] == 1:
        return images
    red, green, blue = (images[..., channel].astype("uint32") for channel in range(3))
    # Parts of 65,536, as in Pillow.
    return (19595 * red + 38470 * green + 7471 * blue + 32768 >> 16).astype("uint8")[..., None]


def color(images, factors):
    """Moves the colors away from gray, or towards it."""
    gray, result = to_gray(images)[..., 0], np.empty_like(images)
    for channel in range(images.shape[-1]):
        result[..., channel] = extrapolate(gray, images[..., channel], factors[:, None, None])
    return result


def sharpness(images, factors):
    """Moves every pixel away from the mean of its surroundings, or towards it; edges stay."""
    height, width = images.shape[1:3]
    smooth = images.copy()
    if height > 2 and width > 2:
        wide = images.astype("uint16")
        rows = wide[:, :-2] + wide[:, 1:-1] + wide[:, 2:]
        total = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] + 4 * wide[:, 1:-1, 1:-1]
        smooth[:, 1:-1, 1:-1] = (total + np.uint16(6)) // np.uint16(13)
    return extrapolate(smooth, images, factors[:, None, None, None])


# --- Operations that move pixels -----------------------------------------------------------------


def slide(shift, vertical=False):
    """Returns an operation that shifts every row of pixels, or every column, along itself.

    `shift` of a strength, the length of a row and the places of all rows is how much further a
    pixel is read, in pixels.
    """

    def operation(images, strengths, interpolation):
        images = images.swapaxes(1, 2) if vertical else images
        places = np.arange(images.shape[1]) + 0.5
        shifts = shift(strengths[:, None], images.shape[2], places) + 0 * places
        moved = shift_rows(images, shifts, interpolation)
        return moved.swapaxes(1, 2) if vertical else moved

    return operation


def shift_rows(images, shifts, interpolation):
    """Reads the pixel at x of every row at x + shift, with `shifts` (images, rows)."""
    number, height, width, channels = images.shape
    cubic = interpolation == "bicubic"
    nearest = np.clip(np.floor(shifts + 0.5), -width, width).astype(int) + width
    whole = np.clip(np.floor(shifts), -width, width)
    # Beyond an edge only two pixels matter, to the interpolation: what is further away is gray.
    padded = np.zeros((number, height, 3 * width + 3, channels), "uint8")
    padded[:, :, width - 1 : width + 1] = images[:, :, :1]
    padded[:, :, width + 1 : 2 * width + 1] = images
    padded[:, :, 2 * width + 1 : 2 * width + 3] = images[:, :, -1:]
    windows = _windows(padded.reshape(number, height, -1), (width + 3) * channels)
    first = (whole.astype(int) + width if cubic else nearest) * channels
    rows = windows[np.arange(number)[:, None], np.arange(height), first]
    taps = [rows[..., t * channels : (t + width) * channels] for t in range(4)]
    moved = interpolate(*taps, shifts - whole) if cubic else taps[1]
    inside = np.repeat([False, True, False], np.array([width, width, width]) * channels)
    inside = _windows(inside, width * channels)[nearest * channels]
    return np.where(inside, moved, np.uint8(GRAY)).reshape(images.shape)


def _windows(rows, width):
    return np.lib.stride_tricks.sliding_window_view(rows, width, axis=-1)


def interpolate(before, own, after, last, place):
    """Returns cubic interpolation (a = -1, as in Pillow) between the second and the third array."""
    d = place[..., None].astype("float32")
    total = before * (2 * d**2 - d - d**3)
    total += own * (1 - 2 * d**2 + d**3)
    total += after * (d + d**2 - d**3)
    total += last * (d**3 - d**2)
    total += 0.5
    return np.clip(total, 0, 255, out=total).astype("uint8")


def rotate(images, degrees, interpolation):
    """Rotates images about their center; empty areas become gray."""
    from PIL import Image

    result, (height, width) = np.empty_like(images), images.shape[1:3]
    options = {"resample": Image.Resampling[interpolation.upper()], "fillcolor": "gray"}
    for image, angle, turned in zip(images, np.deg2rad(degrees), result, strict=True):
        (a, b), (x, y) = (math.cos(angle), math.sin(angle)), (width / 2, height / 2)
        matrix = (a, b, x - a * x - b * y, -b, a, y + b * x - a * y)
        pillow = Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image)
        pillow = pillow.transform(pillow.size, Image.Transform.AFFINE, matrix, **options)
        turned[:] = np.asarray(pillow).reshape(image.shape)
    return result


def cutout(images, places):
    """Fills a square with gray; `places` are (half its side, center x, center y) as shares."""
    images, (height, width) = images.copy(), images.shape[1:3]
    for image, (half, x, y) in zip(images, places, strict=True):
        left, right = round((x - half) * width), round((x + half) * width)
        top, bottom = round((y - half) * height), round((y + half) * height)
        image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = GRAY
    return images


MOVES = {
    "Rotate": rotate,
    "ShearX": slide(lambda factor, side, places: factor * places),
    "ShearY": slide(lambda factor, side, places: factor * places, vertical=True),
    "TranslateX": slide(lambda share, side, places: share * side),
    "TranslateY": slide(lambda share, side, places: share * side, vertical=True),
}
CHANGES = {
    "AutoContrast": auto_contrast,
    "Equalize": equalize,
    "Invert": map_values(lambda values, _: 255 - values),
    "Posterize": map_values(lambda values, bits: values >> 8 - bits << 8 - bits),
    "Solarize": map_values(lambda values, limit: np.where(values < limit, values, 255 - values)),
    "SolarizeAdd": map_values(lambda values, add: np.where(values < 128, values + add, values)),
    "Color": color,
    "Contrast": contrast,
    "Brightness": map_values(lambda values, factor: extrapolate(0, values, factor)),
    "Sharpness": sharpness,
    "Cutout": cutout,
}


# --- Strengths -----------------------------------------------------------------------------------
# A strength is a function of the levels, (images,), and of three random numbers for each image.


def no_strength(levels, draws):
    """Returns zeros, for operations without a strength."""
    return np.zeros(len(levels))


def either_sign(largest):
    """Returns a strength that is `largest` at level 10, with a random sign."""
    return lambda levels, draws: largest * levels / 10 * np.where(draws[:, 0] < 0.5, 1, -1)


def whole(function):
    """Returns a strength that is a whole number, without its fraction, between two limits."""
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
    # A square of 80 pixels of 224 at level 10, its center anywhere.
    "Cutout": lambda levels, draws: np.column_stack([levels / 10 * 40 / 224, draws[:, 1:]]),
    "SolarizeAdd": whole(lambda levels: levels / 10 * 110),
}

# timm's "inc1": a higher level always changes more; without Cutout.
INCREASING = {name: strength for name, strength in TENSORFLOW.items() if name != "Cutout"} | {
    # 0 bits would be black.
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
    """Changes images, in place, by `layers` operations drawn at random for each, in turn.

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
