"""Positions for another image size, against the libraries that the official codes call."""

import keras
import numpy as np
import pytest
from helpers import numpy, random_tokens
from scipy import ndimage

from keras_vit.ablations import positions

GRIDS = [((14, 14), (24, 24)), ((14, 14), (7, 7)), ((7, 5), (11, 13)), ((7, 7), (1, 3))]


@pytest.mark.parametrize("grid, new_grid", GRIDS)
def test_bilinear_is_the_zoom_of_the_official_code(grid, new_grid):
    table = random_tokens(1, 1 + grid[0] * grid[1], 5)
    resized = positions.resize(table, grid, new_grid)
    factors = (new_grid[0] / grid[0], new_grid[1] / grid[1], 1)
    zoomed = ndimage.zoom(table[0, 1:].reshape(*grid, 5), factors, order=1).reshape(-1, 5)
    np.testing.assert_allclose(resized[0, 1:], zoomed, atol=1e-6)
    np.testing.assert_array_equal(resized[0, :1], table[0, :1])
    assert resized.dtype == "float32"


@pytest.mark.parametrize("method", sorted({*positions.MATRICES} - {"bilinear", "keras-bicubic"}))
@pytest.mark.parametrize("grid, new_grid", GRIDS)
def test_other_methods_are_interpolations_of_pytorch(grid, new_grid, method):
    torch = pytest.importorskip("torch")
    table = random_tokens(1, grid[0] * grid[1], 5)
    image = torch.tensor(table.reshape(1, *grid, 5)).permute(0, 3, 1, 2)
    way, _, mode = method.rpartition("-")
    options = {"antialias": way in ("", "antialiased"), "align_corners": way == "aligned"}
    expected = torch.nn.functional.interpolate(image, new_grid, mode=mode, **options)
    expected = expected.permute(0, 2, 3, 1).reshape(1, -1, 5).numpy()
    resized = positions.resize(table, grid, new_grid, method)
    np.testing.assert_allclose(resized, expected, atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="Keras calls PyTorch's there")
@pytest.mark.parametrize("grid, new_grid", GRIDS)
def test_bicubic_of_keras_is_that_of_keras(grid, new_grid):
    table = random_tokens(1, grid[0] * grid[1], 5)
    options = {"interpolation": "bicubic", "antialias": False, "data_format": "channels_last"}
    expected = keras.ops.image.resize(table.reshape(1, *grid, 5), new_grid, **options)
    resized = positions.resize(table, grid, new_grid, "keras-bicubic")
    # TensorFlow reads the kernel from a table of 1,024 places.
    error = 1e-5 if keras.backend.backend() == "jax" else 5e-3
    np.testing.assert_allclose(resized.reshape(1, *new_grid, 5), numpy(expected), atol=error)


def test_hand_computed_middle():
    """From 2 x 2 to 3 x 3, corners stay, edges are means of two, the center is the mean of four."""
    table = np.array([1.0, 3.0, 5.0, 11.0]).reshape(1, 4, 1)
    resized = positions.resize(table, (2, 2), (3, 3)).reshape(3, 3)
    np.testing.assert_array_equal(resized, [[1, 2, 3], [3, 5, 7], [5, 8, 11]])


@pytest.mark.parametrize("method", positions.MATRICES)
def test_the_same_grid_stays_as_it_is(method):
    table = random_tokens(1, 2 + 35, 3)
    np.testing.assert_allclose(positions.resize(table, (5, 7), (5, 7), method), table, atol=1e-6)


def test_refusals():
    table = random_tokens(1, 10, 3)
    with pytest.raises(ValueError, match="must hold a whole grid.*tokens=10, grid=\\(4, 4\\)"):
        positions.resize(table, (4, 4), (8, 8))
    with pytest.raises(ValueError, match="`method` must be one of 'bilinear', 'bicubic'"):
        positions.resize(table, (3, 3), (8, 8), "nearest")
    with pytest.raises(ValueError, match="`new_grid` must be a positive integer"):
        positions.resize(table, (3, 3), (8, 0))


def test_similarity_is_the_cosine():
    vectors = np.array([[3.0, 4.0], [4.0, 3.0], [-3.0, -4.0]])
    expected = [[1, 0.96, -1], [0.96, 1, -0.96], [-1, -0.96, 1]]
    found = positions.similarity(vectors, (1, 3))
    np.testing.assert_allclose(found.reshape(3, 3), expected, atol=1e-12)
