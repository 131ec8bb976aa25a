"""Examines one image file, in a process of `workers`.

This module imports neither Keras nor NumPy, so that a process starts in a tenth of a second.
"""

import base64
import errno
import hashlib
import io
import os
import stat
import warnings

from keras_vit.doctor import formats

LARGEST_FILE = 256 << 20  # bytes; a larger file is not read
LARGEST_IMAGE = 50_000_000  # pixels; a larger image is not decoded
TINY = 8  # pixels
EXTREME = 8  # ratio of the longer side to the shorter
THUMB, TINT = 16, 4  # sides in pixels of the gray and color thumbnails that identify copies
THUMB_BYTES = THUMB * THUMB + 2 * TINT * TINT
ENOUGH = 512  # pixels; JPEGs with twice this side or more are decoded at a fraction of it
_SAMPLE = 96  # side in pixels of the sample in which colors are counted
_TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # EXIF orientation: Pillow's Transpose
_MODES = {"CMYK": "cmyk", "P": "palette", "PA": "palette"}
_FAMILY = {"MPO": "JPEG", "DIB": "BMP"}
# Not all formats that Pillow reads: for an EPS file it would start Ghostscript.
_DECODED = ["JPEG", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "AVIF", "JPEG2000", "PPM", "ICO"]


class UnusableFile(Exception):
    """The file cannot be used: the kind of problem and the reason."""


def examine(path):
    """Examines an image file.

    Returns:
        Dict with `problems`, a list of (kind, reason). If the image can be decoded, also `size`
        (width, height), `format`, `gray` (whether it has no color), `bytes` and `pixels` (digests),
        `thumb` (base64 of THUMB x THUMB gray values and twice TINT x TINT color differences),
        `ground`: share of the most frequent color, number of coarse colors of 99 % of the pixels,
        number of different colors.
    """
    problems = []
    record = {"problems": problems}
    try:
        data = read_file(path)
        record["bytes"] = hashlib.blake2b(data, digest_size=16).hexdigest()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's warnings are problems here
            image, size = decode(data)
            record["size"], record["format"] = size, _FAMILY.get(image.format, image.format)
            record["pixels"] = _hash_pixels(image, size)
            record["thumb"], record["gray"] = _make_thumb(image)
            record["ground"] = _count_colors(image)
            suffix = os.path.splitext(path)[1].lower()
            problems += _check_file(data, image, record["format"], suffix)
            problems += _check_shape(*size, image)
            problems += _describe_mode(image)
    except UnusableFile as error:
        problems.append(error.args)
    return record


def read_file(path):
    """Returns the bytes of a regular file; never waits for a pipe or reads a device."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise UnusableFile("special-file", "it is a pipe, socket, device or folder")
        # The file may have become a pipe in the meantime; without O_NONBLOCK, opening it could
        # block.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with open(os.open(path, flags), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > LARGEST_FILE:
                raise UnusableFile("giant", f"{size:,} bytes, not read")
            data = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise UnusableFile("dangling-link", "the file does not exist") from None
    except OSError as error:
        loop = error.errno == errno.ELOOP
        raise UnusableFile("link-loop" if loop else "unreadable-file", _describe(error)) from None
    if not data:
        raise UnusableFile("empty-file", "0 bytes")
    return data


def decode(data):
    """Decodes the bytes of an image, large JPEGs at a fraction of their size.

    Returns a Pillow image as stored, neither rotated nor converted, and its full size (width,
    height). Raises `UnusableFile` if the image cannot or should not be decoded.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(data), formats=_DECODED)
        size = width, height = image.size
        if width * height > 2 * (Image.MAX_IMAGE_PIXELS or 1 << 62):
            raise UnusableFile("bomb", f"{width} x {height} pixels")
        if width * height > LARGEST_IMAGE:
            raise UnusableFile("giant", f"{width} x {height} pixels")
        image.draft(None, (ENOUGH, ENOUGH))
        image.load()
    except UnusableFile:
        raise
    except Image.DecompressionBombError as error:
        raise UnusableFile("bomb", _describe(error)) from None
    except UnidentifiedImageError:
        raise UnusableFile(*_describe_unknown(data)) from None
    except MemoryError:
        raise UnusableFile("bomb", "decoding needs more memory than allowed") from None
    except Exception as error:  # decoders raise all kinds of errors on damaged data
        raise UnusableFile(*_describe_damage(data, error)) from None
    low, high = image.getextrema() if image.mode in ("F", "I") else (0, 0)
    if image.mode == "F" or low < 0 or high > formats.DEEPEST:
        raise UnusableFile("float-pixels", f"Pillow mode {image.mode}, from {low} to {high}")
    if image.mode in formats.UNCONVERTED:
        raise UnusableFile("not-an-image", f"Pillow mode {image.mode}, which does not become RGB")
    return image, size


def thumbnail(path, side=96):
    """Returns a small upright JPEG of an image as base64, or None if it cannot be decoded."""
    try:
        image, _ = decode(read_file(path))
        scale = max(1, max(image.size) / side)
        small = shrink(image, [max(1, round(length / scale)) for length in image.size])
        file = io.BytesIO()
        small.save(file, "JPEG", quality=70)
    except Exception:  # a page without a thumbnail is better than no page
        return None
    return base64.b64encode(file.getvalue()).decode()


