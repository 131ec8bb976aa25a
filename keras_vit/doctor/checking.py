"""`check`: examines every image of a folder, and its classes as a whole."""

import base64
import os
import sys
import time
from collections import Counter, defaultdict
from typing import NamedTuple

import numpy as np

from keras_vit import arguments
from keras_vit.doctor import file_tree, image_table, near_duplicates, workers
from keras_vit.doctor.examine import THUMB_BYTES
from keras_vit.doctor.file_tree import normalize, printable, quote_distinctly
from keras_vit.doctor.problems import KINDS, Problem
from keras_vit.doctor.report import DatasetReport

IMBALANCE, MILD_IMBALANCE = 10, 3  # largest class : smallest class
ODD_SIZE = 8  # ratio of a side to the median side
NEARLY_ALL, HARDLY_ANY = 0.95, 0.05  # shares, in a class and in all others, that make a shortcut
SHORTCUTS = {  # a property that the images of a class may share, and how to describe it
    "format": "{} files".format,
    "size": "{0[0]} x {0[1]} pixels".format,
    "gray": lambda gray: "grayscale" if gray else "in color",
}
FEWEST = 10  # images of a class, and of all others, for which a shortcut is reported
# Placeholders, images that websites send instead of a photograph, such as "image not available".
# They show text or a logo on a background of one color, unlike the photographs around them.
# Measured on 14,000 photographs (CIFAR-10's test images, Imagenette, Oxford pets): none of 48
# pixels or more has `ONE_COLOR` of its pixels in a single color and 99 % of them in `COLORS` coarse
# colors; the closest one needs 15. Banners with text need 3 to 6, even as JPEG of quality 30.
ONE_COLOR, COLORS = 0.65, 10
SIDE = 48  # pixels; smaller photographs of a plane in the sky may look the same
DRAWINGS = 0.1  # share of such images above which a dataset is taken to consist of drawings
# For a format that hardly any other image has, lower thresholds are enough.
RARE, ENOUGH = 0.01, 50  # largest share of a rare format, fewest images to judge it
ONE_COLOR_RARE, SHADES_RARE = 0.3, 128


class Ground(NamedTuple):
    """The share of the most frequent color, and the numbers of coarse colors and of all colors."""

    share: float
    colors: int
    shades: int

    @property
    def is_plain(self):
        """Whether this indicates a placeholder in any format."""
        return self.share >= ONE_COLOR and self.colors <= COLORS


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
    ground: Ground | None = None


def check(
    folder, processes=None, small_class=10, seconds=workers.SECONDS, progress=False, columns=None
):
    """Examines a folder of images before a model is trained on it.

    Every file is opened and decoded in a separate process, so that no file can crash or block the
    check. No file is changed. `keras_vit.doctor.KINDS` lists the kinds of problems.

    Args:
        folder: class folders, optionally within train, validation and test, as in
            `keras_vit.data.load`; or a .csv table.
        processes: number of processes; None for one per core.
        small_class: warn about classes with fewer training images.
        seconds: time limit for one image.
        progress: whether to show progress on stderr.
        columns: columns of a table, as in `keras_vit.data.load`.

    Returns:
        A `DatasetReport`. `report.ok` is True if there are no errors; `print(report)` prints all
        problems.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: an argument is invalid.

    Example:
    >>> os.makedirs("images/cats")
    >>> open("images/cats/1.jpg", "wb").close()    # an empty file
    >>> report = keras_vit.data.check("images", processes=1)
    >>> report.ok, report.counts
    (False, {'empty-file': 1, 'one-class': 1, 'empty-class': 1})
    """
    processes = arguments.optional(arguments.positive_integer)("processes", processes)
    arguments.positive_integer("small_class", small_class)
    arguments.positive_number("seconds", seconds)
    image_table.check_columns(folder, columns)
    start = time.perf_counter()
    if image_table.is_table(folder) and os.path.exists(folder):
        tree = image_table.list_files(folder, columns)
        folder = os.path.dirname(os.path.abspath(folder))
    else:
        file_tree.check_folder(folder)
        tree = file_tree.walk(folder)
    images, thumbs, found, counts = _examine_all(folder, tree, processes, seconds, progress)
    found += tree.problems
    found += check_classes(tree, counts, images, small_class)
    found += near_duplicates.find_copies(images, thumbs)
    found += find_placeholders(images)
    kinds = list(KINDS)
    found.sort(key=lambda problem: (kinds.index(problem.kind), os.fsencode(problem.path)))
    classes = defaultdict(dict)
    for split, name in sorted({*tree.classes, *counts}):
        classes[name][split] = counts[split, name]
    took = time.perf_counter() - start
    return DatasetReport(
        os.path.abspath(folder), len(tree.files), dict(classes), tuple(found), took
    )


