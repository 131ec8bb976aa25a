"""A learning rate finder: a short run whose learning rate rises until the loss diverges."""

import functools
import math
import pathlib
import time
from typing import NamedTuple

import keras
import numpy as np

from keras_vit import arguments, figures
from keras_vit.io import writing
from keras_vit.training.resuming import run_state
from keras_vit.training.runs import execution, messages

LOWEST, HIGHEST, UPDATES = 1e-6, 10.0, 140  # 20 updates for each factor of ten
WINDOW = 10  # updates on each side over which a loss is averaged
DIVERGED = 4.0  # ratio to the lowest loss at which the sweep ends


class LearningRates(NamedTuple):
    """The result of `find_learning_rate`. `print` shows the suggestion, `plot` the curve.

    Attributes:
        rates: learning rate of every step, ascending.
        losses: loss of every step, on its batch, before its update.
        smoothed: the losses, averaged over neighboring steps.
        suggestion: rate at which the smoothed loss falls most steeply over the logarithm of the
            rate; None if it does not fall.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggestion: float | None

    def __str__(self):
        if self.suggestion is None:
            return (
                f"No learning rate from {self.rates[0]:.0e} to {self.rates[-1]:.1g} lowers the "
                "loss: more images per step (batch_size, accumulate) give a clearer curve."
            )
        return (
            f"Suggested learning rate: {self.suggestion:.1e}, where the smoothed loss falls most "
            f"steeply; it is lowest at {self.rates[np.argmin(self.smoothed)]:.1e} and rises above."
        )

    def plot(self):
        """Plots the losses against the learning rate. Returns a Matplotlib figure."""
        figure = figures.figure(6.4, 4)
        axes = figure.subplots()
        axes.plot(self.rates, self.losses, ".", color=figures.SKY, ms=3, label="loss of a batch")
        axes.plot(self.rates, self.smoothed, color=figures.BLUE, label="smoothed")
        low, first = min(self.smoothed), self.smoothed[0]
        margin = 0.15 * max(first - low, 0.1 * first)
        axes.set(xscale="log", xlabel="learning rate", ylabel="training loss")
        axes.set_ylim(low - 2 * margin, first + 2 * margin)
        if self.suggestion is not None:
            y = np.interp(self.suggestion, self.rates, self.smoothed)
            label = f"suggestion: {self.suggestion:.1e}"
            axes.axvline(self.suggestion, color=figures.ORANGE, lw=1)
            axes.plot(self.suggestion, y, "o", color=figures.ORANGE, label=label)
        axes.legend(loc="lower left", frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
        return figure


def find_learning_rate(model, data, recipe, verbose=False):
    """Tries learning rates from 1e-6 to 10 in one short training, and suggests one.

    The rate rises exponentially over 140 updates, or until the loss diverges. Optimizer, loss,
    batch size and augmentation are those of the recipe, so the suggestion is for these; it is a
    starting point, not the best rate. Afterwards weights, random generators and the position in the
    data are as before, and the model is compiled for the recipe.

    Args:
        model: the model to be trained; if you use `keras_vit.training.freeze`, call it before.
        data: a `keras_vit.data.ImageDataset`.
        recipe: a `Recipe` for these data.
        verbose: whether to print a line every minute.

    Returns:
        `LearningRates`.

    Raises:
        ValueError: the recipe is not scaled to data.
        ArithmeticError: the first loss is not finite.

    Example:
    >>> data = keras_vit.data.load("digits", image_size=8, num_channels=1)
    >>> recipe = keras_vit.training.recipe("digits", data)
    >>> model = keras_vit.create(recipe.model, image_size=8, num_classes=10, num_channels=1)
    >>> found = keras_vit.training.find_learning_rate(model, data, recipe)  # doctest: +SKIP
    >>> found.plot().savefig("rates.png")  # doctest: +SKIP

    Reference: section 3.3 of https://arxiv.org/abs/1506.01186 (the range test)
    """
    if getattr(recipe, "images", None) is None:
        advice = "Use recipe(name, data)."
        arguments.refuse("`recipe` must be scaled to data", {"recipe": str(recipe)}, advice)
    steps = UPDATES * recipe.accumulate
    rising = keras.optimizers.schedules.ExponentialDecay(LOWEST, steps, HIGHEST / LOWEST)
    plain = recipe._replace(moving_average=None)
    optimizer = plain.make_optimizer(rising)
    model.compile(**{**recipe.compile_arguments, "optimizer": optimizer})
    before, sampler, record = run_state.copy_arrays(model), data.sampler, Record(steps, verbose)
    place = sampler.place
    try:
        sampler.go_to(0)
        epochs = math.ceil(steps / data.steps_per_epoch)
        model.fit(data.train, epochs=epochs, shuffle=False, verbose=0, callbacks=[record])
    finally:
        run_state.restore(model, before)
        sampler.go_to(*place)
        model.compile(**recipe.compile_arguments)
    return evaluate_sweep(np.array(record.losses), recipe.accumulate)


def search(out=None, **options):
    """Finds a learning rate for the arguments of `train`, and writes a table and a plot to `out`.

    Prints the suggestion, and returns `LearningRates`.
    """
    with execution.starting(options, out) as (target, options, (_, data, model, recipe)):
        name = execution.model_name(options, model, recipe)
        print(messages.introduction(name, data, model, recipe, options["seed"], target))
        steps = UPDATES * recipe.accumulate
        print(f"Trying rates from {LOWEST:g} to {HIGHEST:g} in {steps:,} steps ...", flush=True)
        found = find_learning_rate(model, data, recipe, verbose=True)
        draw = functools.partial(found.plot().savefig, format="png")
        table = functools.partial(_write_table, found)
        writers = {"learning_rate.csv": table, "learning_rate.png": draw}
        writing.write_folder(target, writers, are_new=True)
    print(found, f"Plot: {target / 'learning_rate.png'}", sep="\n")
    if found.suggestion is not None:
        print(f"Train with it: --learning-rate {found.suggestion:.1e}")
    return found


def _write_table(found, path):
    rows = (",".join(map(repr, map(float, row))) for row in zip(*found[:3], strict=True))
    lines = ["learning_rate,loss,smoothed", *rows]
    pathlib.Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


class Record(keras.callbacks.Callback):
    """Records the loss of every batch; ends `fit` after `steps`, or if the loss diverges.

    If `verbose`, it prints a line every minute.
    """

    def __init__(self, steps, verbose=False):
        super().__init__()
        self.steps, self.losses, self.mean = steps, [], None
        self.verbose, self.printed = verbose, time.monotonic()

    def on_train_batch_end(self, batch, logs):
        """Recovers the loss of a batch from the mean over the epoch that Keras reports."""
        total = 0.0 if batch == 0 else self.total
        self.total = float(logs["loss"]) * (batch + 1)
        loss = self.total - total
        # An average over about the last ten batches, so that one bad batch does not end the sweep
        self.mean = loss if self.mean is None else 0.9 * self.mean + 0.1 * loss
        self.lowest = self.mean if len(self.losses) < 10 else min(self.lowest, self.mean)
        finite = math.isfinite(loss)
        if finite:
            self.losses.append(loss)
        diverged = not finite or self.mean > DIVERGED * self.lowest
        self.model.stop_training = diverged or len(self.losses) >= self.steps
        if self.verbose and time.monotonic() - self.printed >= messages.SILENCE:
            self.printed = time.monotonic()
            print(f"step {len(self.losses)}/{self.steps}  loss {loss:.3f}", flush=True)


def evaluate_sweep(losses, accumulate=1):
    """Returns the `LearningRates` from the losses of a sweep, `accumulate` losses per update."""
    if not len(losses):
        raise ArithmeticError(
            "Finite numbers were expected. Received: a loss that is not finite in the first step, "
            f"at the learning rate {LOWEST:g}. Check the weights and the images."
        )
    whole = max(1, len(losses) // accumulate)
    losses = losses[: whole * accumulate].reshape(whole, -1).mean(axis=1)
    rates = LOWEST * (HIGHEST / LOWEST) ** (np.arange(whole) / UPDATES)
    smoothed = smooth(losses)
    lowest = int(np.argmin(smoothed))
    suggestion, noise = None, np.std(losses[:WINDOW])
    if lowest > WINDOW and smoothed[0] - smoothed[lowest] > noise:
        suggestion = float(rates[np.argmin(np.gradient(smoothed)[: lowest + 1])])
    return LearningRates(rates, losses, smoothed, suggestion)


def smooth(values):
    """Returns averages with weights that fall to zero over `WINDOW` neighbors on each side."""
    weights = np.hanning(2 * WINDOW + 1)
    sums, counts = (np.convolve(x, weights)[WINDOW:-WINDOW] for x in (values, np.ones(len(values))))
    return sums / counts
