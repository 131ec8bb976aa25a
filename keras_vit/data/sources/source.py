"""`Source`: labeled images, read one at a time. `Splits`: training, validation and test images."""

import concurrent.futures
import io
import itertools
import numbers
import os
from typing import NamedTuple

import numpy as np

from keras_vit import arguments
from keras_vit.data import images
from keras_vit.data.sources import groups

SPLITS = ("train", "validation", "test")
VALIDATION_SHARE = 0.1  # of the training images, if nothing else is specified
SMALL = 64  # pixels a side: the largest image that `decode_all` decodes
LIMIT = 2**30  # bytes of decoded images that `decode_all` keeps


class Source:
    """Labeled images; a subclass reads them.

    Attributes:
        labels: int32, (images,).
        names: name of every image, such as its file; by default its index.
        in_memory: whether the images are decoded already.
        groups: group of every image, or None; all images of a group must be in one split.
    """

    in_memory, groups = False, None

    def __init__(self, labels, names=None):
        self.labels = np.asarray(labels, "int32")
        self.names = [str(index) for index in range(len(labels))] if names is None else names

    def __len__(self):
        return len(self.labels)

    def image(self, index, smallest=None):
        """Returns an image as a Pillow image, upright, of mode RGB or L.

        `smallest` is the smallest (height, width) that is sufficient, as in `images.open_image`.
        Raises `ValueError` if the image cannot be read.
        """
        raise NotImplementedError

    def pixels(self, indices):
        """Returns uint8 (images, height, width, 1 or 3) if the images are an array, or None."""
        return None

    def version(self, index):
        """Returns a plain value that changes with the image, found without reading it."""
        return self.names[index]


class FileSource(Source):
    """Images in files, which are opened each time.

    `names` identify the images even if the folder is moved; None for the paths.
    """

    def __init__(self, files, labels, num_channels=3, names=None):
        self.files, self.num_channels = [str(file) for file in files], num_channels
        super().__init__(labels, self.files if names is None else names)

    def image(self, index, smallest=None):
        """Reads a file."""
        return images.open_image(self.files[index], self.num_channels, smallest=smallest)

    def version(self, index):
        """Returns the path, size and modification time of a file."""
        images.check_file(self.files[index])
        status = os.stat(self.files[index])
        return os.path.abspath(self.files[index]), status.st_size, status.st_mtime_ns


class EncodedSource(Source):
    """Images as encoded bytes, such as JPEG or PNG.

    `encoded` is a sequence of bytes, or a function from an index to bytes. `origin` is a plain
    value that changes with the bytes, such as the file that they are in and its time.
    """

    def __init__(self, encoded, labels, names=None, num_channels=3, origin=None):
        super().__init__(labels, names)
        self.origin = origin
        self.encoded = encoded if callable(encoded) else encoded.__getitem__
        self.num_channels = num_channels

    def image(self, index, smallest=None):
        """Decodes the bytes."""
        file = io.BytesIO(self.encoded(index))
        return images.decode(file, self.names[index], self.num_channels, smallest)

    def version(self, index):
        """Returns the name of the image and the origin of all."""
        return self.names[index], self.origin


class ArraySource(Source):
    """Images in memory: uint8, (images, height, width, 1 or 3), or a list of such images."""

    in_memory = True

    def __init__(self, images, labels, names=None):
        super().__init__(labels, names)
        self.images = images

    def image(self, index, smallest=None):
        """Wraps the pixels."""
        return images.from_array(self.images[index])

    def pixels(self, indices):
        """Returns the pixels, unless images differ in size."""
        return self.images[indices] if isinstance(self.images, np.ndarray) else None


class Subset(Source):
    """Some images of another source, in the order of `indices`."""

    def __init__(self, source, indices):
        super().__init__(source.labels[indices], [source.names[index] for index in indices])
        self.source, self.indices, self.in_memory = source, indices, source.in_memory
        if source.groups is not None:
            self.groups = [source.groups[index] for index in indices]

    def image(self, index, smallest=None):
        """Reads the image from the other source."""
        return self.source.image(self.indices[index], smallest)

    def pixels(self, indices):
        """Reads the pixels from the other source."""
        return self.source.pixels(self.indices[indices])

    def version(self, index):
        """Returns the version from the other source."""
        return self.source.version(self.indices[index])


