"""Checks of chapter 2, An image as a sequence."""

import numpy as np
from check import call, close, expect, numbers


def cut(answer):
    axes = "Patches are in reading order, and so are the pixels of each: which axes must trade "
    axes += "places between the two calls of reshape?"
    sides = "It is right for square images: which numbers come from H, which from W?"
    sizes = "It is right for P = 2 and C = 3: is one of them written as a number?"
    for (B, H, W, C), P, hint in (
        ((2, 6, 6, 3), 2, axes),
        ((2, 4, 6, 3), 2, sides),
        ((1, 6, 3, 1), 3, sizes),
    ):
        images = numbers(B, H, W, C)
        patches, N = call(answer, images, P), (H // P) * (W // P)
        count = f"{H} x {W} pixels are {H // P} x {W // P} patches of {P} x {P} x {C} numbers. "
        expected = [
            [image[y : y + P, x : x + P].ravel() for y in range(0, H, P) for x in range(0, W, P)]
            for image in images
        ]
        shape = np.shape(patches)
        expect(shape == (B, N, P * P * C), f"{count}Received the shape {shape}.")
        close(patches, expected, hint)


def embed(answer):
    patches, E, b = (numbers(2, 5, 12), numbers(12, 4, seed=1), numbers(4, seed=2))
    x_class, E_pos = (numbers(1, 1, 4, seed=3), numbers(1, 6, 4, seed=4))
    tokens = call(answer, patches, E, b, x_class, E_pos)
    expected = np.concatenate([np.tile(x_class, (2, 1, 1)), patches @ E + b], axis=1) + E_pos
    hint = "Two images of 5 patches become 2 x 6 tokens of length 4, each with its class token."
    expect(np.shape(tokens) == (2, 6, 4), f"{hint} Received the shape {np.shape(tokens)}.")
    hint = "The class token comes first, and it gets a position too. Is the bias added to patches?"
    close(tokens, expected, hint)


def as_kernel(answer):
    E = numbers(2 * 2 * 5, 4)
    hint = "Column j of E, written as a small image of 2 x 2 pixels and 5 channels, is filter j."
    expected = [[[E[row * 10 + column * 5 + c] for c in range(5)] for column in (0, 1)]
                for row in (0, 1)]  # fmt: skip
    close(call(answer, E, 2, 5), expected, hint)
