"""The catalog of public checkpoints: their addresses, shapes and preprocessing."""

import functools
import os
import pathlib
import re
from typing import NamedTuple

from keras_vit import arguments
from keras_vit.checkpoints.catalogue import hub, published

ROOT = pathlib.Path(__file__).parents[3]  # of the package
SUFFIXES = (".npz", ".safetensors", ".weights.h5", ".h5", ".json", ".keras")


class Entry(NamedTuple):
    """One public weight file. Unpublished facts are None.

    Attributes:
        name: short, stable name, such as "ViT-B/16-augreg-i21k-ft-384".
        source: the naming scheme of its tensors: "google", "timm", "huggingface" or "bit".
        address: URL, or a path in the package for a file that is part of it.
        size: its size as published, such as "391 MiB", rounded.
        sha256: checksum as published, in hexadecimal.
        variant: name of the model for `keras_vit.create`.
        image_size: resolution that it was last trained at, in pixels.
        num_classes: 21843 (ImageNet-21k), 1000 (ImageNet), 0 without a head.
        representation_size: width of the tanh layer before the head; None without it.
        normalize: (mean, standard deviation) of pixels 0 to 255.
        approximate: whether its GELU is the tanh form; None for a ResNet, which has none.
        epsilon: epsilon of the normalization layers.
        accuracy: published top-1 accuracy in percent, on ImageNet or, for the file that we trained,
            on the test split of its own dataset.
        accuracy_source: "README", "BiT README", "timm" or "ours": who published it.
        licence: as stated by its publisher.
    """

    name: str
    source: str
    address: str
    size: str | None
    sha256: str | None
    variant: str
    image_size: int | None
    num_classes: int
    representation_size: int | None
    normalize: tuple
    approximate: bool | None
    epsilon: float
    accuracy: float | None
    accuracy_source: str | None
    licence: str

    @property
    def recommended(self):
        """Whether the name of its variant alone, such as "ViT-B/16", selects this entry."""
        return published.RECOMMENDED.get(self.variant) == self.name

    @property
    def class_names(self):
        """Names of its classes; None if they are unknown."""
        if self.num_classes == published.IMAGENET_CLASSES:
            return tuple(published.imagenet_classes().values())
        return published.CLASS_NAMES.get(self.name)

    @property
    def shipped(self):
        """Path of its file if it is part of the package, otherwise None."""
        return ROOT / self.address if self.address.startswith(published.SHIPPED) else None


def entries():
    """Returns a dictionary that maps names to every `Entry`.

    Example:
    >>> keras_vit.checkpoints.entries()["ViT-B/16-augreg-i21k"].size
    '391 MiB'
    """
    return dict(_all())


def find(name):
    """Returns the `Entry` of a name, or the recommended one of a variant.

    Args:
        name: a name of `entries()`, or a variant such as "ViT-S/16".

    Raises:
        ValueError: the name is unknown; the message suggests similar ones.

    Example:
    >>> keras_vit.checkpoints.catalogue.find("ViT-S/16").name
    'ViT-S/16-augreg-i21k-ft-224'
    """
    found = _all().get(published.RECOMMENDED.get(name, name)) if isinstance(name, str) else None
    if found is None:
        want = "`name` must be a checkpoint of the catalog or a variant that has one, such as "
        advice = (
            f"{suggestion(name)}keras_vit.checkpoints.entries() lists all. "
            "If it is a path, no file or folder exists there."
        )
        arguments.refuse(f"{want}'ViT-S/16'", {"name": name}, advice)
    return found


def is_path(name):
    """Returns whether `load_pretrained` takes a name as the path of a file."""
    is_text = isinstance(name, (str, os.PathLike))  # `os.path` treats a number as an open file
    return is_text and (os.path.exists(name) or str(name).endswith(SUFFIXES))


def check_source(name):
    """Raises unless `load_pretrained` would find a file or an entry; nothing is opened.

    Whether a repository of the Hugging Face Hub exists is not known before it is downloaded.

    Raises:
        FileNotFoundError: the name is the path of a file that does not exist.
        ImportError: the name is an address of the Hub, and huggingface_hub is not installed.
        ValueError: the name is neither a file, nor an address, nor in the catalog.

    Example:
    >>> keras_vit.checkpoints.catalogue.check_source("ViT-S/16")
    >>> keras_vit.checkpoints.catalogue.check_source("weights.npz")
    Traceback (most recent call last):
    ...
    FileNotFoundError: A weight file was expected. Received: 'weights.npz', which does not
    exist. Use another path, hf://owner/name, or a name of `keras-vit weights`.
    """
    if hub.is_address(name):
        hub.parse(name)
    elif not is_path(name):
        find(name)
    elif not os.path.exists(name):
        raise FileNotFoundError(
            f"A weight file was expected. Received: {str(name)!r}, which does not exist. "
            "Use another path, hf://owner/name, or a name of `keras-vit weights`."
        )