def _examine_all(folder, tree, processes, seconds, progress):
    """Returns decoded images, thumbnails, problems, {(split, class): readable images}."""
    found, counts, images = [], Counter(), {}
    thumbs = np.zeros((len(tree.files), THUMB_BYTES), "uint8")
    paths = [os.path.join(folder, file.path) for file in tree.files]
    outside = {problem.path for problem in tree.problems if problem.kind == "link-outside"}
    results = workers.run("examine", paths, processes, seconds)
    for index, record in _show_progress(results, len(paths)) if progress else results:
        file = tree.files[index]
        kinds = record["problems"]
        for kind, reason in kinds:
            # The file is outside the dataset: a report that is passed on must not quote it.
            reason = "what the link points to" if file.path in outside else reason
            found.append(Problem(kind, file.path, reason, *file[1:]))
        refused = any(KINDS[kind].severity == "error" for kind, _ in kinds)
        counts[file.split, file.class_name] += not refused
        if "thumb" in record:
            thumbs[index] = np.frombuffer(base64.b64decode(record["thumb"]), "uint8")
            images[index] = _make_image(file, record)
    decoded = sorted(images)
    return [images[index] for index in decoded], thumbs[decoded], found, counts


def _make_image(file, record):
    digests = (bytes.fromhex(record[name]) for name in ("bytes", "pixels"))
    size, ground = tuple(record["size"]), find_ground(*record["ground"])
    return CheckedImage(*file, size, record["format"], record["gray"], *digests, ground)


def find_ground(share, colors, shades):
    """Returns the `Ground` of an image if it may be a placeholder, otherwise None."""
    ground = Ground(share, colors, shades)
    is_odd = share >= ONE_COLOR_RARE and 1 < shades <= SHADES_RARE  # one color is another problem
    return ground if is_odd or (ground.is_plain and shades > 1) else None


def check_classes(tree, counts, images, small_class):
    """Returns problems of whole classes: number of images, places, and how they were saved.

    `counts` is a `Counter` of the readable images of each (split, class).
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
    for first, *others in groups.values():
        for name in others:
            reason = f"similar to {quote_distinctly(first, name)}"
            paths = (_folder(tree, first),)
            yield Problem("classes-alike", _folder(tree, name), reason, name, "", paths)


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
        yield Problem("mixed-color", ".", f"{gray:,} of {len(images):,} are grayscale")


def _shortcuts(images):
    """Finds classes that nearly all share a format, size or lack of color, unlike the others."""
    sizes = Counter(image.class_name for image in images)
    for what, describe in SHORTCUTS.items():
        of_class = Counter((image.class_name, getattr(image, what)) for image in images)
        of_all = Counter(getattr(image, what) for image in images)
        for (name, value), number in of_class.items():
            elsewhere, others = of_all[value] - number, len(images) - sizes[name]
            common = number >= NEARLY_ALL * sizes[name] and sizes[name] >= FEWEST
            rare = elsewhere <= HARDLY_ANY * others and others >= FEWEST
            if common and rare:
                alike = (image for image in images if getattr(image, what) == value)
                path = next(image.path for image in alike if image.class_name == name)
                are = f"{number:,} of its images are {describe(value)}"
                yield Problem("shortcut", path, f"{are}, {elsewhere:,} of all others", name)


def find_placeholders(images):
    """Yields the `Problem`s of `CheckedImage`s that look like placeholders."""
    candidates = [image for image in images if image.ground and min(image.size) >= SIDE]
    formats, classes = Counter(image.format for image in images), defaultdict(set)
    for image in images:
        classes[image.pixels].add(image.class_name)
    limit = RARE * len(images) if len(images) >= ENOUGH else 0
    few = sum(image.ground.is_plain for image in candidates) <= DRAWINGS * len(images)
    for image in candidates:
        number, homes = formats[image.format], classes[image.pixels]
        if number > limit and not (image.ground.is_plain and few):
            continue
        reason = f"{int(100 * image.ground.share)} % of it has one color"
        if number <= limit:
            reason += f", {image.format} as {number:,} of {len(images):,} images"
        if len(homes) > 1:
            reason += f", in {len(homes)} classes"
        yield Problem("placeholder", image.path, reason, image.class_name, image.split)


def _folder(tree, name, split=None):
    """Returns the folder of a class, in `split` if it exists there."""
    folders = {key: folder for (key, other), folder in tree.classes.items() if other == name}
    return folders.get(split, next(iter(folders.values())))


def _show_progress(results, total):
    """Yields results; shows a bar on stderr in a terminal, otherwise one line at the end."""
    start, drawn, done, terminal = time.perf_counter(), 0.0, 0, sys.stderr.isatty()
    try:
        for done, result in enumerate(results, 1):
            yield result
            now = time.perf_counter()
            if terminal and now - drawn > 0.1:
                drawn = now
                bar = ("#" * round(30 * done / total)).ljust(30, ".")
                left = (now - start) / done * (total - done)
                line = f"[{bar}] {done:,} of {total:,} images, {left:.0f} s left"
                print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)
    finally:
        seconds = time.perf_counter() - start
        rate = done / max(seconds, 1e-9)
        images = "image" if done == 1 else "images"
        line = f"{done:,} {images} examined in {seconds:.1f} s, {rate:,.0f} per second"
        print(("\r\x1b[K" if terminal else "") + line, file=sys.stderr, flush=True)
