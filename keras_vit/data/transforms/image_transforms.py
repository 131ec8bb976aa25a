"""Crops, resizes and augments one image: pure functions of the image and of random numbers.

Every resize is Pillow's, with antialiasing. The official code resizes without it, which leaves
jagged edges in images that shrink a lot.
"""

import math

import numpy as np

from keras_vit import arguments
from keras_vit.data.images import CROP_RATIO, RESIZING, to_array
from keras_vit.data.transforms.augmentation import Augmentation, get_augmentation
from keras_vit.data.transforms.batch_transforms import apply, count_draws

ASPECTS = (3 / 4, 4 / 3)  # width : height of an Inception crop of a square image


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
        ValueError: an argument is invalid.

    Example:
    >>> from PIL import Image
    >>> photo, rng = Image.new("RGB", (500, 375)), np.random.default_rng(0)
    >>> keras_vit.data.transforms.augment_image(photo, 224, "light2", rng).shape
    (224, 224, 3)
    """
    height, width = _check_image(image, image_size)
    if not isinstance(augmentation, Augmentation):  # an `Augmentation` was checked before
        augmentation = get_augmentation(augmentation)
    draws = rng.random((1, sum(count_draws(augmentation).values())), "float32")
    pixels = np.array(crop_image(image, (height, width), augmentation, draws[0]))
    return apply(pixels.reshape(1, height, width, -1), augmentation, draws)[0]


def crop_image(image, image_size, augmentation, draws):
    """Resizes an image, or a crop of it that its random numbers determine, to (height, width)."""
    (height, width), box = image_size, None
    if augmentation.crop:
        box = place_crop(*image.size, augmentation.crop, draws[:4], width / height)
    if image.size == (width, height) and box is None:
        return image
    return image.resize((width, height), _resampling(augmentation.interpolation), box)


def resize_image(image, image_size, resize="squash", interpolation="bilinear", ratio=CROP_RATIO):
    """Returns the pixels of an image, resized but not augmented.

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
        ValueError: an argument is invalid.

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


def find_resizing(metrics):
    """Returns the arguments of `resize_image` from the metrics of a run, or of a model.

    Example:
    >>> keras_vit.data.transforms.image_transforms.find_resizing({"resize": "crop", "seed": 0})
    {'resize': 'crop', 'interpolation': 'bilinear'}
    """
    return {name: metrics.get(name, usual) for name, usual in RESIZING.items()}


def place_crop(width, height, shares, draws, aspect=1.0):
    """Returns the box of an Inception crop (Szegedy et al., arXiv:1409.4842, section 6).

    Its area is uniform between `shares` of the image's, its width : height is between 3/4 and 4/3
    of `aspect`, uniform in the logarithm as far as the image's sides allow, and its place is
    uniform. `draws` are the random numbers for these four. If no such crop fits into a very long
    image, the largest one that does is used. Returns (left, top, right, bottom) in pixels, not
    rounded.

    TensorFlow's operation, which the official code calls, draws the height instead of the area. Its
    crops are smaller: on a square image 37 percent of the area on average instead of 52.
    """
    area, ratio, x, y = draws.tolist()
    area = (shares[0] + (shares[1] - shares[0]) * area) * width * height
    low, high = ASPECTS[0] * aspect, ASPECTS[1] * aspect
    narrowest, widest = min(max(area / height**2, low), high), max(min(width**2 / area, high), low)
    ratio = narrowest * (widest / narrowest) ** ratio
    area = min(area, ratio * height**2, width**2 / ratio)
    across, down = min(math.sqrt(area * ratio), width), min(math.sqrt(area / ratio), height)
    left, top = x * (width - across), y * (height - down)
    return left, top, min(left + across, width), min(top + down, height)


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
