"""Means and spreads over seeds: is a difference larger than that of seeds?"""

import math
import statistics

import numpy as np


def group(rows, names, value):
    """Returns {setting: [the value of each seed]}, settings in the order of the rows.

    Args:
        rows: dicts.
        names: name of the setting, or a tuple of names; then keys are tuples.
        value: name of the result.

    Example:
    >>> rows = [{"depth": 1, "seed": 0, "accuracy": 0.5}, {"depth": 1, "seed": 1, "accuracy": 0.7}]
    >>> keras_vit.studies.seeds.group(rows, "depth", "accuracy")
    {1: [0.5, 0.7]}
    """
    found = {}
    for row in rows:
        key = row[names] if isinstance(names, str) else tuple(row[name] for name in names)
        found.setdefault(key, []).append(row[value])
    return found


def spell(values, form=".1f"):
    """Formats values in per cent: their mean, and the lowest and highest seed.

    Example:
    >>> keras_vit.studies.seeds.spell([0.5, 0.52])
    '51.0 (50.0 to 52.0)'
    """
    mean, low, high = (format(100 * f(values), form) for f in (statistics.fmean, min, max))
    return mean if len(values) == 1 else f"{mean} ({low} to {high})"


def differ(first, second):
    """Returns whether two groups of seeds differ by more than the seeds within them.

    Each group needs at least two seeds, and their ranges must not overlap: with three seeds each,
    this happens by chance once in ten times.

    Example:
    >>> keras_vit.studies.seeds.differ([0.50, 0.52], [0.53, 0.60])
    True
    >>> keras_vit.studies.seeds.differ([0.50, 0.54], [0.53, 0.60])
    False
    """
    enough = min(len(first), len(second)) >= 2
    return enough and (max(first) < min(second) or max(second) < min(first))


def rank_correlation(first, second):
    """Returns Spearman's rank correlation, -1 to 1; NaN if all values of one group are equal.

    Example:
    >>> keras_vit.studies.seeds.rank_correlation([1, 2, 3], [10, 1000, 100])
    0.5
    """
    if min(len(set(first)), len(set(second))) < 2:
        return math.nan
    return round(float(np.corrcoef(_ranks(first), _ranks(second))[0, 1]), 6)


def _ranks(values):
    """Ranks of values; equal values share the mean of their ranks."""
    values, ordered = np.asarray(values), np.sort(values)
    return sum(np.searchsorted(ordered, values, side) for side in ("left", "right"))
