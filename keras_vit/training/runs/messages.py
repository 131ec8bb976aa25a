"""The messages of a run: before, during and after training, and logs for TensorBoard."""

import math
import os
import shutil
import time

import keras

from keras_vit import arguments, backend, environment
from keras_vit.training.evaluation.classifiers import LARGEST_SIDE, MOST
from keras_vit.training.evaluation.metrics import percent
from keras_vit.training.runs.run_folder import (
    OF_THE_DATA,
    check_tensorboard,
    command_line,
    fine_tuning,
)
from keras_vit.training.runs.timing import Pace

INVERT_HINT = "The image is mostly bright; digits are light ink on black. Try --invert."
CLEAR = "\x1b[K"  # clears the rest of a terminal's line
SILENCE = 60  # seconds after which a line is printed within an epoch, without a terminal
FILES = {
    "curves.png": "loss and accuracy of every epoch",
    "predictions.png": "images with their predictions, mistakes first",
    "confusion.png": "which classes were confused with which",
    "positions.png": "similarity of the learned position embeddings (Figure 7 of the paper)",
    "images.png": "training images as the model sees them",
    "example.png": "a test image to try `predict` on",
    "model.keras": "the trained model",
    "unaveraged.weights.h5": "its weights without the moving average",
    "history.csv": "the numbers behind curves.png",
    "metrics.json": "the result, all settings, versions and hardware",
    "settings.json": "the arguments of this run",
}


def introduction(name, data, model, recipe, seed, target):
    """Describes the training that is about to start."""
    lines = [
        environment.description(),
        repr(data).strip("<>"),
        f"Model: {name}, {model.count_params():,} parameters, seed {seed}",
        recipe.summary(),
        f"Run: {target}",
    ]
    return "\n".join(lines)


def references(accuracies, data):
    """Reports the accuracy of the baselines, or why there are none."""
    if not accuracies:
        if data.counts["train"] > MOST:
            return f"Baselines: none; they take minutes with more than {MOST:,} training images."
        needed = "scikit-learn: pip install scikit-learn" if data.counts["test"] else "a test split"
        return f"Baselines: none; they need {needed}"
    listed = ", ".join(f"{name} {percent(value)}" for name, value in accuracies.items())
    is_shrunk = max(data.image_size) > LARGEST_SIDE
    shrunk = f" (images shrunk to {LARGEST_SIDE} pixels)" if is_shrunk else ""
    return f"Baselines, test accuracy on the same split: {listed}{shrunk}"


def start():
    """Yields a note that the first step compiles the model, unless PyTorch runs it."""
    if keras.backend.backend() != "torch":
        yield "The first step takes longest: it compiles the model."


def stopwatch():
    """Returns a function that returns the seconds since its last call.

    `Checkpoint` does not save functions, so a resumed run begins with a new one.
    """
    mark = time.perf_counter()

    def lap():
        nonlocal mark
        before, mark = mark, time.perf_counter()
        return mark - before

    return lap


class ProgressLine(keras.callbacks.Callback):
    """Prints a line per epoch and, once the pace is known, the time that the run takes.

    It stops the run if the loss is not finite.

    Args:
        split: split that is evaluated after each epoch, "validation" or "test".
        live: whether to update a line during the epoch, which requires a terminal; otherwise a new
            line is printed every minute.
        data: the `ImageDataset` that is trained on; None if there is none.

    Raises:
        ArithmeticError: in `fit`: the loss of an epoch is not finite.

    Attributes:
        seconds: of training so far, including earlier parts of a resumed run.
        skipped: names of the training images that could not be read, including those of earlier
            parts, which need not be read again.
    """

    def __init__(self, split="validation", live=False, data=None):
        super().__init__()
        self.split, self.live, self.data, self.pace = split, live, data, None
        self.skipped = []
        self.seconds = self.epoch_seconds = self.silence = 0.0
        self.lap = stopwatch()

    def on_train_begin(self, logs=None):
        """Starts the clock."""
        self.pace = None
        self.lap = stopwatch()

    def on_epoch_begin(self, epoch, logs=None):
        """Counts the seconds of an epoch from zero."""
        self.epoch, self.epoch_seconds = epoch, 0.0

    def on_train_batch_end(self, batch, logs=None):
        """Shows the current values."""
        pace, step = self._find_pace(), batch + 1 + self._first_step()
        pace.add_step(self._count())
        if estimate := pace.announce(self.epoch, step):
            self._print(estimate)
        if self.live or self.silence >= SILENCE:
            line = f"{self._line(logs)}  step {step}/{self.params['steps']}"
            self._print(line + pace.describe(self.epoch, step), passing=self.live)

    def on_epoch_end(self, epoch, logs):
        """Prints the values of the epoch."""
        if not math.isfinite(logs["loss"]):
            raise ArithmeticError(
                f"The loss became {logs['loss']} in epoch {epoch + 1}. "
                "Train again with a lower learning rate."
            )
        pace = self._find_pace()
        pace.end_epoch(self._count())
        line = f"{self._line(logs)}  {self.epoch_seconds:.1f} s"
        self._print(line + pace.describe(epoch, self.params["steps"]))

    def _find_pace(self):
        """Returns the `Pace` since the run was started or resumed."""
        if self.pace is None:
            waits = keras.backend.backend() != "tensorflow"
            self.pace = Pace(self.data, self.params, self.split, waits)
        return self.pace

    def _first_step(self):
        """Returns how many steps of the epoch were done before the run was resumed."""
        begun = getattr(getattr(self.data, "sampler", None), "begun", (None, 0))
        return begun[1] if begun[0] == self.epoch else 0

    def _print(self, line, passing=False):
        """Prints a line, which the next one replaces if it is `passing`."""
        if passing:  # a line wider than the terminal could not be replaced
            line = line[: shutil.get_terminal_size().columns - 1]
        print(f"{line}{CLEAR if self.live else ''}", end="\r" if passing else "\n", flush=True)
        self.silence = 0.0

    def _count(self):
        self.skipped = sorted({*self.skipped, *getattr(self.data, "skipped", ())})
        passed = self.lap()
        self.seconds += passed
        self.epoch_seconds += passed
        self.silence += passed
        return passed

    def _line(self, logs):
        numbers = "  ".join(
            f"{rename_column(name, self.split).replace('_', ' ')} {value:.3f}"
            for name, value in logs.items()
            if name.endswith(("loss", "accuracy"))
        )
        total = str(self.params["epochs"])
        return f"epoch {self.epoch + 1:>{len(total)}}/{total}  {numbers}"


