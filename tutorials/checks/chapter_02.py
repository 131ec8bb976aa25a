"""Checks of chapter 2, An image as a sequence."""

import numpy as np
from check import call, close, expect, numbers


def cut(answer):
    images = numbers(2, 4, 6, 3)
    patches = call(answer, images, 2)
    expected = [
        [image[y : y + 2, x : x + 2].ravel() for y in (0, 2) for x in (0, 2, 4)] for image in images
    ]
    hint = "The images have 4 x 6 pixels, so 2 x 3 patches of 2 x 2 x 3 numbers."
    expect(np.shape(patches) == (2, 6, 12), f"{hint} Received the shape {np.shape(patches)}.")
    hint = "Patches are in reading order, and so are the pixels of each: which axes must trade "
    close(patches, expected, f"{hint}places between the two calls of reshape?")


def embed(answer):
    patches, E, b = (numbers(2, 5, 12), numbers(12, 4, seed=1), numbers(4, seed=2))
    x_class, E_pos = (numbers(1, 1, 4, seed=3), numbers(1, 6, 4, seed=4))
    tokens = call(answer, patches, E, b, x_class, E_pos)
    expected = np.concatenate([np.tile(x_class, (2, 1, 1)), patches @ E + b], axis=1) + E_pos
    hint = "Each image needs its own copy of the class token."
    close(np.shape(tokens), expected.shape, f"{hint} Received the shape {np.shape(tokens)}.")
    hint = "The class token comes first, and it gets a position too. Is the bias added?"
    close(tokens, expected, hint)


def as_kernel(answer):
    E = numbers(2 * 2 * 3, 4)
    hint = "Column j of E, written as a small image of 2 x 2 pixels and 3 channels, is filter j."
    expected = [[[E[row * 6 + column * 3 + c] for c in range(3)] for column in (0, 1)]
                for row in (0, 1)]  # fmt: skip
    close(call(answer, E, 2, 3), expected, hint)
