"""Examines one image file, in a process of its own: see `workers`.

It imports neither Keras nor NumPy, so that a process starts in a tenth of a second.
"""

import base64
import errno
import hashlib
import io
import os
import stat
import warnings

from keras_vit.data.doctor import formats

LARGEST_FILE = 256 << 20  # bytes; a larger file is not read
LARGEST_IMAGE = 50_000_000  # pixels; a larger image is not decoded
TINY = 8  # pixels
EXTREME = 8  # times the shorter side
THUMB, TINT = 16, 4  # sides in pixels of the grey and colour thumbnails that copies are found by
ENOUGH = 512  # pixels; JPEGs of twice this side or more are decoded at a fraction of their size
_ROTATION = 0x0112  # EXIF tag "Orientation"
_TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # EXIF orientation: Pillow's Transpose
_MODES = {"CMYK": "cmyk", "P": "palette", "PA": "palette"}
_FAMILY = {"MPO": "JPEG", "DIB": "BMP"}
# Not all that Pillow knows: it would start Ghostscript for an EPS file.
_DECODED = ["JPEG", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "AVIF", "JPEG2000", "PPM", "ICO"]


class Refused(Exception):
    """The file cannot be used: a kind of problem and what was found."""

    def __init__(self, kind, reason):
        super().__init__(kind, reason)
        self.kind, self.reason = kind, reason


def examine(path):
    """Examines an image file.

    Args:
        path: of the file.

    Returns:
        Dict with `problems`, a list of (kind, reason); for an image that was decoded also `size`
        (width, height), `format`, `grey` (whether it has no colours), `bytes` and `pixels`
        (digests), `thumb` (base64 of THUMB x THUMB grey values and twice TINT x TINT colour
        differences).

    Example:
    >>> from keras_vit.data.doctor.examine import examine
    >>> examine("nowhere.jpg")["problems"][0][0]
    'dangling-link'
    """
    record = {"problems": []}
    try:
        data = read_file(path)
        record["bytes"] = _digest(data)
        _examine_image(data, os.path.splitext(path)[1].lower(), record)
    except Refused as found:
        record["problems"].append([found.kind, found.reason])
    return record


def read_file(path):
    """Returns the bytes of a regular file; it never waits on a pipe or reads a device."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise Refused("special-file", "it leads to a pipe, socket, device or folder")
        # The file may have become a pipe since: without O_NONBLOCK opening it could wait for ever.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with open(os.open(path, flags), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > LARGEST_FILE:
                raise Refused("giant", f"a file of {size:,} bytes was not read")
            data = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise Refused("dangling-link", "there is no such file") from None
    except OSError as error:
        loop = error.errno == errno.ELOOP
        raise Refused("link-loop" if loop else "unreadable-file", _words(error)) from None
    if not data:
        raise Refused("empty-file", "0 bytes")
    return data


def decode(data):
    """Opens the bytes of an image and decodes them, large JPEGs at a fraction of their size.

    Returns:
        A Pillow image as it is stored, neither turned upright nor converted, and its full size
        (width, height).

    Raises:
        Refused: it cannot be decoded, or should not be.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(data), formats=_DECODED)
        size = image.size
        _check_pixels(*size)
        image.draft(None, (ENOUGH, ENOUGH))
        image.load()
    except Refused:
        raise
    except Image.DecompressionBombError as error:
        raise Refused("bomb", _words(error)) from None
    except UnidentifiedImageError:
        raise Refused(*_unknown(data)) from None
    except MemoryError:
        raise Refused("bomb", "decoding it needs more memory than is allowed") from None
    except Exception as error:  # decoders raise whatever they like on damaged data
        raise Refused(*_damage(data, error)) from None
    if image.mode == "F":
        raise Refused("float-pixels", "Pillow mode F")
    return image, size


def thumbnail(path, side=96):
    """Returns a small JPEG of an image, upright, as base64; None where it cannot be shown."""
    try:
        image, _ = decode(read_file(path))
        scale = max(1, max(image.size) / side)
        small = reduced(image, [max(1, round(length / scale)) for length in image.size])
        file = io.BytesIO()
        small.save(file, "JPEG", quality=70)
    except Exception:  # a page without one thumbnail is better than none
        return None
    return base64.b64encode(file.getvalue()).decode()


def reduced(image, size):
    """Returns a decoded image as RGB at `size`, upright and on white, as the reader shows it."""
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


def _examine_image(data, suffix, record):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's on large or odd files; they are problems here
        image, size = decode(data)
        record["size"], record["format"] = size, _FAMILY.get(image.format, image.format)
        record["pixels"] = _digest_of_pixels(image, size)
        record["thumb"], record["grey"] = _thumb(image)
        found = record["problems"]
        found += _faults_of_file(data, image, record["format"], suffix)
        found += _faults_of_shape(*size, image)
        found += _notes(image)


