"""The images of the studies, as arrays: digits on a canvas, CIFAR-10, eight small tasks.

`load` returns whole datasets, `load_half` half of the classes, for pre-training on known classes
and transfer to new ones, and `load_little` eight small tasks in the groups of VTAB-1k: natural
images show a digit anywhere on a canvas, specialized ones simulate another instrument, and
structured tasks ask where digits are, how many there are, or how they are rotated.
"""

import functools
import os

import numpy as np

from keras_vit import arguments, data

SIDE, DIGIT = 16, 8  # sides in pixels of a canvas and of the digit on it
PLACES = SIDE - DIGIT + 1  # rows (or columns) at which a digit can start
FOLDER = "KERAS_VIT_DATA"  # environment variable: a folder with train/CLASS/ and test/CLASS/
TEST = 2000  # test images at most


def load(name, count, seed=0, part="train"):
    """Returns images and labels of a dataset.

    Args:
        name: "wandering digits", "digits" or "cifar10".
        count: number of images; None for all.
        seed: seed of the selection; with the same seed, fewer images are the first of more.
        part: "train" or "test".

    Returns:
        uint8 (count, height, width, channels) and int32 (count,).

    Raises:
        ValueError: the dataset does not exist, or has fewer images.

    Example:
    >>> images, labels = keras_vit.studies.lab.tasks.load("wandering digits", 100)
    >>> images.shape, labels.shape
    ((100, 16, 16, 1), (100,))
    """
    arguments.one_of(*DATASETS)("name", name)
    return DATASETS[name][0](count, seed, part=part)


def test(name):
    """Returns the test images of a dataset, the same for all seeds, and their labels."""
    return load(name, DATASETS[name][1], part="test")


def model_arguments(name):
    """Returns the arguments of a model for a dataset.

    Example:
    >>> keras_vit.studies.lab.tasks.model_arguments("wandering digits")
    {'image_size': (16, 16), 'num_channels': 1, 'num_classes': 10, 'normalize': (20.0, 40.0)}
    """
    images, labels = test(name)
    return {
        "image_size": images.shape[1:3],
        "num_channels": images.shape[3],
        "num_classes": int(labels.max()) + 1,
        "normalize": DATASETS[name][2],
    }


def load_half(name, half, count, seed=0, part="train"):
    """Returns images of half of the classes, and their labels from 0; all if there are fewer.

    `half` is "known" for the first half of the classes, or "new"; the rest is as in `load`.

    Example:
    >>> images, labels = keras_vit.studies.lab.tasks.load_half("wandering digits", "new", 50)
    >>> images.shape, sorted(set(labels.tolist()))
    ((50, 16, 16, 1), [0, 1, 2, 3, 4])
    """
    arguments.one_of("known", "new")("half", half)
    images, labels = _load_all(name, seed, part)
    border = known_classes(name)
    chosen = np.flatnonzero((labels >= border) == (half == "new"))[:count]
    return images[chosen], labels[chosen] - (border if half == "new" else 0)


def known_classes(name):
    """Returns the number of known classes, which are the first ones."""
    return model_arguments(name)["num_classes"] // 2


def load_transfer(name, seed):
    """Returns (images, labels) of the new classes, for training and test, and of the known ones."""
    return (
        load_half(name, "new", TEST, seed),
        load_half(name, "new", TEST, part="test"),
        load_half(name, "known", TEST, part="test"),
    )


def wandering_digits(count, seed=0, part="train"):
    """Returns real handwritten digits, each at a random position on a canvas of 16 x 16 pixels.

    The digits are those of `keras_vit.data.digits`, with different digits in the test split. Each
    can start at 9 rows and 9 columns, so there are 81 times as many images, about 116,000 for
    training. No combination of digit and position is repeated.
    """
    digits, labels = _digits(part)
    which, place = np.divmod(_draw(count, len(labels) * PLACES**2, seed), PLACES**2)
    placed = (digits[which, ..., 0], *np.divmod(place, PLACES))
    return _canvas([placed], "uint8")[..., None], labels[which].astype("int32")


def digits(count, seed=0, part="train"):
    """Returns the same digits at 8 x 8 pixels: 1,438 for training and 359 for the test."""
    return _select(*_digits(part), count, seed)


def cifar10(count, seed=0, part="train"):
    """Returns CIFAR-10 from TensorFlow Datasets, or images of $KERAS_VIT_DATA, at 32 x 32 pixels.

    Raises:
        ImportError: TensorFlow Datasets is not installed and $KERAS_VIT_DATA is not set.
    """
    return _select(*_cifar10(os.environ.get(FOLDER), part), count, seed)


# {name: (function, number of test images, (mean, deviation) of the pixels)}. The deviation of the
# digits was chosen among 20 to 250 by the accuracy of a small ViT after 400 steps.
DATASETS = {
    "wandering digits": (wandering_digits, TEST, (20.0, 40.0)),
    "digits": (digits, None, (75.0, 100.0)),
    "cifar10": (cifar10, None, (120.0, 64.0)),
}


def _select(images, labels, count, seed):
    drawn = _draw(count, len(labels), seed)
    return images[drawn], labels[drawn]


def _draw(count, number, seed):
    """Returns the first `count` of `number` positions in random order."""
    if count is not None and not 1 <= count <= number:
        want = f"`count` must be 1 to {number:,}, the number of all images, or None"
        arguments.refuse(want, {"count": count})
    return np.random.default_rng(seed).permutation(number)[:count]


@functools.lru_cache(maxsize=3)
def _load_all(name, seed, part):
    return load(name, None, seed, part)


