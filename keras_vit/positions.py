"""Position embeddings for another image size: section 3.2 of the paper.

A picture of another size has another grid of patches. Its positions are the trained ones, resized
as an image of D channels would be. Both ways of doing so are linear and treat rows and columns
apart, so each is one matrix per axis: new = A_rows old A_columns^T.
"""

import numpy as np

from keras_vit import arguments


def resize(positions, grid, new_grid, method="bilinear"):
    """Resizes a table of position embeddings to another grid of patches.

    Args:
        positions: (1, tokens, D). Tokens before the patches (the class token) stay as they are.
        grid: (rows, columns) of patches that the table was trained for.
        new_grid: (rows, columns) wanted; need not be square.
        method: "bilinear" as in the official code, where the corners of both grids meet, or
            "bicubic" with antialiasing, as timm does it.

    Returns:
        float32 array (1, new tokens, D).

    Raises:
        ValueError: the table does not hold `grid`, or there is no such method.

    Example:
    >>> table = np.zeros((1, 1 + 14 * 14, 192))
    >>> keras_vit.positions.resize(table, (14, 14), (10, 20)).shape
    (1, 201, 192)

    Reference: section 3.2.
    """
    arguments.one_of(*MATRICES)("method", method)
    rows, columns = arguments.height_width("grid", grid)
    new_rows, new_columns = arguments.height_width("new_grid", new_grid)
    before = positions.shape[1] - rows * columns
    if before < 0:
        received = {"tokens": positions.shape[1], "grid": (rows, columns)}
        arguments.refuse("the positions must hold a whole grid", received, "Give its own grid.")
    matrix = MATRICES[method]
    table = positions[0, before:].reshape(rows, columns, -1)
    table = np.tensordot(matrix(rows, new_rows), table, axes=1)  # (new rows, columns, D)
    table = np.einsum("jw,iwd->ijd", matrix(columns, new_columns), table)  # (new r., new c., D)
    table = table.reshape(new_rows * new_columns, -1)
    return np.concatenate([positions[0, :before], table]).astype("float32")[None]


def similarity(vectors, grid):
    """Compares the vectors of all patches, such as their position embeddings: Figure 7, centre.

    Args:
        vectors: (patches, D), row by row.
        grid: (rows, columns) of patches.

    Returns:
        float64 array (rows, columns, rows, columns): at (r, c) the map of cosine similarities of
        that patch with all, -1 to 1; a vector of zeros is similar to none.

    Example:
    >>> keras_vit.positions.similarity([[2.0, 0.0], [0.0, 3.0]], grid=(1, 2))
    array([[[[1., 0.]],
    <BLANKLINE>
            [[0., 1.]]]])
    """
    vectors = np.asarray(vectors, "float64")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = vectors / np.where(lengths > 0, lengths, 1)
    return (units @ units.T).reshape(*grid, *grid)


def bilinear(old, new):
    """Returns the (new, old) matrix of linear interpolation whose ends lie on each other.

    Example:
    >>> keras_vit.positions.bilinear(2, 3)
    array([[1. , 0. ],
           [0.5, 0.5],
           [0. , 1. ]])
    """
    points = np.linspace(0, old - 1, new)
    return np.maximum(0, 1 - np.abs(points[:, None] - np.arange(old)))


def bicubic(old, new):
    """Returns the (new, old) matrix of antialiased cubic interpolation, pixels seen as areas.

    Keys's kernel with a = -1/2, stretched by the scale where the grid shrinks; rows sum to 1.
    """
    scale = old / new
    stretch = max(scale, 1.0)
    centres = (np.arange(new) + 0.5) * scale
    distances = np.abs((np.arange(old) + 0.5 - centres[:, None]) / stretch)
    weights = _keys(distances)
    return weights / weights.sum(axis=1, keepdims=True)


def _keys(x, a=-0.5):
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


MATRICES = {"bilinear": bilinear, "bicubic": bicubic}
