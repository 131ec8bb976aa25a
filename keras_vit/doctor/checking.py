"""`check`: examines every image of a folder, and its classes as a whole."""

import base64
import os
import sys
import time
from collections import Counter, defaultdict
from typing import NamedTuple

import numpy as np

from keras_vit import arguments
from keras_vit.doctor import file_tree, near_duplicates, workers
from keras_vit.doctor.file_tree import normalize, printable, quote_distinctly
from keras_vit.doctor.problems import KINDS, SEVERITIES, Problem
from keras_vit.doctor.report import DatasetReport

IMBALANCE, MILD_IMBALANCE = 10, 3  # largest class : smallest class
ODD_SIZE = 8  # times the median side
NEARLY_ALL, HARDLY_ANY = 0.95, 0.05  # of a class and of all others: this makes a shortcut
FEWEST = 10  # images of a class, and of all others, for which a shortcut is reported


class CheckedImage(NamedTuple):
    """The record of a decoded image: about 500 bytes, and 288 more for its thumbnail."""

    path: str
    class_name: str
    split: str
    size: tuple
    format: str
    gray: bool
    bytes: bytes
    pixels: bytes


def check(folder, processes=None, small_class=10, seconds=workers.SECONDS, progress=False):
    """Examines a folder of images before a model is trained on it.

    Every file is opened and decoded in a separate process, so that no file can crash or block the
    check. No file is changed. `keras_vit.doctor.KINDS` lists the kinds of problems.

    Args:
        folder: class folders, optionally within train, validation and test, as in
            `keras_vit.data.load`.
        processes: number of processes; None for one per core.
        small_class: warn of classes with fewer training images.
        seconds: time limit for one image.
        progress: whether to show progress on stderr.

    Returns:
        A `DatasetReport`. `report.ok` is True if there are no errors, `print(report)` prints all
        problems.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: an argument cannot be used.

    Example:
    >>> report = keras_vit.data.check("images/")  # doctest: +SKIP
    >>> report.ok, report.counts  # doctest: +SKIP
    (False, {'truncated': 2, 'near-leak': 1})
    """
    processes = arguments.optional(arguments.positive_integer)("processes", processes)
    arguments.positive_integer("small_class", small_class)
    arguments.positive_number("seconds", seconds)
    if not os.path.isdir(folder):
        raise FileNotFoundError(
            f"A folder of class folders was expected. Received: {os.fspath(folder)!r}. Give a "
            "folder such as images/ with images/cat/1.jpg and images/dog/2.jpg."
        )
    start = time.perf_counter()
    tree = file_tree.walk(folder)
    images, thumbs, found, counts = _examine_all(folder, tree, processes, seconds, progress)
    for split, name in tree.classes:
        counts.setdefault((split, name), 0)
    found += tree.problems
    found += check_classes(tree, counts, images, small_class)
    found += near_duplicates.find_copies(images, thumbs)
    names = defaultdict(dict)
    for (split, name), number in sorted(counts.items()):
        names[name][split] = number
    took = time.perf_counter() - start
    path, problems = os.path.abspath(folder), _sort(found)
    return DatasetReport(path, len(tree.files), dict(names), problems, took)


def _examine_all(folder, tree, processes, seconds, progress):
    """Returns decoded images, thumbnails, problems, {(split, class): readable images}."""
    found, counts = [], Counter()
    images = [None] * len(tree.files)
    thumbs = np.zeros((len(tree.files), near_duplicates.thumb_length()), "uint8")
    paths = [os.path.join(folder, file.path) for file in tree.files]
    with _ProgressBar(len(paths), progress) as bar:
        for index, record in workers.run("examine", paths, processes, seconds):
            file = tree.files[index]
            kinds = record["problems"]
            found += [Problem(k, file.path, why, file[1], file[2]) for k, why in kinds]
            refused = any(KINDS[kind].severity == "error" for kind, _ in kinds)
            counts[file.split, file.class_name] += not refused
            if "thumb" in record:
                thumbs[index] = np.frombuffer(base64.b64decode(record["thumb"]), "uint8")
                images[index] = _make_image(file, record)
            bar.step()
    decoded = [index for index, image in enumerate(images) if image]
    return [images[index] for index in decoded], thumbs[decoded], found, counts


def _make_image(file, record):
    digests = (bytes.fromhex(record[name]) for name in ("bytes", "pixels"))
    return CheckedImage(*file, tuple(record["size"]), record["format"], record["gray"], *digests)


def _sort(problems):
    ranked = sorted(KINDS, key=lambda kind: SEVERITIES.index(KINDS[kind].severity))
    order = {kind: number for number, kind in enumerate(ranked)}
    return tuple(sorted(problems, key=lambda p: (order[p.kind], os.fsencode(p.path))))


def check_classes(tree, counts, images, small_class):
    """Finds problems of whole classes: how many images they have, where, and how they were saved.

    Args:
        tree: a `file_tree.Tree`.
        counts: {(split, class): readable images}.
        images: list of `CheckedImage`, those that were decoded.
        small_class: number of images below which a class is small.

    Returns:
        List of `Problem`.
    """
    names = sorted({name for _, name in tree.classes})
    if not names:
        return [Problem("no-classes", ".", "it contains no class folder")]
    found = [Problem("one-class", ".", f"only {names[0]}")] if len(names) == 1 else []
    found += _similar_names(tree, names)
    splits = sorted({split for split, _ in tree.classes})
    home = "train" if "train" in splits else ""
    for name in names:
        found += _class_size(tree, counts, name, home, splits, small_class)
    found += _balance({name: counts[home, name] for name in names if counts[home, name]}, home)
    return [*found, *_odd_sizes(images), *_mixed_colors(images), *_shortcuts(images)]


