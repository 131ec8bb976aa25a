"""From the words of a command to what is trained: the same images, model and recipe each time."""

import os
from typing import NamedTuple

import keras

from keras_vit import families
from keras_vit.checkpoints import pretrained
from keras_vit.data import dataset
from keras_vit.training import adaptation, recipes
from keras_vit.training.options import check, overrides, recipe_name, recipe_settings


class Experiment(NamedTuple):
    """What is trained: an `ImageDataset`, a compiled model, a `Recipe`, the settings."""

    data: object
    model: keras.Model
    recipe: object
    settings: object


def complete(options):
    """Returns checked `Options` with every path and default spelled out."""
    check(options)
    options = options._replace(
        recipe=recipe_name(options),
        data=_whole_path(options.data),
        weights=_whole_path(options.weights),
    )
    settings = recipe_settings(options)
    if options.data is not None and options.image_size is None and settings.image_size is None:
        options = options._replace(image_size=_image_size(options))
    return options


def assemble(options):
    """Loads the images, builds the model and compiles it, as completed `Options` say."""
    settings = recipe_settings(options)
    data = load_images(options)
    recipe = recipes.recipe(options.recipe, data, **overrides(options))
    keras.utils.set_random_seed(options.seed)
    model = _model(options, settings, recipe, data)
    recipe.initialize(model)
    adaptation.freeze(model, settings.adapt, settings.rank)
    model.compile(**recipe.compile_arguments)
    return Experiment(data, model, recipe, settings)


def load_images(options):
    """Returns the `keras_vit.data.ImageDataset` of completed `Options`."""
    settings = recipe_settings(options)
    digits = options.data is None
    augment = settings.augmentation if options.augment is None else options.augment
    shares = {"validation_share": options.validation_share, "test_share": options.test_share}
    if digits and options.validation_share is None:
        shares["validation_share"] = 0.0  # nothing is chosen, so all may be learned from
    shares = {name: share for name, share in shares.items() if share is not None}
    return dataset.load(
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


def _whole_path(name):
    """A run can be resumed from any folder."""
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
    return families.create(settings.model, **shape, **recipe.model_arguments)
