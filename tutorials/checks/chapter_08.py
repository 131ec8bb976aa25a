"""Checks of chapter 8, Fine-tune your own images."""

import numpy as np
from check import call, close, expect, numbers


def train_head(answer):
    for n, D, K, rate, steps, hint in (
        (6, 4, 3, 0.5, 1, "After one step from zeros"),
        (6, 4, 3, 0.5, 3, "It is right for one step, but not for three: is p computed in each"),
        (8, 5, 2, 0.1, 3, "It is right for one rate and one size, but not for others"),
    ):
        x, t = numbers(n, D).astype("float64"), np.eye(K)[np.arange(n) ** 2 % K]
        W, b, losses = np.zeros((D, K)), np.zeros(K), []
        for _ in range(steps):
            p = np.exp(x @ W + b)
            p /= p.sum(axis=1, keepdims=True)
            losses.append(-np.log((p * t).sum(axis=1)).mean())
            W, b = W - rate * x.T @ (p - t) / n, b - rate * (p - t).mean(axis=0)
        result = call(answer, x, t, rate, steps)
        three = isinstance(result, (tuple, list)) and len(result) == 3
        expect(three, "Return three things: W, b, and the loss before each step.")
        for name, received, expected in zip("Wb", result, (W, b), strict=False):
            close(received, expected, f"{name}: {hint}.")
        close(result[2], losses, "The losses: the mean of -log p of the true class before a step.")


def fold(answer):
    W, b = numbers(4, 3, seed=1), numbers(3, seed=2)
    mean, deviation = (numbers(4, seed=3), 1 + numbers(4, seed=4) ** 2)
    result = call(answer, W, b, mean, deviation)
    pair = isinstance(result, (tuple, list)) and len(result) == 2
    expect(pair, "Return both: the kernel, and the bias.")
    kernel, bias = result
    hint = "Row i of W is multiplied with feature i, which is to be divided by deviation i."
    close(kernel, W / deviation[:, None], hint)
    hint = "The kernel is right. The bias has to make up for the mean, which is no longer "
    close(bias, b - mean / deviation @ W, f"{hint}subtracted from the features.")


def class_cosines(answer):
    x, labels = numbers(40, 6), np.arange(40) % 4
    centers = np.stack([x[labels == k].mean(axis=0) for k in range(4)])
    lengths = np.linalg.norm(centers, axis=1)
    hint = "Cosine of the mean of class i and the mean of class j: the product of the two means, "
    cosines = centers @ centers.T / np.outer(lengths, lengths)
    close(call(answer, x, labels), cosines, f"{hint}divided by the length of each.")
