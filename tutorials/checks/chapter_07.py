"""Checks of chapter 7, CIFAR-10, twice."""

import numpy as np
from check import call, close, expect, numbers


def shift_and_flip(answer):
    images = np.ones((1500, 32, 32, 3), "uint8")
    images[..., 0] += np.arange(32, dtype="uint8")[:, None]  # which row, which column
    images[..., 1] += np.arange(32, dtype="uint8")
    moved = np.asarray(call(answer, images, np.random.default_rng(0)))
    hint = f"Shape {images.shape} and dtype uint8 stay the same. Received: {moved.shape}, {moved.dtype}."
    expect(moved.shape == images.shape and moved.dtype == np.uint8, hint)
    padded = np.pad(images[0], [(4, 4), (4, 4), (0, 0)])
    found = []
    for image in moved:
        flipped = bool(image[16, 15, 1] > image[16, 16, 1])
        window = image[:, ::-1] if flipped else image
        top, left = (int(window[16, 16, axis]) - 13 for axis in (0, 1))
        known = 0 <= top <= 8 and 0 <= left <= 8
        same = known and (padded[top : top + 32, left : left + 32] == window).all()
        hint = "An image is one window of 32 x 32 pixels of the image padded with zeros, and "
        expect(same, f"{hint}perhaps mirrored from left to right. One of your images is not.")
        found.append((top, left, flipped))
    hint = "A window can start at 9 rows and 9 columns, 0 to 8, and all occur. Does each image "
    places = {axis: len({place[axis] for place in found}) for axis in (0, 1)}
    received = f"Received {places[0]} rows and {places[1]} columns."
    expect(set(places.values()) == {9}, f"{hint}draw its own? {received}")
    share = np.mean([flipped for _, _, flipped in found])
    expect(0.4 < share < 0.6, f"Mirror half of the images. Received {share:.0%}.")
    hint = "Rows, columns and mirroring are drawn independently: all 162 combinations occur."
    expect(len({*found}) > 150, f"{hint} Received {len({*found})}.")


def interval(answer):
    for p, n in ((0.5, 100), (0.9, 900)):
        half = 1.96 * np.sqrt(p * (1 - p) / n)
        hint = f"The lower and the upper end, for an accuracy of {p} on {n} images."
        close(call(answer, p, n), (p - half, p + half), hint)


def mixup(answer):
    images, targets = numbers(4, 2, 2, 1), np.eye(5)[[0, 1, 2, 2]]
    hint = "Image i has the share `share`, the image before it the rest; image 0 is mixed with the "
    for share in (0.7, 0.5):
        result = call(answer, images, targets, share)
        pair = isinstance(result, (tuple, list)) and len(result) == 2
        expect(pair, "Return both: the mixed images, and their targets.")
        for name, mixed, pure in zip(("Images", "Targets"), result, (images, targets), strict=True):
            before = pure[[3, 0, 1, 2]]
            expected = share * pure + (1 - share) * before
            close(mixed, expected, f"{name}: {hint}last one.")
