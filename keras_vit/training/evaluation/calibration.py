"""How reliable numbers are: calibration of probabilities, and intervals of shares."""

import math
from typing import NamedTuple

import numpy as np

from keras_vit import arguments

NORMAL_95 = 1.959963984540054  # 95 % of a normal distribution lie within so many deviations


class Bin(NamedTuple):
    """The images with a confidence in (lower, upper], their mean confidence and accuracy."""

    lower: float
    upper: float
    images: int
    confidence: float
    accuracy: float


def reliability(confidence, right, bins=15):
    """Returns a `Bin` for each of `bins` equal intervals of 0 to 1.

    Args:
        confidence: probability of the predicted class, (images,).
        right: whether the prediction was correct, (images,).
        bins: number of bins.

    Example:
    >>> from keras_vit.training.evaluation import calibration
    >>> table = calibration.reliability([0.4, 0.9, 1.0], [True, True, False], bins=2)
    >>> [(row.images, row.accuracy) for row in table]
    [(1, 1.0), (2, 0.5)]
    """
    confidence, right = np.asarray(confidence), np.asarray(right)
    edges = np.linspace(0, 1, arguments.positive_integer("bins", bins) + 1)
    # Bin i has edges[i] < confidence <= edges[i + 1]; rounding may give 1.0000000000000002.
    index = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    return tuple(
        Bin(
            float(edges[i]),
            float(edges[i + 1]),
            int((index == i).sum()),
            _mean(confidence[index == i]),
            _mean(right[index == i]),
        )
        for i in range(bins)
    )


def calibration_error(table):
    """Returns the expected calibration error, 0 to 1, of a table of `reliability`.

    Reference: Guo et al., "On Calibration of Modern Neural Networks", Eq. 3,
    https://arxiv.org/abs/1706.04599
    """
    images = sum(row.images for row in table)
    gaps = [row.images * abs(row.accuracy - row.confidence) for row in table if row.images]
    return sum(gaps) / images


def wilson(right, number):
    """Returns the 95 % interval of a share by Wilson's score method; NaN if `number` is 0.

    It stays within 0 and 1, and it is valid for few images, unlike the usual normal interval.

    Example:
    >>> from keras_vit.training.evaluation import calibration
    >>> low, high = calibration.wilson(9, 10)
    >>> round(low, 3), round(high, 3)
    (0.596, 0.982)

    Reference: E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical
    Inference", Journal of the American Statistical Association 22, 1927.
    """
    if not number:
        return math.nan, math.nan
    share, z2 = right / number, NORMAL_95**2
    middle = (share + z2 / (2 * number)) / (1 + z2 / number)
    half = math.sqrt(share * (1 - share) / number + z2 / (4 * number**2)) * NORMAL_95
    half /= 1 + z2 / number
    return max(0.0, middle - half), min(1.0, middle + half)


def _mean(values):
    return float(values.mean()) if len(values) else math.nan
