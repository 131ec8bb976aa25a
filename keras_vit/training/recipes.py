"""How the small models are trained: settings as data, and what `model.fit` needs of them."""

import math
from typing import NamedTuple

import keras

from keras_vit import arguments
from keras_vit.data import Augmentation
from keras_vit.variants import BiT, parse
from keras_vit.vit import create

# Tokens of pixels scaled to -1..1 start 50 times larger than their positions, N(0, 0.02), and a
# short training never comes to see the positions. Scaled like this, both start equally large.
SMALL_PIXELS = (75.0, 4000.0)


class Recipe(NamedTuple):
    """Settings of one training; sizes in pixels, durations in epochs."""

    model: str
    image_size: int
    num_channels: int
    epochs: int
    batch_size: int
    learning_rate: float
    dropout: float = 0.0
    weight_decay: float = 0.05
    warmup_share: float = 0.1  # of all steps: linear, then cosine to zero
    pooling: str = "token"
    normalize: tuple = SMALL_PIXELS
    augmentation: Augmentation = Augmentation()


RECIPES = {
    "digits": Recipe(
        "ViT-Mini/2",
        image_size=8,
        num_channels=1,
        epochs=50,
        batch_size=64,
        learning_rate=2e-3,
        augmentation=Augmentation(10, 0.1, 0.06),
    ),
    "folder": Recipe(
        "ViT-Mini/8",
        image_size=64,
        num_channels=3,
        epochs=40,
        batch_size=64,
        learning_rate=1e-3,
        augmentation=Augmentation(10, 0.2, 0.1, flip=True),
    ),
}


def recipe(name, **overrides):
    """Returns a row of `RECIPES` with some settings replaced; None leaves a setting as it is.

    Args:
        name: "digits" or "folder".
        **overrides: fields of `Recipe`.

    Raises:
        ValueError: a setting cannot be used.

    Example:
    >>> keras_vit.training.recipe("digits", epochs=5).epochs
    5
    """
    arguments.one_of(*RECIPES)("name", name)
    chosen = {field: value for field, value in overrides.items() if value is not None}
    settings = RECIPES[name]._replace(**chosen)
    for field in ("image_size", "epochs", "batch_size"):
        arguments.positive_integer(field, getattr(settings, field))
    arguments.positive_number("learning_rate", settings.learning_rate)
    variant = parse(settings.model)
    if isinstance(variant, BiT):
        want = "`model` must be a Vision Transformer or a hybrid, whose patches are drawn"
        advice = "Build a ResNet with keras_vit.create and train it with its `fit`."
        arguments.refuse(want, {"model": settings.model}, advice)
    patch_size = variant.patch_size
    arguments.divisible_image((settings.image_size,) * 2, (patch_size,) * 2)
    return settings


def build(settings, num_classes, num_pictures):
    """Returns the model of a `Recipe`, compiled for training on `num_pictures` pictures."""
    model = create(
        settings.model,
        image_size=settings.image_size,
        num_channels=settings.num_channels,
        num_classes=num_classes,
        pooling=settings.pooling,
        dropout=settings.dropout,
        normalize=settings.normalize,
    )
    model.compile(
        optimizer=keras.optimizers.AdamW(
            learning_rate=schedule(settings, num_pictures), weight_decay=settings.weight_decay
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def schedule(settings, num_pictures):
    """Returns the learning rate of every step: a linear warm-up, then half a cosine to zero."""
    steps = settings.epochs * math.ceil(num_pictures / settings.batch_size)
    warmup = max(1, round(settings.warmup_share * steps))
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        decay_steps=max(1, steps - warmup),
        warmup_target=settings.learning_rate,
        warmup_steps=warmup,
    )
