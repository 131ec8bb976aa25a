"""Learning rate schedules: a linear warm-up, then a linear or cosine decay.

A step is an update of the weights. With `gradient_accumulation_steps`, Keras calls a schedule with
the number of batches; `Updates` converts it to the number of updates.
"""

import keras
from keras import ops

from keras_vit import arguments
from keras_vit.training.recipes.paper_tables import LINEAR_END

register = keras.saving.register_keras_serializable(package="keras_vit")


@register
class LinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Linear decay from `learning_rate` to `end`, after a linear warm-up from `start`.

        rate = (end + (learning_rate - end) (1 - progress)) min(1, step / warmup)
        progress = (step - warmup) / (total - warmup), clipped to 0..1

    The paper uses it for pre-training on ImageNet-21k and JFT (Table 3). Keras has no linear decay
    with a warm-up.

    Args:
        learning_rate: at the end of the warm-up.
        total_steps: length of the training in updates, warm-up included.
        warmup_steps: length of the warm-up in updates, less than `total_steps`.
        start: learning rate of the first step of the warm-up.
        end: learning rate after the last step.

    Raises:
        ValueError: a length or a rate is invalid.

    Example:
    >>> rate = keras_vit.training.schedules.LinearDecay(8e-4, total_steps=100, warmup_steps=10)
    >>> [round(float(rate(step)), 6) for step in (0, 5, 10, 55, 100)]
    [0.0, 0.0004, 0.0008, 0.000405, 1e-05]

    Reference: section 4.1 and Table 3, https://arxiv.org/abs/2010.11929
    """

    def __init__(self, learning_rate, total_steps, warmup_steps=0, start=0.0, end=LINEAR_END):
        super().__init__()
        _check_lengths(total_steps, warmup_steps)
        self.learning_rate = arguments.positive_number("learning_rate", learning_rate)
        self.total_steps, self.warmup_steps = total_steps, warmup_steps
        self.start, self.end = arguments.number("start", start), arguments.number("end", end)

    def __call__(self, step):  # noqa: D102
        step = ops.cast(step, "float32")
        progress = (step - self.warmup_steps) / (self.total_steps - self.warmup_steps)
        fall = (self.learning_rate - self.end) * (1 - ops.clip(progress, 0.0, 1.0))
        if self.warmup_steps == 0:
            return self.end + fall
        warm = ops.minimum(1.0, step / self.warmup_steps)
        return self.start + (self.end + fall - self.start) * warm

    def get_config(self):  # noqa: D102
        names = ("learning_rate", "total_steps", "warmup_steps", "start", "end")
        return {name: getattr(self, name) for name in names}


@register
class Updates(keras.optimizers.schedules.LearningRateSchedule):
    """Converts batches to updates for a schedule, under gradient accumulation.

    Args:
        schedule: a schedule whose steps are updates.
        batches: batches per update, the optimizer's `gradient_accumulation_steps`.

    Raises:
        ValueError: `batches` is not a positive integer.

    Example:
    >>> rate = keras_vit.training.schedules.LinearDecay(0.1, total_steps=10, end=0.0)
    >>> accumulated = keras_vit.training.schedules.Updates(rate, batches=4)
    >>> [round(float(accumulated(step)), 3) for step in (0, 3, 4, 7, 8)]
    [0.1, 0.1, 0.09, 0.09, 0.08]
    """

    def __init__(self, schedule, batches):
        super().__init__()
        self.schedule = schedule
        self.batches = arguments.positive_integer("batches", batches)

    def __call__(self, step):  # noqa: D102
        return self.schedule(ops.floor_divide(step, self.batches))

    def get_config(self):  # noqa: D102
        schedule = keras.saving.serialize_keras_object(self.schedule)
        return {"schedule": schedule, "batches": self.batches}

    @classmethod
    def from_config(cls, config):  # noqa: D102
        schedule = keras.saving.deserialize_keras_object(config["schedule"])
        return cls(schedule, config["batches"])


def cosine(learning_rate, total_steps, warmup_steps=0, start=0.0, end=0.0):
    """Returns Keras's `CosineDecay` for a training of `total_steps` updates, warm-up included.

    Keras counts `decay_steps` from the end of the warm-up, the official code counts the whole
    training. The values are those of the official code:

        rate = learning_rate / 2 (1 + cos(pi progress)) min(1, step / warmup)

    Arguments and errors are those of `LinearDecay`.

    Example:
    >>> rate = keras_vit.training.schedules.cosine(0.03, total_steps=100, warmup_steps=10)
    >>> [round(float(rate(step)), 6) for step in (0, 5, 10, 55, 100)]
    [0.0, 0.015, 0.03, 0.015, 0.0]

    Reference: Tables 3 and 4, https://arxiv.org/abs/2010.11929
    """
    _check_lengths(total_steps, warmup_steps)
    arguments.positive_number("learning_rate", learning_rate)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=start if warmup_steps else learning_rate,
        decay_steps=total_steps - warmup_steps,
        alpha=end / learning_rate,
        warmup_target=learning_rate if warmup_steps else None,
        warmup_steps=warmup_steps,
    )


def schedule(decay, learning_rate, total_steps, warmup_steps=0, start=0.0, end=0.0):
    """Returns a schedule with a "cosine", "linear" or no ("constant") decay after the warm-up.

    The other arguments are those of `LinearDecay`; "constant" has no `end`.

    Raises:
        ValueError: `decay` is unknown, or as in `LinearDecay`.

    Example:
    >>> rate = keras_vit.training.schedules.schedule("constant", 0.1, 100, warmup_steps=10)
    >>> [round(float(rate(step)), 3) for step in (0, 5, 10, 99)]
    [0.0, 0.05, 0.1, 0.1]
    """
    arguments.one_of("cosine", "linear", "constant")("decay", decay)
    if decay == "cosine":
        return cosine(learning_rate, total_steps, warmup_steps, start, end)
    end = learning_rate if decay == "constant" else end
    return LinearDecay(learning_rate, total_steps, warmup_steps, start, end)


def _check_lengths(total_steps, warmup_steps):
    """Raises `ValueError` unless the training is longer than its warm-up."""
    arguments.positive_integer("total_steps", total_steps)
    if warmup_steps == 0:
        return
    arguments.natural_number("warmup_steps", warmup_steps)
    if warmup_steps >= total_steps:
        received = {"warmup_steps": warmup_steps, "total_steps": total_steps}
        advice = "Train for longer, or warm up for less."
        arguments.refuse("the warm-up must be shorter than the training", received, advice)
