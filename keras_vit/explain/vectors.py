"""Lengths and directions of vectors."""

import numpy as np


def unit(vectors):
    """Returns vectors (..., D) at length 1, in float64; those of length 0 stay as they are.

    Example:
    >>> keras_vit.explain.vectors.unit(np.array([[3.0, 4.0], [0.0, 0.0]]))
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    vectors = np.asarray(vectors, "float64")
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def principal(rows, count):
    """Returns the principal directions of vectors, the strongest first; nothing is centred.

    Args:
        rows: (vectors, D).
        count: most directions to return; there are min(vectors, D) at most.

    Returns:
        float64 array (directions, D). They are orthonormal, and the largest entry of each is
        positive: a direction has no sign of its own.

    Example:
    >>> keras_vit.explain.vectors.principal(np.array([[0.0, 1.0], [-2.0, 0.0]]), 2)
    array([[1., 0.],
           [0., 1.]])
    """
    rows = np.asarray(rows, "float64")
    count = min(count, *rows.shape)
    if len(rows) > rows.shape[1]:
        rows = rows.T @ rows  # has the same directions, and many tokens become D x D
    directions = np.linalg.svd(rows, full_matrices=False)[2][:count]
    largest = np.abs(directions).argmax(axis=1)[:, None]
    return directions * np.sign(np.take_along_axis(directions, largest, axis=1))
