"""Checks of chapter 6, Why data matters."""

import numpy as np
from check import call, close, expect, numbers


def scatter(answer):
    pool = np.stack([np.full((8, 8), digit, "uint8") for digit in range(1, 31)])
    result = call(answer, np.random.default_rng(0), pool, 2000)
    three = isinstance(result, (tuple, list)) and len(result) == 3
    expect(three, "Return three things: the images, which digits they show, and the regions.")
    images, which, regions = (np.asarray(part) for part in result)
    hint = "The images have the shape (2000, 16, 16, 1) and the dtype uint8. Received: "
    right = images.shape == (2000, 16, 16, 1) and images.dtype == np.uint8
    expect(right, f"{hint}{images.shape}, {images.dtype}.")
    rows, columns = (images.any(axis=(axis, 3)).argmax(axis=1) for axis in (2, 1))
    digits = images.max(axis=(1, 2, 3))
    for image, row, column, digit in zip(images[..., 0], rows, columns, digits, strict=True):
        expected = np.zeros((16, 16))
        expected[row : row + 8, column : column + 8] = digit
        close(image, expected, "Each image shows one whole digit, and is black elsewhere.")
    hint = "A digit of 8 pixels has 9 rows and 9 columns at which it can start, and all occur."
    places = len({*zip(rows.tolist(), columns.tolist(), strict=True)})
    expect(places == 81, f"{hint} Received {places} of 81 places.")
    expect(len(np.unique(digits)) == 30, "Draw the digit of each image from the whole pool.")
    close(which, digits - 1.0, "Image i shows the digit pool[which[i]].")
    hint = "Regions are in reading order: rows 0 to 2 and columns 0 to 2 are region 0, columns 3 "
    close(regions, rows // 3 * 3 + columns // 3, f"{hint}to 5 are region 1.")


def shuffle_patches(answer):
    image, order = numbers(16, 16), np.random.default_rng(1).permutation(16)
    tiles = [image[4 * r : 4 * r + 4, 4 * c : 4 * c + 4] for r in range(4) for c in range(4)]
    rows = [np.hstack([tiles[i] for i in order[4 * row : 4 * row + 4]]) for row in range(4)]
    hint = "Cut the image into 16 patches in reading order, as chapter 2 does. Place i of the "
    hint += "result shows patch order[i], with its pixels where they were."
    close(call(answer, image, order), np.vstack(rows), hint)


def images_for(answer):
    for target, expected in ((0.6, np.sqrt(1e5)), (0.75, 10**3.25)):
        hint = "Between two points the curve is a straight line in the logarithm of the images."
        sizes, accuracies = np.array([100, 1000, 10000]), np.array([0.5, 0.7, 0.9])
        close(call(answer, target, sizes, accuracies), expected, hint, 1e-4)


def move(answer):
    images = np.zeros((2000, 16, 16, 1), "uint8")
    images[:, 9:16, 2:7] = np.arange(1, 36).reshape(7, 5, 1)  # 10 rows and 12 columns to start at
    moved = np.asarray(call(answer, images, np.random.default_rng(0)))
    hint = f"The images keep their shape {images.shape}. Received: {moved.shape}."
    expect(moved.shape == images.shape, hint)
    places = set()
    for image in moved:
        row, column = np.unravel_index((image == 1).argmax(), (16, 16))
        expected = np.roll(images[0], (row - 9, column - 2), axis=(0, 1))
        whole = row <= 9 and column <= 11 and (image == expected).all()
        expect(whole, "A digit is whole after the move, and the rest of its canvas is black.")
        places.add((int(row), int(column)))
    hint = "Draw a row and a column for each image. A digit whose pixels cover 7 rows and 5 "
    received = f"Received {len(places)}."
    expect(len(places) == 120, f"{hint}columns has 120 places, and all occur. {received}")
