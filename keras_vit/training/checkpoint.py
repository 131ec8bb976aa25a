"""Training that survives: a callback whose runs go on after any end as if there had been none."""

import math
import pathlib
import time

import keras

from keras_vit import arguments
from keras_vit.training import capture, companions, inside, signals, state

SECONDS = 60  # between saves of every="auto", and
SHARE = 0.01  # of the time at most is spent on them
NAMES = 3  # of a batch that are told


class Checkpoint(keras.callbacks.Callback):
    """Saves a run so that the same command goes on with it exactly, whatever ended it.

    Give it to `fit` in a program that builds the model, compiles it and loads the data. After a
    crash, a power cut or Ctrl-C, start the program again: weights, optimizer, random generators,
    metrics, the history, the other callbacks and the place in the data are what they were, and the
    end is bit for bit that of a run that nothing interrupted, on hardware that computes alike
    twice. A run that is complete is loaded, and `fit` returns at once with all its history.

    It saves before the first step, every `every` steps, and when all of an epoch is done, the
    other callbacks included: it moves itself behind them. The folder holds the two newest states,
    each one file; while the third is written there are three.

    SIGTERM and Ctrl-C end the run after the step they came in: it is saved, then ends as the
    signal would have ended it (exit code 143, `KeyboardInterrupt`). In the last step of an epoch
    and in validation the state before that last step is what is saved; it is repeated.

    A loss, weight or optimizer variable that is not finite ends the run, and is never saved.

    Other callbacks are resumed by their attributes, as far as these are numbers, texts, arrays, and
    lists and dictionaries of them. The random generators of Python and NumPy are not saved: the
    data do not use them.

    Args:
        folder: where the states are; a folder for each run.
        data: what `fit` trains on, or anything else with a `sampler`: `keras_vit.data.load`,
            `keras_vit.data.Batches`. None saves only whole epochs, and leaves the order of the
            images to you.
        every: steps between saves within an epoch; "auto" for once a minute, or more seldom where
            writing takes more than a hundredth of that; None for none.
        verbose: 1 prints where a run goes on or ends, 0 does not.

    Raises:
        ValueError: an argument cannot be used. In `fit`, before any step: the folder's run is of
            another model, optimizer, data or backend, or all its states are damaged.
        ArithmeticError: in `fit`: something is not finite; epoch, step and files are named.
        OSError: in `fit`: the folder cannot be written, the disk is full; the state before stays.

    Example:
    >>> batches = keras_vit.data.Batches(np.zeros((6, 8, 8, 1)), np.arange(6) % 3, batch_size=2)
    >>> checkpoint = keras_vit.training.Checkpoint("runs/digits", batches, every=100)
    >>> model.fit(batches, epochs=50, callbacks=[checkpoint])  # doctest: +SKIP
    """

    def __init__(self, folder, data=None, every="auto", verbose=1):
        super().__init__()
        self.folder = pathlib.Path(folder)
        self.position = _position(data)
        if every != "auto":
            arguments.optional(arguments.positive_integer)("every", every)
        self.every, self.verbose = every, verbose
        self._signals = signals.Signals()
        self._running = False

    def load_weights(self, model):
        """Gives a model the weights of the newest state, to use it or to train it otherwise.

        Raises:
            ValueError: there is no state, or it is of another model; nothing was changed.
        """
        found = state.newest(self.folder)
        if found is None:
            want, advice = "a folder with states of a run was expected", "Train into it first."
            arguments.refuse(want, {"folder": str(self.folder)}, advice)
        capture.put_back_weights(model, found.arrays)

    def set_model(self, model):
        """Takes the last place among the callbacks, where each hook sees what the others did."""
        super().set_model(model)
        self._list = companions.last_of_its_list(self)

    def on_train_begin(self, logs=None):
        """Goes on from the newest state, or saves the first; refuses what does not fit."""
        try:
            self._begin()
        except BaseException:
            self._close()
            raise
        self._signals.watch(self._model)

    def on_epoch_begin(self, epoch, logs=None):
        """Places the data; the epoch that was interrupted begins a step before its state."""
        inside.begin_at(self._model, None)  # Keras would keep it for the next `fit`
        self.epoch, self._first, self._kept = epoch, 0, None
        if self._resumed is not None and self._resumed.step:
            self._first, self._repeated = self._resumed.step - self._stride, self._resumed
        self._resumed = None
        if self.position is not None:
            # Also where nothing was resumed: Keras looks into the data before it trains.
            self.position.go_to(epoch, self._first)
            inside.epoch_iterator()._num_batches = self._steps - self._first

    def on_train_batch_end(self, batch, logs=None):
        """Saves when it is time, ends the run when it was asked to."""
        step = self._first + batch + 1
        if self._repeated is not None:
            # Metrics and variables that exist from the first step on take their values now; what
            # that step did is overwritten, all of it.
            self._put_back(self._repeated)
            self._repeated = None
        else:
            self._check_loss(step, logs)
        model = self._model  # which need not be brought up to date for this
        if self.position is not None and step < self._steps and not model.stop_training:
            if self._signals.received or self._is_due(step):
                self._save(self.epoch, step)
            elif step + self._stride >= self._steps:
                self._kept = self._take(self.epoch, step)  # see `_end_if_asked`
        self._end_if_asked()

    def on_test_batch_end(self, batch, logs=None):
        """Ends the run in its validation."""
        if self._running:
            self._end_if_asked()

    def on_epoch_end(self, epoch, logs=None):
        """Saves a whole epoch, with what the other callbacks made of it."""
        self._kept = None
        self._save(epoch + 1, 0)
        self._end_if_asked()

    def on_train_end(self, logs=None):
        """Gives everything back."""
        if self._resumed is not None:
            self._say(f"Nothing to do: the run is complete ({state.described(self.folder)}).")
        self._close()
        if self._signals.received:
            raise signals.ending(self._signals.received)

    def _begin(self):
        self._kept = self._repeated = self._resumed = None
        self._running, self._first = True, 0
        self._check_steps()
        capture.check_built(self.model)
        state.prepare(self.folder)
        self._others = companions.named(self._list, self)
        self._settings = capture.settings(self.model, self.position)
        found = state.newest(self.folder)
        if found is None:
            self._write(self._take(0, 0))
        else:
            capture.refuse_another_run(self.folder, found, self.model, self._settings)
            self._go_on(found)

    def _check_steps(self):
        """Refuses epochs that are not those of the data."""
        self._steps, self._stride = self.params["steps"], self.model.steps_per_execution
        if self.position is None:
            return
        given, whole = self._steps, self.position.steps_per_epoch
        # Fewer are what is left of an epoch that the same data were interrupted in.
        if inside.epoch_iterator().steps_per_epoch is not None or (given or 0) > whole:
            want = f"an epoch must be once through `data`, {whole} steps"
            advice = "Leave steps_per_epoch out; give `fit` and the checkpoint the same data."
            arguments.refuse(want, {"steps": given}, advice)
        self._steps = whole

    def _go_on(self, found):
        """Lets `fit` begin where a state ends."""
        self._resumed = found
        self._put_back(found)
        self._saved_at, self._cost = time.monotonic(), 0.0
        epochs = self.params["epochs"]
        complete = found.facts["stopped"] or found.epoch >= epochs
        inside.begin_at(self._model, epochs if complete else found.epoch)
        if not complete:
            self._say(f"Goes on after {state.described(self.folder)}.")

    def _put_back(self, found):
        capture.put_back(self.model, found.arrays)
        companions.put_back(self._others, found.facts["callbacks"], found.arrays)

    def _is_due(self, step):
        if self.every == "auto":
            pause = max(SECONDS, self._cost / SHARE)
            return time.monotonic() - self._saved_at >= pause
        return self.every is not None and step % self.every < self._stride

    def _take(self, epoch, step):
        """Returns the state of this moment; (epoch, step) is where training goes on."""
        model = self.model
        values, arrays = companions.attributes(self._others)
        facts = {
            "settings": self._settings,
            "callbacks": values,
            "stopped": bool(model.stop_training),
            "versions": {"keras": keras.__version__},
        }
        return state.State(epoch, step, facts, {**capture.arrays(model), **arrays})

    def _save(self, epoch, step):
        self._write(self._take(epoch, step))

    def _write(self, taken):
        """Writes a state unless it is broken; an error leaves the state before it."""
        broken = capture.not_finite(taken.arrays)
        if broken:
            listed = ", ".join(name.split("/", 2)[2] for name in broken[:NAMES])
            self._refuse_numbers(f"{len(broken)} weights or optimizer variables ({listed})", taken)
        begun = time.monotonic()
        try:
            state.write(self.folder, taken)
        except OSError:
            self._close()
            raise
        self._saved_at = time.monotonic()
        self._cost = self._saved_at - begun

    def _check_loss(self, step, logs):
        loss = (logs or {}).get("loss", 0.0)  # mean of the epoch: one bad step shows for good
        if not math.isfinite(loss):
            self._refuse_numbers(f"the loss ({loss})", state.State(self.epoch, step, {}, {}))

    def _refuse_numbers(self, what, taken):
        """Ends a run whose numbers are no longer finite."""
        where = f"epoch {taken.epoch + 1}, step {taken.step}"
        if taken.step == 0:
            where = f"the end of epoch {taken.epoch}" if taken.epoch else "the start"
        names = ""
        if self.position is not None and taken.step:
            steps = range(taken.step - self._stride, taken.step)
            files = [n for step in steps for n in self.position.names(taken.epoch, step)]
            names = f" Images of the batch: {', '.join(files[:NAMES])}, ..."
        self._close()
        raise ArithmeticError(
            f"Finite numbers were expected. Received: {what}, not finite, after {where}.{names} "
            f"The last good state is {state.described(self.folder)}. Train in a new folder with a "
            "lower learning rate or with clipnorm=1.0 in the optimizer; look at the images."
        )

    def _end_if_asked(self):
        """Ends the run as the signal that came would have done.

        Keras cannot begin an epoch after its last step. So where that was done, the state before
        it is saved, and the step, the validation and the end of the epoch are repeated.
        """
        received = self._signals.received
        if received is None:
            return
        if self._kept is not None:
            self._write(self._kept)
        self._say(f"{received.name}: the same command goes on after {state.described(self.folder)}")
        self._close()
        raise signals.ending(received)

    def _close(self):
        self._running, self._kept, self._resumed, self._repeated = False, None, None, None
        inside.begin_at(self._model, None)
        self._signals.stop()
        state.release(self.folder)

    def _say(self, text):
        if self.verbose:
            print(text, flush=True)


def _position(data):
    """Returns the `Sampler` of data, or None."""
    sampler = getattr(data, "sampler", data)
    if sampler is not None and not hasattr(sampler, "go_to"):
        want = "`data` must have a sampler, or be one"
        advice = "Use keras_vit.data.load, keras_vit.data.Batches or None."
        arguments.refuse(want, {"data": type(data).__name__}, advice)
    return sampler
