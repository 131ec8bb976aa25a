"""A callback that saves a run so that it can be resumed exactly, however it was interrupted."""

import inspect
import math
import os
import signal
import threading
import time

import keras

from keras_vit import arguments
from keras_vit.io import paths
from keras_vit.training.resuming import keras_internals, run_state, state_files

SECONDS = 60  # between saves with every="auto"
SHARE = 0.01  # largest share of the time that is spent on saves
NAMES = 3  # variables or images that an error lists


class Checkpoint(keras.callbacks.Callback):
    """Saves a run so that the same program resumes it exactly, however it was interrupted.

    Pass it to `fit` in a program that builds and compiles the model and loads the data. After a
    crash, a power cut or Ctrl-C, start the program again: weights, optimizer, random generators,
    metrics, history, other callbacks and the position in the data are restored, and the result
    equals that of an uninterrupted run bit for bit, on hardware that computes deterministically.
    If the run is complete, `fit` returns at once with its weights and its full history.

    It saves before the first step, every `every` steps, and at the end of each epoch, after the
    other callbacks. The folder keeps the two newest states. A loss, weight or optimizer variable
    that is not finite ends the run and is never saved.

    SIGTERM and Ctrl-C stop the run after the current step: its state is saved, then the run ends
    as the signal would have ended it (exit code 143, `KeyboardInterrupt`). If a signal arrives in
    the last step of an epoch or in validation, the state before that step is saved, and the step is
    repeated.

    Other callbacks are restored from their attributes, if these are numbers, strings, arrays, or
    lists and dictionaries of these. The generators of Python and NumPy are not saved.

    Args:
        folder: folder of the states, one for each run.
        data: the data that `fit` trains on, or anything else with a `sampler`:
            `keras_vit.data.load`, `keras_vit.data.Batches`. With None only whole epochs are saved,
            and the order of the images is up to you.
        every: steps between saves within an epoch; "auto" for once a minute, or less often if
            writing would take more than a hundredth of the time; None for no saves within an epoch.
        verbose: 1 to print at which step a run resumes or ends, 0 for no output.

    Raises:
        ValueError: an argument is invalid. In `fit`, before the first step: the folder contains a
            run with another model, optimizer, data or backend, or all its states are damaged.
        ArithmeticError: in `fit`: a value is not finite; the message has the epoch, the step and
            the images.
        OSError: in `fit`: the folder cannot be written; the earlier state remains.

    Example:
    >>> batches = keras_vit.data.Batches(np.zeros((6, 8, 8, 1)), np.arange(6) % 3, batch_size=2)
    >>> checkpoint = keras_vit.training.Checkpoint("runs/digits", batches, every=100)
    >>> model.fit(batches, epochs=50, callbacks=[checkpoint])  # doctest: +SKIP
    """

    def __init__(self, folder, data=None, every="auto", verbose=1):
        super().__init__()
        self.folder = paths.check("folder", folder, "Each run needs one of its own.")
        self.sampler = getattr(data, "sampler", data)
        if self.sampler is not None and not hasattr(self.sampler, "go_to"):
            want = "`data` must have a sampler, or be one"
            advice = "Use keras_vit.data.load, keras_vit.data.Batches or None."
            arguments.refuse(want, {"data": type(data).__name__}, advice)
        if every != "auto":
            arguments.optional(arguments.positive_integer)("every", every)
        self.every, self.verbose = every, verbose
        self._signals = Signals()
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
        """Moves to the end of the callbacks, so that each hook runs after those of the others."""
        super().set_model(model)
        calling = keras_internals.callback_list(self)
        self._others = {}
        if calling is None:
            return
        others = [c for c in calling.callbacks if c is not self]
        calling.callbacks = [*others, self]  # a new list: Keras iterates over the old one
        for callback in others:
            if not isinstance(callback, keras.callbacks.ProgbarLogger):
                kind = type(callback).__name__
                number = sum(name.startswith(f"{kind}/") for name in self._others)
                self._others[f"{kind}/{number}"] = callback

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
        keras_internals.set_initial_epoch(self._model, None)  # otherwise kept for the next `fit`
        self.epoch, self._first, self._kept = epoch, 0, None
        if self._resumed is not None and self._resumed.step:
            self._first, self._repeated = self._resumed.step - self._stride, self._resumed
        self._resumed = None
        if self.sampler is not None:
            # Even if nothing was resumed, because Keras reads from the data before it trains.
            self.sampler.go_to(epoch, self._first)
            keras_internals.epoch_iterator()._num_batches = self._steps - self._first

    def on_train_batch_end(self, batch, logs=None):
        """Saves if a save is due, and ends the run after a signal."""
        step = self._first + batch + 1
        if self._repeated is not None:
            # Metrics and some variables exist only after the first step. Restoring the state now
            # overwrites everything that this step did.
            self._restore(self._repeated)
            self._repeated = None
        else:
            loss = (logs or {}).get("loss", 0.0)  # mean of the epoch: shows any bad step
            if not math.isfinite(loss):
                self._refuse_numbers(f"the loss ({loss})", self.epoch, step)
        model = self._model  # unlike `self.model`, does not copy JAX's state back
        if self.sampler is not None and step < self._steps and not model.stop_training:
            if self._signals.received or self._is_due(step):
                self._write(self._take(self.epoch, step))
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
        self._write(self._take(epoch + 1, 0))
        self._end_if_signalled()

    def on_train_end(self, logs=None):
        """Restores the signal handlers and releases the folder."""
        if self._resumed is not None:
            self._say("Nothing to train: the run is complete.")
        self._close()
        if self._signals.received:
            raise self._signals.make_exception()

    def _begin(self):
        self._kept = self._repeated = self._resumed = None
        self._running, self._first = True, 0
        self._check_steps()
        run_state.check_built(self.model)
        state_files.prepare(self.folder)
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
        # Fewer steps are the rest of an epoch in which training on the same data was interrupted.
        if keras_internals.epoch_iterator().steps_per_epoch is not None or (given or 0) > whole:
            want = f"an epoch must be one pass through `data`, {whole} steps"
            advice = "Leave steps_per_epoch out; pass the same data to `fit` and to Checkpoint."
            arguments.refuse(want, {"steps": given}, advice)
        self._steps = whole

    def _resume(self, state):
        """Makes `fit` continue from a state."""
        self._resumed = state
        self._restore(state)
        self._saved_at, self._cost = time.monotonic(), 0.0
        epochs = self.params["epochs"]
        complete = state.facts["stopped"] or state.epoch >= epochs
        keras_internals.set_initial_epoch(self._model, epochs if complete else state.epoch)
        if not complete:
            self._say(f"Resuming at {state_files.describe_newest(self.folder)}.")

    def _restore(self, state):
        run_state.restore(self.model, state.arrays)
        run_state.restore_attributes(self._others, state.facts["callbacks"], state.arrays)

    def _is_due(self, step):
        if self.every == "auto":
            pause = max(SECONDS, self._cost / SHARE)
            return time.monotonic() - self._saved_at >= pause
        return self.every is not None and step % self.every < self._stride

    def _take(self, epoch, step):
        """Returns the current state; training resumes at (epoch, step)."""
        model = self.model
        attributes, arrays = run_state.copy_attributes(self._others)
        facts = {
            "settings": self._settings,
            "callbacks": attributes,
            "stopped": bool(model.stop_training),
            "versions": {"keras": keras.__version__},
        }
        return state_files.State(epoch, step, facts, {**run_state.copy_arrays(model), **arrays})

    def _write(self, state):
        """Writes a state if it is finite; after an error the earlier state remains."""
        broken = run_state.find_nonfinite(state.arrays)
        if broken:
            listed = ", ".join(name.split("/", 2)[2] for name in broken[:NAMES])
            what = f"{len(broken)} weights or optimizer variables ({listed})"
            self._refuse_numbers(what, state.epoch, state.step)
        begun = time.monotonic()
        try:
            state_files.write(self.folder, state)
        except OSError:
            self._close()
            raise
        self._saved_at = time.monotonic()
        self._cost = self._saved_at - begun

    def _refuse_numbers(self, what, epoch, step):
        """Ends a run because of a value that is not finite."""
        where = f"epoch {epoch + 1}, step {step}"
        if step == 0:
            where = f"the end of epoch {epoch}" if epoch else "the start"
        names = ""
        if self.sampler is not None and step:
            steps = range(step - self._stride, step)
            files = [n for step in steps for n in self.sampler.names(epoch, step)]
            names = f" Images of the batch: {', '.join(files[:NAMES])}, ..."
        self._close()
        raise ArithmeticError(
            f"Finite numbers were expected. Received: {what}, not finite, after {where}.{names} "
            f"The last good state is {state_files.describe_newest(self.folder)}. Train in a new "
            "folder with a lower learning rate or with clipnorm=1.0 in the optimizer; check the "
            "images."
        )

    def _end_if_signalled(self):
        """Ends the run as the received signal would have ended it.

        Keras cannot begin an epoch after its last step. If that step is done, the state before it
        is saved, and the step, the validation and the end of the epoch are repeated.
        """
        received = self._signals.received
        if received is None:
            return
        if self._kept is not None:
            self._write(self._kept)
        newest = state_files.describe_newest(self.folder)
        self._say(f"{received.name}: saved. The run resumes after {newest}.")
        self._close()
        raise self._signals.make_exception()

    def _close(self):
        self._running, self._kept, self._resumed, self._repeated = False, None, None, None
        keras_internals.set_initial_epoch(self._model, None)
        self._signals.stop()
        state_files.release(self.folder)

    def _say(self, text):
        if self.verbose:
            print(text, flush=True)


