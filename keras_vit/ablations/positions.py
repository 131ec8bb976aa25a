"""Position embeddings: other kinds (Appendix D.4), and for another image size (section 3.2).

The paper's default, a learned vector for each place in the sequence, is E_pos of `PatchEncoder`.
The layers here replace it, before the first block or before every block. (Relative
positions are part of the attention: `keras_vit.ablations.relative`.)

An image of a different size has a different grid of patches. Its positions are the trained ones,
resized as an image of D channels would be. Every method is linear and treats rows and columns
separately, so it is one matrix per axis: new = A_rows old A_columns^T.
"""

import functools

import keras
import numpy as np
from keras import initializers, ops

from keras_vit import arguments as check
from keras_vit.layers import Layer

register = keras.saving.register_keras_serializable(package="keras_vit")
LONGEST = 10_000  # ratio of sin-cos wavelengths, arXiv 1706.03762


class PositionEmbedding(Layer):
    """Adds to every token a vector that depends on its place, x + E_pos: base of all kinds.

    Args:
        grid: (rows, columns) of patches.
        prefix_tokens: number of tokens before those of the patches.

    Call arguments:
        x: tokens (batch, prefix_tokens + rows * columns, D).

    Returns:
        The same shape.

    Raises:
        ValueError: the number of tokens does not match the grid, or D is not divisible as the kind
            requires.
    """

    divides = 1  # D must be a multiple of this

    def __init__(self, grid: check.height_width, prefix_tokens: check.natural_number = 0, **kwargs):
        super().__init__(**kwargs)
        self.keep(locals())

    def build(self, input_shape):
        check.tokens(type(self).__name__, input_shape)
        rows, columns = self.grid
        tokens, self.hidden_dim = input_shape[1:]
        if tokens != self.prefix_tokens + rows * columns:
            received = {"tokens": tokens, "grid": self.grid, "prefix_tokens": self.prefix_tokens}
            check.refuse("there must be one position for each token", received)
        check_length(self.hidden_dim, self.divides)

    def call(self, x):
        return x + ops.cast(self.table(), x.dtype)  # (B, tokens, D)

    def table(self):
        """Returns E_pos: (1, prefix_tokens + rows * columns, D)."""
        raise NotImplementedError

    def _learned(self, places, length, name):
        normal = initializers.RandomNormal(stddev=0.02)
        return self.add_weight((1, places, length), normal, name=name)


@register
class Positions1D(PositionEmbedding):
    """A learned vector for each place in the sequence: the positions of `PatchEncoder` as a layer.

    Example:
    >>> layer = keras_vit.ablations.positions.Positions1D(grid=(2, 3), prefix_tokens=1)
    >>> tuple(layer(np.zeros((5, 7, 16))).shape), layer.count_params()
    ((5, 7, 16), 112)

    Reference: Appendix D.4, "1-dimensional"
    """

    def build(self, input_shape):
        super().build(input_shape)
        self.embedding = self._learned(input_shape[1], self.hidden_dim, "embedding")

    def table(self):
        return self.embedding


