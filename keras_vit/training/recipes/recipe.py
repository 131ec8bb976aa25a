"""A recipe: the settings of a training run, which determine the arguments of `compile` and `fit`.

This module does not import Keras, because `keras-vit train --help` lists recipes.
"""

import inspect
import math
from typing import NamedTuple

import numpy as np

from keras_vit import arguments
from keras_vit.arguments import fraction, one_of, optional, positive_integer, positive_number
from keras_vit.data.sampler import SAMPLINGS
from keras_vit.data.transforms.augmentation import Augmentation
from keras_vit.training.recipes.class_weights import BALANCED, check_weights
from keras_vit.variants import BiT, parse

ADAPTATIONS = ("full", "linear", "lora")  # which weights are trained
SLOTS = {"adamw": 2, "sgd": 1, "lamb": 2}  # numbers that an optimizer keeps for each weight
KERNELS, ALL = "kernel", ""  # weights that decay: regular expressions of their names
LONGEST_WARMUP = 0.2  # share of all updates: published warm-ups would outlast a short training run
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
MODEL_ARGUMENTS = ("pooling", "dropout", "stochastic_depth", "normalize")
TRAINED = {
    "full": "all weights",
    "linear": "only the head",
    "lora": "updates of rank {rank} in the blocks, and the head",
}


def at_least_zero(name, value):
    """Raises `ValueError` unless `value` is a finite number of at least 0."""
    if arguments.number(name, value) < 0:
        arguments.refuse(f"`{name}` must be at least 0", {name: value})


