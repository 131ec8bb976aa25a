"""Reads a picture file into the pixels that a model takes."""

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
    """Reads any picture that Pillow can open, upright and resized.

    The picture is resized to `image_size` whatever its proportions, as the official code does
    (here with antialiasing).

    Args:
        path: picture file.
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
    picture = load(path, num_channels, invert)
    return resized(picture, height, width)


def load(path, num_channels=3, invert=False, smallest=None):
    """Opens a picture as a Pillow image of mode L (1 channel) or RGB (3).

    The rotation that a camera noted (EXIF) is applied, transparent parts become white, 16 bits
    become 8, CMYK and palettes become colours or grey; of a film (GIF) it is the first picture.
    It raises what `read` does.

    Args:
        path: picture file.
        num_channels: 1 for grey, 3 for colours.
        invert: whether dark and light are exchanged.
        smallest: (height, width) in pixels that are enough, None for all there are. A JPEG may
            then come at a half, a quarter or an eighth of its size, no side below `smallest`: the
            decoder leaves the finest waves out, which is several times faster.
    """
    from PIL import ImageOps

    check_file(path)
    picture = decode(path, path, num_channels, smallest)
    return ImageOps.invert(picture) if invert else picture


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
        with Image.open(file) as picture:
            if smallest is not None:
                turned = picture.getexif().get(ORIENTATION, 1) >= 5
                picture.draft(None, smallest if turned else smallest[::-1])
            ImageOps.exif_transpose(picture, in_place=True)
    except (*DECODING_ERRORS, Image.DecompressionBombError) as error:
        raise ValueError(
            f"{str(name)!r} cannot be read as an image ({error}). Save it again as PNG or JPEG, "
            "or remove it."
        ) from error
    return in_mode(_flattened(picture, name), "L" if num_channels == 1 else "RGB")


def in_mode(picture, mode):
    """Returns a Pillow image in a mode, itself where it has that: Pillow would copy it."""
    return picture if picture.mode == mode else picture.convert(mode)


def resized(picture, height, width):
    """Returns the pixels of a Pillow image, uint8 (height, width, channels)."""
    from PIL import Image

    pixels = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))
    return pixels.reshape(height, width, -1)


def _flattened(picture, path):
    """Brings transparent pictures onto white and 16-bit ones to 8 bits."""
    from PIL import Image

    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture)
    if picture.mode == "F":
        arguments.refuse(
            f"{str(path)!r} must have pixels that are integers",
            {"Pillow mode": "F"},
            "Floating-point pixels have no fixed range: save it as an 8-bit PNG.",
        )
    if picture.mode.startswith("I"):  # Pillow's own conversion would cut 16 bits off at 255
        return Image.fromarray((np.clip(picture, 0, 65535) / 257).round().astype("uint8"))
    return picture
