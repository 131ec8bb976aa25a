"""A recipe: what `compile` and `fit` need to train as a table says, on the images at hand."""

import types

import keras

from keras_vit.training import rows, scaling, schedules
from keras_vit.training.losses import LOSSES, accuracy
from keras_vit.training.optimizers import OPTIMIZERS
from keras_vit.variants import parse

RECIPES = rows.RECIPES
MODEL_ARGUMENTS = ("pooling", "dropout", "stochastic_depth", "normalize")


def recipe(name, data=None, **overrides):
    """Returns how to train on `data`: what `model.compile` and `model.fit` need.

    | name | for | from |
    |---|---|---|
    | "digits", "folder", "cifar" | small models from scratch on a laptop | ours |
    | "finetune" | published weights, own images | Table 4, made shorter for small sets |
    | "linear-probe" | the head alone | ours |
    | "lora" | low-rank changes of the blocks | arXiv 2106.09685 |
    | "paper-imagenet", "paper-imagenet21k", "paper-jft" | pre-training | Table 3, by the model |
    | "paper-finetune-pets" and five more | fine-tuning as published | Table 4 |
    | "augreg" | pre-training | arXiv 2106.10270, by the model |
    | "deit" | ImageNet from scratch | arXiv 2012.12877 |
    | "plain-vit-s16" | ImageNet from scratch, simply | arXiv 2205.01580 |

    The five more end in flowers, cifar10, cifar100, vtab and imagenet. "fine-tune", "probe",
    "cifar10", "paper-pre-training" and "vit-s16" are other names of five of these.

    What a table says for its batches and images is scaled to those of `data` by the rules of
    `scaling.plan`; `print` of the recipe tells what came out. The weights that are trained are
    chosen by `keras_vit.training.freeze(model, recipe.settings.adapt)`, before `compile`.

    Args:
        name: of the recipe.
        data: a `keras_vit.data.ImageDataset`, or anything with its `counts`, `batch_size` and
            `steps_per_epoch`. None returns the `Settings` alone, which say how to load the data.
        **overrides: fields of `Settings`, such as `epochs`, `learning_rate`, `layer_decay`,
            `moving_average`, `accumulate`, `clip` or `loss`; None leaves a field as it is. A
            learning rate is then taken as it is given, not scaled.

    Returns:
        A `Recipe`.

    Raises:
        ValueError: there is no such recipe or field, or a value cannot be used.

    Example:
    >>> data = keras_vit.training.recipes.stand_in(images=259, num_classes=37, batch_size=32)
    >>> recipe = keras_vit.training.recipe("finetune", data, epochs=5)
    >>> sorted(recipe.compile_arguments)
    ['loss', 'metrics', 'optimizer']
    >>> recipe.fit_arguments["epochs"]
    5
    """
    chosen = rows.settings(name, overrides)
    return chosen if data is None else Recipe(rows.ALIASES.get(name, name), chosen, data)


class Recipe:
    """`Settings` that have met their images. `recipe` makes it, `print` tells what it holds.

    Attributes:
        name: of the recipe.
        settings: its `Settings`.
        plan: the `Plan`: epochs, updates, warm-up, learning rate.
        augment: how the training images should be varied, for `keras_vit.data.load`.
    """

    def __init__(self, name, settings, data):
        self.name, self.settings = name, settings
        self.images, self.batch_size = data.counts["train"], data.batch_size
        self.plan = scaling.plan(settings, self.images, data.batch_size, data.steps_per_epoch)
        self.augment = settings.augmentation

    @property
    def compile_arguments(self):
        """{"optimizer": ..., "loss": ..., "metrics": [...]}, new objects each time."""
        loss = LOSSES[self.settings.loss](self.settings.label_smoothing)
        return {"optimizer": self.optimizer(), "loss": loss, "metrics": [accuracy]}

    @property
    def fit_arguments(self):
        """{"epochs": ..., "shuffle": False, "callbacks": [...]}: `Data` shuffles by itself."""
        averaged = self.settings.moving_average is not None
        callbacks = [keras.callbacks.SwapEMAWeights()] if averaged else []
        return {"epochs": self.plan.epochs, "shuffle": False, "callbacks": callbacks}

    @property
    def model_arguments(self):
        """Arguments of `keras_vit.create` or `load_pretrained` that the recipe sets."""
        values = {name: getattr(self.settings, name) for name in MODEL_ARGUMENTS}
        if self.settings.representation:
            values["representation_size"] = parse(self.settings.model).hidden_dim
        return {name: value for name, value in values.items() if value is not None}

    def initialize(self, model):
        """Sets the bias of a new model's head, with which some recipes start; call it once."""
        if self.settings.head_bias is not None:
            bias = model.get_layer("head").bias
            bias.assign(keras.ops.full(bias.shape, self.settings.head_bias))

    def schedule(self):
        """Returns the learning rate of every update, a schedule of Keras."""
        settings, plan = self.settings, self.plan
        lengths = {"total_steps": plan.updates, "warmup_steps": plan.warmup}
        ends = {"start": settings.start, "end": settings.end}
        rate = schedules.schedule(settings.decay, plan.learning_rate, **lengths, **ends)
        return rate if settings.accumulate == 1 else schedules.Updates(rate, settings.accumulate)

    def optimizer(self):
        """Returns a new optimizer."""
        settings = self.settings
        momentum = {"momentum": settings.momentum} if settings.optimizer == "sgd" else {}
        return OPTIMIZERS[settings.optimizer](
            self.schedule(),
            weight_decay=settings.weight_decay,
            decayed=settings.decayed,
            layer_decay=settings.layer_decay,
            global_clipnorm=settings.clip,
            gradient_accumulation_steps=settings.accumulate if settings.accumulate > 1 else None,
            **momentum,
            **_moving_average(settings),
        )

    def __str__(self):
        return "\n".join([self.summary(), *_lines_for_python(self)])

    def summary(self):
        """Returns a few lines: what was chosen, and how it was scaled."""
        return "\n".join([f"Recipe {self.name!r}: {self.settings.source}.", *_lines(self)])