class Recipe(NamedTuple):
    """The settings of a training run. `print` shows a summary.

    `recipe(name)` returns them as published, `recipe(name, data)` scaled to a dataset, with
    `images`, `updates` and `warmup`. A field is None if it depends on the model or the data.
    Durations are in epochs, shares are relative to all updates, and sizes are in pixels. The
    functions in the annotations check the values.
    """

    epochs: optional(positive_integer)  # None: as many as `steps` take
    learning_rate: positive_number  # peak of the schedule, for batches of `reference_batch`
    # --- images
    image_size: optional(lambda name, value, _: arguments.height_width(name, value)) = None
    num_channels: positive_integer = 3
    batch_size: positive_integer = 64
    augmentation: Augmentation | str | None = None  # name in keras_vit.data, or an object
    resize: one_of("squash", "crop") = "squash"  # for evaluation, see `keras_vit.data.load`
    sampling: one_of(*SAMPLINGS) = "shuffled"  # see `keras_vit.data.load`
    # --- duration and learning rate
    steps: optional(positive_integer) = None  # published, with batches of `reference_batch`
    min_updates: at_least_zero = 0  # epochs are added to reach this number
    reference_batch: optional(positive_integer) = None
    scaling: one_of("linear", "root", "none") = "none"  # of the learning rate with the batch
    decay: one_of("cosine", "linear", "constant") = "cosine"  # after the warm-up
    warmup_share: fraction = 0.1
    warmup_steps: optional(positive_integer) = None  # published, for batches of `reference_batch`
    start: at_least_zero = 0.0  # learning rate of the first step
    end: at_least_zero = 0.0  # learning rate after the last step
    # epochs without a lower validation loss after which `fit` ends, with the best epoch's weights
    early_stopping: optional(positive_integer) = None
    # --- optimizer
    optimizer: one_of(*SLOTS) = "adamw"
    momentum: fraction = 0.9  # of SGD
    weight_decay: at_least_zero = 0.0  # relative to the learning rate
    decayed: str = KERNELS
    clip: optional(positive_number) = None  # maximum global norm of the gradient
    layer_decay: arguments.at_most_one = 1.0  # factor of the learning rate from block to block
    accumulate: positive_integer = 1  # batches per update
    # momentum of the average of the weights (Polyak)
    moving_average: optional(lambda name, value, _: fraction(name, value)) = None
    # --- loss
    loss: one_of("softmax", "sigmoid", "binary") = "softmax"
    label_smoothing: fraction = 0.0
    # "balanced" or {class name: weight}; `recipe(name, data)` makes a tuple of it
    class_weights: check_weights = None
    # --- model
    adapt: one_of(*ADAPTATIONS) = "full"  # which weights are trained
    rank: positive_integer = 8  # of LoRA
    model: str | None = None
    pooling: str | None = None
    dropout: float | None = None
    stochastic_depth: float | None = None
    representation: bool = False  # a tanh layer as wide as the tokens before the head
    head_bias: float | None = None
    normalize: tuple | None = None
    precision: one_of(None, *PRECISIONS) = None  # Keras's policy; None: that of the process
    # --- where it comes from
    source: str = ""
    name: str = ""
    # --- after `scale`
    images: int | None = None
    updates: int | None = None  # steps of the optimizer
    warmup: int | None = None  # updates
    published_rate: float | None = None

    def check(self, plotted=False):
        """Raises `ValueError` unless all values are valid.

        Args:
            plotted: whether the run plots the model's patches, which a ResNet does not have.
        """
        for name, check in inspect.get_annotations(Recipe).items():
            if inspect.isfunction(check):
                check(name, getattr(self, name))
        scaled = self.scaling != "none" or self.steps or self.warmup_steps
        if scaled and self.reference_batch is None:
            received = {name: getattr(self, name) for name in ("scaling", "steps", "warmup_steps")}
            advice = "Pass the batch size of the published numbers, such as reference_batch=512."
            arguments.refuse("`reference_batch` is needed to scale", received, advice)
        if self.class_weights == self.sampling == BALANCED:
            want = "balanced sampling and balanced class weights correct the same imbalance"
            received = {"sampling": self.sampling, "class_weights": self.class_weights}
            arguments.refuse(want, received, "Leave one of them out.")
        if self.loss == "binary" and self.label_smoothing:
            received = {"loss": self.loss, "label_smoothing": self.label_smoothing}
            want = "the binary loss counts a class as present or not, without label smoothing"
            arguments.refuse(want, received, "Use label_smoothing=0, or loss='sigmoid'.")
        if self.early_stopping and self.moving_average is not None:
            received = {name: getattr(self, name) for name in ("early_stopping", "moving_average")}
            want = "early stopping and a moving average both determine the final weights"
            arguments.refuse(want, received, "Leave one of them out.")
        variant = None if self.model is None else parse(self.model)
        if plotted and isinstance(variant, BiT):
            want = "`model` must be a Vision Transformer or a hybrid, whose patches are plotted"
            advice = "Build a ResNet with keras_vit.create and train it with its `fit`."
            arguments.refuse(want, {"model": self.model}, advice)
        if variant and self.image_size is not None and not isinstance(variant, BiT):
            size = arguments.height_width("image_size", self.image_size)
            arguments.divisible_image(size, (variant.patch_size,) * 2)

    def scale(self, images, batch_size, steps_per_epoch):
        """Returns the recipe for a number of images, batches of a size and batches per epoch.

        - An update sees `batch_size` times `accumulate` images.
        - A published number of `steps` becomes epochs that show the same number of images.
        - Epochs are added to reach `min_updates`, up to ten times as many.
        - The learning rate for batches of `reference_batch` is multiplied by batch /
          reference_batch ("linear": SGD, arXiv 1706.02677, and DeiT) or by its square root
          ("root": Adam, arXiv 2205.10287).
        - A published number of `warmup_steps` is scaled to show the same number of images, up to a
          fifth of all updates. Otherwise the warm-up is `warmup_share` of them, at least one
          update.

        Raises:
            ValueError: an update needs more batches than there are in all epochs.

        Example:
        >>> pets = keras_vit.training.recipe("paper-finetune-pets")
        >>> pets = pets.scale(3312, batch_size=32, steps_per_epoch=104)
        >>> pets.epochs, pets.updates, pets.warmup, pets.learning_rate
        (78, 8112, 1622, 0.000625)
        """
        batch = batch_size * self.accumulate
        if self.steps is not None:
            epochs = math.ceil(self.steps * self.reference_batch / images)
        else:
            needed = math.ceil(self.min_updates * self.accumulate / steps_per_epoch)
            epochs = max(self.epochs, min(needed, 10 * self.epochs))
        batches = epochs * steps_per_epoch
        if batches < self.accumulate:
            received = {"accumulate": self.accumulate, "epochs": epochs, "batches": batches}
            advice = f"Use accumulate={steps_per_epoch}, or train more epochs."
            arguments.refuse("the weights must be updated at least once", received, advice)
        updates = batches // self.accumulate
        ratio = batch / (self.reference_batch or batch)
        factor = {"none": 1.0, "linear": ratio, "root": math.sqrt(ratio)}[self.scaling]
        if self.warmup_steps is not None:
            published = round(self.warmup_steps * self.reference_batch / batch)
            warmup = min(published, int(LONGEST_WARMUP * updates))
        elif self.warmup_share == 0:
            warmup = 0
        else:  # fewer than all updates, so that a decay follows
            warmup = min(max(1, round(self.warmup_share * updates)), updates - 1)
        return self._replace(
            images=images,
            batch_size=batch_size,
            epochs=epochs,
            updates=updates,
            warmup=warmup,
            learning_rate=self.learning_rate * factor,
            published_rate=self.learning_rate,
        )

    @property
    def batch(self):
        """Number of images per update."""
        return self.batch_size * self.accumulate

    @property
    def compile_arguments(self):
        """{"optimizer": ..., "loss": ..., "metrics": [...]}, new objects each time."""
        from keras_vit.training.recipes import losses

        return {
            "optimizer": self.make_optimizer(),
            "loss": losses.LOSSES[self.loss](self.label_smoothing, self._weights()),
            "metrics": [losses.accuracy],
        }

    def _weights(self):
        if isinstance(self.class_weights, (str, dict)):
            want, advice = "class weights need the classes of the data", "Use recipe(name, data)."
            arguments.refuse(want, {"class_weights": self.class_weights}, advice)
        return self.class_weights

    @property
    def fit_arguments(self):
        """{"epochs": ..., "shuffle": False, "callbacks": [...]}: the dataset shuffles."""
        import keras

        callbacks = []
        if self.moving_average is not None:
            callbacks.append(keras.callbacks.SwapEMAWeights())
        if self.early_stopping is not None:
            patience = self.early_stopping
            stop = keras.callbacks.EarlyStopping(patience=patience, restore_best_weights=True)
            callbacks.append(stop)
        return {"epochs": self.epochs, "shuffle": False, "callbacks": callbacks}

    @property
    def model_arguments(self):
        """Arguments of `keras_vit.create` or `load_pretrained` that the recipe sets."""
        values = {name: getattr(self, name) for name in MODEL_ARGUMENTS}
        values["dtype"] = self.precision
        if self.representation:
            values["representation_size"] = parse(self.model).hidden_dim
        return {name: value for name, value in values.items() if value is not None}

    def initialize(self, model):
        """Sets the initial bias of a new model's head, if the recipe has one; call it once."""
        if self.head_bias is not None:
            bias = model.get_layer("head").bias
            bias.assign(np.full(bias.shape, self.head_bias))

    def schedule(self):
        """Returns the learning rate schedule."""
        from keras_vit.training.recipes import schedules

        rate = schedules.schedule(
            self.decay, self.learning_rate, self.updates, self.warmup, self.start, self.end
        )
        return rate if self.accumulate == 1 else schedules.Updates(rate, self.accumulate)

    def make_optimizer(self, rate=None):
        """Returns a new optimizer; None for a learning rate means that of `schedule`."""
        from keras_vit.training.recipes.optimizers import OPTIMIZERS

        options = {"momentum": self.momentum} if self.optimizer == "sgd" else {}
        if self.moving_average is not None:
            # Keras averages after every batch, so the momentum is taken to the power 1 / batches
            # per update.
            momentum = self.moving_average ** (1 / self.accumulate)
            options |= {"use_ema": True, "ema_momentum": momentum}
        return OPTIMIZERS[self.optimizer](
            self.schedule() if rate is None else rate,
            weight_decay=self.weight_decay,
            decayed=self.decayed,
            layer_decay=self.layer_decay,
            global_clipnorm=self.clip,
            gradient_accumulation_steps=self.accumulate if self.accumulate > 1 else None,
            **options,
        )

    def __str__(self):
        given = {"resize": self.resize}
        if self.augmentation is not None:
            given["augment"] = self.augmentation
        if self.sampling != "shuffled":
            given["sampling"] = self.sampling
        lines = [self.summary(), f"Load the data with {_format_arguments(given)}."]
        if self.model_arguments:
            lines.append(f"Create the model with {_format_arguments(self.model_arguments)}.")
        if self.head_bias is not None:
            bias = f"{self.head_bias:g}"
            lines.append(
                f"Call recipe.initialize(model), which sets the bias of its head to {bias}."
            )
        return "\n".join(lines)

    def summary(self):
        """Returns a few lines on the numbers and how they were scaled."""
        lines = [f"Recipe {self.name!r}: {self.source}."]
        if self.images is not None:
            several = f", {self.accumulate} batches per update" if self.accumulate > 1 else ""
            epochs = "epoch" if self.epochs == 1 else "epochs"
            counts = f"{self.epochs} {epochs}, {self.updates:,} updates, warm-up {self.warmup:,}"
            lines.append(f"Images: {self.images:,} in batches of {self.batch_size}{several}.")
            if self.early_stopping is not None:
                counts += f"; ends after {self.early_stopping} without a lower validation loss"
            lines.append(f"Length: {counts}.")
        rate = f"{self.learning_rate:.3g}{self._format_scaling()}"
        loss = f"{self.loss} cross-entropy, label smoothing {self.label_smoothing:g}"
        if self.class_weights is not None:
            loss += f", class weights {self._format_weights()}"
        lines.append(f"Learning rate: {rate}; {self.decay} decay.")
        lines.append(f"Optimizer: {self._format_optimizer()}.")
        lines.append(f"Loss: {loss}.")
        in_precision = f", in {self.precision}" if self.precision else ""
        lines.append(f"Trained: {TRAINED[self.adapt].format(rank=self.rank)}{in_precision}.")
        return "\n".join(lines)

    def _format_scaling(self):
        if self.scaling == "none" or self.images is None or self.batch == self.reference_batch:
            return ""
        how = {"linear": "linearly", "root": "by the square root"}[self.scaling]
        published = f"{self.published_rate:g} for batches of {self.reference_batch}"
        return f" ({published}, scaled {how} to {self.batch})"

    def _format_weights(self):
        if not isinstance(self.class_weights, tuple):
            return self.class_weights
        return f"from {min(self.class_weights):.3g} to {max(self.class_weights):.3g}"

    def _format_optimizer(self):
        names = {"adamw": "AdamW", "sgd": f"SGD, momentum {self.momentum:g}", "lamb": "LAMB"}
        parts = [names[self.optimizer]]
        if self.weight_decay:
            where = "kernels" if self.decayed else "all weights"
            parts.append(f"weight decay {self.weight_decay:g} of {where}")
        if self.clip:
            parts.append(f"gradients clipped to norm {self.clip:g}")
        if self.layer_decay != 1:
            parts.append(f"learning rate times {self.layer_decay:g} from block to block")
        if self.moving_average is not None:
            parts.append(f"moving average {self.moving_average:g} of the weights")
        return ", ".join(parts)


def _format_arguments(values):
    return ", ".join(f"{name}={value!r}" for name, value in values.items())
