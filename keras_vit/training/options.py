"""What `keras-vit train` was asked for, checked before Keras is imported."""

from typing import NamedTuple

from keras_vit import arguments
from keras_vit.checkpoints import catalogue
from keras_vit.data.opening import check_source
from keras_vit.data.sources.splits import check_share
from keras_vit.data.transforms.augmentation import get_augmentation
from keras_vit.training import rows
from keras_vit.training.tensorboard import ensure_installed

LARGEST_SEED = 2**32 - 1  # NumPy's and Keras's limit
OVERRIDES = ("model", "image_size", "epochs", "batch_size", "learning_rate", "adapt")


class Options(NamedTuple):
    """What `keras-vit train` was asked for; None leaves the choice to the recipe.

    It is written beside the run, which is assembled from it again to be resumed.
    """

    data: str | None = None
    model: str | None = None
    weights: str | None = None
    recipe: str | None = None
    adapt: str | None = None
    image_size: int | None = None
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    augment: str | None = None
    seed: int = 0
    split_seed: int | None = None
    validation_share: float | None = None
    test_share: float | None = None
    tensorboard: bool = False


def check(options):
    """Raises if `Options` cannot be used; Keras is not imported, and no image is read.

    Raises:
        FileNotFoundError: the data or the weights do not exist.
        ImportError: TensorBoard is asked for and not installed.
        ValueError: a value cannot be used.
    """
    check_seed(options.seed)
    _check_digits(options)
    _check_weights(options)
    _check_splits(options)
    if options.augment is not None:
        get_augmentation(options.augment)
    if options.tensorboard:
        ensure_installed()
    recipe_settings(options)
    if options.data is not None:
        check_source(options.data)


def recipe_name(options):
    """Returns the recipe that was asked for, or the usual one for such data and weights."""
    usual = "digits" if options.data is None else "folder"
    return options.recipe or ("finetune" if options.weights is not None else usual)


def recipe_settings(options):
    """Returns the `Settings` of the options' recipe, before the images are known."""
    name = recipe_name(options)
    settings = rows.settings(name, overrides(options))
    if options.weights is None and settings.model is None:
        advice = "Give --weights, a file or a name of `keras-vit weights`, or --model."
        arguments.refuse(f"the recipe {name!r} starts from weights", {"weights": None}, advice)
    return settings


def overrides(options):
    """Returns the fields of the recipe that the options set."""
    return {name: getattr(options, name) for name in OVERRIDES}


def check_seed(seed):
    """Raises `ValueError` unless every generator of random numbers takes `seed`."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= LARGEST_SEED:
        arguments.refuse(f"`seed` must be an integer from 0 to {LARGEST_SEED}", {"seed": seed})


def _check_digits(options):
    if options.data is None and options.image_size not in (None, 8):
        advice = "Leave image_size out, or give a folder of images."
        arguments.refuse("the digits are 8 x 8 pixels", {"image_size": options.image_size}, advice)


def _check_splits(options):
    for name in ("validation_share", "test_share"):
        if getattr(options, name) is not None:
            check_share(name, getattr(options, name))
    if options.split_seed is not None:
        arguments.natural_number("split_seed", options.split_seed)


def _check_weights(options):
    if options.weights is None:
        return
    if options.model is not None:
        received = {"weights": options.weights, "model": options.model}
        arguments.refuse("weights bring their own model", received, "Leave one of them out.")
    catalogue.check_source(options.weights)
