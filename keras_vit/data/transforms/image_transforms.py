"""Crops, resizes and augments one image: pure functions of the image and `rng`.

Every resize is Pillow's, with antialiasing. The official code resizes without it, which leaves
jagged edges in images that shrink a lot.
"""

import math

import numpy as np

from keras_vit import arguments
from keras_vit.data.images import from_array, to_array
from keras_vit.data.transforms.augmentation import Augmentation, get_augmentation
from keras_vit.data.transforms.randaugment import CHANGES, GRAY, randaugment

ASPECTS = (3 / 4, 4 / 3)  # width : height of an Inception crop of a square image
CROP_RATIO = 256 / 224  # resized size : crop size, as in the official evaluations

# Random erasing (Zhong et al., arXiv:1708.04896), with the settings of DeiT's code.
ERASED_AREA = (0.02, 1 / 3)  # share of the image
ERASED_ASPECT = 0.3  # smallest height : width; the largest is its inverse
ERASING_TRIES = 10  # a long rectangle may not fit
NOISE_MEAN, NOISE_DEVIATION = 127.5, 57.5  # of ordinary photographs


def augment_image(image, image_size, augmentation, rng):
    """Returns the pixels of an image, augmented at random.

    `augmentation` determines which of these steps are applied, in this order: crop and resize in
    one step, flip, translation, rotation, RandAugment, color jitter and random erasing. Rotation
    interpolates the resized image linearly and repeats its edges.

    Args:
        image: Pillow image of mode RGB or L.
        image_size: side in pixels, or (height, width).
        augmentation: an `Augmentation`, a name in `AUGMENTATIONS`, or None.
        rng: a NumPy random generator; the same state gives the same pixels.

    Returns:
        uint8 array (height, width, channels).

    Raises:
        ValueError: an argument cannot be used.

    Example:
    >>> from PIL import Image
    >>> photo, rng = Image.new("RGB", (500, 375)), np.random.default_rng(0)
    >>> keras_vit.data.transforms.augment_image(photo, 224, "light2", rng).shape
    (224, 224, 3)
    """
    height, width = _check_image(image, image_size)
    if not isinstance(augmentation, Augmentation):  # an `Augmentation` was checked before
        augmentation = get_augmentation(augmentation)
    shares, box = augmentation.crop, None
    if shares:
        box = draw_crop_box(*image.size, shares, rng, width / height)
    image = image.resize((width, height), _resampling(augmentation.interpolation), box)
    return augment_pixels(to_array(image), augmentation, rng)


def resize_image(image, image_size, resize="squash", interpolation="bilinear", ratio=CROP_RATIO):
    """Returns the pixels of an image, resized and not augmented.

    Args:
        image: Pillow image of mode RGB or L.
        image_size: side in pixels, or (height, width).
        resize: "squash" resizes regardless of the proportions, like the paper's official code.
            "crop" keeps the proportions, resizes to `ratio` times `image_size` and crops the
            center, like AugReg and timm.
        interpolation: "bilinear" or "bicubic".
        ratio: resized size over crop size; AugReg uses 256/224, and 448/384 in fine-tuning.

    Returns:
        uint8 array (height, width, channels).

    Raises:
        ValueError: an argument cannot be used.

    Example:
    >>> from PIL import Image
    >>> photo = Image.new("L", (500, 375))
    >>> keras_vit.data.transforms.resize_image(photo, 224, resize="crop").shape
    (224, 224, 1)
    """
    height, width = _check_image(image, image_size)
    arguments.one_of("squash", "crop")("resize", resize)
    arguments.one_of("bilinear", "bicubic")("interpolation", interpolation)
    if resize == "squash":
        return to_array(image.resize((width, height), _resampling(interpolation)))
    arguments.positive_number("ratio", ratio, "256 / 224 keeps the central 77 percent.")
    if ratio < 1:
        advice = "256 / 224 keeps the central 77 percent, 1.0 the whole of a square image."
        arguments.refuse("`ratio` must be at least 1", {"ratio": ratio}, advice)
    factor = ratio * max(width / image.width, height / image.height)
    sides = max(round(image.width * factor), width), max(round(image.height * factor), height)
    image = image.resize(sides, _resampling(interpolation))
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return to_array(image.crop((left, top, left + width, top + height)))


def augment_pixels(pixels, augmentation, rng):
    """Does everything that `augment_image` does after the resize, with uint8 pixels."""
    if augmentation.flip and rng.random() < 0.5:
        pixels = pixels[:, ::-1]
    if augmentation.pad:
        pixels = translate(pixels, augmentation.pad, rng)
    affine = augmentation.rotation or augmentation.zoom or augmentation.shift
    if affine or augmentation.randaugment or augmentation.jitter:  # what follows needs Pillow
        image = from_array(pixels)
        if affine:
            image = transform_affine(image, augmentation, rng)
        if augmentation.randaugment:
            style = augmentation.randaugment_style
            image = randaugment(image, *augmentation.randaugment, rng, style)
        if augmentation.jitter:
            image = jitter_colors(image, augmentation.jitter, rng)
        pixels = to_array(image)
    return erase(pixels, augmentation.erasing, rng) if augmentation.erasing else pixels