def _thumb(image):
    """Returns the thumbnail that copies are found by, and whether the image is grey."""
    from PIL import Image

    small = reduced(image, (4 * THUMB, 4 * THUMB)).convert("YCbCr")
    light, *tints = small.split()
    light = light.resize((THUMB, THUMB), Image.Resampling.BOX).tobytes()
    # Grey JPEGs that were saved in colour come back within 2 of neutral.
    grey = all(126 <= low and high <= 130 for low, high in (t.getextrema() for t in tints))
    tints = [t.resize((TINT, TINT), Image.Resampling.BOX).tobytes() for t in tints]
    return base64.b64encode(b"".join([light, *tints])).decode(), grey


def _faults_of_file(data, image, family, suffix):
    broken = formats.fault(data)
    if broken:
        yield "suspect-data", broken[1]
    elif family == "JPEG" and _loses_its_place(data, image):
        yield "suspect-data", "its data end before the last rows; decoders fill them in silence"
    if suffix not in formats.SUFFIXES.get(family, ()):
        yield "wrong-suffix", f"{family} named {suffix}"


def _loses_its_place(data, image):
    from PIL import ImageChops

    try:
        again, _ = decode(formats.overfed(data))
    except Refused:
        return True
    return ImageChops.difference(image, again).getbbox() is not None


def _faults_of_shape(width, height, image):
    short, long = sorted((width, height))
    if short == 1:
        yield "one-pixel", f"{width} x {height} pixels"
    elif short < TINY:
        yield "tiny", f"{width} x {height} pixels"
    if long > EXTREME * short:
        yield "extreme-aspect", f"{width} x {height} pixels"
    bands = dict(zip(image.getbands(), _extrema(image), strict=True))
    if short > 1 and (all(low == high for low, high in bands.values()) or bands.get("A") == (0, 0)):
        yield "blank", "transparent" if bands.get("A") == (0, 0) else "one colour"


def _notes(image):
    frames = getattr(image, "n_frames", 1) if image.format != "MPO" else 1
    if frames > 1:
        yield "animated", f"{frames} frames"
    if _orientation(image) in _TURNS:
        yield "rotated", f"EXIF orientation {_orientation(image)}"
    if image.mode in _MODES:
        yield _MODES[image.mode], f"Pillow mode {image.mode}"
    elif image.mode.startswith("I"):
        yield "sixteen-bit", f"Pillow mode {image.mode}"
    if image.has_transparency_data:
        yield "transparent", f"Pillow mode {image.mode}"


def _check_pixels(width, height):
    from PIL import Image

    pixels = width * height
    if pixels > 2 * (Image.MAX_IMAGE_PIXELS or 1 << 62):
        raise Refused("bomb", f"{width} x {height} pixels")
    if pixels > LARGEST_IMAGE:
        raise Refused("giant", f"{width} x {height} pixels")


def _unknown(data):
    found = formats.name(data[:1024])
    if found == "web page":
        return "web-page", "its first bytes are those of an HTML page"
    if found == "text":
        start = data[:40].decode("utf-8", "replace").split("\n")[0]
        return "text", f"it begins with {start!r}"
    if found in formats.SUFFIXES:
        broken = formats.fault(data)
        kind = "truncated" if broken and broken[0] == "truncated" else "damaged"
        return kind, f"a {found} file whose beginning cannot be read"
    return "not-an-image", f"it is: {found}" if found else f"it begins with {data[:8].hex(' ')}"


def _damage(data, error):
    broken = formats.fault(data)
    words = _words(error)
    if (broken and broken[0] == "truncated") or "truncated" in words.lower():
        return "truncated", f"{len(data):,} bytes; {words}"
    return "damaged", words if not broken else f"{broken[1]}; {words}"


def _orientation(image):
    try:
        return image.getexif().get(_ROTATION)
    except Exception:  # EXIF may be as damaged as anything else
        return None


def _extrema(image):
    extrema = image.getextrema()
    return extrema if isinstance(extrema[0], tuple) else (extrema,)


def _digest_of_pixels(image, size):
    """Digest of the decoded pixels in strips: copies saved in different formats share it."""
    if image.mode in ("1", "L", "P") and not image.has_transparency_data:
        image = image.convert("RGB")
    width, height = image.size
    digest = hashlib.blake2b(repr((size, image.mode)).encode(), digest_size=16)
    for top in range(0, height, 1024):
        digest.update(image.crop((0, top, width, min(height, top + 1024))).tobytes())
    return digest.hexdigest()


def _digest(data):
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _words(error):
    text = " ".join(str(error).split())
    text = getattr(error, "strerror", None) or text
    return f"{type(error).__name__}: {text}"[:200] if text else type(error).__name__
