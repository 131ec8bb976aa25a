"""Training a small model for a number of steps, and what it can do then."""

import keras
import numpy as np

from keras_vit import arguments
from keras_vit.training import few_shot
from keras_vit.training.evaluation.representation import predict_all, submodel
from keras_vit.training.recipes import schedules

# Steps in one call, where they divide the training: what Keras does between two calls takes some
# 5 ms on JAX, as long as the step of a tiny model itself; on TensorFlow it made no difference.
STEPS_PER_CALL = 10
TEST_BATCH = 500
OPTIMIZERS = ("adamw", "adam", "sgd")


def build(seed, make):
    """Returns the model that `make` makes, its weights drawn from a seed."""
    keras.utils.set_random_seed(seed)
    return make()


def fit(
    model,
    images,
    labels,
    steps,
    batch_size=64,
    rate=1e-3,
    seed=0,
    optimizer="adamw",
    weight_decay=0.05,
    warmup=0.1,
    loss=None,
):
    """Trains a model for `steps` updates: warm-up, cosine, gradients clipped to norm 1.

    Every image is seen once before any is seen again. Their order depends on the seed alone, not
    on the backend.

    Args:
        model: a Keras model that gives logits; it is compiled here.
        images: uint8 (images, height, width, channels).
        labels: integers (images,).
        steps: number of updates.
        batch_size: images in a step; there may be fewer images than that.
        rate: learning rate after the warm-up.
        seed: of the order.
        optimizer: "adamw", "adam" or "sgd" with momentum 0.9.
        weight_decay: of "adamw".
        warmup: share of the steps in which the rate rises.
        loss: None for cross-entropy.

    Returns:
        The mean loss of the training.

    Raises:
        ArithmeticError: the loss is not finite.
    """
    order = shuffle(len(labels), steps * batch_size, seed)
    per_call = STEPS_PER_CALL if steps % STEPS_PER_CALL == 0 else 1
    schedule = schedules.cosine(rate, steps, round(warmup * steps))
    model.compile(
        _optimizer(optimizer, schedule, weight_decay),
        loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        steps_per_execution=per_call,
    )
    batches = Batches(images, labels, order.reshape(steps, batch_size))
    history = model.fit(batches, shuffle=False, verbose=0)
    found = history.history["loss"][0]
    if not np.isfinite(found):
        raise ArithmeticError(f"The loss became {found}. The learning rate {rate} is too high.")
    return found


def shuffle(number, count, seed):
    """Returns `count` positions below `number`: all in random order, then all in another one."""
    rng = np.random.default_rng(seed)
    rounds = [rng.permutation(number) for _ in range(-(-count // number))]
    return np.concatenate(rounds)[:count]


class Batches(keras.utils.PyDataset):
    """The images of each step, cut out when they are asked for.

    Args:
        images: (images, height, width, channels).
        labels: (images,).
        order: positions, (steps, batch).
    """

    def __init__(self, images, labels, order):
        super().__init__()
        self.images, self.labels, self.order = images, labels, order

    def __len__(self):
        return len(self.order)

    def __getitem__(self, step):
        return self.images[self.order[step]], self.labels[self.order[step]]


def accuracy(model, images, labels):
    """Returns the share of images, 0 to 1, that a model names right."""
    return float(np.mean(outputs(model, images).argmax(axis=-1) == labels))


def outputs(model, images):
    """Returns a model's outputs as an array (images, ...)."""
    return model.predict(images, batch_size=min(TEST_BATCH, len(images)), verbose=0)


def few_shot_accuracy(model, train, test, shots=5, seeds=3):
    """Returns the few-shot accuracy of a model's representation, the mean of some draws.

    Args:
        model: a model with a layer "head", or without one.
        train: (images, labels) that are drawn from.
        test: (images, labels).
        shots: images of each class.
        seeds: number of draws.
    """
    representation = submodel(model)
    parts = (predict_all(representation, part, batch_size=TEST_BATCH) for part in (train, test))
    found = few_shot(*next(parts), *next(parts), shots=shots, seeds=seeds)
    return float(found.mean(shots))


def _optimizer(name, schedule, weight_decay):
    arguments.one_of(*OPTIMIZERS)("optimizer", name)
    if name == "adamw":
        decay = {"weight_decay": weight_decay}
        return keras.optimizers.AdamW(schedule, global_clipnorm=1.0, **decay)
    if name == "adam":
        return keras.optimizers.Adam(schedule, global_clipnorm=1.0)
    return keras.optimizers.SGD(schedule, momentum=0.9, global_clipnorm=1.0)
