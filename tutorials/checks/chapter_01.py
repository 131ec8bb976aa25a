"""Checks of chapter 1, See first."""

import numpy as np
from check import NotYet, call, close, expect


def most_probable(answer):
    names = ["ant", "bee", "cat", "dog"]
    logits = np.log([0.1, 0.2, 0.3, 0.4])
    found = _pairs(call(answer, logits, names, 2))
    hint = "A list of `count` pairs (name, probability) is expected, the most probable first."
    expect([name for name, _ in found] == ["dog", "cat"], f"{hint} Received: {found}.")
    hint = "Are the numbers probabilities? Those of all classes sum to 1."
    close([share for _, share in found], [0.4, 0.3], hint)
    hint = "Large logits overflow in exp: subtract the largest logit first."
    with np.errstate(all="ignore"):
        [(_, share)] = _pairs(call(answer, np.array([999.0, 1000, 0, 0]), names, 1))
    close(share, 1 / (1 + np.exp(-1)), hint)


def _pairs(found):
    hint = "A list of `count` pairs (name, probability) is expected."
    try:
        return [(name, share) for name, share in (found if isinstance(found, list) else [*found])]
    except (TypeError, ValueError):
        raise NotYet(f"{hint} Received: {found!r:.80}.") from None


def count_right(answer):
    logits = np.array([[3.0, 1, 2], [1, 2, 3], [3, 2, 1], [1, 3, 2]])
    labels = np.array([0, 0, 1, 0])
    for k, expected in ((1, 1), (2, 2), (3, 4)):
        hint = f"The classes of {expected} of 4 images are among the {k} largest logits."
        close(call(answer, logits, labels, k), expected, hint)
