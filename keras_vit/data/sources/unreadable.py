"""`on_error="skip"`: images that cannot be read do not stop training."""

import concurrent.futures
import warnings

import numpy as np

from keras_vit import arguments
from keras_vit.data.sources.source import Source, Subset

ERRORS = (ValueError, FileNotFoundError)  # errors that `Source.image` raises


class SkippingSource(Source):
    """A source that returns the next image of the same class for one that cannot be read.

    Number, order and labels of the images are unchanged, so a run resumes exactly.

    Attributes:
        skipped: {name: reason} of the images that could not be read so far.
    """

    def __init__(self, source):
        super().__init__(source.labels, source.names)
        self.source, self.groups, self.skipped = source, source.groups, {}
        self._alike = [np.flatnonzero(self.labels == i) for i in range(self.labels.max() + 1)]

    def image(self, index, smallest=None):
        """Reads the image, or the next one of its class."""
        alike = self._alike[self.labels[index]]
        for other in np.roll(alike, -np.searchsorted(alike, index)):
            name = self.names[other]
            if name in self.skipped:
                continue
            try:
                return self.source.image(other, smallest)
            except ERRORS as error:
                reason = str(error)
                # Several threads may reach the same file at once; only the first one reports it.
                if self.skipped.setdefault(name, reason) is reason:
                    warnings.warn(f"{error} It is skipped.", stacklevel=2)
        received = {"images": len(alike), "first": self.names[alike[0]]}
        arguments.refuse("a class must have an image that can be read", received, "Check the disk.")

    def version(self, index):
        """Returns the version from the other source."""
        try:
            return self.source.version(index)
        except FileNotFoundError:
            return self.names[index], "missing"


def skip(splits):
    """Returns `Splits` that skip images that cannot be read.

    Training images are replaced when they are needed. Validation and test images are read once
    here, and those that cannot be read are left out, so that no image counts twice.
    """
    changed, notes = {}, []
    for name, source in splits.sources.items():
        if source.in_memory:
            continue
        if name == "train":
            changed[name] = SkippingSource(source)
            continue
        readable = _find_readable(source)
        missing = [n for n, good in zip(source.names, readable, strict=True) if not good]
        if len(missing) == len(source):
            expected = f"the {name} split must have an image that can be read"
            arguments.refuse(expected, {"first": missing[0]}, "Check the disk.")
        if missing:
            changed[name] = Subset(source, np.flatnonzero(readable))
            more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
            listed = f"{', '.join(missing[:10])}{more}"
            notes.append(f"skipped in the {name} split, cannot be read: {listed}")
    return splits._replace(**changed, notes=(*splits.notes, *notes))


def _find_readable(source):
    def is_readable(index):
        try:
            source.image(index, (1, 1))
        except ERRORS:
            return False
        return True

    with concurrent.futures.ThreadPoolExecutor() as threads:
        return list(threads.map(is_readable, range(len(source))))
