"""A recipe applied to the images at hand: the arguments of `compile` and `fit`."""

import types

import keras

from keras_vit.training.recipes import recipe_tables, scaling, schedules
from keras_vit.training.recipes.losses import LOSSES, accuracy
from keras_vit.training.recipes.optimizers import OPTIMIZERS
from keras_vit.variants import parse

RECIPES = recipe_tables.RECIPES
MODEL_ARGUMENTS = ("pooling", "dropout", "stochastic_depth", "normalize")


def recipe(name, data=None, **overrides):
    """Returns how to train on `data`: the arguments of `model.compile` and `model.fit`.

    | name | for | from |
    |---|---|---|
    | "digits", "folder", "cifar" | small models from scratch on a laptop | ours |
    | "finetune" | published weights, own images | Table 4, shortened for small datasets |
    | "linear-probe" | only the head is trained | ours |
    | "lora" | low-rank updates of the blocks | arXiv 2106.09685 |
    | "paper-imagenet", "paper-imagenet21k", "paper-jft" | pre-training | Table 3, by model |
    | "paper-finetune-pets" and five more | fine-tuning as published | Table 4 |
    | "augreg" | pre-training | arXiv 2106.10270, by model |
    | "deit" | ImageNet from scratch | arXiv 2012.12877 |
    | "plain-vit-s16" | ImageNet from scratch, simply | arXiv 2205.01580 |

    The other five end in flowers, cifar10, cifar100, vtab and imagenet. "fine-tune", "probe",
    "cifar10", "paper-pre-training" and "vit-s16" are aliases of five of these.

    Published numbers are scaled to the batches and images of `data` by the rules of
    `keras_vit.training.recipes.scaling.plan`; `print(recipe)` shows the result. Call
    `keras_vit.training.freeze(model, recipe.settings.adapt)` before `compile` to select the
    weights that are trained.

    Args:
        name: name of the recipe.
        data: a `keras_vit.data.ImageDataset`, or anything with its `counts`, `batch_size` and
            `steps_per_epoch`. None returns only the `Settings`, which describe how to load the
            data.
        **overrides: fields of `Settings`, such as `epochs`, `learning_rate`, `layer_decay`,
            `moving_average`, `accumulate`, `clip` or `loss`; None leaves a field as it is. A
            learning rate that is given here is not scaled.

    Returns:
        A `Recipe`.

    Raises:
        ValueError: there is no such recipe or field, or a value is invalid.

    Example:
    >>> from keras_vit.training.recipes.applied import describe_data
    >>> data = describe_data(images=259, num_classes=37, batch_size=32)
    >>> recipe = keras_vit.training.recipe("finetune", data, epochs=5)
    >>> sorted(recipe.compile_arguments)
    ['loss', 'metrics', 'optimizer']
    >>> recipe.fit_arguments["epochs"]
    5
    """
    chosen = recipe_tables.settings(name, overrides)
    return chosen if data is None else Recipe(recipe_tables.ALIASES.get(name, name), chosen, data)


class Recipe:
    """`Settings` applied to a dataset, as `recipe` returns them. `print` shows a summary.

    Attributes:
        name: name of the recipe.
        settings: its `Settings`.
        plan: a `TrainingPlan`: epochs, updates, warm-up, learning rate.
        augment: augmentation of the training images, for `keras_vit.data.load`.
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
        """{"epochs": ..., "shuffle": False, "callbacks": [...]}: the dataset shuffles."""
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
        """Sets the initial bias of a new model's head, if the recipe has one; call it once."""
        if self.settings.head_bias is not None:
            bias = model.get_layer("head").bias
            bias.assign(keras.ops.full(bias.shape, self.settings.head_bias))

    def schedule(self):
        """Returns the learning rate schedule."""
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
        """Returns a few lines on the settings and how they were scaled."""
        return "\n".join([f"Recipe {self.name!r}: {self.settings.source}.", *_lines(self)])


def _moving_average(settings):
    """Keras averages after every batch, so the momentum is the root for batches per update."""
    if settings.moving_average is None:
        return {}
    return {"use_ema": True, "ema_momentum": settings.moving_average ** (1 / settings.accumulate)}


def _lines(recipe):
    """Yields the settings of a recipe, one line each."""
    settings, plan = recipe.settings, recipe.plan
    yield f"Images: {recipe.images:,} in batches of {recipe.batch_size}" + (
        f", {settings.accumulate} batches per update." if settings.accumulate > 1 else "."
    )
    yield f"Length: {plan.epochs} epochs, {plan.updates:,} updates, warm-up {plan.warmup:,}."
    rate = f"{plan.learning_rate:.3g}{_format_scaling(settings, plan)}"
    yield f"Learning rate: {rate}; {settings.decay} decay."
    yield f"Optimizer: {_format_optimizer(settings)}."
    yield f"Loss: {settings.loss} cross-entropy, label smoothing {settings.label_smoothing:g}."
    yield f"Trained: {TRAINED[settings.adapt].format(rank=settings.rank)}."


def _lines_for_python(recipe):
    """Yields how to load the data and create the model, one line each."""
    given = {"resize": recipe.settings.resize}
    if recipe.augment is not None:
        given["augment"] = recipe.augment
    yield f"Load the data with {_format_arguments(given)}."
    if recipe.model_arguments:
        yield f"Create the model with {_format_arguments(recipe.model_arguments)}."
    if recipe.settings.head_bias is not None:
        bias = f"{recipe.settings.head_bias:g}"
        yield f"Call recipe.initialize(model), which sets the bias of its head to {bias}."


def _format_arguments(values):
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


TRAINED = {
    "full": "all weights",
    "linear": "only the head",
    "lora": "updates of rank {rank} in the blocks, and the head",
}


def _format_scaling(settings, plan):
    if settings.scaling == "none" or plan.batch == settings.reference_batch:
        return ""
    how = {"linear": "linearly", "root": "by the square root"}[settings.scaling]
    published = f"{settings.learning_rate:g} for batches of {settings.reference_batch}"
    return f" ({published}, scaled {how} to {plan.batch})"


def _format_optimizer(settings):
    parts = ["AdamW"] if settings.optimizer == "adamw" else [f"SGD, momentum {settings.momentum:g}"]
    if settings.weight_decay:
        where = "kernels" if settings.decayed else "all weights"
        parts.append(f"weight decay {settings.weight_decay:g} of {where}")
    if settings.clip:
        parts.append(f"gradients clipped to norm {settings.clip:g}")
    if settings.layer_decay != 1:
        parts.append(f"learning rate times {settings.layer_decay:g} from block to block")
    if settings.moving_average is not None:
        parts.append(f"moving average {settings.moving_average:g} of the weights")
    return ", ".join(parts)


def describe_data(images, num_classes, batch_size=64):
    """Returns what a recipe needs to know of its data, if there is no `ImageDataset`.

    Example:
    >>> from keras_vit.training.recipes.applied import describe_data
    >>> describe_data(100, 10, batch_size=32).steps_per_epoch
    4
    """
    batch_size = min(batch_size, images)
    return types.SimpleNamespace(
        counts={"train": images},
        num_classes=num_classes,
        batch_size=batch_size,
        steps_per_epoch=-(-images // batch_size),
    )
