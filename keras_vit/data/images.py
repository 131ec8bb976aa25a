"""Reads image files into pixels."""

import os
import pathlib
import struct
import zlib

import numpy as np

from keras_vit import arguments
from keras_vit.doctor import formats
from keras_vit.io import paths

RESIZING = {"resize": "squash", "interpolation": "bilinear"}  # if nothing else is stated
CROP_RATIO = 256 / 224  # resized size : crop size, as in the official evaluations
SUFFIXES, ORIENTATION = formats.IMAGE_SUFFIXES, formats.ORIENTATION
DEEPEST = formats.DEEPEST
# Pillow's decoders raise many kinds of errors on damaged files.
DECODING_ERRORS = (
    OSError, SyntaxError, ValueError, EOFError, TypeError, LookupError, ArithmeticError,
    struct.error, zlib.error,
)  # fmt: skip
EXAMPLE = pathlib.Path(__file__).parent / "photographs" / "cat.jpg"


def read(path, image_size, num_channels=3, invert=False):
    """Reads any image that Pillow can open, upright and resized.

    The image is resized to `image_size` regardless of its proportions, as in the official code
    (here with antialiasing).

    Args:
        path: image file.
        image_size: side in pixels, or (height, width).
        num_channels: 1 for grayscale, 3 for RGB.
        invert: whether to invert the pixels.

    Returns:
        uint8 array (height, width, num_channels), pixels 0 to 255.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file cannot be read as an image.

    Example:
    >>> keras_vit.data.read("cat.jpg", image_size=224).shape  # doctest: +SKIP
    (224, 224, 3)
    """
    height, width = arguments.height_width("image_size", image_size)
    return resize(open_image(path, num_channels, invert), height, width)


def example_image(image_size=224):
    """Returns the photograph that is included in the package: a cat that looks at the camera.

    It is "Chelsea" by Stéfan van der Walt, from scikit-image, in the public domain (CC0).

    Args:
        image_size: side in pixels, or (height, width). The file has 300 x 451 pixels.

    Returns:
        uint8 array (height, width, 3), pixels 0 to 255.

    Example:
    >>> keras_vit.data.example_image().shape
    (224, 224, 3)
    """
    return read(EXAMPLE, image_size)


def open_image(path, num_channels=3, invert=False, smallest=None):
    """Opens an image as a Pillow image of mode L (1 channel) or RGB (3 channels).

    The EXIF orientation is applied, transparent pixels become white, 16 bits become 8, CMYK and
    palettes become RGB or grayscale, and of an animation only the first frame is read. Raises the
    errors of `read`.

    With `smallest`, a (height, width) that is sufficient, a JPEG may be decoded at a half, a
    quarter or an eighth of its size, no side below `smallest`, which is several times faster.
    """
    from PIL import ImageOps

    check_file(path)
    image = decode(path, path, num_channels, smallest)
    return ImageOps.invert(image) if invert else image


def check_file(path):
    """Raises `FileNotFoundError` unless a path is a file, without opening it."""
    if not os.path.isfile(path):
        received = f"{str(path)!r}, {paths.describe(path)}"
        raise FileNotFoundError(f"An image file was expected. Received: {received}.")


def decode(file, name, num_channels=3, smallest=None):
    """Decodes a path or an open file as `open_image` does; errors contain `name`."""
    from PIL import Image, ImageOps

    arguments.one_of(1, 3)("num_channels", num_channels)
    try:
        with Image.open(file) as image:
            if smallest is not None:
                rotated = image.getexif().get(ORIENTATION, 1) >= 5
                image.draft(None, smallest if rotated else smallest[::-1])
            ImageOps.exif_transpose(image, in_place=True)
    except (*DECODING_ERRORS, Image.DecompressionBombError) as error:
        reason, advice = error, "Save it again as PNG or JPEG, or remove it."
        if isinstance(error, PermissionError):
            reason, advice = error.strerror, "Change its permissions."
        problem = f"{str(name)!r} cannot be read as an image ({reason}). {advice}"
        raise ValueError(problem) from error
    return convert(_flatten(image, name), "L" if num_channels == 1 else "RGB")


def _flatten(image, name):
    """Puts transparent images on white, and reduces 16 bits to 8."""
    from PIL import Image

    if image.mode.startswith("I"):  # Pillow's own conversion would clip 16 bits at 255
        pixels = np.asarray(image)
        low, high = int(pixels.min()), int(pixels.max())
        if low < 0 or high > DEEPEST:
            arguments.refuse(
                f"{str(name)!r} must have pixels of 8 or 16 bits",
                {"lowest": low, "highest": high},
                "Pixels of 32 bits have no fixed range: save it as an 8-bit PNG.",
            )
        shallow = (pixels / (DEEPEST / 255)).round().astype("uint8")
        shallow[pixels == image.info.get("transparency")] = 255
        return Image.fromarray(shallow)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if image.mode == "F":
        arguments.refuse(
            f"{str(name)!r} must have integer pixels",
            {"Pillow mode": "F"},
            "Floating-point pixels have no fixed range: save it as an 8-bit PNG.",
        )
    if image.mode in formats.UNCONVERTED:
        arguments.refuse(
            f"{str(name)!r} must have gray or RGB pixels, or some that become RGB",
            {"Pillow mode": image.mode},
            "Save it as PNG or JPEG.",
        )
    return image


def convert(image, mode):
    """Returns a Pillow image in a mode, without the copy that Pillow makes if it has that mode."""
    return image if image.mode == mode else image.convert(mode)


def resize(image, height, width):
    """Returns the pixels of a resized Pillow image, uint8 (height, width, channels)."""
    from PIL import Image

    return to_array(image.resize((width, height), Image.Resampling.BILINEAR))


def to_array(image):
    """Returns the pixels of a Pillow image, uint8 (height, width, channels)."""
    return np.array(image).reshape(image.height, image.width, -1)


def from_array(pixels):
    """Returns uint8 pixels, (height, width, 1 or 3), as a Pillow image of mode L or RGB."""
    from PIL import Image

    return Image.fromarray(pixels[:, :, 0] if pixels.shape[-1] == 1 else pixels)
