"""Recognizes the format of a file by its bytes, and checks the structure of JPEG and PNG files."""

import codecs
import re
import zlib

# (offset, bytes, name of the format)
SIGNATURES = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
    (8, b"WEBP", "WEBP"),
    (8, b"CR\x02", "camera RAW (CR2)"),
    *((0, b"P%d\n" % kind, "PPM") for kind in range(1, 7)),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),
    (0, b"MM\0+", "TIFF"),
    (4, b"ftypheic", "HEIC"),
    (4, b"ftypheix", "HEIC"),
    (4, b"ftypmif1", "HEIF"),
    (4, b"ftypmsf1", "HEIF"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftypavis", "AVIF"),
    (4, b"ftypcrx ", "camera RAW (CR3)"),
    (4, b"ftyp", "MP4 video"),
    (0, b"%PDF", "PDF"),
    (0, b"8BPS", "Photoshop (PSD)"),
    (0, b"\0\0\x01\0", "icon (ICO)"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"PK\x03\x04", "ZIP archive"),
    (0, b"\x1f\x8b", "gzip archive"),
    (0, b"Rar!", "RAR archive"),
    (0, b"7z\xbc\xaf", "7z archive"),
    (0, b"\x7fELF", "program"),
    (0, b"MZ", "program"),
    (0, b"\x00\x05\x16\x07", "AppleDouble file of macOS"),
    (0, b"\x93NUMPY", "NumPy array"),
    (0, b"SQLite format 3", "SQLite database"),
)
SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jfif"),
    "PNG": (".png",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
}
IMAGE_SUFFIXES = tuple(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
DEEPEST = 65535  # the largest 16-bit pixel value
UNCONVERTED = ("LAB",)  # Pillow's modes that it does not convert to RGB
ORIENTATION = 0x0112  # the EXIF tag; values of 5 or more exchange height and width
IMAGES = (*SUFFIXES, "HEIC", "HEIF", "AVIF", "JPEG 2000", "SVG", "Photoshop (PSD)")
# Suffixes of images that this package does not read.
UNREAD = {
    **dict.fromkeys([".heic", ".heif", ".hif"], "HEIC"),
    **dict.fromkeys([".avif", ".avifs"], "AVIF"),
    **dict.fromkeys([".jp2", ".j2k", ".jpf", ".jxl", ".jxr"], "JPEG 2000, XL or XR"),
    **dict.fromkeys([".svg", ".svgz", ".eps", ".ai"], "a vector drawing"),
    **dict.fromkeys([".psd", ".psb", ".xcf", ".kra"], "a file of a drawing program"),
    **dict.fromkeys([".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf"], "camera RAW"),
    **dict.fromkeys([".pdf"], "PDF"),
    **dict.fromkeys([".ico", ".icns", ".tga", ".pcx", ".dds"], "an icon or texture"),
    **dict.fromkeys([".exr", ".hdr"], "a rare format"),
    **dict.fromkeys([".dcm", ".nii", ".svs", ".ndpi"], "a medical scan"),
    **dict.fromkeys([".jpe", ".jfi", ".apng"], "JPEG or PNG with a rare suffix"),
}
_BEFORE = rb"(?:\xef\xbb\xbf|<\?xml[^>]*>|<!--.*?-->|<!doctype svg[^>]*>|\s)*"
_PAGE = re.compile(_BEFORE + rb"<(?:!doctype html|html|head|body)", re.I | re.S)
_DRAWING = re.compile(_BEFORE + rb"<svg", re.I | re.S)
_PADDING = bytes([0xA5, 0x5A, 0x36]) * 20  # arbitrary codes without a marker
_MARKER = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])", re.S)  # 00 is data, D0 to D7 are restarts
# Segments that may follow a scan: tables, further scans, comments, the number of lines.
_AFTER_SCAN = frozenset([0xC4, 0xCC, 0xDA, 0xDB, 0xDC, 0xDD, 0xFE, *range(0xE0, 0xF0)])


def recognize(head):
    """Returns the format of a file by its first 512 bytes or more, or None if it is unknown.

    Example:
    >>> from keras_vit.doctor import formats
    >>> formats.recognize(b"%PDF-1.7"), formats.recognize(b'{"error": 404}')
    ('PDF', 'text')
    """
    for offset, signature, found in SIGNATURES:
        if head.startswith(signature, offset):
            return found
    if _PAGE.match(head):
        return "web page"
    if _DRAWING.match(head):
        return "SVG"
    return "text" if _is_text(head) else None


def find_fault(data):
    """Returns ("truncated" or "suspect-data", reason) for a damaged JPEG or PNG file, or None.

    Decoders often read damaged data without an error. This follows the markers of JPEG and computes
    the checksums of PNG. It cannot detect wrong bits in a JPEG if they form valid codes.
    """
    if data.startswith(b"\xff\xd8"):
        return _jpeg_scans(data)[1]
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _find_png_fault(data)
    return None


def _is_text(head):
    if not head or b"\0" in head:
        return False
    try:
        text, _ = codecs.utf_8_decode(head, "strict", False)  # the last character may be cut off
    except UnicodeDecodeError:
        return False
    return bool(text) and all(char.isprintable() or char in "\t\r\n\f\ufeff" for char in text)


def _find_png_fault(data):
    at = 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        end = at + 12 + length
        kind = data[at + 4 : at + 8]
        if end > len(data):
            break
        if zlib.crc32(memoryview(data)[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end]):
            return "suspect-data", f"the checksum of {kind!r} at byte {at} is wrong"
        if kind == b"IEND":
            return None
        at = end
    return "truncated", f"the PNG ends at byte {len(data)} without its end chunk"


def pad_scans(data):
    """Returns a JPEG file with additional bytes at the end of each scan.

    If the data are intact, the decoder has read all blocks before it reaches these bytes. If the
    decoded image changes, wrong bits made the decoder lose its place in the data.
    """
    ends, _ = _jpeg_scans(data)
    for end in reversed(ends):
        data = data[:end] + _PADDING + data[end:]
    return data


def _jpeg_scans(data):
    """Follows the markers of a JPEG file; returns the ends of its scans and its fault."""
    at, ends = 2, []
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return ends, ("suspect-data", f"no JPEG marker at byte {at}")
        marker = data[at + 1]
        if marker == 0xFF or 0xD0 <= marker <= 0xD7:  # fill bytes and restarts have no length
            at += 1 if marker == 0xFF else 2
            continue
        if marker == 0xD9:
            return ends, ("suspect-data", f"the end marker is at byte {at}, before any data")
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker != 0xDA:
            continue
        found = _MARKER.search(data, at)
        if not found:
            break
        marker, at = found.group(1)[0], found.start()
        ends.append(at)
        if marker == 0xD9:
            return ends, None
        if marker not in _AFTER_SCAN:
            reason = f"marker {marker:02x} in the middle of the data, at byte {at}"
            return ends, ("suspect-data", reason)
    return ends, ("truncated", f"the JPEG ends at byte {len(data)} without its end marker")
