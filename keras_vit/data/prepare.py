"""One image on its way to the model: cut, resized, varied. Pure functions of image and `rng`.

Every resize is Pillow's, with antialiasing: a pixel is the weighted mean of all that it covers.
The official code resizes without it, which leaves jagged edges where an image shrinks a lot.
"""

import math

import numpy as np

from keras_vit import arguments
from keras_vit.data.augmentation import Augmentation, augmentation_of
from keras_vit.data.erasing import erase
from keras_vit.data.randaugment import CHANGES, grey, randaugment

ASPECTS = (3 / 4, 4 / 3)  # width : height of an Inception crop on a square image
CROP_RATIO = 256 / 224  # resized to, cut out: as the official evaluations do


def train(image, image_size, augmentation, rng):
    """Returns the pixels of an image, varied at random.

    The image is cut and resized in one step, then mirrored, moved, turned, changed by
    RandAugment, jittered in its colours and erased in part: what `augmentation` has of these, in
    this order. Turning reads the resized image by linear interpolation; the edge repeats.

    Args:
        image: Pillow image of mode RGB or L.
        image_size: side in pixels, or (height, width).
        augmentation: an `Augmentation`, a name in `AUGMENTATIONS`, or None.
        rng: a NumPy random generator; one in the same state gives the same pixels.

    Returns:
        uint8 array (height, width, channels).

    Raises:
        ValueError: an argument cannot be used.

    Example:
    >>> from PIL import Image
    >>> photo = Image.new("RGB", (500, 375))
    >>> keras_vit.data.prepare.train(photo, 224, "light2", np.random.default_rng(0)).shape
    (224, 224, 3)
    """
    height, width = _checked_size(image, image_size)
    if not isinstance(augmentation, Augmentation):  # one that is has been checked by its maker
        augmentation = augmentation_of(augmentation)
    box = None
    if augmentation.crop:
        box = inception_box(*image.size, augmentation.crop, rng, width / height)
    image = resized(image, width, height, augmentation.interpolation, box)
    pixels = np.array(varied(image, augmentation, rng)).reshape(height, width, -1)
    erase(pixels, augmentation.erasing, rng)
    return pixels


def evaluate(image, image_size, resize="squash", interpolation="bilinear", ratio=CROP_RATIO):
    """Returns the pixels of an image, always the same ones.

    Args:
        image: Pillow image of mode RGB or L.
        image_size: side in pixels, or (height, width).
        resize: "squash" resizes whatever the proportions, as the paper's official code does.
            "crop" keeps the proportions, resizes to `ratio` times `image_size` and cuts out the
            middle, as AugReg and timm do.
        interpolation: "bilinear" or "bicubic".
        ratio: of "crop"; 256/224 as in AugReg, 448/384 where it fine-tunes.

    Returns:
        uint8 array (height, width, channels).

    Raises:
        ValueError: an argument cannot be used.

    Example:
    >>> from PIL import Image
    >>> keras_vit.data.prepare.evaluate(Image.new("L", (500, 375)), 224, resize="crop").shape
    (224, 224, 1)
    """
    height, width = _checked_size(image, image_size)
    arguments.one_of("squash", "crop")("resize", resize)
    arguments.one_of("bilinear", "bicubic")("interpolation", interpolation)
    if resize == "squash":
        image = resized(image, width, height, interpolation)
    else:
        image = central(image, width, height, interpolation, ratio)
    return np.array(image).reshape(height, width, -1)


def varied(image, augmentation, rng):
    """Returns an image of the same size after all that `train` does between resize and erasing."""
    if augmentation.flip and rng.random() < 0.5:
        image = mirrored(image)
    if augmentation.pad:
        image = moved(image, augmentation.pad, rng)
    if augmentation.rotation or augmentation.zoom or augmentation.shift:
        image = turned(image, augmentation, rng)
    if augmentation.randaugment:
        style = augmentation.randaugment_style
        image = randaugment(image, *augmentation.randaugment, rng, style)
    return jittered(image, augmentation.jitter, rng) if augmentation.jitter else image