@functools.cache
def _digits(part):
    arguments.one_of("train", "test")("part", part)
    found = data.digits()  # the split is always that of seed 0
    return getattr(found, f"{part}_images"), getattr(found, f"{part}_labels")


@functools.cache
def _cifar10(folder, part):
    arguments.one_of("train", "test")("part", part)
    return to_arrays(data.load(folder or "cifar10", image_size=32, validation_share=0), part)


def _canvas(layers, dtype=int):
    """Adds digits (images, 8, 8) to empty canvases, at rows and columns."""
    images = np.zeros((len(layers[0][0]), SIDE, SIDE), dtype)
    for digits, rows, columns in layers:
        for image, digit, row, column in zip(images, digits, rows, columns, strict=True):
            image[row : row + DIGIT, column : column + DIGIT] += digit
    return images


def load_vtab(name, image_size, most):
    """Returns (images, labels) of 1,000 images and of the test split, and the classes.

    They come from `data.load("vtab/NAME")`. At most `most` test images are selected, evenly spaced.
    """
    loaded = data.load(f"vtab/{name}", image_size)
    known = [to_arrays(loaded, part) for part in ("train", "validation")]
    count = loaded.counts["test"]
    chosen = np.linspace(0, count - 1, min(most, count)).round().astype(int)
    train = tuple(np.concatenate(both) for both in zip(*known, strict=True))
    return train, to_arrays(loaded, "test", chosen), loaded.num_classes


def to_arrays(loaded, part, chosen=None):
    """Returns images and labels of a dataset from `data.load`, all or those at some positions."""
    batches, labels = loaded.fixed_batches(part), np.asarray(loaded.labels(part), "int32")
    chosen = np.arange(len(labels)) if chosen is None else chosen
    return np.stack([batches.image(number) for number in chosen]), labels[chosen]


# --- Eight small tasks ----------------------------------------------------------------------------

FIRST = 5  # the tasks use the digits FIRST to 9, pre-training the lower ones
OUTPUTS = 9  # classes of the largest task: one head, and one compiled program, for all tasks
FAINTEST = 0.1  # brightness: if it were equal, the sum of pixels would reveal the number of digits
NOISE = 60.0  # standard deviation of the noise, for pixels 0 to 255


def load_little(task, count, seed=0, part="train"):
    """Returns images (count, 16, 16, 1) of a task in `LITTLE_TASKS`, and their labels.

    Images are drawn independently, from different digits in the training and the test split.

    Example:
    >>> images, labels = keras_vit.studies.lab.tasks.load_little("count", 50)
    >>> images.shape, sorted(set(labels.tolist()))
    ((50, 16, 16, 1), [0, 1, 2, 3])
    """
    arguments.one_of(*LITTLE_TASKS)("task", task)
    arguments.one_of("train", "test")("part", part)
    # Training and test images, and those of two tasks, must not share their random numbers.
    rng = np.random.default_rng((seed, list(LITTLE_TASKS).index(task), part == "test"))
    images, labels = LITTLE_TASKS[task][2](rng, count, part)
    return images.clip(0, 255).astype("uint8")[..., None], labels.astype("int32")


def _draw_digits(rng, count, part):
    """Returns digits (count, 8, 8) and their labels from 0."""
    digits, labels = _digits(part)
    kept = np.flatnonzero(labels >= FIRST)
    which = kept[rng.integers(len(kept), size=count)]
    return digits[which, ..., 0].astype(int), labels[which] - FIRST


def _place(rng, count, part):
    """Returns canvases with a digit anywhere, its labels, rows and columns."""
    digits, labels = _draw_digits(rng, count, part)
    rows, columns = rng.integers(PLACES, size=(2, count))
    return _canvas([(digits, rows, columns)]), labels, rows, columns


def _digit(rng, count, part):
    return _place(rng, count, part)[:2]


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
    images, _, rows, columns = _place(rng, count, part)
    return images, rows // 3 * 3 + columns // 3


def _count(rng, count, part):
    """Draws one to four digits, each in its own quarter and with its own brightness."""
    labels = rng.integers(4, size=count)
    order = rng.permuted(np.tile(np.arange(4), (count, 1)), axis=1)
    layers = []
    for number in range(4):
        digits, _ = _draw_digits(rng, count, part)
        shown = (number <= labels) * rng.uniform(FAINTEST, 1, count)
        rows, columns = np.divmod(order[:, number], 2)
        layers.append(((digits * shown[:, None, None]).astype(int), rows * DIGIT, columns * DIGIT))
    return _canvas(layers), labels


def _turned(rng, count, part):
    images, _ = _digit(rng, count, part)
    labels = rng.integers(4, size=count)
    return np.stack([np.rot90(i, k) for i, k in zip(images, labels, strict=True)]), labels


def _higher(rng, count, part):
    """Draws a digit on the left and one on the right: class 0 if the left one is higher."""
    left, right = (_draw_digits(rng, count, part)[0] for _ in range(2))
    rows = np.stack([rng.permutation(PLACES)[:2] for _ in range(count)], axis=1)
    columns = np.zeros(count, int)
    images = _canvas([(left, rows[0], columns), (right, rows[1], columns + DIGIT)])
    return images, (rows[1] < rows[0]).astype(int)


# name: group, number of classes, function
LITTLE_TASKS = {
    "digit": ("natural", 5, _digit),
    "noise": ("natural", 5, _noisy),
    "negative": ("specialized", 5, _negative),
    "outlines": ("specialized", 5, _outlines),
    "region": ("structured", 9, _region),
    "count": ("structured", 4, _count),
    "turn": ("structured", 4, _turned),
    "higher": ("structured", 2, _higher),
}
