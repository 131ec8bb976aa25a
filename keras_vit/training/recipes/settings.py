"""The settings of a recipe, before the images are known."""

from typing import NamedTuple

from keras_vit import arguments
from keras_vit.data.transforms.augmentation import Augmentation
from keras_vit.variants import RESNETS, parse

ADAPTATIONS = ("full", "linear", "lora")  # which weights are trained
KERNELS, ALL = "kernel", ""  # which weights decay: regular expressions of their names


class Settings(NamedTuple):
    """Everything that a recipe sets. None leaves the choice to the model or to the data.

    Durations are in epochs, shares are of all updates, sizes are in pixels. `learning_rate` is for
    batches of `reference_batch`; if that is None, it is not scaled.
    """

    epochs: int | None  # None: as many as `steps` take
    learning_rate: float  # peak of the schedule
    # --- images
    image_size: int | None = None
    num_channels: int = 3
    batch_size: int = 64
    augmentation: Augmentation | str | None = None  # name in keras_vit.data, or an object
    resize: str = "squash"  # for evaluation, see `keras_vit.data.load`
    # --- duration and learning rate
    steps: int | None = None  # published number of updates, with batches of `reference_batch`
    min_updates: int = 0  # epochs are added to reach it
    reference_batch: int | None = None
    scaling: str = "none"  # of the learning rate with the batch: "linear", "root" or "none"
    decay: str = "cosine"  # after the warm-up: "cosine", "linear" or "constant"
    warmup_share: float = 0.1
    warmup_steps: int | None = None  # published number, for batches of `reference_batch`
    start: float = 0.0  # learning rate of the first step
    end: float = 0.0  # learning rate after the last step
    # --- optimizer
    optimizer: str = "adamw"
    momentum: float = 0.9  # of SGD
    weight_decay: float = 0.0  # relative to the learning rate
    decayed: str = KERNELS
    clip: float | None = None  # maximum global norm of the gradient
    layer_decay: float = 1.0  # factor of the learning rate from block to block
    accumulate: int = 1  # batches per update
    moving_average: float | None = None  # momentum of the average of the weights (Polyak)
    # --- loss
    loss: str = "softmax"  # or "sigmoid"
    label_smoothing: float = 0.0
    # --- model
    adapt: str = "full"  # which weights are trained: "full", "linear" or "lora"
    rank: int = 8  # of LoRA
    model: str | None = None
    pooling: str | None = None
    dropout: float | None = None
    stochastic_depth: float | None = None
    representation: bool = False  # a tanh layer as wide as the tokens before the head
    head_bias: float | None = None
    normalize: tuple | None = None
    # --- where it comes from
    source: str = ""


def at_least_zero(name, value):
    """Raises `ValueError` unless `value` is a finite number of at least 0."""
    if arguments.number(name, value) < 0:
        arguments.refuse(f"`{name}` must be at least 0", {name: value})


def at_most_one(name, value):
    """Raises `ValueError` unless `value` is a number above 0 and at most 1."""
    if arguments.positive_number(name, value) > 1:
        arguments.refuse(f"`{name}` must be at most 1", {name: value}, f"{name}=1.0 turns it off.")


_optional = arguments.optional
_positive = arguments.positive_number
CHECKS = {
    "epochs": _optional(arguments.positive_integer),
    "steps": _optional(arguments.positive_integer),
    "image_size": _optional(lambda name, value, advice="": arguments.height_width(name, value)),
    "num_channels": arguments.positive_integer,
    "batch_size": arguments.positive_integer,
    "resize": arguments.one_of("squash", "crop"),
    "learning_rate": _positive,
    "reference_batch": _optional(arguments.positive_integer),
    "scaling": arguments.one_of("linear", "root", "none"),
    "decay": arguments.one_of("cosine", "linear", "constant"),
    "warmup_share": arguments.fraction,
    "warmup_steps": _optional(arguments.positive_integer),
    "min_updates": at_least_zero,
    "optimizer": arguments.one_of("adamw", "sgd"),
    "momentum": arguments.fraction,
    "weight_decay": at_least_zero,
    "clip": _optional(_positive),
    "accumulate": arguments.positive_integer,
    "moving_average": _optional(lambda name, value, advice="": arguments.fraction(name, value)),
    "layer_decay": at_most_one,
    "start": at_least_zero,
    "end": at_least_zero,
    "loss": arguments.one_of("softmax", "sigmoid"),
    "label_smoothing": arguments.fraction,
    "adapt": arguments.one_of(*ADAPTATIONS),
    "rank": arguments.positive_integer,
}


def check_name(kind, name, names):
    """Raises `ValueError` unless `name` is one of `names`; suggests the nearest."""
    if name not in names:
        advice = f"{arguments.suggest(name, names)}Names are {', '.join(names)}."
        arguments.refuse(f"the name of a {kind} was expected", {kind: name}, advice)


def check(chosen, plotted=False):
    """Raises `ValueError` unless every value of `Settings` is valid.

    Args:
        chosen: a `Settings`.
        plotted: whether the run plots the model's patches, which a ResNet does not have.
    """
    arguments.checked(CHECKS, chosen._asdict())
    _check_reference(chosen)
    if chosen.model is None:
        return
    variant = parse(chosen.model)
    if isinstance(variant, RESNETS):
        if plotted:
            want = "`model` must be a Vision Transformer or a hybrid, whose patches are plotted"
            advice = "Build a ResNet with keras_vit.create and train it with its `fit`."
            arguments.refuse(want, {"model": chosen.model}, advice)
        return
    if chosen.image_size is not None:
        size = arguments.height_width("image_size", chosen.image_size)
        arguments.divisible_image(size, (variant.patch_size,) * 2)


def _check_reference(chosen):
    """Raises `ValueError` if something is scaled with the batch and `reference_batch` is None."""
    scaled = chosen.scaling != "none" or chosen.steps or chosen.warmup_steps
    if scaled and chosen.reference_batch is None:
        received = {name: getattr(chosen, name) for name in ("scaling", "steps", "warmup_steps")}
        advice = "Pass the batch size of the published numbers, such as reference_batch=512."
        arguments.refuse("`reference_batch` is needed to scale", received, advice)
