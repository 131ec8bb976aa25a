"""Fixed sin-cos positions in two dimensions, as MAE's decoder has them (arXiv 2111.06377)."""

import numpy as np

from keras_vit import arguments

LONGEST = 10_000  # ratio of the wavelengths


def sincos(grid, dim, before=0):
    """Returns the positions of a grid of patches: half of each vector tells the column.

    With d = `dim` / 4 wavelengths, a column c has sin(c w_k), then cos(c w_k) for k = 0 ... d - 1
    and w_k = 10000^(-k / d); then follow those of the row.

    Args:
        grid: (rows, columns).
        dim: length of a vector, divisible by 4.
        before: tokens before the patches; theirs are zeros.

    Returns:
        float32 array (1, before + rows * columns, dim).

    Raises:
        ValueError: 4 does not divide `dim`.

    Example:
    >>> keras_vit.pretraining.sincos.sincos((1, 2), dim=4)[0].round(2)
    array([[0.  , 1.  , 0.  , 1.  ],
           [0.84, 0.54, 0.  , 1.  ]], dtype=float32)
    """
    if dim % 4:
        advice = f"Use {arguments.nearest_multiples(dim, 4)}."
        arguments.refuse("sin-cos positions need a length divisible by 4", {"dim": dim}, advice)
    rows, columns = np.indices(grid).reshape(2, -1)
    table = np.concatenate([_waves(columns, dim // 4), _waves(rows, dim // 4)], axis=1)
    return np.pad(table, ((before, 0), (0, 0)))[None].astype("float32")


def _waves(places, number):
    """(patches, 2 number)."""
    angles = places[:, None] * LONGEST ** (-np.arange(number) / number)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
