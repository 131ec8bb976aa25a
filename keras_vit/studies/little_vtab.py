"""Eight small tasks with handwritten digits, in the groups of VTAB-1k.

VTAB calls tasks natural if images are of everyday things, specialized if they come from special
instruments, structured if the answer is the geometry of the scene. Here natural images show a digit
anywhere on a canvas, specialized ones simulate another instrument, and structured tasks ask where
digits are, how many there are, or how they are rotated.
"""

import functools

import numpy as np

from keras_vit import arguments
from keras_vit import data as sets
from keras_vit.studies.tasks import DIGIT, PLACES, SIDE

FIRST = 5  # the tasks use the digits FIRST to 9, pre-training those before
OUTPUTS = 9  # classes of the largest task: one head, and one compiled program, for all tasks
FAINTEST = 0.1  # brightness: if it were equal, the sum of pixels would tell the number of digits
NOISE = 60.0  # standard deviation of the noise, for pixels 0 to 255


def load(task, count, seed=0, part="train"):
    """Returns images of a task and their labels.

    Args:
        task: a name in `TASKS`.
        count: number of images, drawn independently.
        seed: seed of digits, positions and everything else.
        part: "train" or "test", the split from which digits are drawn.

    Returns:
        uint8 (count, 16, 16, 1) and int32 (count,).

    Example:
    >>> images, labels = keras_vit.studies.little_vtab.load("count", 50)
    >>> images.shape, sorted(set(labels.tolist()))
    ((50, 16, 16, 1), [0, 1, 2, 3])
    """
    arguments.one_of(*TASKS)("task", task)
    arguments.one_of("train", "test")("part", part)
    # Training and test images, and those of two tasks, must not share their random numbers.
    rng = np.random.default_rng((seed, list(TASKS).index(task), part == "test"))
    images, labels = TASKS[task][1](rng, count, part)
    return images.clip(0, 255).astype("uint8")[..., None], labels.astype("int32")


def _digit(rng, count, part):
    digits, labels = _drawn(rng, count, part)
    rows, columns = rng.integers(PLACES, size=(2, count))
    return _canvas([(digits, rows, columns)]), labels


def _noisy(rng, count, part):
    images, labels = _digit(rng, count, part)
    return images + rng.normal(0, NOISE, images.shape), labels


def _negative(rng, count, part):
    images, labels = _digit(rng, count, part)
    return 255 - images, labels


def _outlines(rng, count, part):
    images, labels = _digit(rng, count, part)
    down, right = (np.diff(images, axis=axis, append=0) for axis in (1, 2))
    return abs(down) + abs(right), labels


def _region(rng, count, part):
    digits, _ = _drawn(rng, count, part)
    rows, columns = rng.integers(PLACES, size=(2, count))
    return _canvas([(digits, rows, columns)]), rows // 3 * 3 + columns // 3


def _count(rng, count, part):
    """One to four digits, each in its own quarter and with its own brightness."""
    labels = rng.integers(4, size=count)
    order = rng.permuted(np.tile(np.arange(4), (count, 1)), axis=1)
    layers = []
    for number in range(4):
        digits, _ = _drawn(rng, count, part)
        shown = (number <= labels) * rng.uniform(FAINTEST, 1, count)
        rows, columns = np.divmod(order[:, number], 2)
        layers.append(((digits * shown[:, None, None]).astype(int), rows * DIGIT, columns * DIGIT))
    return _canvas(layers), labels


def _turned(rng, count, part):
    images, _ = _digit(rng, count, part)
    labels = rng.integers(4, size=count)
    return np.stack([np.rot90(i, k) for i, k in zip(images, labels, strict=True)]), labels


def _higher(rng, count, part):
    """A digit on the left and one on the right: class 0 if the left one is higher."""
    left, right = (_drawn(rng, count, part)[0] for _ in range(2))
    rows = np.stack([rng.permutation(PLACES)[:2] for _ in range(count)], axis=1)
    columns = np.zeros(count, int)
    images = _canvas([(left, rows[0], columns), (right, rows[1], columns + DIGIT)])
    return images, (rows[1] < rows[0]).astype(int)


# name: group, function
TASKS = {
    "digit": ("natural", _digit),
    "noise": ("natural", _noisy),
    "negative": ("specialized", _negative),
    "outlines": ("specialized", _outlines),
    "region": ("structured", _region),
    "count": ("structured", _count),
    "turn": ("structured", _turned),
    "higher": ("structured", _higher),
}
# Numbers of classes.
CLASSES = dict.fromkeys(TASKS, 5) | {"region": 9, "count": 4, "turn": 4, "higher": 2}


def _canvas(layers):
    """Adds digits (images, 8, 8) to empty canvases, at rows and columns."""
    images = np.zeros((len(layers[0][0]), SIDE, SIDE), int)
    for digits, rows, columns in layers:
        for image, digit, row, column in zip(images, digits, rows, columns, strict=True):
            image[row : row + DIGIT, column : column + DIGIT] += digit
    return images


def _drawn(rng, count, part):
    """Returns digits (count, 8, 8) and their labels from 0."""
    digits, labels = _digits(part)
    which = rng.integers(len(labels), size=count)
    return digits[which].astype(int), labels[which]


@functools.cache
def _digits(part):
    found = sets.digits()  # the split is always that of seed 0
    images, labels = getattr(found, f"{part}_images"), getattr(found, f"{part}_labels")
    return images[labels >= FIRST, ..., 0], labels[labels >= FIRST] - FIRST
