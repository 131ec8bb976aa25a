"""Augmentation of training images: the settings as data, and those that papers use by name."""

import functools
import math
from typing import NamedTuple

from keras_vit import arguments


def _check_between(smallest, largest):
    """Returns a check that a number is in a closed range."""

    def check(name, value):
        if not arguments.is_real(value) or not smallest <= value <= largest or math.isinf(value):
            expected = f"`{name}` must be a finite number from {smallest} to {largest}"
            arguments.refuse(expected, {name: value}, f"{name}=0 turns it off.")
        return float(value)

    return check


def _check_crop(name, value):
    if value is None:
        return None
    if not (
        _is_pair(value) and all(map(arguments.is_real, value)) and 0 < value[0] <= value[1] <= 1
    ):
        expected = f"`{name}` must be (smallest, largest) share of the area, above 0 and up to 1"
        advice = f"The paper's is {name}=(0.05, 1.0), {name}=None turns it off."
        arguments.refuse(expected, {name: value}, advice)
    return tuple(map(float, value))


def _check_randaugment(name, value):
    if value is None:
        return None
    advice = f"A usual choice is {name}=(2, 10), {name}=None turns it off."
    if not _is_pair(value):
        expected = f"`{name}` must be two numbers, (operations per image, magnitude)"
        arguments.refuse(expected, {name: value}, advice)
    layers = arguments.positive_integer(f"operations of {name}", value[0], advice)
    magnitude = _check_between(0, 30)(f"magnitude of {name}", value[1])
    return layers, int(magnitude) if magnitude.is_integer() else magnitude


def _is_pair(value):
    return isinstance(value, (tuple, list)) and len(value) == 2


CHECKS = {
    "rotation": _check_between(0, 180),
    "zoom": _check_between(0, 0.9),
    "shift": _check_between(0, 1),
    "flip": arguments.boolean,
    "crop": _check_crop,
    "pad": _check_between(0, 1),
    "randaugment": _check_randaugment,
    "randaugment_style": arguments.one_of("tensorflow", "increasing"),
    "three_augment": arguments.boolean,
    "jitter": _check_between(0, 1),
    "erasing": _check_between(0, 1),
    "mixup": _check_between(0, math.inf),
    "cutmix": _check_between(0, math.inf),
    "interpolation": arguments.one_of("bilinear", "bicubic"),
}


def _check_fields(kind):
    """Makes a named tuple check the fields that it is given."""
    make = kind.__new__

    @functools.wraps(make)
    def make_checked(cls, *values, **fields):
        given = make(cls, *values, **fields)._asdict()
        return make(cls, **arguments.checked(CHECKS, given))

    kind.__new__ = make_checked
    return kind


@_check_fields
class Augmentation(NamedTuple):
    """Settings of the random augmentation of training images. The default changes nothing.

    `keras_vit.data.transforms.augment_image` and `keras_vit.data.augment` apply the fields in the
    order of this table, `keras_vit.data.transforms.mixing.mix` applies the last two to a batch.
    Raises `ValueError` for a field outside its range.

    | field | meaning |
    |---|---|
    | `crop` | (smallest, largest) share of the area of a random crop (Inception), or None |
    | `flip` | whether to flip images left to right with probability 0.5 |
    | `pad` | largest translation by whole pixels, as a share of the side; gray fills the rest |
    | `rotation`, `zoom`, `shift` | degrees; shares of the side: 0.1 zooms or shifts by a tenth |
    | `randaugment` | (operations per image, magnitude on a scale of 10), or None |
    | `randaugment_style` | "tensorflow" (official code) or "increasing" (timm, DeiT) |
    | `three_augment` | whether to turn every image gray, solarize it or blur it (3-Augment) |
    | `jitter` | factors of brightness, contrast and color are 1 - jitter to 1 + jitter |
    | `erasing` | probability that a rectangle becomes noise |
    | `interpolation` | "bilinear" or "bicubic", of crop and resize |
    | `mixup`, `cutmix` | alpha of their Beta(alpha, alpha) distribution, or 0 |

    Example:
    >>> keras_vit.data.Augmentation(rotation=10, flip=True)
    Augmentation(rotation=10.0, flip=True)
    >>> keras_vit.data.Augmentation(rotation=10, flip=True).mixes
    False
    """

    rotation: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    flip: bool = False
    crop: tuple | None = None
    pad: float = 0.0
    randaugment: tuple | None = None
    randaugment_style: str = "tensorflow"
    three_augment: bool = False
    jitter: float = 0.0
    erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    interpolation: str = "bilinear"

    @property
    def mixes(self):
        """Whether the images of a batch are mixed, so that labels are shares of classes."""
        return self.mixup > 0 or self.cutmix > 0

    def __repr__(self):
        changed = ", ".join(f"{name}={value!r}" for name, value in self.changed_fields().items())
        return f"Augmentation({changed})"

    def changed_fields(self):
        """Returns {field: value} of the fields that differ from their defaults."""
        default = self._field_defaults
        return {name: value for name, value in self._asdict().items() if value != default[name]}


