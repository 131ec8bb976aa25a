"""A callback that saves a run so that it can be resumed exactly, however it was interrupted."""

import math
import pathlib
import time

import keras

from keras_vit import arguments
from keras_vit.training.resuming import (
    callback_state,
    keras_internals,
    run_state,
    signals,
    state_files,
)

SECONDS = 60  # between saves with every="auto", and
SHARE = 0.01  # of the time at most is spent on them
NAMES = 3  # variables or images that an error lists


class Checkpoint(keras.callbacks.Callback):
    """Saves a run so that the same program resumes it exactly, however it was interrupted.

    Pass it to `fit` in a program that builds and compiles the model and loads the data. After a
    crash, a power cut or Ctrl-C, start the program again: weights, optimizer, random generators,
    metrics, history, other callbacks and the position in the data are restored, and the result
    equals that of an uninterrupted run bit for bit, on hardware that computes deterministically.
    If the run is complete, it is loaded, and `fit` returns at once with the full history.

    It saves before the first step, every `every` steps, and at the end of each epoch, after the
    other callbacks: it moves itself behind them. The folder keeps the two newest states, one file
    each; while a third one is written there are three.

    SIGTERM and Ctrl-C stop the run after the current step: its state is saved, then the run ends
    as the signal would have ended it (exit code 143, `KeyboardInterrupt`). In the last step of an
    epoch and in validation, the state before that last step is saved, and the step is repeated.

    A loss, weight or optimizer variable that is not finite ends the run and is never saved.

    Other callbacks are restored from their attributes, if these are numbers, strings, arrays, or
    lists and dictionaries of these. The random generators of Python and NumPy are not saved: the
    data do not use them.

    Args:
        folder: folder of the states, one for each run.
        data: what `fit` trains on, or anything else with a `sampler`: `keras_vit.data.load`,
            `keras_vit.data.Batches`. With None only whole epochs are saved, and the order of the
            images is up to you.
        every: steps between saves within an epoch; "auto" for once a minute, or less often if
            writing would take more than a hundredth of the time; None for none.
        verbose: 1 to print where a run resumes or ends, 0 for silence.

    Raises:
        ValueError: an argument is invalid. In `fit`, before the first step: the folder contains a
            run with another model, optimizer, data or backend, or all its states are damaged.
        ArithmeticError: in `fit`: a value is not finite; the message has the epoch, the step and
            the images.
        OSError: in `fit`: the folder cannot be written, or the disk is full; the earlier state
            remains.

    Example:
    >>> batches = keras_vit.data.Batches(np.zeros((6, 8, 8, 1)), np.arange(6) % 3, batch_size=2)
    >>> checkpoint = keras_vit.training.Checkpoint("runs/digits", batches, every=100)
    >>> model.fit(batches, epochs=50, callbacks=[checkpoint])  # doctest: +SKIP
    """

    def __init__(self, folder, data=None, every="auto", verbose=1):
        super().__init__()
        self.folder = pathlib.Path(folder)
        self.sampler = _sampler(data)
        if every != "auto":
            arguments.optional(arguments.positive_integer)("every", every)
        self.every, self.verbose = every, verbose
        self._signals = signals.Signals()
        self._running = False

    def load_weights(self, model):
        """Loads only the weights of the newest state into a model.

        Raises:
            ValueError: there is no state, or it belongs to another model; nothing was changed.
        """
        state = state_files.read_newest(self.folder)
        if state is None:
            want, advice = "a folder with states of a run was expected", "Train in it first."
            arguments.refuse(want, {"folder": str(self.folder)}, advice)
        run_state.restore_weights(model, state.arrays)

    def set_model(self, model):
        """Moves to the end of the callbacks, so that each hook sees what the others did."""
        super().set_model(model)
        self._list = callback_state.move_to_end(self)

    def on_train_begin(self, logs=None):
        """Resumes from the newest state, or saves the first one."""
        try:
            self._begin()
        except BaseException:
            self._close()
            raise
        self._signals.watch(self._model)

    def on_epoch_begin(self, epoch, logs=None):
        """Sets the position in the data; an interrupted epoch begins a step before its state."""
        keras_internals.set_initial_epoch(
            self._model, None
        )  # or Keras would keep it for the next `fit`
        self.epoch, self._first, self._kept = epoch, 0, None
        if self._resumed is not None and self._resumed.step:
            self._first, self._repeated = self._resumed.step - self._stride, self._resumed
        self._resumed = None
        if self.sampler is not None:
            # Even if nothing was resumed: Keras reads from the data before it trains.
            self.sampler.go_to(epoch, self._first)
            keras_internals.epoch_iterator()._num_batches = self._steps - self._first

    def on_train_batch_end(self, batch, logs=None):
        """Saves if it is time, and ends the run after a signal."""
        step = self._first + batch + 1
        if self._repeated is not None:
            # Metrics and some variables exist only after the first step. Restoring the state now
            # overwrites everything that this step did.
            self._restore(self._repeated)
            self._repeated = None
        else:
            self._check_loss(step, logs)
        model = self._model  # unlike `self.model`, does not copy JAX's state back
        if self.sampler is not None and step < self._steps and not model.stop_training:
            if self._signals.received or self._is_due(step):
                self._save(self.epoch, step)
            elif step + self._stride >= self._steps:
                self._kept = self._take(self.epoch, step)  # see `_end_if_signalled`
        self._end_if_signalled()

    def on_test_batch_end(self, batch, logs=None):
        """Ends the run in validation after a signal."""
        if self._running:
            self._end_if_signalled()

    def on_epoch_end(self, epoch, logs=None):
        """Saves the state after the epoch and after the other callbacks."""
        self._kept = None
        self._save(epoch + 1, 0)
        self._end_if_signalled()

    def on_train_end(self, logs=None):
        """Restores the signal handlers and releases the folder."""
        if self._resumed is not None:
            newest = state_files.describe_newest(self.folder)
            self._say(f"Nothing to do: the run is complete ({newest}).")
        self._close()
        if self._signals.received:
            raise signals.make_exception(self._signals.received)

    def _begin(self):
        self._kept = self._repeated = self._resumed = None
        self._running, self._first = True, 0
        self._check_steps()
        run_state.check_built(self.model)
        state_files.prepare(self.folder)
        self._others = callback_state.select(self._list, self)
        self._settings = run_state.describe_run(self.model, self.sampler)
        state = state_files.read_newest(self.folder)
        if state is None:
            self._write(self._take(0, 0))
        else:
            run_state.check_same_run(self.folder, state, self.model, self._settings)
            self._resume(state)

    def _check_steps(self):
        """Raises `ValueError` unless an epoch is one pass through the data."""
        self._steps, self._stride = self.params["steps"], self.model.steps_per_execution
        if self.sampler is None:
            return
        given, whole = self._steps, self.sampler.steps_per_epoch
        # Fewer steps are the rest of an epoch in which the same data were interrupted.
        if keras_internals.epoch_iterator().steps_per_epoch is not None or (given or 0) > whole:
            want = f"an epoch must be one pass through `data`, {whole} steps"
            advice = "Leave steps_per_epoch out; pass the same data to `fit` and to Checkpoint."
            arguments.refuse(want, {"steps": given}, advice)
        self._steps = whole

    def _resume(self, state):
        """Makes `fit` begin where a state ends."""
        self._resumed = state
        self._restore(state)
        self._saved_at, self._cost = time.monotonic(), 0.0
        epochs = self.params["epochs"]
        complete = state.facts["stopped"] or state.epoch >= epochs
        keras_internals.set_initial_epoch(self._model, epochs if complete else state.epoch)
        if not complete:
            self._say(f"Resuming after {state_files.describe_newest(self.folder)}.")

    def _restore(self, state):
        run_state.restore(self.model, state.arrays)
        callback_state.restore(self._others, state.facts["callbacks"], state.arrays)

    def _is_due(self, step):
        if self.every == "auto":
            pause = max(SECONDS, self._cost / SHARE)
            return time.monotonic() - self._saved_at >= pause
        return self.every is not None and step % self.every < self._stride

    def _take(self, epoch, step):
        """Returns the current state; training resumes at (epoch, step)."""
        model = self.model
        values, arrays = callback_state.copy_attributes(self._others)
        facts = {
            "settings": self._settings,
            "callbacks": values,
            "stopped": bool(model.stop_training),
            "versions": {"keras": keras.__version__},
        }
        return state_files.State(epoch, step, facts, {**run_state.copy_arrays(model), **arrays})

    def _save(self, epoch, step):
        self._write(self._take(epoch, step))

    def _write(self, taken):
        """Writes a state if it is finite; after an error the earlier state remains."""
        broken = run_state.find_nonfinite(taken.arrays)
        if broken:
            listed = ", ".join(name.split("/", 2)[2] for name in broken[:NAMES])
            self._refuse_numbers(f"{len(broken)} weights or optimizer variables ({listed})", taken)
        begun = time.monotonic()
        try:
            state_files.write(self.folder, taken)
        except OSError:
            self._close()
            raise
        self._saved_at = time.monotonic()
        self._cost = self._saved_at - begun

    def _check_loss(self, step, logs):
        loss = (logs or {}).get("loss", 0.0)  # mean of the epoch: one bad step is enough
        if not math.isfinite(loss):
            self._refuse_numbers(f"the loss ({loss})", state_files.State(self.epoch, step, {}, {}))

    def _refuse_numbers(self, what, taken):
        """Ends a run with a value that is not finite."""
        where = f"epoch {taken.epoch + 1}, step {taken.step}"
        if taken.step == 0:
            where = f"the end of epoch {taken.epoch}" if taken.epoch else "the start"
        names = ""
        if self.sampler is not None and taken.step:
            steps = range(taken.step - self._stride, taken.step)
            files = [n for step in steps for n in self.sampler.names(taken.epoch, step)]
            names = f" Images of the batch: {', '.join(files[:NAMES])}, ..."
        self._close()
        raise ArithmeticError(
            f"Finite numbers were expected. Received: {what}, not finite, after {where}.{names} "
            f"The last good state is {state_files.describe_newest(self.folder)}. Train in a new "
            "folder with a lower learning rate or with clipnorm=1.0 in the optimizer; check the "
            "images."
        )

    def _end_if_signalled(self):
        """Ends the run as the received signal would have done.

        Keras cannot begin an epoch after its last step. If that step is done, the state before it
        is saved, and the step, the validation and the end of the epoch are repeated.
        """
        received = self._signals.received
        if received is None:
            return
        if self._kept is not None:
            self._write(self._kept)
        newest = state_files.describe_newest(self.folder)
        self._say(f"{received.name}: run the same command again to resume after {newest}.")
        self._close()
        raise signals.make_exception(received)

    def _close(self):
        self._running, self._kept, self._resumed, self._repeated = False, None, None, None
        keras_internals.set_initial_epoch(self._model, None)
        self._signals.stop()
        state_files.release(self.folder)

    def _say(self, text):
        if self.verbose:
            print(text, flush=True)


def _sampler(data):
    """Returns the `Sampler` of data, or None."""
    sampler = getattr(data, "sampler", data)
    if sampler is not None and not hasattr(sampler, "go_to"):
        want = "`data` must have a sampler, or be one"
        advice = "Use keras_vit.data.load, keras_vit.data.Batches or None."
        arguments.refuse(want, {"data": type(data).__name__}, advice)
    return sampler
