"""From the words of a command to what is trained: the same pictures, model and recipe each time."""

import os
from typing import NamedTuple

import keras

from keras_vit import arguments, vit
from keras_vit.checkpoints import pretrained
from keras_vit.data import augmentation, loading
from keras_vit.training import adaptation, recipes
from keras_vit.training.tensorboard import ensure_installed

LARGEST_SEED = 2**32 - 1  # NumPy's and Keras's limit
OVERRIDES = ("model", "image_size", "epochs", "batch_size", "learning_rate", "adapt")


class Options(NamedTuple):
    """What `keras-vit train` was asked for; None leaves the choice to the recipe.

    It is written beside the run, and everything is made from it again to go on.
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


class Experiment(NamedTuple):
    """What is trained: a `keras_vit.data.Data`, a compiled model, a `Recipe`, the settings."""

    data: object
    model: keras.Model
    recipe: object
    settings: object


def completed(options):
    """Returns `Options` with every path and default spelled out, or raises `ValueError`."""
    check_seed(options.seed)
    if options.data is None and options.image_size not in (None, 8):
        advice = "Leave image_size out, or give a folder of pictures."
        arguments.refuse("the digits are 8 x 8 pixels", {"image_size": options.image_size}, advice)
    if options.weights is not None and options.model is not None:
        received = {"weights": options.weights, "model": options.model}
        arguments.refuse("weights bring their own model", received, "Leave one of them out.")
    if options.augment is not None:
        augmentation.augmentation_of(options.augment)
    if options.tensorboard:
        ensure_installed()
    name = options.recipe or _usual_recipe(options)
    options = options._replace(
        recipe=name,
        data=_whole_path(options.data),
        weights=_whole_path(options.weights),
    )
    settings = recipe_settings(options)
    if options.weights is None and settings.model is None:
        advice = "Give --weights, a file or a name of `keras-vit weights`, or --model."
        arguments.refuse(f"the recipe {name!r} begins with weights", {"weights": None}, advice)
    if options.data is not None and options.image_size is None and settings.image_size is None:
        options = options._replace(image_size=_image_size(options))
    return options


def recipe_settings(options):
    """Returns the `Settings` of the options' recipe, before the pictures are known."""
    return recipes.recipe(options.recipe, **_overrides(options))


def assemble(options):
    """Loads the pictures, builds the model and compiles it, as completed `Options` say."""
    settings = recipe_settings(options)
    data = load_pictures(options)
    recipe = recipes.recipe(options.recipe, data, **_overrides(options))
    keras.utils.set_random_seed(options.seed)
    model = _model(options, settings, recipe, data)
    adaptation.freeze(model, settings.adapt, settings.rank)
    model.compile(**recipe.compile_arguments)
    return Experiment(data, model, recipe, settings)


def load_pictures(options):
    """Returns the `keras_vit.data.Data` of completed `Options`."""
    settings = recipe_settings(options)
    digits = options.data is None
    augment = settings.augmentation if options.augment is None else options.augment
    shares = {"validation_share": options.validation_share, "test_share": options.test_share}
    if digits and options.validation_share is None:
        shares["validation_share"] = 0.0  # nothing is chosen, so all may be learned from
    shares = {name: share for name, share in shares.items() if share is not None}
    return loading.load(
        "digits" if digits else options.data,
        image_size=settings.image_size or options.image_size,
        batch_size=settings.batch_size,
        augment=augment,
        resize=settings.resize,
        seed=options.seed,
        split_seed=(options.seed if digits else 0)
        if options.split_seed is None
        else options.split_seed,
        num_channels=settings.num_channels,
        # TensorFlow takes seconds to import, and digits take none to read.
        pipeline="keras" if digits else None,
        **shares,
    )


def check_seed(seed):
    """Raises `ValueError` unless every generator of random numbers takes `seed`."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= LARGEST_SEED:
        arguments.refuse(f"`seed` must be an integer from 0 to {LARGEST_SEED}", {"seed": seed})


def _usual_recipe(options):
    if options.weights is not None:
        return "finetune"
    return "digits" if options.data is None else "folder"


def _overrides(options):
    return {name: getattr(options, name) for name in OVERRIDES}


def _whole_path(name):
    """A run goes on from whatever folder it is called in."""
    return os.path.abspath(name) if name is not None and os.path.exists(name) else name


def _image_size(options):
    """The resolution of the weights, or of the paper's pre-training."""
    if options.weights is None:
        return 224
    return pretrained.image_size(options.weights)


def _model(options, settings, recipe, data):
    shape = {"image_size": data.image_size, "num_classes": data.num_classes}
    if options.weights is not None:
        return pretrained.load_pretrained(options.weights, **shape, **recipe.model_arguments)
    shape["num_channels"] = data.num_channels
    return vit.create(settings.model, **shape, **recipe.model_arguments)
