"""Tells what a file is by its bytes, and whether the rules of its format are kept."""

import codecs
import re
import zlib

# Where (offset), what bytes, and the name of the format.
SIGNATURES = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
    (8, b"WEBP", "WEBP"),
    (8, b"CR\x02", "camera RAW (CR2)"),
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
}
IMAGES = (*SUFFIXES, "HEIC", "HEIF", "AVIF", "JPEG 2000", "SVG", "Photoshop (PSD)")
# Suffixes of images that this package passes over.
UNREAD = {
    **dict.fromkeys([".heic", ".heif", ".hif"], "HEIC"),
    **dict.fromkeys([".avif", ".avifs"], "AVIF"),
    **dict.fromkeys([".jp2", ".j2k", ".jpf", ".jxl", ".jxr"], "JPEG 2000, XL or XR"),
    **dict.fromkeys([".svg", ".svgz", ".eps", ".ai"], "a vector drawing"),
    **dict.fromkeys([".psd", ".psb", ".xcf", ".kra"], "a file of a drawing program"),
    **dict.fromkeys([".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf"], "camera RAW"),
    **dict.fromkeys([".pdf"], "PDF"),
    **dict.fromkeys([".ico", ".icns", ".tga", ".pcx", ".dds"], "an icon or texture"),
    **dict.fromkeys([".ppm", ".pgm", ".pbm", ".pnm", ".exr", ".hdr"], "of a rare format"),
    **dict.fromkeys([".dcm", ".nii", ".svs", ".ndpi"], "a medical scan"),
    **dict.fromkeys([".jpe", ".jfi", ".apng"], "JPEG or PNG under a rare suffix"),
}
_BEFORE = rb"(?:\xef\xbb\xbf|<\?xml[^>]*>|<!--.*?-->|<!doctype svg[^>]*>|\s)*"
_PAGE = re.compile(_BEFORE + rb"<(?:!doctype html|html|head|body)", re.I | re.S)
_DRAWING = re.compile(_BEFORE + rb"<svg", re.I | re.S)
_MORE = bytes([0xA5, 0x5A, 0x36]) * 20  # codes of some kind, no marker
_MARKER = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])", re.S)  # 00 is data, D0 to D7 restarts
# Tables, further scans, comments, the number of lines: what may follow a scan.
_AFTER_SCAN = frozenset([0xC4, 0xCC, 0xDA, 0xDB, 0xDC, 0xDD, 0xFE, *range(0xE0, 0xF0)])


def name(head):
    """Names the format of a file by its first bytes; None where they tell nothing.

    Args:
        head: its first bytes, 512 or more where it has as many.

    Example:
    >>> from keras_vit.data.doctor import formats
    >>> formats.name(b"%PDF-1.7"), formats.name(b'{"error": 404}')
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


def fault(data):
    """Checks the frame of a JPEG or PNG file, whatever a decoder says of it.

    Decoders make the best of damaged data, often in silence. Of JPEG the markers are followed, of
    PNG the checksums are computed. What it cannot see: wrong bits in a JPEG that happen to be
    valid codes.

    Returns:
        None, or ("truncated" or "suspect-data", what is wrong).
    """
    if data.startswith(b"\xff\xd8"):
        return _jpeg_scans(data)[1]
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png_fault(data)
    return None


def _is_text(head):
    if not head or b"\0" in head:
        return False
    try:
        text, _ = codecs.utf_8_decode(head, "strict", False)  # its last letter may be cut
    except UnicodeDecodeError:
        return False
    return bool(text) and all(char.isprintable() or char in "\t\r\n\f\ufeff" for char in text)


def _png_fault(data):
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
    return "truncated", f"it ends at byte {len(data)} without the end that PNG has"


def overfed(data):
    """Returns a JPEG file with bytes more at the end of each scan of it.

    A decoder never comes to them if the data are whole: it has all its blocks before. If it shows
    another image then, wrong bits made it lose its place in the data.
    """
    ends, _ = _jpeg_scans(data)
    for end in reversed(ends):
        data = data[:end] + _MORE + data[end:]
    return data


def _jpeg_scans(data):
    """Follows the markers of a JPEG file; returns the ends of its scans and what is wrong."""
    at, ends = 2, []
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return ends, ("suspect-data", f"no marker at byte {at}, where JPEG has one")
        marker = data[at + 1]
        if marker == 0xFF or 0xD0 <= marker <= 0xD7:  # fill bytes, restarts: without a length
            at += 1 if marker == 0xFF else 2
            continue
        if marker == 0xD9:
            return ends, ("suspect-data", f"the end comes at byte {at}, before any data")
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
    return ends, ("truncated", f"it ends at byte {len(data)} without the end that JPEG has")
