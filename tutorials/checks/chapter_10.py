"""Checks of chapter 10, Ship it."""

import numpy as np
from check import call, close, expect, numbers


def wilson(answer):
    expected = {(8, 10): (0.4901625, 0.9433178), (0, 20): (0.0, 0.1611253)}
    for (right, n), interval in expected.items():
        hint = f"This is the interval of {right} right answers of {n}. It stays within 0 and 1."
        close(call(answer, right, n), interval, hint, 1e-4)


def calibration_error(answer):
    confidence = np.array([0.97, 0.92, 0.83, 0.56, 0.5, 0.44])
    right = np.array([True, False, True, False, True, False])
    two = "Bins count by their images. Here two are in the last of ten bins, one of them right: "
    two += "mean confidence 0.945, accuracy 0.5, so a gap of 0.445, which counts twice."
    edge = "A confidence of 0.5 belongs to the bin that ends at 0.5, with 0.44."
    five = "It is right for 10 bins, but not for 5: is the number written in the function?"
    for n, bins, gaps, hint in (
        (4, 10, 2 * 0.445 + 0.17 + 0.56, two),
        (6, 10, 2 * 0.445 + 0.17 + 0.56 + 2 * 0.03, edge),
        (6, 5, 0.72 + 0.5, five),
    ):
        with np.errstate(all="ignore"):
            error = call(answer, confidence[:n], right[:n], bins)
        empty = "An empty bin has no mean: leave it out."
        expect(np.isfinite(error).all(), f"Received: {error}. {empty}")
        close(error, gaps / n, hint)


def best_temperature(answer):
    logits, labels = (np.array([[4.0, 0], [4, 0], [4, 0], [4, 0]]), np.array([0, 0, 0, 1]))
    hint = "Three of four are right, so the best probability is 0.75. The loss is the mean of "
    T = call(answer, logits, labels)
    close(T, 4 / np.log(3), f"{hint}-log p of the true class of softmax(logits / T).", 0.02)
    hint = "It is right if all images have the same logits. Take of each image the probability of "
    for scale in (1, 6):
        logits, labels = scale * numbers(40, 5), numbers(40, 5).argmax(axis=1)
        labels[::4] = 0
        T = call(answer, logits, labels)
        close(T, _temperature(logits, labels), f"{hint}its own class, then the mean of -log p.", 0.02)


def _temperature(logits, labels):
    truth = logits[np.arange(len(logits)), labels].mean()
    low, high = 0.1, 10
    for _ in range(60):  # at the minimum the mean logit of the true class is as the model expects
        T = (low + high) / 2
        p = np.exp((logits - logits.max(axis=1, keepdims=True)) / T)
        p /= p.sum(axis=1, keepdims=True)
        low, high = (low, T) if (p * logits).sum(axis=1).mean() < truth else (T, high)
    return T
