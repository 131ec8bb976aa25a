"""Random transforms of a whole batch of images: functions of the pixels and of random numbers.

Images are uint8 (images, height, width, channels); a transform may change them in place. Random
numbers are uniform in [0, 1), one row for each image, so an image is transformed in the same way
regardless of its batch.
"""

import functools

import numpy as np

from keras_vit import arguments
from keras_vit.data.transforms.augmentation import get_augmentation
from keras_vit.data.transforms.operations import CHUNK, GRAY, change
from keras_vit.data.transforms.randaugment import DRAWS, randaugment

# Random erasing (Zhong et al., arXiv:1708.04896), with the settings of DeiT's code.
ERASED_AREA = (0.02, 1 / 3)  # share of the image
ERASED_ASPECT = 0.3  # smallest height : width; the largest is its inverse
NOISE_MEAN, NOISE_DEVIATION = 127.5, 57.5  # those of ordinary photographs
NOISE_STARTS = 2**16

# 3-Augment (Touvron et al., arXiv:2204.07118), with the settings of its code.
SOLARIZED_FROM = 128  # the lowest value that is inverted
BLUR = (0.1, 2.0)  # smallest and largest deviation, in pixels


def count_draws(augmentation):
    """Returns {step: random numbers that it needs for an image}, in the order of the steps."""
    layers = augmentation.randaugment[0] if augmentation.randaugment else 0
    affine = augmentation.rotation or augmentation.zoom or augmentation.shift
    return {
        "crop": 4 if augmentation.crop else 0,
        "flip": 1 if augmentation.flip else 0,
        "pad": 2 if augmentation.pad else 0,
        "affine": 5 if affine else 0,
        "randaugment": DRAWS * layers,
        "three_augment": 2 if augmentation.three_augment else 0,
        "jitter": 6 if augmentation.jitter else 0,
        "erasing": 6 if augmentation.erasing else 0,
    }


def augment(images, augmentation, rng):
    """Augments every image of an array at random.

    This is `keras_vit.data.transforms.augment_image` for images that already have their size.

    Args:
        images: uint8, (images, height, width, 1 or 3).
        augmentation: an `Augmentation`, or the name of one, without crop, mixup and CutMix.
        rng: a NumPy random generator; the same state gives the same images.

    Returns:
        uint8, of the same shape.

    Raises:
        ValueError: the images are not uint8, or the augmentation has a crop, mixup or CutMix.

    Example:
    >>> images = np.zeros((2, 8, 8, 1), "uint8")
    >>> changes = keras_vit.data.Augmentation(rotation=10)
    >>> keras_vit.data.augment(images, changes, np.random.default_rng(0)).shape
    (2, 8, 8, 1)
    """
    augmentation = check_array(images, augmentation)
    counts = count_draws(augmentation)
    return apply(
        images.copy(), augmentation, rng.random((len(images), sum(counts.values())), "float32")
    )


def check_array(images, augmentation):
    """Returns an `Augmentation`, or raises `ValueError` unless an array can be augmented so."""
    augmentation = get_augmentation(augmentation)
    fields = augmentation.changed_fields().items()
    others = {name: x for name, x in fields if name in ("crop", "mixup", "cutmix")}
    if others:
        expected = "images in an array support every field but crop, mixup and cutmix"
        arguments.refuse(expected, others, "Use keras_vit.data.load, or leave these fields out.")
    if augmentation.changed_fields() and images.dtype != "uint8":
        advice = "From pixels 0 to 255: images.round().astype('uint8')."
        arguments.refuse("images must be uint8", {"images": str(images.dtype)}, advice)
    return augmentation


def apply(images, augmentation, draws):
    """Applies all steps of `augment_image` that follow the resize; `draws` is (images, numbers)."""
    counts = count_draws(augmentation)
    ends = np.cumsum(list(counts.values()))[:-1]
    draws = dict(zip(counts, np.split(draws, ends, axis=1), strict=True))
    if augmentation.flip:
        images = flip(images, draws["flip"])
    if augmentation.pad:
        images = translate(images, augmentation.pad, draws["pad"])
    if counts["affine"]:
        images = transform_affine(images, augmentation, draws["affine"])
    if augmentation.randaugment:
        settings = *augmentation.randaugment, draws["randaugment"], augmentation.randaugment_style
        images = randaugment(images, *settings)
    if augmentation.three_augment:
        images = three_augment(images, draws["three_augment"])
    if augmentation.jitter:
        images = jitter_colors(images, augmentation.jitter, draws["jitter"])
    return erase(images, augmentation.erasing, draws["erasing"]) if augmentation.erasing else images


def flip(images, draws):
    """Flips half of the images left to right, in place if they are in C order."""
    images = np.ascontiguousarray(images)  # an array that was transposed keeps its order
    whole = images.view(f"V{images.shape[-1]}")  # NumPy would copy the channels one by one
    for index in np.flatnonzero(draws[:, 0] < 0.5):
        whole[index] = whole[index, :, ::-1].copy()
    return images


def translate(images, share, draws):
    """Translates images by whole pixels, up to `share` of their sides, and fills with gray.

    This is a random crop from a padded image; gray corresponds to zeros after normalization.
    """
    number, height, width, channels = images.shape
    down, across = round(share * height), round(share * width)
    padded = np.full((number, height + 2 * down, width + 2 * across, channels), GRAY, "uint8")
    padded[:, down : down + height, across : across + width] = images
    rows = padded.reshape(number, height + 2 * down, -1)
    windows = np.lib.stride_tricks.sliding_window_view(rows, (height, width * channels), (1, 2))
    top, left = (draws * (2 * down + 1, 2 * across + 1)).astype(int).T
    return windows[np.arange(number), top, left * channels].reshape(images.shape)


