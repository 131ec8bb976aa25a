"""What a map or a curve shows, in words."""

import numpy as np


def times_even(values):
    """Says the range of a map where every patch would get 1 if all got the same.

    Example:
    >>> keras_vit.explain.map_words.times_even(np.array([[0.1, 0.4], [0.1, 0.4]]))
    '0.4 to 1.6 × even'
    """
    return _range(values, "even")


def times_mean(values):
    """Says the range of a map in multiples of its mean."""
    return _range(values, "its mean")


def _range(values, unit):
    mean = float(np.mean(values))
    if not mean:
        return "0 everywhere"
    return f"{np.min(values) / mean:.1f} to {np.max(values) / mean:.1f} \u00d7 {unit}"


def points(values):
    """Says the range of a fall of probability, in percentage points.

    Example:
    >>> keras_vit.explain.map_words.points(np.array([-0.021, 0.5]))
    '−2.1 to +50.0 points'
    """
    low, high = 100 * float(np.min(values)), 100 * float(np.max(values))
    if max(-low, high) < 0.05:
        return "less than 0.1 points"
    return minus(f"{low:+.1f} to {high:+.1f} points")


def cosines(values):
    """Says the range of cosines."""
    return minus(f"cosine {np.min(values):.2f} to {np.max(values):.2f}")


def minus(text):
    """Writes a minus as a minus."""
    return text.replace("-", "\u2212")


def highest(values):
    """Says where a map is highest, rows and columns counted from 0.

    Example:
    >>> keras_vit.explain.map_words.highest(np.array([[0, 0, 0], [0, 0, 7]]))
    'highest at row 1, column 2'
    """
    row, column = np.unravel_index(np.argmax(values), np.shape(values))
    return f"highest at row {row}, column {column}"


def area(curve):
    """Returns the mean area under curves (steps + 1, batch), by trapezoids.

    Example:
    >>> keras_vit.explain.map_words.area(np.array([[1.0], [0.5], [0.0]]))
    0.5
    """
    mean = np.mean(curve, axis=1)
    return float((mean[1:] + mean[:-1]).mean() / 2)


def settled(said):
    """Returns the first depth from which on it is always the last class that comes first.

    Args:
        said: the first class at each depth.

    Example:
    >>> keras_vit.explain.map_words.settled([3, 7, 3, 7, 7])
    3
    """
    other = np.flatnonzero(np.asarray(said) != said[-1])
    return int(other[-1]) + 1 if len(other) else 0