def draw_crop_box(width, height, shares, rng, aspect=1.0):
    """Draws the box of an Inception crop (Szegedy et al., arXiv:1409.4842, section 6).

    Its area is uniform between `shares` of the image's, its width : height is between 3/4 and 4/3
    of `aspect`, uniform in the logarithm as far as the image's sides allow, and its place is
    uniform. If no such crop fits into a very long image, it is the largest one that does. Returns
    (left, top, right, bottom) in pixels, not rounded.

    TensorFlow's operation, which the official code calls, draws the height instead of the area. Its
    crops are smaller: on a square image 37 percent of the area on average instead of 52.
    """
    area, ratio, x, y = rng.random(4).tolist()
    area = (shares[0] + (shares[1] - shares[0]) * area) * width * height
    low, high = ASPECTS[0] * aspect, ASPECTS[1] * aspect
    narrowest, widest = min(max(area / height**2, low), high), max(min(width**2 / area, high), low)
    ratio = narrowest * (widest / narrowest) ** ratio
    area = min(area, ratio * height**2, width**2 / ratio)
    across, down = min(math.sqrt(area * ratio), width), min(math.sqrt(area / ratio), height)
    left, top = x * (width - across), y * (height - down)
    return left, top, min(left + across, width), min(top + down, height)


def translate(pixels, share, rng):
    """Translates an image by whole pixels, up to `share` of its sides, and fills with gray.

    This is a random crop from a padded image; gray is what zeros are after normalization.
    """
    height, width, _ = pixels.shape
    limits = round(share * width), round(share * height)
    x, y = (int(rng.integers(-limit, limit, endpoint=True)) for limit in limits)
    canvas = np.full(pixels.shape, GRAY, "uint8")
    visible = pixels[max(-y, 0) : height - max(y, 0), max(-x, 0) : width - max(x, 0)]
    canvas[max(y, 0) : height + min(y, 0), max(x, 0) : width + min(x, 0)] = visible
    return canvas


def transform_affine(image, augmentation, rng):
    """Rotates, zooms and shifts an image, as `keras_vit.data.augment` does with arrays."""
    from PIL import Image

    width, height = image.size
    angle, zoom_x, zoom_y, x, y = (2 * rng.random(5) - 1).tolist()
    angle = math.radians(augmentation.rotation * angle)
    cosine, sine = math.cos(angle), math.sin(angle)
    zoom_x, zoom_y = 1 + augmentation.zoom * zoom_x, 1 + augmentation.zoom * zoom_y
    # A pixel at (x, y), measured from the center, is read at a x + b y + shift in each direction.
    rows = (
        (cosine * zoom_x, sine * zoom_x, augmentation.shift * x * width, width),
        (-sine * zoom_y, cosine * zoom_y, augmentation.shift * y * height, height),
    )
    margins, matrix = [], []
    for a, b, shift, side in rows:
        outside = abs(a) * width / 2 + abs(b) * height / 2 + abs(shift) - side / 2
        margins.append(max(math.ceil(outside), 0) + 1)
        middle = side / 2 + margins[-1]  # Pillow's origin is the corner
        matrix += [a, b, middle + shift - a * width / 2 - b * height / 2]
    across, down = margins
    padded = np.pad(to_array(image), [(down, down), (across, across), (0, 0)], "edge")
    affine, bilinear = Image.Transform.AFFINE, Image.Resampling.BILINEAR
    return from_array(padded).transform(image.size, affine, matrix, bilinear)


def jitter_colors(image, strength, rng):
    """Changes brightness, contrast and color by factors around 1, in random order."""
    kinds = ("Brightness", "Contrast", "Color")
    factors = rng.uniform(1 - strength, 1 + strength, len(kinds)).tolist()
    for kind in rng.permutation(len(kinds)).tolist():
        image = CHANGES[kinds[kind]](image, factors[kind])
    return image


def erase(pixels, probability, rng):
    """Replaces a rectangle of uint8 (height, width, channels) with noise, with a probability.

    The noise is normal with the mean and deviation of photographs, like DeiT's after normalization;
    here it is clipped to 0..255.
    """
    if rng.random() >= probability:
        return pixels
    height, width, channels = pixels.shape
    for _ in range(ERASING_TRIES):
        area = rng.uniform(*ERASED_AREA) * height * width
        aspect = math.exp(rng.uniform(math.log(ERASED_ASPECT), -math.log(ERASED_ASPECT)))
        rows, columns = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < rows < height and 0 < columns < width:
            break
    else:
        return pixels
    top = rng.integers(height - rows, endpoint=True)
    left = rng.integers(width - columns, endpoint=True)
    noise = rng.standard_normal((rows, columns, channels), "float32")
    noise = np.clip(noise * NOISE_DEVIATION + NOISE_MEAN, 0, 255).astype("uint8")
    erased = pixels.copy()
    erased[top : top + rows, left : left + columns] = noise
    return erased


def _resampling(interpolation):
    from PIL import Image

    return Image.Resampling[interpolation.upper()]


def _check_image(image, image_size):
    """Returns `image_size` as (height, width)."""
    if getattr(image, "mode", None) not in ("RGB", "L"):
        received = {"image": getattr(image, "mode", type(image).__name__)}
        advice = "Convert it with image.convert('RGB'), or an array with PIL.Image.fromarray."
        arguments.refuse("the image must be a Pillow image of mode RGB or L", received, advice)
    return arguments.height_width("image_size", image_size)
