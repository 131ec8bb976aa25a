"""Images decoded and shrunk once, into one memory-mapped file: `cache="disk"`.

The file contains the pixels of all images, one after another, a description in JSON, and the length
of the description in 8 bytes. It is rewritten if the images, the settings or a checksum differ.
"""

import concurrent.futures
import hashlib
import itertools
import json
import math
import os
import warnings
import zlib

import numpy as np

from keras_vit import environment
from keras_vit.data import images
from keras_vit.data.sources.source import ArraySource
from keras_vit.io import writing

MARGIN = 256 / 224  # shorter side of a stored image : longer side of the model's input
PIECE = 2**24  # bytes that are checked at once
READ = 256  # images that are decoded before they are written


class DiskSource(ArraySource):
    """Images in a cache file, with the shorter side that they were shrunk to."""

    def __init__(self, description, pixels, source):
        self.side = description["settings"]["side"]
        super().__init__(_Pixels(pixels, description["shapes"]), source.labels, source.names)


class _Pixels:
    """A sequence of images in one array of bytes."""

    def __init__(self, pixels, shapes):
        self.bytes, self.shapes = pixels, shapes
        self.starts = [0, *itertools.accumulate(map(math.prod, shapes))]

    def __getitem__(self, index):
        return self.bytes[self.starts[index] : self.starts[index + 1]].reshape(self.shapes[index])


def cache_on_disk(source, name, image_size, num_channels):
    """Returns the `DiskSource` of a source, and writes its file in Keras's folder if needed.

    Images keep their proportions; those whose shorter side is at most 256/224 of the longer side
    of `image_size` keep their size.

    Raises:
        OSError: the file cannot be written; nothing is left behind.
        ValueError: an image cannot be read.
    """
    if source.in_memory:
        return source
    side = math.ceil(MARGIN * max(image_size))
    versions = hashlib.sha256(repr([source.version(i) for i in range(len(source))]).encode())
    settings = {"format": 1, "side": side, "channels": num_channels, "images": versions.hexdigest()}
    folder = environment.keras_home() / "keras_vit" / "images"
    key = hashlib.sha256(repr([name, *source.names]).encode("utf-8", "surrogateescape")).hexdigest()
    path = folder / f"{key[:16]}.pixels"
    description, pixels = {}, None
    try:
        description, pixels = _read(path)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, TypeError):
        warnings.warn(f"{path} is damaged. It is written again.", stacklevel=4)
    while description.get("settings") != settings:  # another process may replace it in between
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with writing.replacing(path) as partial:
                _write(partial, source, settings)
        except OSError as error:
            raise OSError(
                error.errno,
                f"{error.strerror or error}. The decoded images could not be kept: free space, set "
                'KERAS_HOME to a folder on another disk, or leave out cache="disk"',
                str(path),
            ) from error
        description, pixels = _read(path)
    return DiskSource(description, pixels, source)


def _write(path, source, settings):
    side, shapes, checksum = settings["side"], [], 0

    def decode(index):
        image = source.image(index, (side, side))
        factor = side / min(image.size)
        if factor < 1:
            image = image.resize([max(side, round(factor * each)) for each in image.size], 3)
        return images.to_array(image)

    with open(path, "wb") as file, concurrent.futures.ThreadPoolExecutor() as threads:
        for start in range(0, len(source), READ):
            for pixels in threads.map(decode, range(start, min(start + READ, len(source)))):
                shapes.append(pixels.shape)
                checksum = zlib.crc32(pixels, checksum)
                file.write(pixels)
        text = json.dumps({"settings": settings, "shapes": shapes, "checksum": checksum}).encode()
        file.write(text + len(text).to_bytes(8, "little"))


def _read(path):
    """Returns the description in a file and its pixels; `ValueError` unless they are complete."""
    with open(path, "rb") as file:
        size = file.seek(-8, os.SEEK_END)
        length = int.from_bytes(file.read(8), "little")
        end = file.seek(size - length)
        description = json.loads(file.read(length))
        file.seek(0)
        checksum = 0
        for start in range(0, end, PIECE):
            checksum = zlib.crc32(file.read(min(PIECE, end - start)), checksum)
        if sum(map(math.prod, description["shapes"])) != end or checksum != description["checksum"]:
            raise ValueError("the pixels differ from their checksum")
        return description, np.memmap(file, "uint8", "r", shape=end)
