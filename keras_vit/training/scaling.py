"""From published numbers to the images at hand: epochs, updates, warm-up, learning rate."""

import math
from typing import NamedTuple

LONGEST_WARMUP = 0.2  # of a training: published warm-ups would outlast a small one


class Plan(NamedTuple):
    """What becomes of `Settings` with a number of images and a batch."""

    epochs: int
    updates: int  # steps of the optimizer
    warmup: int  # updates
    batch: int  # images in an update
    learning_rate: float


def plan(settings, images, batch_size, steps_per_epoch):
    """Scales `Settings` to a training set.

    - An update sees `batch_size` times `accumulate` images.
    - A published number of `steps` becomes as many epochs as show the same number of images.
    - There are epochs enough for `min_updates`, ten times as many as set at most.
    - The learning rate, set for batches of `reference_batch`, is multiplied by batch /
      reference_batch ("linear": SGD, arXiv 1706.02677, and DeiT) or by its square root ("root":
      Adam, arXiv 2205.10287).
    - A published number of `warmup_steps` shows as many images as it did, but takes a fifth of
      all updates at most. Else the warm-up is `warmup_share` of them, and one update at least.

    Args:
        settings: a `Settings`.
        images: number of training images.
        batch_size: images in a batch.
        steps_per_epoch: batches in an epoch.

    Returns:
        A `Plan`.

    Example:
    >>> settings = keras_vit.training.recipe("paper-finetune-pets")
    >>> keras_vit.training.scaling.plan(settings, 3312, batch_size=32, steps_per_epoch=104)
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
    """Updates of the warm-up: fewer than all, so that something is left to decay."""
    if settings.warmup_steps is not None:
        published = round(settings.warmup_steps * settings.reference_batch / batch)
        return min(published, int(LONGEST_WARMUP * updates))
    if settings.warmup_share == 0:
        return 0
    return min(max(1, round(settings.warmup_share * updates)), updates - 1)
