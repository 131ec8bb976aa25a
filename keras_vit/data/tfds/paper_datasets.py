"""The datasets of the paper, as a table: which splits and features of TFDS are used."""

from collections.abc import Callable
from typing import NamedTuple


class NamedDataset(NamedTuple):
    """A dataset of TensorFlow Datasets (TFDS) as a classification task.

    Attributes:
        tfds: its name in TFDS, with its configuration.
        train: training split in TFDS's notation, such as `train[:800]`.
        validation: validation split, the share of `train` that is drawn for it, or None.
        test: test split, or None.
        label: feature that contains the class.
        to_class: function from this feature to the class; None if it is the class.
        class_names: names in the order of the classes; () for those of the feature.
        image: feature that contains the image.
        white: value of the brightest possible pixel.
        file_name: feature with the name of the image's file; None to use indices.
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


# Training and test splits of section 4.1; validation shares of Table 4. The official code trains
# on the first 1,020 of the Flowers' 1,020 + 1,020 + 6,149 images.
DATASETS = {
    "cifar10": NamedDataset("cifar10", "train", 0.02, "test"),
    "cifar100": NamedDataset("cifar100", "train", 0.02, "test"),
    "oxford_flowers102": NamedDataset("oxford_flowers102", "train", 0.1, "test"),
    "oxford_iiit_pet": NamedDataset("oxford_iiit_pet", "train", 0.1, "test"),
    # Its test images have no public labels: the paper reports the validation split. The file names
    # identify the ReaL labels.
    "imagenet2012": NamedDataset(
        "imagenet2012", "train", 0.01, "validation", file_name="file_name"
    ),
}

ALIASES = {
    "flowers102": "oxford_flowers102",
    "pets": "oxford_iiit_pet",
    "imagenet": "imagenet2012",
}
