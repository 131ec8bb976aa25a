"""Groups of images that belong together, such as those of one patient: all are in one split."""

import re

import numpy as np

from keras_vit import arguments


def check_pattern(pattern):
    """Returns a compiled regular expression, or raises `ValueError` if it cannot be used."""
    expected = "`group_pattern` must be a regular expression with one pair of parentheses or none"
    advice = r"To group 'patient7_2.png' by 'patient7': (patient\d+)_"
    try:
        compiled = re.compile(pattern)
    except (re.error, TypeError) as error:
        arguments.refuse(expected, {"group_pattern": pattern, "problem": str(error)}, advice)
    if compiled.groups > 1:
        arguments.refuse(expected, {"group_pattern": pattern}, advice)
    return compiled


def find(names, pattern):
    """Returns the group of every name: the text that the pattern, or its parentheses, match."""
    compiled = check_pattern(pattern)
    matches = [compiled.search(name) for name in names]
    missing = [name for name, match in zip(names, matches, strict=True) if match is None]
    if missing:
        received = {"group_pattern": pattern, "without a match": len(missing), "first": missing[0]}
        expected = "`group_pattern` must match the name of every image"
        arguments.refuse(expected, received, "Names are relative to the dataset: cat/7_2.png.")
    return [match[compiled.groups] for match in matches]


def hold_out(labels, groups, seed, share):
    """Divides images into two parts like `source.hold_out`, but keeps each group whole.

    Groups are moved to the held part in random order, as long as this brings the share of every
    class closer to the target. Every class keeps an image in the first part.

    Args:
        labels: class of every image, (images,).
        groups: group of every image, (images,).
        seed: non-negative integer, or a list of them.
        share: share of the images to hold out.

    Returns:
        Two arrays of indices, each in ascending order.

    Raises:
        ValueError: no group can be held out.
    """
    _, labels = np.unique(labels, return_inverse=True)
    names, numbers = np.unique(np.asarray(groups, str), return_inverse=True)
    counts = np.zeros((len(names), labels.max() + 1))
    np.add.at(counts, (numbers, labels), 1)
    total = counts.sum(axis=0)
    # distance to the shares, with all classes of equal importance
    missing, counts = np.full(len(total), float(share)), counts / total
    held = np.zeros(len(names), bool)
    order = np.random.default_rng(seed).permutation(len(names))

    def change(group):
        """Returns how much the distance changes if a group is moved."""
        step = -counts[group] if held[group] else counts[group]
        keeps_all = ((1 - share + missing - step) * total > 0.5).all()
        return np.sum(step * (step - 2 * missing)) if keeps_all else np.inf

    def move(group):
        nonlocal missing
        missing = missing + (counts[group] if held[group] else -counts[group])
        held[group] = ~held[group]

    moved = True
    while moved:
        moved = False
        for group in order:
            if change(group) < -1e-9:
                move(group)
                moved = True
    if not held.any():  # every group is larger than the share: take the one that fits best
        best = min(order, key=change)
        if change(best) == np.inf:
            expected = (
                "there must be enough groups for every split, and at least two for each class"
            )
            received = {"groups": len(names), "such as": names[:5].tolist()}
            advice = "Set test_share and validation_share to 0, or group the images differently."
            arguments.refuse(expected, received, advice)
        move(best)
    images = held[numbers]
    return np.flatnonzero(~images), np.flatnonzero(images)


def check(splits):
    """Raises `ValueError` if a group is in two of the splits of a dataset."""
    home = {}
    for name, source in splits.sources.items():
        for group in dict.fromkeys(source.groups or ()):
            if home.setdefault(group, name) != name:
                received = {"group": group, "splits": (home[group], name)}
                advice = "Correct the splits, or leave them out so that they are drawn by group."
                arguments.refuse("all images of a group must be in one split", received, advice)


def describe(splits):
    """Returns a note on the groups and the shares of the images that the splits reached."""
    total = sum(map(len, splits.sources.values()))
    parts = [
        f"{len(set(source.groups)):,} {name} ({100 * len(source) / total:.1f} %)"
        for name, source in splits.sources.items()
    ]
    return f"groups (and their share of the images): {', '.join(parts)}"
