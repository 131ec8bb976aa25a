"""Reads an image file into the pixels that a model takes."""

import os
import struct
import zlib

import numpy as np

from keras_vit import arguments

SUFFIXES = (
    ".jpg", ".jpeg", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff",
)  # fmt: skip
# Pillow's decoders raise many kinds of errors on damaged files.
DECODING_ERRORS = (
    OSError, SyntaxError, ValueError, EOFError, TypeError, LookupError, ArithmeticError,
    struct.error, zlib.error,
)  # fmt: skip
ORIENTATION = 0x0112  # the EXIF tag; from 5 on height and width are exchanged


def read(path, image_size, num_channels=3, invert=False):
    """Reads any image that Pillow can open, upright and resized.

    The image is resized to `image_size` whatever its proportions, as the official code does
    (here with antialiasing).

    Args:
        path: image file.
        image_size: side in pixels, or (height, width).
        num_channels: 1 for grey, 3 for colours.
        invert: whether dark and light are exchanged.

    Returns:
        uint8 array (height, width, num_channels), pixels 0 to 255.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file cannot be read as an image; the message names it.

    Example:
    >>> keras_vit.data.read("cat.jpg", image_size=224).shape  # doctest: +SKIP
    (224, 224, 3)
    """
    height, width = arguments.height_width("image_size", image_size)
    image = load(path, num_channels, invert)
    return resized(image, height, width)


def load(path, num_channels=3, invert=False, smallest=None):
    """Opens an image as a Pillow image of mode L (1 channel) or RGB (3).

    The rotation that a camera noted (EXIF) is applied, transparent parts become white, 16 bits
    become 8, CMYK and palettes become colours or grey; of a film (GIF) it is the first image.
    It raises what `read` does.

    Args:
        path: image file.
        num_channels: 1 for grey, 3 for colours.
        invert: whether dark and light are exchanged.
        smallest: (height, width) in pixels that are enough, None for all there are. A JPEG may
            then come at a half, a quarter or an eighth of its size, no side below `smallest`: the
            decoder leaves the finest waves out, which is several times faster.
    """
    from PIL import ImageOps

    check_file(path)
    image = decode(path, path, num_channels, smallest)
    return ImageOps.invert(image) if invert else image


def check_file(path):
    """Raises `FileNotFoundError` unless a path is that of a file; it is not opened."""
    if not os.path.isfile(path):
        kind = "a folder" if os.path.isdir(path) else "which does not exist"
        raise FileNotFoundError(f"An image file was expected. Received: {str(path)!r}, {kind}.")


def decode(file, name, num_channels=3, smallest=None):
    """Does what `load` does for a file that may be open; `name` stands in the error messages."""
    from PIL import Image, ImageOps

    arguments.one_of(1, 3)("num_channels", num_channels)
    try:
        with Image.open(file) as image:
            if smallest is not None:
                turned = image.getexif().get(ORIENTATION, 1) >= 5
                image.draft(None, smallest if turned else smallest[::-1])
            ImageOps.exif_transpose(image, in_place=True)
    except (*DECODING_ERRORS, Image.DecompressionBombError) as error:
        raise ValueError(
            f"{str(name)!r} cannot be read as an image ({error}). Save it again as PNG or JPEG, "
            "or remove it."
        ) from error
    return in_mode(_flattened(image, name), "L" if num_channels == 1 else "RGB")


def in_mode(image, mode):
    """Returns a Pillow image in a mode, itself where it has that: Pillow would copy it."""
    return image if image.mode == mode else image.convert(mode)


def resized(image, height, width):
    """Returns the pixels of a Pillow image, uint8 (height, width, channels)."""
    from PIL import Image

    pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    return pixels.reshape(height, width, -1)


def _flattened(image, path):
    """Brings transparent images onto white and 16-bit ones to 8 bits."""
    from PIL import Image

    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image)
    if image.mode == "F":
        arguments.refuse(
            f"{str(path)!r} must have pixels that are integers",
            {"Pillow mode": "F"},
            "Floating-point pixels have no fixed range: save it as an 8-bit PNG.",
        )
    if image.mode.startswith("I"):  # Pillow's own conversion would cut 16 bits off at 255
        return Image.fromarray((np.clip(image, 0, 65535) / 257).round().astype("uint8"))
    return image
