"""The named sets of the paper, as a table: where their images, labels and parts come from."""

from collections.abc import Callable
from typing import NamedTuple


class NamedSet(NamedTuple):
    """A set of TensorFlow Datasets (TFDS) as a task of classification.

    Attributes:
        tfds: its name there, with its configuration.
        train: split to train on, in the words of TFDS, such as `train[:800]`.
        validation: split to choose by, or the share of `train` that is drawn for it, or None.
        test: split to test on, or None.
        label: feature that holds the class.
        to_class: makes the class of that feature; None where it is the class.
        class_names: in the order of the classes; () for those that the feature has.
        image: feature that holds the image.
        white: value of its brightest pixel.
        file_name: feature that names the image's file; None for numbers.
    """

    tfds: str
    train: str
    validation: str | float | None
    test: str | None
    label: str = "label"
    to_class: Callable | None = None
    class_names: tuple = ()
    image: str = "image"
    white: int = 255
    file_name: str | None = None


# Training and test part of section 4.1; the shares for validation are those of Table 4. Of the
# Flowers' 1,020 + 1,020 + 6,149 images the official code trains on the first 1,020.
SETS = {
    "cifar10": NamedSet("cifar10", "train", 0.02, "test"),
    "cifar100": NamedSet("cifar100", "train", 0.02, "test"),
    "oxford_flowers102": NamedSet("oxford_flowers102", "train", 0.1, "test"),
    "oxford_iiit_pet": NamedSet("oxford_iiit_pet", "train", 0.1, "test"),
    # Its test images have no public labels: the paper reports the validation split. The names
    # of the files lead to the ReaL labels.
    "imagenet2012": NamedSet("imagenet2012", "train", 0.01, "validation", file_name="file_name"),
}

ALIASES = {
    "flowers102": "oxford_flowers102",
    "pets": "oxford_iiit_pet",
    "imagenet": "imagenet2012",
}
