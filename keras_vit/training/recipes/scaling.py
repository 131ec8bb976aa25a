"""Scales published epochs, updates, warm-up and learning rate to the images at hand."""

import math
from typing import NamedTuple

LONGEST_WARMUP = 0.2  # of all updates: published warm-ups would outlast a small training


class Plan(NamedTuple):
    """`Settings` scaled to a number of images and a batch size."""

    epochs: int
    updates: int  # steps of the optimizer
    warmup: int  # updates
    batch: int  # images per update
    learning_rate: float


def plan(settings, images, batch_size, steps_per_epoch):
    """Scales `Settings` to a training dataset.

    - An update sees `batch_size` times `accumulate` images.
    - A published number of `steps` becomes the number of epochs that show as many images.
    - Epochs are added to reach `min_updates`, up to ten times as many.
    - The learning rate for batches of `reference_batch` is multiplied by batch / reference_batch
      ("linear": SGD, arXiv 1706.02677, and DeiT) or by its square root ("root": Adam,
      arXiv 2205.10287).
    - A published number of `warmup_steps` is scaled to show as many images, up to a fifth of all
      updates. Otherwise the warm-up is `warmup_share` of them, at least one update.

    Args:
        settings: a `Settings`.
        images: number of training images.
        batch_size: images per batch.
        steps_per_epoch: batches per epoch.

    Returns:
        A `Plan`.

    Example:
    >>> settings = keras_vit.training.recipe("paper-finetune-pets")
    >>> from keras_vit.training.recipes import scaling
    >>> scaling.plan(settings, 3312, batch_size=32, steps_per_epoch=104)
    Plan(epochs=78, updates=8112, warmup=1622, batch=32, learning_rate=0.000625)
    """
    batch = batch_size * settings.accumulate
    epochs = _epochs(settings, images, steps_per_epoch)
    updates = max(1, epochs * steps_per_epoch // settings.accumulate)
    rate = settings.learning_rate * _factor(settings, batch)
    return Plan(epochs, updates, _warmup(settings, updates, batch), batch, rate)


def _epochs(settings, images, steps_per_epoch):
    if settings.steps is not None:
        return math.ceil(settings.steps * settings.reference_batch / images)
    needed = math.ceil(settings.min_updates * settings.accumulate / steps_per_epoch)
    return max(settings.epochs, min(needed, 10 * settings.epochs))


def _factor(settings, batch):
    if settings.scaling == "none":
        return 1.0
    ratio = batch / settings.reference_batch
    return ratio if settings.scaling == "linear" else math.sqrt(ratio)


def _warmup(settings, updates, batch):
    """Returns the updates of the warm-up, fewer than all, so that a decay follows."""
    if settings.warmup_steps is not None:
        published = round(settings.warmup_steps * settings.reference_batch / batch)
        return min(published, int(LONGEST_WARMUP * updates))
    if settings.warmup_share == 0:
        return 0
    return min(max(1, round(settings.warmup_share * updates)), updates - 1)