@register
class Positions2D(PositionEmbedding):
    """Half of each vector is learned for the column of a patch, half for its row: [X_c; Y_r].

    Prefix tokens belong to no row or column and have vectors of their own. D must be even.

    Example:
    >>> layer = keras_vit.ablations.positions.Positions2D(grid=(2, 3), prefix_tokens=1)
    >>> tuple(layer(np.zeros((5, 7, 16))).shape), layer.count_params()  # (2 + 3) 8 + 16
    ((5, 7, 16), 56)

    Reference: Appendix D.4, "2-dimensional"
    """

    divides = 2

    def build(self, input_shape):
        super().build(input_shape)
        rows, columns = self.grid
        self.x_embedding = self._learned(columns, self.hidden_dim // 2, "x_embedding")
        self.y_embedding = self._learned(rows, self.hidden_dim // 2, "y_embedding")
        if self.prefix_tokens:
            self.class_embedding = self._learned(
                self.prefix_tokens, self.hidden_dim, "class_embedding"
            )

    def table(self):
        rows, columns = self.grid
        x = ops.tile(self.x_embedding, (1, rows, 1))  # (1, N, D / 2)
        y = ops.repeat(self.y_embedding, columns, axis=1)  # (1, N, D / 2)
        patches = ops.concatenate([x, y], axis=-1)  # (1, N, D)
        before = [self.class_embedding] if self.prefix_tokens else []
        return ops.concatenate([*before, patches], axis=1)  # (1, N + 1, D)


@register
class SinCosPositions(PositionEmbedding):
    """Fixed sines and cosines of column and row, see `sincos`; zeros for prefix tokens.

    Not in the paper, but in MAE and other successors. Nothing is learned. 4 must divide D.

    Example:
    >>> layer = keras_vit.ablations.positions.SinCosPositions(grid=(2, 3), prefix_tokens=1)
    >>> tuple(layer(np.zeros((5, 7, 16))).shape), layer.count_params()
    ((5, 7, 16), 0)
    """

    divides = 4

    def table(self):
        return ops.convert_to_tensor(sincos(self.grid, self.hidden_dim, self.prefix_tokens))


KINDS = {"1d": Positions1D, "2d": Positions2D, "sincos": SinCosPositions}


def sincos(grid, dim, before=0):
    """Returns fixed positions of a grid of patches: half of each vector encodes the column.

    With d = `dim` / 4 wavelengths, column c is encoded as sin(c w_k), then cos(c w_k), for k from 0
    to d - 1 and w_k = 10000^(-k / d); the row follows in the same form.

    Args:
        grid: (rows, columns).
        dim: length of a vector, divisible by 4.
        before: number of tokens before the patches; their vectors are zeros.

    Returns:
        float32 array (1, before + rows * columns, dim).

    Raises:
        ValueError: 4 does not divide `dim`.

    Example:
    >>> keras_vit.ablations.positions.sincos((1, 2), dim=4)[0].round(2)
    array([[0.  , 1.  , 0.  , 1.  ],
           [0.84, 0.54, 0.  , 1.  ]], dtype=float32)

    Reference: MAE, https://arxiv.org/abs/2111.06377
    """
    check_length(dim, 4)
    rows, columns = np.indices(grid).reshape(2, -1)
    table = np.concatenate([_waves(columns, dim // 4), _waves(rows, dim // 4)], axis=1)
    return np.pad(table, ((before, 0), (0, 0)))[None].astype("float32")


def _waves(places, number):
    """Returns the sines, then the cosines, of places: (patches, 2 number)."""
    angles = places[:, None] * LONGEST ** (-np.arange(number) / number)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


def check_length(dim, divisor):
    """Raises `ValueError` unless the length of a vector suits a kind of positions."""
    if dim % divisor:
        advice = f"Use {check.nearest_multiples(dim, divisor)}."
        want = f"positions of this kind need a length divisible by {divisor}"
        check.refuse(want, {"dim": dim}, advice)


def resize(positions, grid, new_grid, method="bilinear"):
    """Resizes a table of position embeddings to a different grid of patches.

    Args:
        positions: (1, tokens, D). Those of the tokens before the patches are unchanged.
        grid: (rows, columns) of patches that the table was trained for.
        new_grid: (rows, columns) wanted; need not be square.
        method: "bilinear" as in the official code, which aligns the corners of both grids;
            "bicubic" with antialiasing, as timm does it, and "antialiased-bilinear";
            without antialiasing "torch-bilinear" or "torch-bicubic" as PyTorch and Hugging Face do
            it, "aligned-bicubic" with the corners of both grids aligned as torchvision does it, and
            "keras-bicubic" as Keras and KerasHub do it.

    Returns:
        float32 array (1, new tokens, D).

    Raises:
        ValueError: the table does not have the positions of `grid`, or `method` is unknown.

    Example:
    >>> table = np.zeros((1, 1 + 14 * 14, 192))
    >>> keras_vit.ablations.positions.resize(table, (14, 14), (10, 20)).shape
    (1, 201, 192)

    Reference: section 3.2.
    """
    check.one_of(*MATRICES)("method", method)
    rows, columns = check.height_width("grid", grid)
    new_rows, new_columns = check.height_width("new_grid", new_grid)
    before = positions.shape[1] - rows * columns
    if before < 0:
        received = {"tokens": positions.shape[1], "grid": (rows, columns)}
        check.refuse("the positions must hold a whole grid", received, "Pass its own grid.")
    matrix = MATRICES[method]
    table = positions[0, before:].reshape(rows, columns, -1)
    table = transform(table, matrix(rows, new_rows), matrix(columns, new_columns))
    table = table.reshape(new_rows * new_columns, -1)
    return np.concatenate([positions[0, :before], table]).astype("float32")[None]


def transform(table, a_rows, a_columns):
    """Returns A_rows table A_columns^T, (new rows, new columns, D), of (rows, columns, D)."""
    table = np.tensordot(a_rows, table, axes=1)  # (new rows, columns, D)
    return np.einsum("jw,iwd->ijd", a_columns, table)  # (new rows, new columns, D)


def similarity(vectors, grid):
    """Compares the vectors of all patches, such as their position embeddings: Figure 7, center.

    Args:
        vectors: (patches, D), row by row.
        grid: (rows, columns) of patches.

    Returns:
        float64 array (rows, columns, rows, columns): at (r, c) the map of cosine similarities, -1
        to 1, of that patch with every patch; those of a zero vector are 0.

    Example:
    >>> keras_vit.ablations.positions.similarity([[2.0, 0.0], [0.0, 3.0]], grid=(1, 2))
    array([[[[1., 0.]],
    <BLANKLINE>
            [[0., 1.]]]])
    """
    vectors = np.asarray(vectors, "float64")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = vectors / np.where(lengths > 0, lengths, 1)
    return (units @ units.T).reshape(*grid, *grid)


def bilinear(old, new):
    """Returns the (new, old) matrix of linear interpolation with aligned ends.

    Example:
    >>> keras_vit.ablations.positions.bilinear(2, 3)
    array([[1. , 0. ],
           [0.5, 0.5],
           [0. , 1. ]])
    """
    points = np.linspace(0, old - 1, new)
    return np.maximum(0, 1 - np.abs(points[:, None] - np.arange(old)))


def average(kernel, old, new, antialias=True):
    """Returns the (new, old) matrix of interpolation by a mean, with pixels as areas.

    A new pixel is a mean of old ones, weighted by `kernel` at their distances. If the grid shrinks,
    antialiasing stretches the kernel by the scale.
    """
    scale = old / new
    centers = (np.arange(new) + 0.5) * scale
    distances = np.abs(np.arange(old) + 0.5 - centers[:, None])
    if antialias:
        distances /= max(scale, 1.0)
    weights = kernel(distances)
    return weights / weights.sum(axis=1, keepdims=True)


def sample(kernel, old, new, aligned=False):
    """Returns the (new, old) matrix of interpolation without antialiasing.

    A new pixel is the mean of the four nearest old ones, weighted by `kernel` at their distances;
    beyond the edge, the outermost pixel repeats. Pixels are areas, or points whose first and last
    ones are `aligned`.
    """
    areas = (np.arange(new) + 0.5) * old / new - 0.5
    centers = (np.linspace(0, old - 1, new) if aligned else areas)[:, None]
    places = np.floor(centers).astype(int) + np.arange(-1, 3)  # (new, 4)
    matrix = np.zeros((new, old))
    target = np.arange(new)[:, None], places.clip(0, old - 1)
    np.add.at(matrix, target, kernel(np.abs(places - centers)))
    return matrix


def _linear(x):
    return np.maximum(0, 1 - x)


def _keys(x, a=-0.5):
    """Returns the cubic kernel of R. G. Keys at distances x."""
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


_KEYS_OF_PYTORCH = functools.partial(_keys, a=-0.75)
MATRICES = {
    "bilinear": bilinear,
    "bicubic": functools.partial(average, _keys),
    "antialiased-bilinear": functools.partial(average, _linear),
    "torch-bilinear": functools.partial(sample, _linear),
    "torch-bicubic": functools.partial(sample, _KEYS_OF_PYTORCH),
    "aligned-bicubic": functools.partial(sample, _KEYS_OF_PYTORCH, aligned=True),
    "keras-bicubic": functools.partial(average, _keys, antialias=False),
}