# The official code for the paper's models: a crop of 5 to 100 percent of the area, and flips.
INCEPTION = Augmentation(crop=(0.05, 1.0), flip=True)


def _augreg(magnitude, mixup=0.0):
    return INCEPTION._replace(randaugment=(2, magnitude), mixup=mixup)


AUGMENTATIONS = {
    "none": Augmentation(),
    "flip": Augmentation(flip=True),
    # For small models on few images.
    "small": Augmentation(rotation=10, zoom=0.2, shift=0.1, flip=True),
    # He et al., "Deep Residual Learning" (arXiv:1512.03385), 4.2: 4 of 32 pixels on each side.
    "cifar": Augmentation(pad=4 / 32, flip=True),
    # Gentler than the paper's crop, for fine-tuning on few images and in few epochs.
    "gentle": Augmentation(crop=(0.25, 1.0), flip=True),
    # Dosovitskiy et al. (arXiv:2010.11929), official code; also the level "none" of AugReg.
    "inception": INCEPTION,
    # Steiner et al., "How to train your ViT?" (AugReg, arXiv:2106.10270), 3.3.
    "light1": _augreg(0),
    "light2": _augreg(10, mixup=0.2),
    "medium1": _augreg(15, mixup=0.2),
    "medium2": _augreg(15, mixup=0.5),
    "strong1": _augreg(20, mixup=0.5),
    "strong2": _augreg(20, mixup=0.8),
    # Touvron et al., "DeiT" (arXiv:2012.12877), table 9. Without its color jitter of 0.4, which
    # the authors' code leaves out if RandAugment is on.
    "deit": Augmentation(
        crop=(0.08, 1.0),
        flip=True,
        randaugment=(2, 9),
        randaugment_style="increasing",
        erasing=0.25,
        mixup=0.8,
        cutmix=1.0,
        interpolation="bicubic",
    ),
    # Touvron et al., "DeiT III" (arXiv:2204.07118), section 3.2 and its code.
    "deit3": Augmentation(
        crop=(0.08, 1.0),
        flip=True,
        three_augment=True,
        jitter=0.3,
        mixup=0.8,
        cutmix=1.0,
        interpolation="bicubic",
    ),
}


def get_augmentation(value):
    """Returns the `Augmentation` of a name.

    Args:
        value: a name in `AUGMENTATIONS`, an `Augmentation`, or None for no augmentation.

    Raises:
        ValueError: the name is unknown, or a field is outside its range.

    Example:
    >>> keras_vit.data.get_augmentation("strong1").randaugment
    (2, 20)
    """
    if isinstance(value, Augmentation):
        return Augmentation(*value)  # checks what `_replace` has changed
    if value is None:
        return Augmentation()
    if isinstance(value, str) and value in AUGMENTATIONS:
        return AUGMENTATIONS[value]
    advice = f"{arguments.suggest(value, AUGMENTATIONS)}Valid names: {', '.join(AUGMENTATIONS)}."
    expected = "`augmentation` must be a name, an `Augmentation` or None"
    return arguments.refuse(expected, {"augmentation": value}, advice)
