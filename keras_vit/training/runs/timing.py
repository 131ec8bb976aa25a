"""The time of a run: how many epochs fit into it, how fast it trains, and how much is left."""

import math
import time

import keras

from keras_vit import arguments

COMPILED, TIMED = 3, 20  # steps before the clock starts, and steps that are timed
RESERVE = 0.05  # share of the time for saves, figures and slow phases


def plan_epochs(seconds, started, data, model):
    """Returns how many epochs fit into `seconds` from `started`, a time of `time.perf_counter`.

    The model and its optimizer are trained for some steps: use new ones for the training. The
    position in the data is as before.

    Raises:
        ValueError: the time is too short for one epoch.
    """
    steps = data.steps_per_epoch
    timer = Timer()
    enough = math.ceil((COMPILED + TIMED) / steps)
    model.fit(data.train, epochs=enough, shuffle=False, verbose=0, callbacks=[timer])
    data.sampler.go_to(0)
    split = "validation" if data.counts["validation"] else "test"
    each = _time_evaluation(model, getattr(data, split)) / data.counts[split]
    epoch = steps * timer.step + each * data.counts[split]
    rest = timer.compilation + each * data.counts["test"] + time.perf_counter() - started
    epochs = int((seconds * (1 - RESERVE) - rest) / epoch)
    if epochs < 1:
        want = "the time must be enough for compilation, one epoch and the test"
        received = {"time": f"{seconds:.0f}s", "seconds of an epoch": round(epoch, 1)}
        received["seconds of the rest"] = round(rest, 1)
        shortest = math.ceil((rest + epoch) / (1 - RESERVE))
        arguments.refuse(want, received, f"Allow at least {shortest}s, or fewer or smaller images.")
    print(
        f"Time: {seconds:.0f} s. An epoch takes about {epoch:.1f} s, measured on a few steps, so "
        f"the learning rate decays over {epochs} epochs. The plan is fixed, even if the run is "
        "resumed.",
        flush=True,
    )
    return epochs


class Timer(keras.callbacks.Callback):
    """Times the steps of `fit` or the batches of `evaluate`, and ends it early.

    Attributes:
        step: seconds of a step.
        compilation: seconds until the clock for the steps started.
    """

    def __init__(self, skipped=COMPILED):
        super().__init__()
        self.skipped, self.count, self.begun = skipped, 0, time.perf_counter()

    def on_train_batch_end(self, batch, logs):
        """Reads the clock when the step has been computed: its loss waits for it."""
        self.model.stop_training = self._is_enough(logs)

    def on_test_batch_end(self, batch, logs):
        """Reads the clock when the batch has been computed."""
        self.model.stop_evaluating = self._is_enough(logs)

    def _is_enough(self, logs):
        float(logs["loss"])
        self.count += 1
        if self.count == self.skipped:
            self.compilation, self.begun = time.perf_counter() - self.begun, time.perf_counter()
        timed = self.count - self.skipped
        if timed > 0:
            self.step = (time.perf_counter() - self.begun) / timed
        return timed >= TIMED


def _time_evaluation(model, batches):
    """Returns the seconds of evaluating all batches, from some of them."""
    model.evaluate(batches, steps=1, verbose=0)  # compiles
    timer = Timer(skipped=0)
    model.evaluate(batches, verbose=0, callbacks=[timer])
    return timer.step * len(batches)


# --- While a run trains ---------------------------------------------------------------------------

WINDOW = 100  # steps in the memory of a running mean; the first ones count equally
ENOUGH = 3, 2.0  # steps and seconds after which the pace is known
FORWARD = 1 / 3  # estimated time of a validation step, in training steps, before it is timed
UNITS = ((48 * 3600, 86400, "days"), (90 * 60, 3600, "h"), (90, 60, "min"), (0, 1, "s"))


class Pace:
    """The pace of a run since it was started or resumed, without the first step, which compiles.

    Args:
        data: an `ImageDataset`; None if the size of the batches is not known.
        params: the `params` of a callback, with the steps per epoch and the epochs of the run.
        split: split that is evaluated after each epoch.
        waits: whether the trainer itself takes each batch from `data.train`. TensorFlow takes them
            within its compiled step.
    """

    def __init__(self, data, params, split, waits=True):
        self.params = params
        self.batch_size, self.between = getattr(data, "batch_size", None), None
        self.evaluated = data.counts[split] / data.counts["train"] if data else 0.0
        self.loader = data.train if data and waits and hasattr(data.train, "waited") else None
        self.count, self.seconds, self.mean = -1, 0.0, 0.0
        self.announced = False

    def add_step(self, seconds):
        """Counts a step."""
        self.count += 1
        if self.count == 0:
            self.waited = self.loader.waited if self.loader else 0.0
        else:
            self.seconds += seconds
            self.mean += (seconds - self.mean) / min(self.count, WINDOW)

    def end_epoch(self, seconds):
        """Counts the time after the last step of an epoch; the first time, validation compiles."""
        self.between = min(seconds, self._guess()) if self.between is None else seconds

    @property
    def is_known(self):
        """Whether enough steps were timed."""
        return self.count >= ENOUGH[0] and self.seconds >= ENOUGH[1]

    def seconds_left(self, epoch, step):
        """Returns the seconds that the run needs after a step (from 1) of an epoch (from 0)."""
        steps, epochs = self.params["steps"], self.params["epochs"] - epoch
        between = self._guess() if self.between is None else self.between
        ends = epochs - (step == steps and self.between is not None)
        return (epochs * steps - step) * self.mean + ends * between

    def _guess(self):
        """Returns the estimated seconds of validation, before it has been timed."""
        return FORWARD * self.evaluated * self.params["steps"] * self.mean

    def describe(self, epoch, step):
        """Returns a string such as "  12 min left, 820 images/s, 3 % waiting for data", or ""."""
        if not self.is_known:
            return ""
        left, parts = self.seconds_left(epoch, step), []
        if left > 0:
            parts.append(f"{format_duration(left)} left")
        if self.batch_size:
            rate = self.batch_size / self.mean
            parts.append(f"{rate:,.{0 if rate > 100 else 1}f} images/s")
        if self.loader:
            share = (self.loader.waited - self.waited) / self.seconds
            parts.append(f"{100 * min(1, share):.0f} % waiting for data")
        return "  " + ", ".join(parts)

    def announce(self, epoch, step):
        """Returns, once, a line about the time that the rest of the run takes; else ""."""
        if self.announced or not self.is_known:
            return ""
        steps, epochs = self.params["steps"], self.params["epochs"] - epoch
        if step == epochs * steps:  # none is left
            return ""
        self.announced = True
        left = format_duration(self.seconds_left(epoch, step))
        count = f"{epochs:,} epoch{'s' * (epochs != 1)} of {steps:,} steps"
        images = f" of {self.batch_size:,} images" if self.batch_size else ""
        return f"Time: about {left} for {count}, {self.mean:.3g} s for a step{images}."


def format_duration(seconds):
    """Returns a duration in the unit that suits it.

    Example:
    >>> format_duration = keras_vit.training.runs.timing.format_duration
    >>> format_duration(50), format_duration(4000), format_duration(3e4), format_duration(4e5)
    ('50 s', '67 min', '8.3 h', '4.6 days')
    """
    unit, name = next((unit, name) for least, unit, name in UNITS if seconds >= least)
    return f"{seconds / unit:.{int(unit >= 3600)}f} {name}"
