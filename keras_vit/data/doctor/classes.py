"""Looks at the classes as a whole: how many images each has, where, and how they were saved."""

from collections import Counter, defaultdict

import numpy as np

from keras_vit.data.doctor.kinds import Problem
from keras_vit.data.doctor.walking import plain, printable, told_apart

IMBALANCE, MILD_IMBALANCE = 10, 3  # largest class by smallest
ODD_SIZE = 8  # times the median side
NEARLY_ALL, HARDLY_ANY = 0.95, 0.05  # shares of a class and of the others that make a shortcut
FEWEST = 10  # images of a class, and of the others, that a shortcut is looked for in


def problems(tree, counts, images, small_class):
    """Says what is wrong with the classes.

    Args:
        tree: a `walking.Tree`.
        counts: {(split, class): images that can be read}.
        images: list of `CheckedImage`, those that were decoded.
        small_class: images below which a class is small.

    Returns:
        List of `Problem`.
    """
    names = sorted({name for _, name in tree.classes})
    if not names:
        return [Problem("no-classes", ".", "no folder in it is a class")]
    found = [Problem("one-class", ".", f"only {names[0]}")] if len(names) == 1 else []
    found += _alike(tree, names)
    splits = sorted({split for split, _ in tree.classes})
    home = "train" if "train" in splits else ""
    for name in names:
        found += _size_of_class(tree, counts, name, home, splits, small_class)
    found += _balance({name: counts[home, name] for name in names if counts[home, name]}, home)
    return [*found, *_odd_sizes(images), *_colours(images), *_shortcuts(images)]


def _alike(tree, names):
    groups = defaultdict(list)
    for name in names:
        key = plain(name)
        groups["".join(char for char in key if char not in " -_\t")].append(name)
    for group in groups.values():
        folders = [_folder(tree, name) for name in group]
        for name, folder in list(zip(group, folders, strict=True))[1:]:
            reason = f"beside {told_apart(group[0], name)}"
            yield Problem("classes-alike", folder, reason, name, "", (folders[0],))


def _size_of_class(tree, counts, name, home, splits, small_class):
    number = counts[home, name]
    folder = _folder(tree, name, home)
    if number == 0:
        elsewhere = [split for split in splits if counts[split, name]]
        if elsewhere:
            where = " and ".join(elsewhere)
            yield Problem("class-untrained", folder, f"only in {where}", name, elsewhere[0])
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
        reason = f"{width} x {height}; half of all have less than {median:.0f} x {median:.0f}"
        yield Problem("odd-size", image.path, reason, image.class_name, image.split)


def _colours(images):
    grey = sum(image.grey for image in images)
    if 0 < grey < len(images):
        yield Problem("mixed-colour", ".", f"{grey:,} of {len(images):,} are grey")


def _shortcuts(images):
    """Finds classes that nearly all share a format, size or lack of colour that others lack."""
    sizes = Counter(image.class_name for image in images)
    for what in ("format", "size", "grey"):
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
        "size": f"of {value[0]} x {value[1]} pixels" if what == "size" else "",
        "grey": "without colours" if value else "in colour",
    }[what]
    reason = f"{number:,} of its images are {words}, of all others {elsewhere:,}"
    return Problem("shortcut", path, reason, name)


def _folder(tree, name, split=None):
    """The folder of a class, in `split` if there is one."""
    places = {place: folder for (place, other), folder in tree.classes.items() if other == name}
    return places.get(split, next(iter(places.values())))
