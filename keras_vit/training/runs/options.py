"""The arguments of a training run, checked before Keras is imported."""

import os
from typing import NamedTuple

from keras_vit import arguments, backend
from keras_vit.checkpoints import catalogue
from keras_vit.data import dataset
from keras_vit.data.opening import check_source
from keras_vit.data.sources.splits import check_share
from keras_vit.data.transforms.augmentation import get_augmentation
from keras_vit.training.recipes import recipe_tables

LARGEST_SEED = 2**32 - 1  # NumPy's and Keras's limit
OVERRIDES = ("model", "image_size", "epochs", "batch_size", "learning_rate", "adapt")


class Options(NamedTuple):
    """The arguments of `keras_vit.training.train`; None leaves the choice to the recipe.

    They are saved as settings.json, from which an interrupted run is built again.
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
    """Raises if `Options` are invalid; neither imports Keras nor reads an image.

    Raises:
        FileNotFoundError: the data or the weights do not exist.
        ImportError: TensorBoard is requested and not installed.
        ValueError: a value is invalid.
    """
    check_seed(options.seed)
    _check_digits(options)
    _check_weights(options)
    _check_splits(options)
    if options.augment is not None:
        get_augmentation(options.augment)
    if options.tensorboard:
        check_tensorboard()
    recipe_settings(options)
    if options.data is not None:
        check_source(options.data)


def complete(options):
    """Returns checked `Options` with every path and default written out."""
    check(options)
    options = options._replace(
        recipe=recipe_name(options),
        data=_absolute_path(options.data),
        weights=_absolute_path(options.weights),
    )
    settings = recipe_settings(options)
    if options.data is not None and options.image_size is None and settings.image_size is None:
        options = options._replace(image_size=_image_size(options))
    return options


def recipe_name(options):
    """Returns the name of the recipe, by default the usual one for such data and weights."""
    usual = "digits" if options.data is None else "folder"
    return options.recipe or ("finetune" if options.weights is not None else usual)


def recipe_settings(options):
    """Returns the `Settings` of the recipe, before the images are known."""
    name = recipe_name(options)
    settings = recipe_tables.settings(name, overrides(options))
    if options.weights is None and settings.model is None:
        advice = "Give --weights, a file or a name of `keras-vit weights`, or --model."
        arguments.refuse(f"the recipe {name!r} starts from weights", {"weights": None}, advice)
    return settings


def overrides(options):
    """Returns the fields of the recipe that the options override."""
    return {name: getattr(options, name) for name in OVERRIDES}


def load_data(options):
    """Loads the images of completed `Options` with `keras_vit.data.load`."""
    settings = recipe_settings(options)
    digits = options.data is None
    split_seed = (
        (options.seed if digits else 0) if options.split_seed is None else options.split_seed
    )
    shares = {"validation_share": options.validation_share, "test_share": options.test_share}
    if digits and options.validation_share is None:
        shares["validation_share"] = 0.0  # nothing is selected by it, so all images can train
    return dataset.load(
        "digits" if digits else options.data,
        image_size=settings.image_size or options.image_size,
        batch_size=settings.batch_size,
        augment=settings.augmentation if options.augment is None else options.augment,
        resize=settings.resize,
        seed=options.seed,
        split_seed=split_seed,
        num_channels=settings.num_channels,
        # TensorFlow takes seconds to import, and digits take none to read.
        pipeline="keras" if digits else None,
        **{name: share for name, share in shares.items() if share is not None},
    )


def check_seed(seed):
    """Raises `ValueError` unless `seed` is valid for every random generator."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= LARGEST_SEED:
        arguments.refuse(f"`seed` must be an integer from 0 to {LARGEST_SEED}", {"seed": seed})


def check_tensorboard():
    """Raises `ImportError` unless TensorFlow and TensorBoard are installed."""
    names = ("tensorflow", "tensorboard")
    missing = [name for name in names if not backend.is_installed(name)]
    if missing:
        raise ImportError(
            f"The logs need TensorFlow and TensorBoard; not installed: {', '.join(missing)}. "
            f"Run: pip install {' '.join(missing)}"
        )


def _absolute_path(name):
    """A run can be resumed from any folder."""
    return os.path.abspath(name) if name is not None and os.path.exists(name) else name


def _image_size(options):
    """Returns the resolution of the weights, or of the paper's pre-training."""
    if options.weights is None:
        return 224
    from keras_vit.checkpoints import loading

    return loading.image_size(options.weights)


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
