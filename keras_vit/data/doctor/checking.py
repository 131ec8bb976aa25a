"""`check`: walks a folder, examines every image and looks at the whole."""

import base64
import os
import time
from collections import Counter, defaultdict
from typing import NamedTuple

import numpy as np

from keras_vit import arguments
from keras_vit.data.doctor import classes, copies, walking, workers
from keras_vit.data.doctor.kinds import KINDS, SEVERITIES, Problem
from keras_vit.data.doctor.progress import Progress
from keras_vit.data.doctor.report import Report


class CheckedImage(NamedTuple):
    """What is kept of an image that was decoded: some 500 bytes, its thumbnail 288 more."""

    path: str
    class_name: str
    split: str
    size: tuple
    format: str
    grey: bool
    bytes: bytes
    pixels: bytes


def check(folder, processes=None, small_class=10, seconds=workers.SECONDS, progress=False):
    """Examines a folder of images before a model is trained on it.

    Every file is opened and decoded, in processes of their own, so that none can stop the check.
    Nothing is changed. What it looks for stands in `keras_vit.data.doctor.KINDS`.

    Args:
        folder: class folders, perhaps within train, validation and test, as `keras_vit.data.scan`
            takes it.
        processes: how many work at once; None for one on each core.
        small_class: a class with fewer images to train on gets a warning.
        seconds: that one image may take.
        progress: whether to show on stderr how far it is.

    Returns:
        A `Report`; `report.ok` tells whether there are no errors, `print(report)` tells all.

    Raises:
        FileNotFoundError: there is no such folder.
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
    tree = walking.walk(folder)
    images, thumbs, found, counts = _examined(folder, tree, processes, seconds, progress)
    for split, name in tree.classes:
        counts.setdefault((split, name), 0)
    found += tree.problems
    found += classes.problems(tree, counts, images, small_class)
    found += copies.problems(images, thumbs)
    names = defaultdict(dict)
    for (split, name), number in sorted(counts.items()):
        names[name][split] = number
    took = time.perf_counter() - start
    return Report(os.path.abspath(folder), len(tree.entries), dict(names), _sorted(found), took)


def _examined(folder, tree, processes, seconds, progress):
    """Returns images that were decoded, thumbnails, problems, {(split, class): readable}."""
    found, counts = [], Counter()
    images = [None] * len(tree.entries)
    thumbs = np.zeros((len(tree.entries), copies.thumb_length()), "uint8")
    paths = [os.path.join(folder, entry.path) for entry in tree.entries]
    with Progress(len(paths), "images", shown=progress) as bar:
        for index, record in workers.run("examine", paths, processes, seconds):
            entry = tree.entries[index]
            kinds = record["problems"]
            found += [Problem(k, entry.path, why, entry[1], entry[2]) for k, why in kinds]
            refused = any(KINDS[kind].severity == "error" for kind, _ in kinds)
            counts[entry.split, entry.class_name] += not refused
            if "thumb" in record:
                thumbs[index] = np.frombuffer(base64.b64decode(record["thumb"]), "uint8")
                images[index] = _image(entry, record)
            bar.step()
    decoded = [index for index, image in enumerate(images) if image]
    return [images[index] for index in decoded], thumbs[decoded], found, counts


def _image(entry, record):
    digests = (bytes.fromhex(record[name]) for name in ("bytes", "pixels"))
    return CheckedImage(*entry, tuple(record["size"]), record["format"], record["grey"], *digests)


def _sorted(problems):
    ranked = sorted(KINDS, key=lambda kind: SEVERITIES.index(KINDS[kind].severity))
    order = {kind: number for number, kind in enumerate(ranked)}
    return tuple(sorted(problems, key=lambda p: (order[p.kind], os.fsencode(p.path))))
