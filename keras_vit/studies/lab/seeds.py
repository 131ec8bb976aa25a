"""Means and spreads over seeds, in words and in figures.

A difference is called clear if it is larger than the differences between seeds; see `differ`.
"""

import math
import statistics

import numpy as np


def group(rows, names, value):
    """Returns {setting: [the value of each seed]}, settings in the order of the rows.

    `names` is the name of a setting, or a tuple of names if keys are tuples.

    Example:
    >>> rows = [{"depth": 1, "seed": 0, "accuracy": 0.5}, {"depth": 1, "seed": 1, "accuracy": 0.7}]
    >>> keras_vit.studies.lab.seeds.group(rows, "depth", "accuracy")
    {1: [0.5, 0.7]}
    """
    found = {}
    for row in rows:
        key = row[names] if isinstance(names, str) else tuple(row[name] for name in names)
        found.setdefault(key, []).append(row[value])
    return found


def curves(rows, names, x, value):
    """Returns {setting: {x: [the value of each seed]}}, x ascending; `names` as in `group`."""
    members = group([{**row, "row": row} for row in rows], names, "row")
    return {key: dict(sorted(group(m, x, value).items())) for key, m in members.items()}


def spell(values, form=".1f", unit=100):
    """Formats values in percent: their mean, and the lowest and highest seed.

    Example:
    >>> keras_vit.studies.lab.seeds.spell([0.5, 0.52])
    '51.0 (50.0 to 52.0)'
    """
    mean, low, high = (format(unit * f(values), form) for f in (statistics.fmean, min, max))
    return mean if len(values) == 1 else f"{mean} ({low} to {high})"


def differ(first, second):
    """Returns whether two groups of two or more seeds differ clearly: their ranges are disjoint.

    With three seeds each, this happens by chance once in ten times.

    Example:
    >>> keras_vit.studies.lab.seeds.differ([0.50, 0.52], [0.53, 0.60])
    True
    >>> keras_vit.studies.lab.seeds.differ([0.50, 0.54], [0.53, 0.60])
    False
    """
    enough = min(len(first), len(second)) >= 2
    return enough and (max(first) < min(second) or max(second) < min(first))


def gain(after, before):
    """Describes the difference of two means, in points, and whether it is clear.

    Example:
    >>> keras_vit.studies.lab.seeds.gain([0.53, 0.60], [0.50, 0.54])
    '+4.5 points (unclear)'
    """
    points = 100 * (statistics.fmean(after) - statistics.fmean(before))
    return f"{points:+.1f} points{unclear(after, before)}"


def unclear(first, second):
    """Returns " (unclear)" if two groups of seeds do not differ clearly, otherwise ""."""
    return "" if differ(first, second) else " (unclear)"


def rank_correlation(first, second):
    """Returns Spearman's rank correlation, -1 to 1; NaN if all values of one group are equal.

    Example:
    >>> keras_vit.studies.lab.seeds.rank_correlation([1, 2, 3], [10, 1000, 100])
    0.5
    """
    if min(len(set(first)), len(set(second))) < 2:
        return math.nan
    return round(float(np.corrcoef(_ranks(first), _ranks(second))[0, 1]), 6)


def _ranks(values):
    """Returns the ranks of values; equal values share the mean of their ranks."""
    values, ordered = np.asarray(values), np.sort(values)
    return sum(np.searchsorted(ordered, values, side) for side in ("left", "right"))


def draw_means(axes, points, **style):
    """Plots means of {x: [each seed]} in percent, with bars from the lowest to the highest."""
    means, low, high = (
        [100 * f(values) for values in points.values()] for f in (statistics.fmean, min, max)
    )
    bars = [[abs(m - e) for m, e in zip(means, end, strict=True)] for end in (low, high)]
    axes.errorbar(list(points), means, bars, **style)


def draw_rows(axes, groups):
    """Plots a row of dots for each of {name: [each seed]}, with a stroke at the mean."""
    for place, values in enumerate(groups.values()):
        axes.plot(values, [place] * len(values), "o", color="C0", alpha=0.6)
        axes.plot([statistics.fmean(values)], [place], "|", color="C0", markersize=18)
    axes.set_yticks(range(len(groups)), list(groups))


def set_log_ticks(axes, ticks, labels):
    """Makes the x-axis logarithmic, with these ticks only."""
    axes.set_xscale("log")
    axes.set_xticks(ticks, labels)
    axes.minorticks_off()


def finish(axes, title="", xlabel="", ylabel="", legend=True):
    """Names the axes, and adds a grid and a legend of everything with a label."""
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
    if legend and axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8)
