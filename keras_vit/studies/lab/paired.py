"""Compares the speed of functions on a machine with other load.

If A and B are timed in alternation, A B A B, other programs slow both alike: each round gives one
ratio, and the median of these ratios is stable even if the times are not.
"""

import statistics
import time


def measure(turns, rounds, warmup=2):
    """Times every function of `turns` once per round, in alternation.

    Args:
        turns: `{name: function without arguments}`. A function returns when its work is done.
        rounds: number of timed rounds.
        warmup: number of rounds before them, not timed, for compilation and memory allocation.

    Returns:
        `{name: [seconds of round 1, seconds of round 2, ...]}`.
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
    """Computes how many times as fast as the reference a contender is, round by round.

    Args:
        seconds: times of one contender, one per round.
        reference_seconds: times of the other in the same rounds.

    Returns:
        (median, lower quartile, upper quartile) of `reference_seconds / seconds`.

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
