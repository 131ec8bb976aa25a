"""Labelled images, had one by one by their number, wherever they are kept."""

import concurrent.futures
import io
import itertools
from typing import NamedTuple

import numpy as np

from keras_vit.data import images

SMALL = 64  # pixels a side: what `decoded` takes for a small image
LIMIT = 2**30  # bytes of decoded images that `decoded` holds


class Source:
    """Images that are had by their number, and the class of each.

    Attributes:
        labels: int32, (images,).
        names: a name for every image, such as its file.
    """

    def __init__(self, labels, names):
        self.labels, self.names = np.asarray(labels, "int32"), names

    def __len__(self):
        return len(self.labels)

    def image(self, number, smallest=None):
        """Returns image `number` as a Pillow image, upright, of mode RGB or L.

        Args:
            number: 0 to `len(self)` - 1.
            smallest: (height, width) that are enough, as in `images.load`; None for all.

        Raises:
            ValueError: the image cannot be read; the message names it.
        """
        raise NotImplementedError

    def pixels(self, number):
        """Returns uint8 (height, width, 1 or 3) where an image is in memory so, else None."""
        return None


class FileSource(Source):
    """Images in files, opened anew each time.

    Args:
        files: path of every image.
        labels: class of every image.
        num_channels: 1 for grey, 3 for colours.
        names: names that stay the same where the folder moves; None for the paths.
    """

    def __init__(self, files, labels, num_channels=3, names=None):
        self.files, self.num_channels = [str(file) for file in files], num_channels
        super().__init__(labels, self.files if names is None else names)

    def image(self, number, smallest=None):
        """Reads a file."""
        return images.load(self.files[number], self.num_channels, smallest=smallest)


class EncodedSource(Source):
    """Images as the bytes of a JPEG, PNG or the like.

    Args:
        encoded: a sequence of bytes, or a function from a number to bytes.
        labels: class of every image.
        names: name of every image; None for their numbers.
        num_channels: 1 for grey, 3 for colours.
    """

    def __init__(self, encoded, labels, names=None, num_channels=3):
        super().__init__(labels, _numbers(labels) if names is None else names)
        self.encoded = encoded if callable(encoded) else encoded.__getitem__
        self.num_channels = num_channels

    def image(self, number, smallest=None):
        """Decodes the bytes."""
        file = io.BytesIO(self.encoded(number))
        return images.decode(file, self.names[number], self.num_channels, smallest)


class ArraySource(Source):
    """Images as arrays in memory.

    Args:
        images: uint8, (images, height, width, 1 or 3), or a list of such images of
            different sizes.
        labels: class of every image.
        names: name of every image; None for their numbers.
    """

    def __init__(self, images, labels, names=None):
        super().__init__(labels, _numbers(labels) if names is None else names)
        self.images = images

    def image(self, number, smallest=None):
        """Wraps the pixels."""
        from PIL import Image

        pixels = self.images[number]
        return Image.fromarray(pixels[:, :, 0] if pixels.shape[-1] == 1 else pixels)

    def pixels(self, number):
        """Returns the pixels as they are, not a copy."""
        return self.images[number]


class Subset(Source):
    """Some images of another source, in the order of `numbers`."""

    def __init__(self, source, numbers):
        super().__init__(source.labels[numbers], [source.names[number] for number in numbers])
        self.source, self.numbers = source, numbers

    def image(self, number, smallest=None):
        """Asks the other source."""
        return self.source.image(self.numbers[number], smallest)

    def pixels(self, number):
        """Asks the other source."""
        return self.source.pixels(self.numbers[number])


class Parts(NamedTuple):
    """A set of images: what its classes are called, and a `Source` or None for each part."""

    name: str
    class_names: tuple
    train: Source
    validation: Source | None
    test: Source | None


def decoded(source, largest=SMALL, limit=LIMIT):
    """Decodes the images of a source once and for all, if they are small.

    To open a file and decode it takes longer than anything that is done to an image of 32 x 32.

    Args:
        source: a `Source`.
        largest: pixels a side that an image may have; `math.inf` for any.
        limit: bytes that all images together may take; likewise.

    Returns:
        An `ArraySource`, or `source` itself where an image is larger or the limit is passed, or
        where all are in memory already.
    """
    if not len(source) or source.pixels(0) is not None:
        return source
    images = []
    with concurrent.futures.ThreadPoolExecutor() as threads:
        for numbers in _chunks(len(source)):
            images += threads.map(lambda number: _pixels(source.image(number)), numbers)
            total = sum(image.nbytes for image in images)
            if max(map(_side, images[numbers[0] :])) > largest or total > limit:
                return source
    return ArraySource(_stacked(images), source.labels, source.names)


def _numbers(labels):
    return [str(number) for number in range(len(labels))]


def _chunks(total):
    """Ranges up to `total`, the first one short: most often its images decide."""
    ends = itertools.chain((0, 1), range(1000, total, 1000), (total,))
    edges = sorted({min(end, total) for end in ends})
    return [range(a, b) for a, b in itertools.pairwise(edges)]


def _pixels(image):
    return np.asarray(image).reshape(image.height, image.width, -1)


def _side(pixels):
    return max(pixels.shape[:2])


def _stacked(images):
    """One array where the images have one size: a list of many takes more memory."""
    return np.stack(images) if len({image.shape for image in images}) == 1 else images