def rename_column(name, split):
    """Replaces "val_", which Keras writes for any split, with the name of the split."""
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
        ValueError: `histograms` is not a number of epochs.

    Example:
    >>> logs = keras_vit.training.tensorboard("runs/first/logs")  # doctest: +SKIP
    >>> model.fit(data.train, callbacks=[logs])  # doctest: +SKIP
    """
    arguments.natural_number("histograms", histograms)
    check_tensorboard()
    backend.leave_the_gpu()
    return keras.callbacks.TensorBoard(folder, histogram_freq=histograms, write_graph=False)


def early_stopping(best_epoch, trained_epochs, patience):
    """Reports which epoch's weights are the result."""
    best = f"the result has the weights of epoch {best_epoch}, whose validation loss is lowest"
    if trained_epochs - best_epoch < patience:
        return f"All epochs were trained; {best}."
    epochs = f"{patience} epoch{'s' * (patience != 1)}"
    return f"No lower validation loss for {epochs}: stopped; {best}."


def interrupted(target):
    """Describes how to resume."""
    return f"Stopped. To resume exactly here: {command_line('train', '--resume', target)}"


def conclusion(target, metrics, options):
    """Reports the result, the files and suggested next steps."""
    parts = [_result(metrics), _contents(target), _next_steps(target, metrics, options)]
    return "\n" + "\n\n".join(parts)


def _result(metrics):
    rows = {metrics["model"]: metrics["test_accuracy"]}
    if "unaveraged_accuracy" in metrics:
        rows["without averaging"] = metrics["unaveraged_accuracy"]
    rows |= metrics["baselines"]
    width = max(map(len, rows))
    low, high = (100 * value for value in metrics["test_interval"])
    number = metrics["test_images"] or metrics["validation_images"]
    lines = [f"Accuracy on {number:,} images that were not used for training:"]
    lines += [f"  {name:<{width}}  {percent(value):>7}" for name, value in rows.items()]
    lines.append(
        f"On other images of the same kind, expect {low:.1f} to {high:.1f} % (95 % interval). "
        f"The run took {metrics['seconds']:.0f} s."
    )
    if "best_epoch" in metrics and not metrics["test_images"]:
        lines.append(
            "They chose the epoch, so on other images expect less; --test-share keeps some apart."
        )
    if skipped := metrics.get("skipped_images"):
        listed = ", ".join(skipped[:5]) + (", ..." if len(skipped) > 5 else "")
        lines.append(f"Skipped training images that could not be read: {len(skipped):,} ({listed})")
    return "\n".join(lines)


def _contents(target):
    there = {name: meaning for name, meaning in FILES.items() if (target / name).exists()}
    width = max(map(len, there))
    lines = [f"Written to {target}{os.sep} (look at the first two files):"]
    return "\n".join(lines + [f"  {name:<{width}}  {text}" for name, text in there.items()])


def _next_steps(target, metrics, options):
    image = target / "example.png"
    steps = [
        ("classify an image with the model", ("predict", target, image)),
        ("accuracy of every class, and how far to trust a probability", ("evaluate", target)),
    ]
    if (target / "positions.png").exists():  # it has patches
        steps.append(
            ("all views of what it looks at, on one page", ("explain", "report", target, image))
        )
    if options["data"] is None:
        steps += [
            ("your own digit, dark ink on paper", ("predict", target, "photo.png", "--invert")),
            ("how much the accuracy varies", ("train", "--seed", options["seed"] + 1)),
        ]
    lines = [f"  # {purpose}\n  {command_line(*words)}" for purpose, words in steps]
    if options["data"] is None:
        lines.append(f"  # your own images, in one folder per class\n  {fine_tuning('images')}")
    elif options["weights"] is None:
        few = f"{metrics['train_images']:,} images are few for training a ViT from scratch"
        command = fine_tuning(options["data"], **{name: options[name] for name in OF_THE_DATA})
        lines.append(f"  # {few}: fine-tune published weights\n  {command}")
    return "\n".join(["Try next:", *lines])
