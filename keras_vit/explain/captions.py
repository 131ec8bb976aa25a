"""Describes the values of maps and curves in words."""

import numpy as np


def format_times_even(values):
    """Formats the range of a map relative to a uniform map.

    Example:
    >>> captions = keras_vit.explain.captions
    >>> captions.format_times_even(np.array([[0.1, 0.4], [0.1, 0.4]]))
    '0.4 to 1.6 × uniform'
    """
    return _format_range(values, "uniform")


def format_times_mean(values):
    """Formats the range of a map in multiples of its mean."""
    return _format_range(values, "its mean")


def _format_range(values, unit):
    mean = float(np.mean(values))
    if not mean:
        return "0 everywhere"
    return f"{np.min(values) / mean:.1f} to {np.max(values) / mean:.1f} \u00d7 {unit}"


def format_points(values):
    """Formats the range of a drop in probability, in percentage points.

    Example:
    >>> keras_vit.explain.captions.format_points(np.array([-0.021, 0.5]))
    '−2.1 to +50.0 points'
    """
    low, high = 100 * float(np.min(values)), 100 * float(np.max(values))
    if max(-low, high) < 0.05:
        return "less than 0.1 points"
    return use_minus(f"{low:+.1f} to {high:+.1f} points")


def format_cosines(values):
    """Formats the range of cosines."""
    return use_minus(f"cosine {np.min(values):.2f} to {np.max(values):.2f}")


def use_minus(text):
    """Replaces hyphens by minus signs."""
    return text.replace("-", "\u2212")


def locate_highest(values):
    """Returns where a map is highest; rows and columns count from 0.

    Example:
    >>> keras_vit.explain.captions.locate_highest(np.array([[0, 0, 0], [0, 0, 7]]))
    'highest at row 1, column 2'
    """
    row, column = np.unravel_index(np.argmax(values), np.shape(values))
    return f"highest at row {row}, column {column}"


def mean_area(curve):
    """Returns the mean area under curves (steps + 1, batch), by the trapezoidal rule.

    Example:
    >>> keras_vit.explain.captions.mean_area(np.array([[1.0], [0.5], [0.0]]))
    0.5
    """
    mean = np.mean(curve, axis=1)
    return float((mean[1:] + mean[:-1]).mean() / 2)


def find_settling_depth(classes):
    """Returns the first depth from which the top class no longer changes.

    Args:
        classes: the top class at each depth.

    Example:
    >>> keras_vit.explain.captions.find_settling_depth([3, 7, 3, 7, 7])
    3
    """
    changed = np.flatnonzero(np.asarray(classes) != classes[-1])
    return int(changed[-1]) + 1 if len(changed) else 0
