"""Filters of the embedding and similarity of positions, against components known by hand."""

import os
import pathlib

import keras
import numpy as np
import pytest
from helpers import random_tokens, randomize

import keras_vit
from keras_vit.explain.filters import embedding_filters, position_similarity

DATA = pathlib.Path(os.environ.get("KERAS_VIT_TEST_DATA", "none"))
pytestmark = pytest.mark.usefixtures("blank")
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="KERAS_VIT_TEST_DATA is not set")


def vit(model=keras_vit.ViT, **options):
    sizes = {"image_size": (4, 6), "patch_size": (2, 3), "num_layers": 1, "hidden_dim": 8}
    heads = {"mlp_dim": 8, "num_heads": 2, "num_classes": 3}
    return randomize(model(**{**sizes, **heads, **options}))


def hybrid(**options):
    return vit(keras_vit.HybridViT, image_size=8, patch_size=4, resnet_units=(), **options)


def nested(model):
    return keras.Sequential([keras.Input(model.input_shape[1:]), model, keras.layers.Dense(2)])


def set_kernel(model, kernel):
    model.get_layer("patch_encoder").projection.kernel.assign(kernel)


def orthonormal(rows, columns, seed):
    return np.linalg.qr(random_tokens(rows, columns, seed=seed).astype("float64"))[0]


@pytest.mark.parametrize("wrap", [lambda model: model, nested])
def test_components_of_an_embedding_made_of_two(wrap):
    patch = np.arange(18.0).reshape(2, 3, 3) - 4  # the largest entry is positive
    other = np.zeros((2, 3, 3))
    other[0, 1, 2], other[1, 1, 2] = 10, -1
    assert (patch[0, 1, 2], patch[1, 1, 2]) == (1, 10)  # so the two are orthogonal
    first, second = (p / np.sqrt((p**2).sum()) for p in (patch, other))
    axes = orthonormal(8, 2, 0)
    model = vit()
    kernel = 5 * np.outer(first, axes[:, 0]) + 2 * np.outer(second, axes[:, 1])
    set_kernel(model, kernel)
    found = embedding_filters(wrap(model), 2)
    assert found.dtype == "float32"
    np.testing.assert_allclose(found, [first, second], atol=1e-6)
    set_kernel(model, -kernel)  # signs are fixed
    np.testing.assert_allclose(embedding_filters(wrap(model), 2), [first, second], atol=1e-6)


def test_components_see_pixels_in_the_order_of_patches():
    """A filter that is a patch of an image is returned as that patch."""
    image = np.abs(random_tokens(1, 4, 6, 3)) + 0.1
    model = vit()
    patches = keras.ops.convert_to_numpy(keras_vit.Patches((2, 3))(image))
    set_kernel(model, np.outer(patches[0, 1], np.ones(8)))
    patch = image[0, :2, 3:]
    np.testing.assert_allclose(embedding_filters(model, 1)[0], patch / np.linalg.norm(patch), 1e-5)


def test_axes_of_the_token_space_mean_nothing():
    model, kernel = vit(), random_tokens(18, 8)
    set_kernel(model, kernel)
    before = embedding_filters(model)
    set_kernel(model, kernel @ orthonormal(8, 8, 1))
    np.testing.assert_allclose(embedding_filters(model), before, atol=1e-5)


def test_quantized_filters_are_not_shown_without_their_scales():
    model = vit()
    model.get_layer("patch_encoder").projection.quantize("int8")
    with pytest.raises(ValueError, match="not be quantized"):
        embedding_filters(model)


def test_components_are_orthonormal_and_no_more_than_there_are():
    found = embedding_filters(vit())
    assert found.shape == (8, 2, 3, 3)
    flat = found.reshape(8, -1)
    np.testing.assert_allclose(flat @ flat.T, np.eye(8), atol=1e-6)
    assert embedding_filters(vit(hidden_dim=32)).shape == (18, 2, 3, 3)
    assert embedding_filters(vit(num_channels=1), 2).shape == (2, 2, 3, 1)


@pytest.mark.parametrize(
    "make", [hybrid, lambda: keras_vit.ResNet(16, (1,), num_classes=2)], ids=["hybrid", "resnet"]
)
def test_a_hybrid_shows_the_standardized_filters_of_its_root(make):
    model = randomize(make())
    kernel = model.get_layer("root").conv.kernel
    found = embedding_filters(model, 5)
    assert found.shape == (5, 7, 7, 3)
    rows = keras.ops.convert_to_numpy(kernel).reshape(-1, 64).T.astype("float64")
    rows = (rows - rows.mean(1, keepdims=True)) / rows.std(1, keepdims=True)
    values, directions = np.linalg.eigh(rows.T @ rows)
    expected = directions[:, ::-1].T[:5]
    products = np.sum(found.reshape(5, -1) * expected, axis=1)
    np.testing.assert_allclose(np.abs(products), 1, atol=1e-6)
    assert (found.reshape(5, -1).max(1) == np.abs(found.reshape(5, -1)).max(1)).all()
    kernel.assign(3 * kernel + 1)  # standardizing removes both
    np.testing.assert_allclose(embedding_filters(model, 5), found, atol=1e-4)


