"""Random variations of training pictures, in NumPy: alike on every backend."""

from typing import NamedTuple

import numpy as np


class Augmentation(NamedTuple):
    """How far a training picture may be turned, zoomed and moved, each at random.

    `rotation` is in degrees to either side, `zoom` and `shift` are shares of the side: 0.1 zooms
    height and width by up to a tenth, `flip` mirrors half of the pictures left to right.
    """

    rotation: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    flip: bool = False


def augment(images, augmentation, rng):
    """Returns a random variation of every picture.

    Args:
        images: uint8, (pictures, height, width, channels).
        augmentation: an `Augmentation`.
        rng: a NumPy random generator; the same one gives the same pictures.

    Returns:
        uint8, of the same shape. What enters at an edge repeats the edge.

    Example:
    >>> images = np.zeros((2, 8, 8, 1), "uint8")
    >>> changes = keras_vit.data.Augmentation(rotation=10)
    >>> keras_vit.data.augment(images, changes, np.random.default_rng(0)).shape
    (2, 8, 8, 1)
    """
    number, height, width, _ = images.shape
    angle = np.deg2rad(augmentation.rotation) * rng.uniform(-1, 1, number)
    zoom = 1 + augmentation.zoom * rng.uniform(-1, 1, (2, number))
    shift = augmentation.shift * rng.uniform(-1, 1, (number, 2)) * (height, width)
    mirror = np.where(augmentation.flip & (rng.random(number) < 0.5), -1.0, 1.0)
    cosine, sine = np.cos(angle), np.sin(angle)
    matrices = np.array([[cosine, -sine * mirror], [sine, cosine * mirror]]) * zoom[:, None]
    return resample(images, matrices.transpose(2, 0, 1), shift)


def resample(images, matrices, shifts):
    """Takes every pixel from where a matrix and a shift point to, by linear interpolation.

    A pixel at p, measured from the middle as (row, column), is read at matrix @ p + shift.

    Args:
        images: uint8, (pictures, height, width, channels), sides of 2 pixels or more.
        matrices: (pictures, 2, 2).
        shifts: (pictures, 2), in pixels.

    Returns:
        uint8, of the shape of `images`.

    Example:
    >>> image = np.array([[10, 20], [30, 40]], "uint8").reshape(1, 2, 2, 1)
    >>> turn = np.array([[[0, 1], [-1, 0]]])
    >>> keras_vit.data.augmentation.resample(image, turn, np.zeros((1, 2)))[0, :, :, 0]
    array([[20, 40],
           [10, 30]], dtype=uint8)
    """
    limits = np.array(images.shape[1:3]) - 1
    middle = limits / 2
    pixels = np.stack(np.indices(images.shape[1:3]), axis=-1).reshape(-1, 2) - middle
    points = pixels @ matrices.transpose(0, 2, 1) + shifts[:, None] + middle  # (B, pixels, 2)
    points = np.clip(points, 0, limits)
    corner = np.minimum(points.astype("int32"), limits - 1)
    down, right = np.moveaxis((points - corner).astype("float32"), -1, 0)[..., None]
    row, column = np.moveaxis(corner, -1, 0)  # (B, pixels) each
    picture = np.arange(len(images))[:, None]
    upper = images[picture, row, column] * (1 - right) + images[picture, row, column + 1] * right
    row = row + 1
    lower = images[picture, row, column] * (1 - right) + images[picture, row, column + 1] * right
    return np.rint(upper * (1 - down) + lower * down).astype("uint8").reshape(images.shape)