def shrink(image, size):
    """Returns a decoded image as RGB at `size`, upright and on white, as a model sees it."""
    from PIL import Image

    if image.mode.startswith("I"):
        image = image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    elif image.has_transparency_data:
        image = image.convert("RGBA")
    elif image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    small = image.resize(size, Image.Resampling.BOX, reducing_gap=2.0)
    if small.mode == "RGBA":
        small = Image.alpha_composite(Image.new("RGBA", small.size, "white"), small)
    turn = _TURNS.get(_orientation(image))
    return (small.transpose(turn) if turn is not None else small).convert("RGB")


def _make_thumb(image):
    """Returns the thumbnail that identifies copies, and whether the image is grayscale."""
    from PIL import Image

    small = shrink(image, (4 * THUMB, 4 * THUMB)).convert("YCbCr")
    light, *tints = small.split()
    light = light.resize((THUMB, THUMB), Image.Resampling.BOX).tobytes()
    # Gray JPEGs saved in color deviate from neutral by 2 at most.
    gray = all(126 <= low and high <= 130 for low, high in (t.getextrema() for t in tints))
    tints = [t.resize((TINT, TINT), Image.Resampling.BOX).tobytes() for t in tints]
    return base64.b64encode(b"".join([light, *tints])).decode(), gray


def _count_colors(image):
    """Counts colors in a sample of pixels, without averaging, so a background keeps its color."""
    from PIL import Image

    size = [min(side, _SAMPLE) for side in image.size]
    sample = image.resize(size, Image.Resampling.NEAREST).convert("RGB")
    shades = sample.getcolors(_SAMPLE**2)
    coarse = sample.point(lambda value: (value + 8) >> 5).getcolors(_SAMPLE**2)
    pixels, colors = 0.99 * size[0] * size[1], 0
    for count, _ in sorted(coarse, reverse=True):
        pixels, colors = pixels - count, colors + (pixels > 0)
    return max(shades)[0] / (size[0] * size[1]), colors, len(shades)


def _check_file(data, image, family, suffix):
    fault = formats.find_fault(data)
    if fault:
        yield "suspect-data", fault[1]
    elif family == "JPEG" and _loses_its_place(data, image):
        yield "suspect-data", "its data end before the last rows, which decoders fill silently"
    if suffix not in formats.SUFFIXES.get(family, ()):
        yield "wrong-suffix", f"the name ends in {suffix}, the format is {family}"


def _loses_its_place(data, image):
    from PIL import ImageChops

    try:
        again, _ = decode(formats.pad_scans(data))
    except UnusableFile:
        return True
    return ImageChops.difference(image, again).getbbox() is not None


def _check_shape(width, height, image):
    short, long = sorted((width, height))
    if short < TINY:
        yield "one-pixel" if short == 1 else "tiny", f"{width} x {height} pixels"
    if long > EXTREME * short:
        yield "extreme-aspect", f"{width} x {height} pixels"
    extrema = _find_extrema(image)
    extrema = extrema if isinstance(extrema[0], tuple) else (extrema,)
    clear = dict(zip(image.getbands(), extrema, strict=True)).get("A") == (0, 0)
    if short > 1 and (clear or all(low == high for low, high in extrema)):
        yield "blank", "transparent" if clear else "all pixels are equal"


def _find_extrema(image):
    """Returns the lowest and highest value, of images with several bands a pair for each."""
    # Pillow finds none in big-endian pixels, as some microscopes write them.
    return (image.convert("I") if image.mode == "I;16B" else image).getextrema()


def _describe_mode(image):
    frames = getattr(image, "n_frames", 1) if image.format != "MPO" else 1
    if frames > 1:
        yield "animated", f"{frames} frames"
    if _orientation(image) in _TURNS:
        yield "rotated", f"EXIF orientation {_orientation(image)}"
    kind = "sixteen-bit" if image.mode.startswith("I") else _MODES.get(image.mode)
    if kind == "sixteen-bit":  # 12-bit images, for example, look black
        yield kind, "values {} to {} of 65535".format(*_find_extrema(image))
    elif kind:
        yield kind, f"Pillow mode {image.mode}"
    if image.has_transparency_data:
        yield "transparent", f"Pillow mode {image.mode}"


def _describe_unknown(data):
    found = formats.recognize(data[:1024])
    if found == "web page":
        return "web-page", "it begins like an HTML page"
    if found == "text":
        start = data[:40].decode("utf-8", "replace").split("\n")[0]
        return "text", f"it begins with {start!r}"
    if found in formats.SUFFIXES:
        fault = formats.find_fault(data)
        kind = "truncated" if fault and fault[0] == "truncated" else "damaged"
        return kind, f"the beginning of the {found} file cannot be read"
    reason = f"its format is {found}" if found else f"it begins with {data[:8].hex(' ')}"
    return "not-an-image", reason


def _describe_damage(data, error):
    fault, text = formats.find_fault(data), _describe(error)
    if (fault and fault[0] == "truncated") or "truncated" in text.lower():
        return "truncated", f"{len(data):,} bytes; {text}"
    return "damaged", text if not fault else f"{fault[1]}; {text}"


def _orientation(image):
    try:
        return image.getexif().get(formats.ORIENTATION)
    except Exception:  # EXIF data may be damaged too
        return None


def _hash_pixels(image, size):
    """Hashes the decoded pixels, strip by strip: equal for copies in different formats."""
    if image.mode in ("1", "L", "P") and not image.has_transparency_data:
        image = image.convert("RGB")
    width, height = image.size
    digest = hashlib.blake2b(repr((size, image.mode)).encode(), digest_size=16)
    for top in range(0, height, 1024):
        digest.update(image.crop((0, top, width, min(height, top + 1024))).tobytes())
    return digest.hexdigest()


def _describe(error):
    text = getattr(error, "strerror", None) or " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:200] if text else type(error).__name__