def check_target(path, source=None):
    """Returns (source, whether `path` is a folder) of weights to write; writes nothing.

    Args:
        path: the file or folder.
        source: a name of `published.SOURCES`; None chooses it by the suffix of `path`.

    Raises:
        ValueError: the suffix is unknown, or is not that of the source's files.

    Example:
    >>> keras_vit.checkpoints.catalogue.check_target("vit.safetensors")
    ('timm', False)
    """
    arguments.one_of(None, *published.SOURCES)("source", source)
    stem, suffix = os.path.splitext(str(path))
    source = source or published.BY_SUFFIX.get(suffix)
    if source is None:
        advice = 'Use the suffix .npz, .safetensors or .weights.h5, or pass source="timm", '
        advice += '"huggingface" or "kerashub" for a folder.'
        arguments.refuse("`path` must have a known suffix", {"path": str(path)}, advice)
    if source in published.WITH_FOLDERS and (os.path.isdir(path) or not suffix):
        return source, True
    right = published.SOURCES[source]
    if not str(path).endswith(right):
        advice = f"Call it {stem}{right}, or pass another source."
        want = f"the file of source={source!r} must end in {right}"
        arguments.refuse(want, {"path": str(path)}, advice)
    return source, False


def suggestion(name):
    """Returns "Did you mean 'ViT-B/16'? " for a similar name, otherwise "".

    Example:
    >>> keras_vit.checkpoints.catalogue.suggestion("R50x11")
    "Did you mean 'R50x1', 'R50x3', 'R101x1'? "
    """
    return arguments.suggest(name, [*published.RECOMMENDED, *_all()], number=3)


def listing():
    """Returns the catalog as text, one line for each entry; recommended ones have a star.

    Example:
    >>> keras_vit.checkpoints.catalogue.listing().splitlines()[0].split()
    ['name', 'pixels', 'classes', 'size', 'top-1', 'sha256']
    """
    head = f"  {'name':<41}{'pixels':>6}{'classes':>8}{'size':>11}{'top-1':>7}{'sha256':>15}"
    note = '* has a short name, that of its variant: "ViT-S/16"'
    return "\n".join([head, *map(_line, _all().values()), note])


def _line(entry):
    accuracy = "-" if entry.accuracy is None else f"{entry.accuracy:.2f}"
    checksum = entry.sha256[:13] if entry.sha256 else "not published"
    return (
        f"{'*' if entry.recommended else ' '} {entry.name:<41}{entry.image_size or '-':>6}"
        f"{entry.num_classes:>8}{entry.size or '-':>11}{accuracy:>7}{checksum:>15}"
    )


@functools.cache
def _all():
    rows = [*_augreg(), *_groups()]
    table = {entry.name: entry for entry in rows}
    if len(table) < len(rows):
        raise ValueError("Two entries of the catalog have the same name.")
    return table


def _augreg():
    """Yields the entries of AugReg, whose addresses consist of recipe and fine-tuning."""
    for variant, recipe, rate, pixels, *facts in published.AUGREG:
        short = re.sub(r"[/+]", "_", variant.replace("ViT-", ""))
        address = f"{published.GOOGLE}/augreg/{short}-i21k-300ep-lr_0.001-{recipe}"
        training, classes = "i21k", 21843
        if pixels:
            address += f"--imagenet2012-steps_20k-lr_{rate}-res_{pixels}"
            training, classes = "i21k-ft", 1000
        address, pixels = f"{address}.npz", pixels or 224
        yield _entry("augreg", variant, training, address, pixels, classes, None, *facts)


def _groups():
    for family, address, training, classes, files in published.GROUPS:
        for variant, name, pixels, *facts in files:
            yield _entry(family, variant, training, address.format(name), pixels, classes, *facts)


def _entry(
    family, variant, training, address, pixels, classes, representation, size, accuracy, publisher
):
    source, *conventions = published.FAMILIES[family]
    name = f"{variant}-{family}-{training}"
    if f"{family}-{training}" not in published.WITHOUT_RESOLUTION:
        name = f"{name}-{pixels}"
    return Entry(
        name, source, address, size, published.SHA256.get(name), variant, pixels, classes,
        representation, *conventions, accuracy, publisher, published.LICENCE,
    )  # fmt: skip