def _moving_average(settings):
    """Keras averages after every batch: the a-th root lasts as long in updates of a batches."""
    if settings.moving_average is None:
        return {}
    return {"use_ema": True, "ema_momentum": settings.moving_average ** (1 / settings.accumulate)}


def _lines(recipe):
    """Yields what a recipe chose, one line each."""
    settings, plan = recipe.settings, recipe.plan
    yield f"Images: {recipe.images:,} in batches of {recipe.batch_size}" + (
        f", {settings.accumulate} batches per update." if settings.accumulate > 1 else "."
    )
    yield f"Length: {plan.epochs} epochs, {plan.updates:,} updates, warm-up {plan.warmup:,}."
    rate = f"{plan.learning_rate:.3g}{_scaled(settings, plan)}"
    yield f"Learning rate: {rate}; {settings.decay} decay."
    yield f"Optimizer: {_optimizer(settings)}."
    yield f"Loss: {settings.loss} cross-entropy, label smoothing {settings.label_smoothing:g}."
    yield f"Trained: {TRAINED[settings.adapt].format(rank=settings.rank)}."


def _lines_for_python(recipe):
    """Yields what data and model must be made with, one line each."""
    given = {"resize": recipe.settings.resize}
    if recipe.augment is not None:
        given["augment"] = recipe.augment
    yield f"Load the data with {_written(given)}."
    if recipe.model_arguments:
        yield f"Make the model with {_written(recipe.model_arguments)}."
    if recipe.settings.head_bias is not None:
        yield f"Call recipe.initialize(model): its head begins at {recipe.settings.head_bias:g}."


def _written(values):
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


TRAINED = {
    "full": "all weights",
    "linear": "the head alone",
    "lora": "changes of rank {rank} in the blocks, and the head",
}


def _scaled(settings, plan):
    if settings.scaling == "none" or plan.batch == settings.reference_batch:
        return ""
    how = {"linear": "in proportion", "root": "by the root"}[settings.scaling]
    published = f"{settings.learning_rate:g} for batches of {settings.reference_batch}"
    return f" ({published}, scaled {how} to {plan.batch})"


def _optimizer(settings):
    parts = ["AdamW"] if settings.optimizer == "adamw" else [f"SGD, momentum {settings.momentum:g}"]
    if settings.weight_decay:
        where = "kernels" if settings.decayed else "all weights"
        parts.append(f"weight decay {settings.weight_decay:g} of {where}")
    if settings.clip:
        parts.append(f"gradients cut to norm {settings.clip:g}")
    if settings.layer_decay != 1:
        parts.append(f"rate times {settings.layer_decay:g} from block to block")
    if settings.moving_average is not None:
        parts.append(f"moving average {settings.moving_average:g} of the weights")
    return ", ".join(parts)


def stand_in(images, num_classes, batch_size=64):
    """Returns what a recipe needs to know of its data, where there is no `Data`.

    Example:
    >>> keras_vit.training.recipes.stand_in(100, 10, batch_size=32).steps_per_epoch
    4
    """
    batch_size = min(batch_size, images)
    return types.SimpleNamespace(
        counts={"train": images},
        num_classes=num_classes,
        batch_size=batch_size,
        steps_per_epoch=-(-images // batch_size),
    )
