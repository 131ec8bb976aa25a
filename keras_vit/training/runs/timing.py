"""How many epochs fit into a given time: steps and validation are timed before training."""

import math
import time

import keras

from keras_vit import arguments
from keras_vit.training.runs import messages

COMPILED, TIMED = 3, 20  # steps before the clock starts, and steps that are timed
RESERVE = 0.05  # share of the time for saves, figures and slow phases


def plan_epochs(seconds, started, data, model, recipe):
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
    print(messages.planned_time(seconds, epoch, epochs), flush=True)
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
