"""Labelled images that are read one at a time, by index, from files, bytes or arrays."""

import concurrent.futures
import io
import itertools

import numpy as np

from keras_vit.data import images

SMALL = 64  # pixels a side: the largest image that `decode_all` decodes
LIMIT = 2**30  # bytes of decoded images that `decode_all` keeps


class Source:
    """Labelled images; a subclass reads them.

    Attributes:
        labels: int32, (images,).
        names: name of every image, such as its file.
    """

    def __init__(self, labels, names):
        self.labels, self.names = np.asarray(labels, "int32"), names

    def __len__(self):
        return len(self.labels)

    def image(self, index, smallest=None):
        """Returns an image as a Pillow image, upright, of mode RGB or L.

        Args:
            index: 0 to `len(self)` - 1.
            smallest: smallest (height, width) that is sufficient, as in `images.open_image`; None
                for the full resolution.

        Raises:
            ValueError: The image cannot be read.
        """
        raise NotImplementedError

    def pixels(self, index):
        """Returns uint8 (height, width, 1 or 3) if the image is in memory, otherwise None."""
        return None


class FileSource(Source):
    """Images in files, which are opened each time.

    Args:
        files: path of every image.
        labels: class of every image.
        num_channels: 1 for grayscale, 3 for RGB.
        names: names that do not change if the folder is moved; None for the paths.
    """

    def __init__(self, files, labels, num_channels=3, names=None):
        self.files, self.num_channels = [str(file) for file in files], num_channels
        super().__init__(labels, self.files if names is None else names)

    def image(self, index, smallest=None):
        """Reads a file."""
        return images.open_image(self.files[index], self.num_channels, smallest=smallest)


class EncodedSource(Source):
    """Images as encoded bytes, such as JPEG or PNG.

    Args:
        encoded: a sequence of bytes, or a function from an index to bytes.
        labels: class of every image.
        names: name of every image; None for the indices.
        num_channels: 1 for grayscale, 3 for RGB.
    """

    def __init__(self, encoded, labels, names=None, num_channels=3):
        super().__init__(labels, _indices(labels) if names is None else names)
        self.encoded = encoded if callable(encoded) else encoded.__getitem__
        self.num_channels = num_channels

    def image(self, index, smallest=None):
        """Decodes the bytes."""
        file = io.BytesIO(self.encoded(index))
        return images.decode(file, self.names[index], self.num_channels, smallest)


class ArraySource(Source):
    """Images as arrays in memory.

    Args:
        images: uint8, (images, height, width, 1 or 3), or a list of such images of
            different sizes.
        labels: class of every image.
        names: name of every image; None for the indices.
    """

    def __init__(self, images, labels, names=None):
        super().__init__(labels, _indices(labels) if names is None else names)
        self.images = images

    def image(self, index, smallest=None):
        """Wraps the pixels."""
        from PIL import Image

        pixels = self.images[index]
        return Image.fromarray(pixels[:, :, 0] if pixels.shape[-1] == 1 else pixels)

    def pixels(self, index):
        """Returns the pixels, without a copy."""
        return self.images[index]


class Subset(Source):
    """Some images of another source, in the order of `indices`."""

    def __init__(self, source, indices):
        super().__init__(source.labels[indices], [source.names[index] for index in indices])
        self.source, self.indices = source, indices

    def image(self, index, smallest=None):
        """Reads the image from the other source."""
        return self.source.image(self.indices[index], smallest)

    def pixels(self, index):
        """Reads the pixels from the other source."""
        return self.source.pixels(self.indices[index])


def decode_all(source, largest=SMALL, limit=LIMIT):
    """Decodes the images of a source and keeps them in memory, if they are small.

    Opening and decoding a file takes longer than all augmentation of an image of 32 x 32.

    Args:
        source: a `Source`.
        largest: largest side of an image in pixels; `math.inf` for no limit.
        limit: largest size of all images together in bytes; `math.inf` for no limit.

    Returns:
        An `ArraySource`; `source` itself if a limit is exceeded or if its images are in memory
        already.
    """
    if not len(source) or source.pixels(0) is not None:
        return source
    images = []
    with concurrent.futures.ThreadPoolExecutor() as threads:
        for indices in _chunks(len(source)):
            images += threads.map(lambda index: _to_array(source.image(index)), indices)
            total = sum(image.nbytes for image in images)
            if max(map(_longest_side, images[indices[0] :])) > largest or total > limit:
                return source
    return ArraySource(_stack(images), source.labels, source.names)


def _indices(labels):
    return [str(index) for index in range(len(labels))]


def _chunks(total):
    """Ranges up to `total`. The first one is short: its images usually decide."""
    ends = itertools.chain((0, 1), range(1000, total, 1000), (total,))
    edges = sorted({min(end, total) for end in ends})
    return [range(a, b) for a, b in itertools.pairwise(edges)]


def _to_array(image):
    return np.asarray(image).reshape(image.height, image.width, -1)


def _longest_side(pixels):
    return max(pixels.shape[:2])


def _stack(images):
    """One array if all images have the same size: a list of many takes more memory."""
    return np.stack(images) if len({image.shape for image in images}) == 1 else images
