"""Compares the speed of functions on a machine that runs other programs.

If A and B are timed in alternation, A B A B, other programs slow down both equally: each round
gives one ratio, and the median of these ratios is stable even if the times are not.
"""

import statistics
import time


def measure(turns, rounds, warmup=2):
    """Returns {name: [seconds of each round]} of the functions in `turns`, called in alternation.

    Args:
        turns: {name: function without arguments that returns when its work is done}.
        rounds: number of timed rounds.
        warmup: number of rounds before them, for compilation and memory allocation.
    """
    seconds = {name: [] for name in turns}
    for index in range(warmup + rounds):
        for name, turn in turns.items():
            elapsed = time_call(turn)
            if index >= warmup:
                seconds[name].append(elapsed)
    return seconds


def time_call(function):
    """Returns the seconds that one call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def speedup(seconds, reference_seconds):
    """Returns how many times as fast as the reference a contender is: median and quartiles.

    Both are times of the same rounds.

    Example:
    >>> keras_vit.studies.lab.paired.speedup([1.0, 2.0, 1.0], [2.0, 3.0, 1.0])
    (1.5, 1.25, 1.75)
    """
    ratios = [b / a for a, b in zip(seconds, reference_seconds, strict=True)]
    return (statistics.median(ratios), *quartiles(ratios))


def quartiles(values):
    """Returns the lower and the upper quartile, interpolated between neighbors."""
    if len(values) == 1:
        return values[0], values[0]
    lower, _, upper = statistics.quantiles(values, n=4, method="inclusive")
    return lower, upper


def rate(seconds, images):
    """Returns images per second at the median time of a turn."""
    return images / statistics.median(seconds)
