"""Unit vectors and principal directions."""

import numpy as np


def normalize(vectors):
    """Scales vectors (..., D) to length 1, in float64; zero vectors stay zero.

    Example:
    >>> keras_vit.explain.inside.vectors.normalize(np.array([[3.0, 4.0], [0.0, 0.0]]))
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    vectors = np.asarray(vectors, "float64")
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def find_principal(rows, count):
    """Returns the principal directions of vectors, the strongest first, without centering.

    Args:
        rows: (vectors, D).
        count: the maximum number of directions; there are at most min(vectors, D).

    Returns:
        float64 array (directions, D), orthonormal. The largest entry of each direction is positive,
        because its sign is arbitrary.

    Example:
    >>> vectors = np.array([[0.0, 1.0], [-2.0, 0.0]])
    >>> keras_vit.explain.inside.vectors.find_principal(vectors, 2)
    array([[1., 0.],
           [0., 1.]])
    """
    rows = np.asarray(rows, "float64")
    count = min(count, *rows.shape)
    if len(rows) > rows.shape[1]:
        rows = rows.T @ rows  # a D x D matrix with the same directions
    directions = np.linalg.svd(rows, full_matrices=False)[2][:count]
    largest = np.abs(directions).argmax(axis=1)[:, None]
    return directions * np.sign(np.take_along_axis(directions, largest, axis=1))
