"""Reads a picture file into the pixels that a model takes."""

import pathlib

import numpy as np

from keras_vit import arguments

SUFFIXES = (".jpg", ".jpeg", ".png")


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
        ValueError: the file cannot be read as a picture; the message names it.

    Example:
    >>> keras_vit.data.read("cat.jpg", image_size=224).shape  # doctest: +SKIP
    (224, 224, 3)
    """
    height, width = arguments.height_width("image_size", image_size)
    picture = load(path, num_channels, invert)
    return resized(picture, height, width)


def load(path, num_channels=3, invert=False):
    """Opens a picture as a Pillow image of mode L (1 channel) or RGB (3).

    The rotation that a camera noted (EXIF) is applied, transparent parts become white, 16 bits
    become 8, CMYK and palettes become colours or grey. It raises what `read` does.
    """
    from PIL import Image, ImageOps

    arguments.one_of(1, 3)("num_channels", num_channels)
    if not pathlib.Path(path).is_file():
        raise FileNotFoundError(f"A picture file was expected. Received: {str(path)!r}.")
    try:
        with Image.open(path) as opened:
            picture = ImageOps.exif_transpose(opened)
            picture.load()
    # Pillow's decoders raise many kinds of errors on damaged files, SyntaxError among them.
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"{str(path)!r} cannot be read as a picture ({error}). Save it again as PNG or JPEG, "
            "or remove it."
        ) from error
    picture = _flattened(picture, path).convert("L" if num_channels == 1 else "RGB")
    return ImageOps.invert(picture) if invert else picture


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