def transform_affine(images, augmentation, draws):
    """Rotates, zooms and shifts images, with linear interpolation, and repeats their edges."""
    angle, zoom_y, zoom_x, *shift = 2 * draws.T.astype(float) - 1
    angle = np.deg2rad(augmentation.rotation) * angle
    cosine, sine = np.cos(angle), np.sin(angle)
    zoom = 1 + augmentation.zoom * np.array([zoom_y, zoom_x])
    matrices = np.array([[cosine, -sine], [sine, cosine]]) * zoom[:, None]
    shifts = augmentation.shift * np.transpose(shift) * images.shape[1:3]
    return resample(images, matrices.transpose(2, 0, 1), shifts)


def resample(images, matrices, shifts):
    """Transforms images with one matrix and one shift each, with linear interpolation.

    A pixel at p, measured from the center as (row, column), is read at matrix @ p + shift. Images
    are uint8, (images, height, width, channels), with sides of 2 pixels or more; matrices are
    (images, 2, 2), shifts (images, 2) in pixels.
    """
    limits = np.array(images.shape[1:3]) - 1
    middle = limits / 2
    pixels = np.stack(np.indices(images.shape[1:3]), axis=-1).reshape(-1, 2) - middle
    result = np.empty((len(images), len(pixels), images.shape[-1]), "uint8")
    step = max(1, CHUNK // len(pixels))
    for some in (slice(start, start + step) for start in range(0, len(images), step)):
        points = pixels @ matrices[some].transpose(0, 2, 1) + shifts[some, None] + middle
        points = np.clip(points, 0, limits)  # (images in the chunk, pixels, 2)
        corner = np.clip(points.astype("int32"), 0, np.maximum(limits - 1, 0))
        down, right = np.moveaxis((points - corner).astype("float32"), -1, 0)[..., None]
        row, column = np.moveaxis(corner, -1, 0)  # (images in the chunk, pixels) each
        image = np.arange(len(images))[some, None]
        below, beside = np.minimum(row + 1, limits[0]), np.minimum(column + 1, limits[1])
        upper = images[image, row, column] * (1 - right) + images[image, row, beside] * right
        lower = images[image, below, column] * (1 - right) + images[image, below, beside] * right
        result[some] = np.rint(upper * (1 - down) + lower * down)
    return result.reshape(images.shape)


def three_augment(images, draws):
    """Turns an image gray, solarizes or blurs it, with equal probability (DeiT-III, 3-Augment)."""
    strengths = {
        "Color": np.zeros(len(images)),  # gray
        "Solarize": np.full(len(images), SOLARIZED_FROM),
        "Blur": BLUR[0] + (BLUR[1] - BLUR[0]) * draws[:, 1],
    }
    chosen = (draws[:, 0] * len(strengths)).astype(int)
    for number, (kind, strength) in enumerate(strengths.items()):
        change(images, chosen == number, kind, strength)
    return images


def jitter_colors(images, strength, draws):
    """Changes brightness, contrast and color by factors around 1, in random order."""
    factors, kinds = 1 + strength * (2 * draws[:, :3] - 1), ("Brightness", "Contrast", "Color")
    for chosen in draws[:, 3:].argsort(axis=1).T:
        for number, kind in enumerate(kinds):
            change(images, chosen == number, kind, factors[:, number])
    return images


def erase(images, probability, draws):
    """Replaces a rectangle of each image with noise, with a probability.

    Its area is uniform within `ERASED_AREA`, and the logarithm of its height : width is uniform as
    far as the image allows. The noise is normal with the mean and deviation of photographs, like
    DeiT's after normalization, but clipped to 0..255. It is read from a random place in a fixed
    table of noise.
    """
    _, height, width, channels = images.shape
    chosen = np.flatnonzero(draws[:, 0] < probability)
    area, ratio, top, left, start = draws[chosen, 1:].T.astype(float)
    area = (ERASED_AREA[0] + (ERASED_AREA[1] - ERASED_AREA[0]) * area) * height * width
    low, high = (
        np.maximum(ERASED_ASPECT, area / width**2),
        np.minimum(1 / ERASED_ASPECT, height**2 / area),
    )
    ratio = low * (np.maximum(high, low) / low) ** ratio
    rows = np.clip(np.rint(np.sqrt(area * ratio)), 1, height).astype(int)
    columns = np.clip(np.rint(np.sqrt(area / ratio)), 1, width).astype(int)
    top, left = (top * (height - rows + 1)).astype(int), (left * (width - columns + 1)).astype(int)
    start = (start * NOISE_STARTS).astype(int)
    noise = make_noise(height * width * channels)
    for index, y, x, h, w, first in zip(chosen, top, left, rows, columns, start, strict=True):
        patch = noise[first : first + h * w * channels]
        images[index, y : y + h, x : x + w] = patch.reshape(h, w, channels)
    return images


@functools.lru_cache(maxsize=2)
def make_noise(size):
    """Returns `size` + `NOISE_STARTS` random pixels, uint8."""
    noise = np.random.default_rng(0).standard_normal(NOISE_STARTS + size, "float32")
    return np.clip(noise * NOISE_DEVIATION + NOISE_MEAN, 0, 255).astype("uint8")