def _similar_names(tree, names):
    groups = defaultdict(list)
    for name in names:
        groups["".join(char for char in normalize(name) if char not in " -_\t")].append(name)
    for group in groups.values():
        folders = [_folder(tree, name) for name in group]
        for name, folder in list(zip(group, folders, strict=True))[1:]:
            reason = f"similar to {quote_distinctly(group[0], name)}"
            yield Problem("classes-alike", folder, reason, name, "", (folders[0],))


def _class_size(tree, counts, name, home, splits, small_class):
    number = counts[home, name]
    folder = _folder(tree, name, home)
    if number == 0:
        elsewhere = [split for split in splits if counts[split, name]]
        if elsewhere:
            reason = f"only in {' and '.join(elsewhere)}"
            yield Problem("class-untrained", folder, reason, name, elsewhere[0])
        else:
            yield Problem("empty-class", folder, "0 images", name, home)
        return
    if number == 1:
        yield Problem("single-image", folder, "1 image", name, home)
    elif number < small_class:
        reason = f"{number} images, fewer than {small_class}"
        yield Problem("small-class", folder, reason, name, home)
    for split in splits:
        if counts[split, name] == 0:
            yield Problem("class-missing", folder, f"0 images in {split}", name, split)


def _balance(counts, split):
    if len(counts) < 2:
        return
    largest, smallest = max(counts, key=counts.get), min(counts, key=counts.get)
    most, least = counts[largest], counts[smallest]
    if most >= MILD_IMBALANCE * least:
        kind = "imbalance" if most >= IMBALANCE * least else "mild-imbalance"
        reason = f"{printable(largest)} has {most:,} images, {printable(smallest)} {least:,}"
        yield Problem(kind, ".", reason, smallest, split)


def _odd_sizes(images):
    sides = np.sqrt([image.size[0] * image.size[1] for image in images])
    median = np.median(sides) if len(sides) else 0
    odd = np.flatnonzero((sides > ODD_SIZE * median) | (sides * ODD_SIZE < median))
    for image in (images[index] for index in odd):
        width, height = image.size
        reason = f"{width} x {height}; the median is {median:.0f} x {median:.0f}"
        yield Problem("odd-size", image.path, reason, image.class_name, image.split)


def _mixed_colors(images):
    gray = sum(image.gray for image in images)
    if 0 < gray < len(images):
        yield Problem("mixed-colour", ".", f"{gray:,} of {len(images):,} are grayscale")


def _shortcuts(images):
    """Finds classes that nearly all share a format, size or lack of color that others lack."""
    sizes = Counter(image.class_name for image in images)
    for what in ("format", "size", "gray"):
        of_class = Counter((image.class_name, getattr(image, what)) for image in images)
        of_all = Counter(getattr(image, what) for image in images)
        for (name, value), number in of_class.items():
            others = len(images) - sizes[name]
            common = number >= NEARLY_ALL * sizes[name] and sizes[name] >= FEWEST
            rare = of_all[value] - number <= HARDLY_ANY * others and others >= FEWEST
            if common and rare:
                yield _shortcut(images, name, what, value, number, of_all[value] - number)


def _shortcut(images, name, what, value, number, elsewhere):
    path = next(p.path for p in images if p.class_name == name and getattr(p, what) == value)
    words = {
        "format": f"{value} files",
        "size": f"{value[0]} x {value[1]} pixels" if what == "size" else "",
        "gray": "grayscale" if value else "in color",
    }[what]
    reason = f"{number:,} of its images are {words}, {elsewhere:,} of all others"
    return Problem("shortcut", path, reason, name)


def _folder(tree, name, split=None):
    """Returns the folder of a class, in `split` if it exists there."""
    folders = {key: folder for (key, other), folder in tree.classes.items() if other == name}
    return folders.get(split, next(iter(folders.values())))


class _ProgressBar:
    """A bar on stderr in a terminal; otherwise one line at the end."""

    def __init__(self, total, shown, stream=None):
        self.total, self.shown, self.stream = total, shown, stream or sys.stderr
        self.done, self.start, self.drawn = 0, time.perf_counter(), 0.0

    def __enter__(self):
        return self

    def step(self):
        """Counts one image; redraws the bar at most ten times per second."""
        self.done += 1
        now = time.perf_counter()
        if self.shown and self.stream.isatty() and now - self.drawn > 0.1:
            self.drawn = now
            self._draw(now - self.start)

    def __exit__(self, *error):
        if not self.shown:
            return
        seconds = time.perf_counter() - self.start
        start = "\r\x1b[K" if self.stream.isatty() else ""
        rate = self.done / max(seconds, 1e-9)
        line = f"{self.done:,} images examined in {seconds:.1f} s, {rate:,.0f} per second"
        print(start + line, file=self.stream, flush=True)

    def _draw(self, seconds):
        share = self.done / max(self.total, 1)
        left = seconds / max(self.done, 1) * (self.total - self.done)
        bar = ("#" * round(30 * share)).ljust(30, ".")
        line = f"[{bar}] {self.done:,} of {self.total:,} images, {left:.0f} s left"
        print(f"\r{line}\x1b[K", end="", file=self.stream, flush=True)