class Signals:
    """Records the first SIGTERM or Ctrl-C while `model.fit` runs; a second one acts at once.

    Only the main thread can handle signals; in other threads this class does nothing.
    """

    def __init__(self):
        self.received, self._earlier, self._fit = None, {}, None

    def watch(self, model):
        """Installs the handlers until `stop`."""
        self.stop()
        self.received = None
        self._fit = inspect.unwrap(type(model).fit).__code__
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._earlier[number] = signal.signal(number, self._record)

    def stop(self):
        """Restores the earlier handlers."""
        for number, handler in self._earlier.items():
            if signal.getsignal(number) == self._record:
                # None means that the handler was not set from Python and cannot be restored.
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._earlier = {}

    def make_exception(self):
        """Returns the exception that ends a run as the signal would have, with its exit code."""
        if self.received == signal.SIGINT:
            return KeyboardInterrupt()
        return SystemExit(128 + self.received)

    def _record(self, number, frame):
        while frame is not None and frame.f_code is not self._fit:
            frame = frame.f_back
        # Without a frame of `fit`, an error has ended it and skipped `on_train_end`.
        if self.received is not None or frame is None:
            self.stop()
            signal.raise_signal(number)
            return
        self.received = signal.Signals(number)
        text = f"\n{self.received.name}: stopping after this step. Send it again to stop at once.\n"
        os.write(2, text.encode())  # unlike `print`, safe inside a signal handler
