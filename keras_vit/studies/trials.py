"""Trains a small model for a fixed number of steps, and measures its accuracy."""

import keras
import numpy as np

from keras_vit import arguments
from keras_vit.training import few_shot
from keras_vit.training.evaluation.representation import predict_all, submodel
from keras_vit.training.recipes import schedules

# Steps per call, if they divide the training: the overhead between two calls is some 5 ms on JAX,
# as long as a step of a tiny model; on TensorFlow it made no difference.
STEPS_PER_CALL = 10
TEST_BATCH = 500
OPTIMIZERS = ("adamw", "adam", "sgd")


def build(seed, make):
    """Returns the model that `make()` returns, with weights drawn from a seed."""
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
    """Trains a model for `steps` updates: warm-up, cosine decay, gradients clipped to norm 1.

    Every image is seen once before any is repeated. Their order depends only on the seed, not on
    the backend.

    Args:
        model: a Keras model that returns logits; it is compiled here.
        images: uint8 (images, height, width, channels).
        labels: integers (images,).
        steps: number of updates.
        batch_size: number of images in a step, which may exceed the number of images.
        rate: learning rate after the warm-up.
        seed: seed of the order.
        optimizer: "adamw", "adam" or "sgd" with momentum 0.9.
        weight_decay: weight decay of "adamw".
        warmup: fraction of the steps in which the learning rate rises.
        loss: a Keras loss; None for cross-entropy.

    Returns:
        The mean training loss.

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
    batches = TrialBatches(images, labels, order.reshape(steps, batch_size))
    history = model.fit(batches, shuffle=False, verbose=0)
    found = history.history["loss"][0]
    if not np.isfinite(found):
        raise ArithmeticError(f"The loss became {found}. The learning rate {rate} is too high.")
    return found


def shuffle(number, count, seed):
    """Returns `count` positions below `number`: all in random order, then all in another order."""
    rng = np.random.default_rng(seed)
    rounds = [rng.permutation(number) for _ in range(-(-count // number))]
    return np.concatenate(rounds)[:count]


class TrialBatches(keras.utils.PyDataset):
    """The images of each step, selected when they are needed.

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
    """Returns the accuracy of a model, 0 to 1."""
    return float(np.mean(outputs(model, images).argmax(axis=-1) == labels))


def outputs(model, images):
    """Returns a model's outputs as an array (images, ...)."""
    return model.predict(images, batch_size=min(TEST_BATCH, len(images)), verbose=0)


def few_shot_accuracy(model, train, test, shots=5, seeds=3):
    """Returns the few-shot accuracy of a model's representation, averaged over draws.

    Args:
        model: a model with or without a layer "head".
        train: (images, labels) from which shots are drawn.
        test: (images, labels).
        shots: number of images of each class.
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