@pytest.mark.parametrize("strides, channels", [(2, 3), (1, 5)])
def test_filters_behind_another_stem_are_refused(strides, channels):
    images = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(channels, 3, strides, padding="same")(images)
    x = keras_vit.PatchEncoder(8)(keras_vit.Patches(2)(x))
    model = keras.Model(images, keras_vit.TransformerBlock(2, 8)(x))
    with pytest.raises(ValueError, match=r"must see the pixels.*shape of a filter=\(2, 2, "):
        embedding_filters(model)


def test_a_number_of_components_that_is_none_is_refused():
    with pytest.raises(
        ValueError, match="`components` must be a positive integer. Received: comp.*=0"
    ):
        embedding_filters(vit(), 0)


@pytest.mark.parametrize("pooling, before", [("token", 1), ("gap", 0), ("distilled", 2)])
def test_similarity_of_positions_by_hand(pooling, before):
    """Four patches at 0, 90, 45 and 180 degrees; class tokens have other directions."""
    model = vit(image_size=(4, 6), pooling=pooling)
    table = np.full((1, before + 4, 8), 7.0)
    table[0, before:] = 0
    table[0, before:, :2] = [[2, 0], [0, 3], [1, 1], [-5, 0]]
    model.get_layer("patch_encoder").position_embedding.assign(table)
    half = np.sqrt(0.5)
    angles = [[1, 0, half, -1], [0, 1, half, 0], [half, half, 1, -half], [-1, 0, -half, 1]]
    for some in (model, nested(model)):
        found = position_similarity(some)
        assert found.dtype == "float32"
        np.testing.assert_allclose(found, np.reshape(angles, (2, 2, 2, 2)), atol=1e-6)


def test_similarity_of_resized_positions():
    model = vit(image_size=(6, 6), patch_size=(2, 3), dtype="mixed_bfloat16")
    table = keras.ops.convert_to_numpy(model.get_layer("patch_encoder").position_embedding)
    resized = keras_vit.ablations.positions.resize(table, (3, 2), (2, 5))[0, 1:]
    found = position_similarity(model, grid=(2, 5))
    assert found.shape == (2, 5, 2, 5)
    for i, x in enumerate(resized):
        for j, y in enumerate(resized):
            cosine = np.dot(x, y) / np.sqrt(np.dot(x, x) * np.dot(y, y))
            np.testing.assert_allclose(found[i // 5, i % 5, j // 5, j % 5], cosine, atol=1e-5)


def test_positions_of_no_length_are_similar_to_nothing():
    model = vit()
    embedding = model.get_layer("patch_encoder").position_embedding
    embedding.assign(np.zeros(embedding.shape))
    assert (position_similarity(model) == 0).all()


def test_a_model_without_positions_and_a_bad_grid_are_refused():
    with pytest.raises(ValueError, match="needs a model with one Transformer encoder"):
        position_similarity(keras_vit.ResNet(16, (1,)))
    with pytest.raises(ValueError, match="`grid` must be .*Received: grid=0"):
        position_similarity(vit(), grid=0)


@needs_data
@pytest.mark.slow
def test_positions_of_the_published_model_know_rows_and_columns():
    """Section 4.5: closer patches are more similar, and those of the same row or column."""
    file = DATA / "weights" / "ViT-Ti_16.augreg.imagenet2012.224.npz"
    maps = position_similarity(keras_vit.load_pretrained(file, verbose=False))
    flat = maps.reshape(196, 196)
    assert (flat.argmax(axis=1) == np.arange(196)).all()
    r, c = np.divmod(np.arange(196), 14)
    rows, columns = np.abs(r[:, None] - r), np.abs(c[:, None] - c)
    same_row, same_column = (rows == 0) & (columns > 0), (rows > 0) & (columns == 0)
    elsewhere = (rows > 0) & (columns > 0)
    for same in (same_row, same_column):  # 0.50 and 0.43, elsewhere -0.06
        assert flat[same].mean() > flat[elsewhere].mean() + 0.4
        for i in range(196):  # of every single patch
            assert flat[i, same[i]].mean() > flat[i, elsewhere[i]].mean()
        for distance in range(1, 14):  # and at every distance
            ring = np.abs(np.hypot(rows, columns) - distance) < 0.5
            assert flat[ring & same].mean() > flat[ring & elsewhere].mean() + 0.1