def inception_box(width, height, shares, rng, aspect=1.0):
    """Draws the part of an image that a crop keeps (Szegedy et al., arXiv:1409.4842, section 6).

    Its area is uniform between `shares` of the image's, its width : height is between 3/4 and
    4/3 of `aspect`, uniform in the logarithm as far as the image's sides allow, its place
    uniform. Where no such crop fits into a very long image, it is the largest one that does.

    TensorFlow's operation, which the official code calls, draws the height instead of the area:
    its crops are smaller, on a square image 37 percent of the area on average instead of 52.

    Args:
        width: of the image in pixels.
        height: likewise.
        shares: (smallest, largest) share of the area.
        rng: a NumPy random generator.
        aspect: width : height of what the crop is resized to.

    Returns:
        (left, top, right, bottom) in pixels, not rounded.
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


def resized(image, width, height, interpolation="bilinear", box=None):
    """Returns an image of this size, of the part `box` = (left, top, right, bottom) if given."""
    from PIL import Image

    return image.resize((width, height), Image.Resampling[interpolation.upper()], box)


def central(image, width, height, interpolation="bilinear", ratio=CROP_RATIO):
    """Resizes an image to cover `ratio` times this size, and cuts out the middle."""
    arguments.positive_number("ratio", ratio, "256 / 224 keeps the middle 77 percent.")
    if ratio < 1:
        advice = "256 / 224 keeps the middle 77 percent, 1.0 the whole of a square image."
        arguments.refuse("`ratio` must be at least 1", {"ratio": ratio}, advice)
    factor = ratio * max(width / image.width, height / image.height)
    image = resized(
        image,
        max(round(image.width * factor), width),
        max(round(image.height * factor), height),
        interpolation,
    )
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def mirrored(image):
    """Returns an image with left and right exchanged."""
    from PIL import Image

    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def moved(image, share, rng):
    """Moves an image by whole pixels, up to `share` of its sides; grey enters.

    The same as a random crop from a padded image. Grey is what zeros are after normalisation.
    """
    from PIL import Image

    limits = [round(share * side) for side in image.size]
    offset = [int(rng.integers(-limit, limit, endpoint=True)) for limit in limits]
    canvas = Image.new(image.mode, image.size, grey(image))
    canvas.paste(image, tuple(offset))
    return canvas


def turned(image, augmentation, rng):
    """Turns, zooms and moves an image, as `keras_vit.data.augment` does with arrays."""
    from PIL import Image

    width, height = image.size
    angle, zoom_x, zoom_y, x, y = (2 * rng.random(5) - 1).tolist()
    angle = math.radians(augmentation.rotation * angle)
    zoom_x, zoom_y = 1 + augmentation.zoom * zoom_x, 1 + augmentation.zoom * zoom_y
    across = math.cos(angle) * zoom_x, math.sin(angle) * zoom_x, augmentation.shift * x * width
    down = -math.sin(angle) * zoom_y, math.cos(angle) * zoom_y, augmentation.shift * y * height
    margins = _margin(*across, image.size, width), _margin(*down, image.size, height)
    matrix = (
        *_from_corner(*across, image.size, width / 2 + margins[0]),
        *_from_corner(*down, image.size, height / 2 + margins[1]),
    )
    wide = with_margins(image, *margins)
    affine = Image.Transform.AFFINE
    return wide.transform(image.size, affine, matrix, Image.Resampling.BILINEAR)


def _margin(a, b, shift, size, side):
    """Returns by how many pixels a + b + shift, measured from the middle, leaves a side."""
    reach = abs(a) * size[0] / 2 + abs(b) * size[1] / 2 + abs(shift) - side / 2
    return max(math.ceil(reach), 0) + 1


def _from_corner(a, b, shift, size, middle):
    """Returns what reads at a x + b y + shift from the middle as Pillow reads: from the corner."""
    return a, b, middle + shift - a * size[0] / 2 - b * size[1] / 2


def with_margins(image, across, down):
    """Repeats the edge of an image, `across` pixels left and right, `down` above and below."""
    from PIL import Image

    columns = np.arange(-across, image.width + across).clip(0, image.width - 1)
    rows = np.arange(-down, image.height + down).clip(0, image.height - 1)
    return Image.fromarray(np.asarray(image).take(rows, axis=0).take(columns, axis=1))


def jittered(image, strength, rng):
    """Changes brightness, contrast and colour by factors around 1, in random order."""
    kinds = ("Brightness", "Contrast", "Color")
    factors = rng.uniform(1 - strength, 1 + strength, len(kinds)).tolist()
    for kind in rng.permutation(len(kinds)).tolist():
        image = CHANGES[kinds[kind]](image, factors[kind])
    return image


def _checked_size(image, image_size):
    if getattr(image, "mode", None) not in ("RGB", "L"):
        received = {"image": getattr(image, "mode", type(image).__name__)}
        advice = "Convert it with image.convert('RGB'), or an array with PIL.Image.fromarray."
        arguments.refuse("the image must be a Pillow image of mode RGB or L", received, advice)
    return arguments.height_width("image_size", image_size)
