"""A generated corpus of everything that may be wrong with a folder of images.

Each fault is a row: its kind, the reported path, and a function that creates it.
"""

import io
import os
import pathlib
import shutil
import socket
import struct
import zlib

import numpy as np
from PIL import Image, ImageDraw

CLASSES = ("cat", "dog", "owl")
EACH = 12  # images of a class
HEIC = struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic" + bytes(100)


def scene(seed, size=(48, 40), mode="RGB"):
    """A unique image of coarse and fine random shapes."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), "uint8")).resize(size, 3)
    fine = Image.fromarray(rng.integers(0, 256, (20, 20, 3), "uint8")).resize(size, 2)
    return Image.blend(coarse, fine, 0.3).convert(mode)


def save(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def jpeg(seed, size=(48, 40), quality=90, **options):
    file = io.BytesIO()
    scene(seed, size).save(file, "JPEG", quality=quality, **options)
    return file.getvalue()


def png(seed, size=(48, 40), **options):
    file = io.BytesIO()
    scene(seed, size).save(file, "PNG", **options)
    return file.getvalue()


def make_good(folder, classes=CLASSES, each=EACH, first_seed=0):
    """Fills a folder of class folders with good images."""
    seed = first_seed
    for name in classes:
        for number in range(each):
            path = folder / name / f"{number:02}.jpg"
            save(path, scene(seed, (44 + seed % 9, 40 + seed % 7)), quality=90)
            seed += 1
    return folder


def make_good_splits(folder):
    for number, split in enumerate(("train", "val", "test")):
        make_good(folder / split, first_seed=10_000 * (number + 1))
    return folder


def flipped(data, at):
    """`data` with all bits of one byte flipped."""
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def png_of(width, height):
    """A white PNG of this size, which takes a few bytes per line."""

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    press = zlib.compressobj(9)
    rows = b"".join(press.compress(bytes(1 + -(-width // 8))) for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", rows + press.flush())
        + chunk(b"IEND", b"")
    )


def banner(size=(160, 120), color=(200, 200, 200), text="Sorry, this image\nis not available"):
    """Returns a placeholder that a website sends instead of an image."""
    image = Image.new("RGB", size, color)
    middle = size[0] // 2, size[1] // 2
    style = {"fill": (90, 90, 90), "anchor": "mm", "align": "center"}
    ImageDraw.Draw(image).multiline_text(middle, text, **style)
    return image


def damaged_jpeg(seed):
    """A JPEG file with an invalid Huffman table."""
    data = jpeg(seed)
    at = data.index(b"\xff\xc4") + 5
    return data[:at] + b"\xff" * 16 + data[at + 16 :]


def jpeg_with_marker(seed):
    """A JPEG file with a marker in the middle of its data, which decoders ignore."""
    data = jpeg(seed, (200, 160))
    at = data.index(b"\xff\xda") + (len(data) - data.index(b"\xff\xda")) // 2
    return data[:at] + b"\xff\x01" + data[at + 2 :]


def zeroed_jpeg(seed):
    """A JPEG file with a lost sector: 512 bytes of its data are zeros."""
    data = jpeg(seed, (200, 160))
    return data[:1500] + bytes(512) + data[2012:]


def wrong_checksum(seed):
    """A PNG file whose last chunk has a wrong checksum, which decoders ignore."""
    data = png(seed)
    return flipped(data, len(data) - 1)


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def link(path, target):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def _bytes(data):
    return lambda path: write(path, data)


def _image(image, **options):
    return lambda path: save(path, image, **options)


def _copy(other):
    return lambda path: shutil.copy(path.parents[1] / other, path)


def _pipe(path):
    os.mkfifo(path)


def _socket(path):
    here = os.getcwd()
    os.chdir(path.parent)  # the name of a socket may have no more than 108 bytes
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


def _outside(path):
    elsewhere = path.parents[2] / "elsewhere.jpg"
    write(elsewhere, jpeg(970))
    link(path, elsewhere)


def _gif(path):
    frames = [scene(seed).convert("P") for seed in range(900, 906)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def _rotated(path):
    exif = Image.Exif()
    exif[0x0112] = 6
    scene(930).save(path, exif=exif)


def _clear(path):
    image = scene(931).convert("RGBA")
    image.putalpha(Image.fromarray(np.arange(48 * 40).reshape(40, 48).astype("uint8")))
    image.save(path)


def _half(other):
    """The same image at half the size, in another format."""

    def make(path):
        with Image.open(path.parents[1] / other) as image:
            save(path, image.resize((image.width * 3 // 4, image.height * 3 // 4), 2))

    return make


def _same_pixels(other):
    def make(path):
        with Image.open(path.parents[1] / other) as image:
            image.save(path)

    return make


def _at(path, other):
    return path.parents[1] / other


# Kind, path in a folder of good class folders, function that makes it.
FILES = [
    ("empty-file", "cat/empty.jpg", _bytes(b"")),
    ("truncated", "cat/cut.jpg", _bytes(jpeg(800)[:-200])),
    ("truncated", "cat/cut_early.jpg", _bytes(jpeg(801)[:100])),
    ("truncated", "cat/no_end.jpg", _bytes(jpeg(802)[:-2])),
    ("truncated", "dog/cut.png", _bytes(png(803)[:-300])),
    ("truncated", "dog/cut_early.png", _bytes(png(804)[:20])),
    ("damaged", "dog/rot.png", _bytes(flipped(png(805), 1000))),
    ("damaged", "dog/rot.jpg", _bytes(damaged_jpeg(806))),
    ("damaged", "dog/rot.webp", _bytes(b"RIFF\x10\0\0\0WEBPVP8 \4\0\0\0abcd")),
    ("suspect-data", "owl/marker.jpg", _bytes(jpeg_with_marker(807))),
    ("suspect-data", "owl/zeroed.jpg", _bytes(zeroed_jpeg(834))),
    ("suspect-data", "owl/checksum.png", _bytes(wrong_checksum(808))),
    ("web-page", "cat/page.jpg", _bytes(b"<!DOCTYPE html>\n<html><body>404</body></html>")),
    ("web-page", "cat/page2.png", _bytes(b"\xef\xbb\xbf <!-- x -->\n<HTML><head></head></HTML>")),
    ("text", "cat/text.jpg", _bytes(b"an image of a cat")),
    ("text", "cat/error.jpg", _bytes('{"error": "näh, 403"}'.encode())),
    ("not-an-image", "cat/noise.jpg", _bytes(bytes(range(128, 256)) * 4)),
    ("not-an-image", "cat/heic.jpg", _bytes(HEIC)),
    ("not-an-image", "cat/document.png", _bytes(b"%PDF-1.7\n\xe2\xe3")),
    ("not-an-image", "cat/drawing.png", _bytes(b'<?xml version="1.0"?><svg></svg>')),
    ("not-an-image", "cat/zeros.jpg", _bytes(bytes(5000))),
    ("not-an-image", "cat/double.jpg", _bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00")),
    ("float-pixels", "dog/float.tif", _image(scene(810, mode="F"))),
    ("bomb", "dog/bomb.png", _bytes(png_of(20_000, 20_000))),
    ("dangling-link", "dog/gone.jpg", lambda path: link(path, "nowhere.jpg")),
    ("link-loop", "dog/loop.jpg", lambda path: link(path, "loop.jpg")),
    ("special-file", "dog/pipe.jpg", _pipe),
    ("special-file", "dog/socket.png", _socket),
    ("special-file", "dog/zero.jpg", lambda path: link(path, "/dev/zero")),
    ("wrong-suffix", "owl/really_png.jpg", _image(scene(811), format="PNG")),
    ("wrong-suffix", "owl/really_jpeg.png", _bytes(jpeg(812))),
    ("wrong-suffix", "owl/really_avif.jpg", _image(scene(813), format="AVIF")),
    ("unread-format", "cat/phone.heic", _bytes(HEIC)),
    ("unread-format", "cat/new.avif", _image(scene(814), format="AVIF")),
    ("unread-format", "cat/drawing.svg", _bytes(b"<svg></svg>")),
    ("unread-format", "cat/camera.nef", _bytes(b"MM\0*")),
    ("unread-format", "cat/paper.pdf", _bytes(b"%PDF-1.7")),
    ("unread-format", "cat/layers.psd", _bytes(b"8BPS")),
    ("unread-format", "cat/no_suffix", _bytes(jpeg(815))),
    ("giant", "dog/giant.png", _bytes(png_of(9_000, 9_000))),
    ("one-pixel", "owl/dot.png", _image(Image.new("RGB", (1, 1), "red"))),
    ("tiny", "owl/tiny.png", _image(scene(816, (5, 6)))),
    ("extreme-aspect", "owl/strip.png", _image(scene(817, (400, 40)))),
    ("blank", "owl/blank.png", _image(Image.new("RGB", (48, 40), "white"))),
    ("blank", "owl/clear.png", _image(Image.new("RGBA", (48, 41), (9, 9, 9, 0)))),
    ("placeholder", "owl/banner.gif", _image(banner(), format="GIF")),
    ("placeholder", "owl/banner.jpg", _image(banner(text="Not found"), format="JPEG")),
    ("odd-size", "owl/large.jpg", _bytes(jpeg(818, (500, 480)))),
    ("animated", "owl/film.gif", _gif),
    ("rotated", "owl/rotated.jpg", _rotated),
    ("cmyk", "owl/print.jpg", _image(scene(819, mode="CMYK"))),
    ("sixteen-bit", "owl/deep.png", _image(scene(820).convert("I;16"))),
    ("palette", "owl/palette.png", _image(scene(821).convert("P"))),
    ("transparent", "owl/clear2.png", _clear),
    ("name-bytes", os.fsdecode(b"cat/caf\xe9.jpg"), _bytes(jpeg(822))),
    ("name-control", "cat/line\nbreak.jpg", _bytes(jpeg(823))),
    ("name-control", "cat/zero\u200bwidth.jpg", _bytes(jpeg(824))),
    ("name-spaces", "cat/ space.jpg", _bytes(jpeg(825))),
    ("name-spaces", "cat/space .jpg", _bytes(jpeg(826))),
    ("names-alike", "cat/same.jpg", lambda path: _alike(path)),
    ("link-outside", "dog/linked.jpg", _outside),
    ("linked-folder", "dog/folder", lambda path: link(path, "../owl")),
    ("link-loop", "dog/above", lambda path: link(path, "..")),
    ("outside-class", "lost.jpg", _bytes(jpeg(827))),
    ("nested-folder", "dog/more", lambda path: write(path / "deep.jpg", jpeg(828))),
    ("system-folder", "__MACOSX", lambda path: write(path / "cat" / "._01.jpg", b"\0\5\x16\7")),
    ("system-file", "cat/._01.jpg", _bytes(b"\x00\x05\x16\x07")),
    ("system-file", "cat/Thumbs.db", _bytes(b"\xd0\xcf")),
    ("system-file", ".DS_Store", _bytes(b"\0\0\0\1Bud1")),
    ("hidden", "cat/.hidden.jpg", _bytes(jpeg(829))),
    ("hidden", ".git", lambda path: write(path / "config", b"x")),
    ("other-file", "cat/notes.txt", _bytes(b"cats")),
    ("other-file", "labels.csv", _bytes(b"file,label\n")),
    ("mixed-color", ".", lambda path: save(path / "owl" / "grey.png", scene(833, mode="L"))),
    ("label-clash", "cat/00.jpg", lambda path: shutil.copy(path, _at(path, "dog/c.jpg"))),
    ("label-clash", "cat/01.jpg", lambda path: _same_pixels("cat/01.jpg")(_at(path, "dog/p.png"))),
    ("duplicate", "cat/copy.jpg", _copy("cat/02.jpg")),
    ("duplicate", "cat/pixels.png", _same_pixels("cat/03.jpg")),
    ("near-clash", "cat/04.jpg", lambda path: _half("cat/04.jpg")(_at(path, "owl/near.jpg"))),
    ("near-duplicate", "dog/near.jpg", _half("dog/05.jpg")),
    ("classes-alike", "cat", lambda path: make_good(path.parent, ("Cat ",), 10, 840)),
    ("classes-alike", "caf\xe9", lambda path: make_good(path.parent, ("caf\xe9",), 10, 850)),
    ("names-alike", "caf\xe9", lambda path: make_good(path.parent, ("cafe\u0301",), 10, 860)),
    ("name-spaces", "Cat ", lambda path: None),
    ("empty-class", "nothing", lambda path: path.mkdir()),
    ("single-image", "one", lambda path: write(path / "1.jpg", jpeg(880))),
    ("small-class", "few", lambda path: make_good(path.parent, ("few",), 2, 890)),
]  # fmt: skip
# Additional problems that the rows above cause.
BESIDES = {
    ("palette", "owl/film.gif"), ("palette", "owl/banner.gif"), ("transparent", "owl/clear.png"),
    ("imbalance", "."),
    ("odd-size", "owl/dot.png"), ("odd-size", "owl/tiny.png"),
}  # fmt: skip
# The same for a folder with train, val and test.
SPLITS = [
    ("leak", "train/cat/00.jpg", lambda path: _to(path, "test/cat/x.jpg")),
    ("leak", "train/cat/01.jpg", lambda path: _to(path, "val/cat/x.jpg")),
    ("leak", "val/cat/02.jpg", lambda path: _to(path, "test/cat/y.jpg")),
    ("near-leak", "train/dog/00.jpg", lambda path: _half("dog/00.jpg")(path)),
    ("class-missing", "train/fox", lambda path: make_good(path.parent, ("fox",), 11, 50_000)),
    ("class-untrained", "test/yak", lambda path: make_good(path.parent, ("yak",), 11, 60_000)),
    ("outside-class", "val/lost.jpg", _bytes(jpeg(827))),
]


def _to(path, other):
    shutil.copy(path, path.parents[2] / other)


def _alike(path):
    write(path.with_name("SAME.JPG"), jpeg(831))
    write(path, jpeg(832))


def make(folder, rows):
    """Adds the faults of `rows` to a folder of good images."""
    folder = pathlib.Path(folder)
    for _, path, maker in rows:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        maker(folder / path)
    return folder


def class_of(path):
    """The class of a path in a folder without splits."""
    first, *rest = path.split("/")
    return first if rest else ""
