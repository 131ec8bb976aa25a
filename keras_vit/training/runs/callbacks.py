"""Callbacks that report a training: one line per epoch, and TensorBoard on every backend."""

import math
import time

import keras

from keras_vit import backend
from keras_vit.training.runs import messages, options

CLEAR = "\x1b[K"  # clears the rest of a terminal's line


class Progress(keras.callbacks.Callback):
    """Prints one line per epoch, and stops if the loss is not finite.

    Args:
        split: split that is evaluated after each epoch, "validation" or "test".
        live: whether to update the line during the epoch, as a terminal can.
    """

    def __init__(self, split="validation", live=False):
        super().__init__()
        self.split, self.live = split, live

    def on_epoch_begin(self, epoch, logs=None):
        """Starts the clock."""
        self.epoch = epoch
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        """Shows the current values."""
        if self.live:
            step = f"step {batch + 1}/{self.params['steps']}"
            print(f"{self._line(logs)}  {step}{CLEAR}", end="\r", flush=True)

    def on_epoch_end(self, epoch, logs):
        """Prints the values of the epoch."""
        if not math.isfinite(logs["loss"]):
            raise ArithmeticError(
                f"The loss became {logs['loss']} in epoch {epoch + 1}. "
                "Train again with a lower learning rate."
            )
        seconds = f"{time.perf_counter() - self.started:.1f} s"
        print(f"{self._line(logs)}  {seconds}{CLEAR if self.live else ''}", flush=True)

    def _line(self, logs):
        named = {rename_column(name, self.split): value for name, value in logs.items()}
        return messages.epoch(self.epoch + 1, self.params["epochs"], named)


def rename_column(name, split):
    """Returns a name of Keras's logs, which say "val_" even if the split is the test split."""
    return name.replace("val_", f"{split}_") if name.startswith("val_") else name


def tensorboard(folder, histograms=0):
    """Returns Keras's TensorBoard callback: losses, metrics and learning rate of every epoch.

    View the logs with `tensorboard --logdir FOLDER`. Keras writes them with TensorFlow on every
    backend; TensorFlow then leaves the GPU to that backend.

    Args:
        folder: folder of the logs, one for each training.
        histograms: epochs between histograms of all weights; 0 for none.

    Returns:
        A `keras.callbacks.TensorBoard`. Put it after callbacks that add to the logs, such as
        `FewShot`.

    Raises:
        ImportError: TensorFlow or TensorBoard is not installed.

    Example:
    >>> logs = keras_vit.training.tensorboard("runs/first/logs")  # doctest: +SKIP
    >>> model.fit(data.train, callbacks=[logs])  # doctest: +SKIP
    """
    options.check_tensorboard()
    backend.leave_the_gpu()
    return keras.callbacks.TensorBoard(folder, histogram_freq=histograms, write_graph=False)
