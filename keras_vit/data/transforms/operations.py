"""The operations of RandAugment, on batches of images: uint8 (images, height, width, channels).

An operation takes one strength for each image. `MOVES` and `CHANGES` list all of them.
"""

import functools
import math

import numpy as np

GRAY = 128  # Pillow's "gray", which fills what a rotation, translation or cutout leaves empty
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
    """Replaces every value with its entry in a table, (images, 1 or channels, 256)."""
    tables, result = to_pixels(np.array(tables)), np.empty_like(images)
    for image, table, changed in zip(images, tables, result, strict=True):
        if len(table) == 1:
            table[0].take(image, out=changed, mode="clip")
        else:
            for channel, row in enumerate(table):
                changed[..., channel] = row[image[..., channel]]
    return result


def map_values(function):
    """Returns an operation that applies `function` to every value 0..255 and its strength."""

    def operation(images, strengths):
        tables = function(VALUES, strengths[:, None, None])
        return look_up(images, np.broadcast_to(tables, (len(images), 1, 256)))

    return operation


def extrapolate(base, values, factors):
    """Returns `base` for a factor of 0, `values` for 1, and extrapolates beyond them."""
    base = np.asarray(base, "float32")
    result = (values - base) * factors.astype("float32")
    result += base
    return to_pixels(result)


def to_pixels(values):
    """Truncates values to uint8; overwrites them."""
    np.maximum(values, 0, out=values)
    return np.minimum(values, 255, out=values).astype("uint8")


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
    # In units of 1/65,536, as in Pillow.
    return (19595 * red + 38470 * green + 7471 * blue + 32768 >> 16).astype("uint8")[..., None]


def color(images, factors):
    """Moves the colors away from gray, or towards it."""
    gray, result = to_gray(images)[..., 0], np.empty_like(images)
    for channel in range(images.shape[-1]):
        result[..., channel] = extrapolate(gray, images[..., channel], factors[:, None, None])
    return result


def sharpness(images, factors):
    """Moves every pixel away from the mean of its surroundings, or towards it, except at edges."""
    height, width = images.shape[1:3]
    smooth = images.copy()
    if height > 2 and width > 2:
        wide = images.astype("uint16")
        rows = wide[:, :-2] + wide[:, 1:-1] + wide[:, 2:]
        total = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] + 4 * wide[:, 1:-1, 1:-1]
        smooth[:, 1:-1, 1:-1] = (total + np.uint16(6)) // np.uint16(13)
    return extrapolate(smooth, images, factors[:, None, None, None])


def blur(images, deviations):
    """Blurs with a Gaussian of a standard deviation in pixels, as Pillow approximates it."""
    from PIL import Image, ImageFilter

    result = np.empty_like(images)
    for image, blurred, deviation in zip(images, result, deviations, strict=True):
        pillow = Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image)
        pillow = pillow.filter(ImageFilter.GaussianBlur(float(deviation)))
        blurred[:] = np.asarray(pillow).reshape(image.shape)
    return result


# --- Operations that move pixels -----------------------------------------------------------------


def slide(shift, vertical=False):
    """Returns an operation that shifts every row of pixels, or every column, along itself.

    `shift(strength, length of a row, places of all rows)` returns how many pixels further along the
    row each pixel is read.
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
    # Beyond an edge, the interpolation reads at most two pixels; everything further away is gray.
    padded = np.empty((number, height, 3 * width + 3, channels), "uint8")
    padded[:, :, width - 1 : width + 1] = images[:, :, :1]
    padded[:, :, width + 1 : 2 * width + 1] = images
    padded[:, :, 2 * width + 1 : 2 * width + 3] = images[:, :, -1:]
    begin = np.arange(number * height).reshape(number, height) * (3 * width + 3)
    first = begin + (whole.astype(int) + width if cubic else nearest)
    rows = _windows(padded.ravel(), (width + 3) * channels)[first * channels]
    taps = [rows[..., t * channels : (t + width) * channels] for t in range(4)]
    moved = interpolate(*taps, shifts - whole) if cubic else taps[1]
    inside = np.zeros((3, width * channels), bool)
    inside[1] = True
    inside = _windows(inside.ravel(), width * channels)[nearest * channels]
    return np.where(inside, moved, np.uint8(GRAY)).reshape(images.shape)


def _windows(values, size):
    """Returns a view of all runs of `size` values, (runs, size)."""
    shape, (step,) = (len(values) - size + 1, size), values.strides
    return np.lib.stride_tricks.as_strided(values, shape, (step, step), writeable=False)


def interpolate(before, own, after, last, place):
    """Returns cubic interpolation (a = -1, as in Pillow) between the second and the third array."""
    d = place[..., None].astype("float32")
    total = before * (2 * d**2 - d - d**3)
    total += own * (1 - 2 * d**2 + d**3)
    total += after * (d + d**2 - d**3)
    total += last * (d**3 - d**2)
    total += 0.5
    return to_pixels(total)


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
    "Blur": blur,
    "Cutout": cutout,
}