def decode_all(source, largest=SMALL, limit=LIMIT):
    """Decodes the images of a source and keeps them in memory, if they are small.

    Opening and decoding a file takes longer than augmenting an image of 32 x 32 pixels.

    Returns an `ArraySource`; `source` itself if an image is larger than `largest` pixels, if all
    images need more than `limit` bytes, or if they are in memory already.
    """
    count = len(source)
    if not count or source.in_memory:
        return source
    decoded = []

    def decode(index):
        return images.to_array(source.image(index))

    with concurrent.futures.ThreadPoolExecutor() as threads:
        # The first image is tried alone, since it usually decides.
        for start, end in itertools.pairwise([0, 1, *range(1000, count, 1000), count]):
            decoded += threads.map(decode, range(start, end))
            size = sum(image.nbytes for image in decoded)
            if size > limit or any(max(image.shape[:2]) > largest for image in decoded[start:]):
                return source
    if len({image.shape for image in decoded}) == 1:
        decoded = np.stack(decoded)  # takes less memory than a list of many images
    return ArraySource(decoded, source.labels, source.names)


class Splits(NamedTuple):
    """A dataset: its name, the names of its classes, and a `Source` or None for each split.

    `notes` are sentences for the user about how it was read.
    """

    name: str
    class_names: tuple
    train: Source | None = None
    validation: Source | None = None
    test: Source | None = None
    notes: tuple = ()

    @property
    def sources(self):
        """{"train": `Source`, ...} of the splits that exist."""
        return {name: getattr(self, name) for name in SPLITS if getattr(self, name) is not None}


def split(labels, seed=0, test_share=0.2):
    """Divides images at random into a training and a test split, stratified by class.

    The result depends only on the labels and the seed.

    Args:
        labels: class of every image, (images,).
        seed: non-negative integer; another seed draws another test split.
        test_share: share of every class in the test split; both splits contain at least one
            image of each class.

    Returns:
        Two arrays of indices into `labels`, training and test, each in ascending order.

    Raises:
        ValueError: the share is not at least 0 and less than 1, or a class has a single image.

    Example:
    >>> train, test = keras_vit.data.split([0, 0, 0, 0, 0, 1, 1, 1, 1, 1], seed=0)
    >>> len(train), len(test)
    (8, 2)
    """
    check_share("test_share", test_share)
    arguments.natural_number("seed", seed)
    for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
        if count < 2:
            advice = "Add an image to this class, or remove the class."
            expected = "every class must have at least 2 images, one to train on and one to test on"
            arguments.refuse(expected, {"class": int(label), "images": int(count)}, advice)
    return hold_out(labels, seed, test_share)


def hold_out(labels, seed, share):
    """Divides images like `split`, but a class with a single image stays in the first part.

    At least one image of every other class is held out, but never all. `seed` may be a list.
    """
    labels, rng, held = np.asarray(labels), np.random.default_rng(seed), []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        number = min(max(round(share * len(members)), 1), len(members) - 1)
        held.append(rng.permutation(members)[:number])
    held = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(labels)), held), held


def divide(source, seed, share):
    """Divides a `Source` with `hold_out`; the second part is None if no image can be held out.

    If the source has groups, none of them is divided.
    """
    if source.groups is None:
        first, second = hold_out(source.labels, seed, share)
    else:
        first, second = groups.hold_out(source.labels, source.groups, seed, share)
    return (Subset(source, first), Subset(source, second)) if len(second) else (source, None)


def draw_missing(splits, seed=0, validation_share=None, test_share=0.2):
    """Returns `Splits` whose missing splits are drawn from the training images."""
    validation_share = VALIDATION_SHARE if validation_share is None else validation_share
    shares = {"test": test_share, "validation": validation_share}
    for number, (name, share) in enumerate(shares.items()):
        if getattr(splits, name) is None and share:
            rest, drawn = divide(splits.train, [seed, number], share)
            splits = splits._replace(**{"train": rest, name: drawn})
    return splits


def check_share(name, value):
    """Returns a share of the images as a `float`; raises `ValueError` unless 0 <= share < 1."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number or not 0 <= value < 1:
        advice = f"{name}=0.1 holds out a tenth, {name}=0 nothing."
        expected = f"`{name}` must be a number of at least 0 and less than 1"
        arguments.refuse(expected, {name: value}, advice)
    return float(value)


def check_shares(data, options):
    """Raises `ValueError` if an `ImageDataset` has a split of its own, and a share to draw it."""
    for split in ("validation", "test"):
        name = f"{split}_share"
        if options.get(name) and split in data.own_splits:
            want = f"`{name}` is for data without a {split} split"
            received = {name: options[name], f"{split} images of the data": data.counts[split]}
            arguments.refuse(want, received, "Leave it out.")
