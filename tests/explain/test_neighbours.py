"""Nearest images against cosines by hand."""

import keras
import numpy as np
import pytest
from helpers import numpy, random_images, randomize

import keras_vit
from keras_vit.explain.representations import nearest

pytestmark = pytest.mark.usefixtures("blank")


def vit(**options):
    sizes = {"image_size": (8, 15), "patch_size": (4, 5), "num_layers": 2, "hidden_dim": 8}
    heads = {"mlp_dim": 8, "num_heads": 2, "num_classes": 3}
    return randomize(keras_vit.ViT(**{**sizes, **heads, **options}), scale=0.3)


def by_hand(queries, gallery, k):
    cosines = [
        [np.dot(x, y) / np.sqrt(np.dot(x, x) * np.dot(y, y)) for y in gallery] for x in queries
    ]
    indices = [sorted(range(len(row)), key=lambda i: -row[i])[:k] for row in cosines]  # noqa: B023
    return np.array(indices), np.take_along_axis(np.array(cosines), np.array(indices), 1)


@pytest.mark.backend_free
def test_features_by_hand():
    """Directions at 0, 90, 45, 180 and 0 degrees; lengths do not matter."""
    gallery = np.array([[1, 0], [0, 7], [2, 2], [-1, 0], [5, 0]])
    found = nearest(None, np.array([[3.0, 0], [0, 1]]), gallery, k=3)
    assert found.indices.tolist() == [[0, 4, 2], [1, 2, 0]]  # ties keep their order
    half = np.sqrt(0.5)
    np.testing.assert_allclose(found.similarity, [[1, 1, half], [1, half, 0]], atol=1e-6)
    assert found.similarity.dtype == "float32"


@pytest.mark.slow
@pytest.mark.both
def test_an_image_finds_itself_and_then_by_what_the_head_sees():
    model, gallery = vit(), random_images(4, 8, 15, 3)
    order = [2, 0, 3, 1]
    features = numpy(keras.Model(model.inputs[0], model.get_layer("head").input)(gallery))
    indices, similarity = by_hand(features[order], features, 4)
    found = nearest(model, gallery[order], gallery, k=4)
    assert found.indices[:, 0].tolist() == order
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_allclose(found.similarity, similarity, atol=1e-5)
    from_features = nearest(model, gallery[order], features, k=4)
    np.testing.assert_array_equal(from_features.indices, indices)
    nested = keras.Sequential([keras.Input((8, 15, 3)), model, keras.layers.Softmax()])
    np.testing.assert_array_equal(nearest(nested, gallery[order], gallery, 4).indices, indices)


def test_the_output_where_there_is_no_head():
    model, gallery = vit(num_classes=None), random_images(4, 8, 15, 3)
    features = numpy(keras.ops.cast(model(gallery), "float32"))
    indices, similarity = by_hand(features, features, 2)
    found = nearest(model, gallery, gallery, k=2)
    assert found.indices[:, 0].tolist() == list(range(4))
    np.testing.assert_allclose(found.similarity, similarity, atol=1e-5)


@pytest.mark.slow
def test_any_layer_of_a_resnet():
    model, gallery = (
        randomize(keras_vit.ResNet(16, (1, 1), num_classes=2)),
        random_images(6, 16, 16, 3),
    )
    layer = keras.Model(model.inputs[0], model.get_layer("stage_1_unit_1").output)
    features = numpy(layer(gallery)).reshape(6, -1)
    indices, similarity = by_hand(features[:2], features, 3)
    found = nearest(model, gallery[:2], gallery, k=3, layer="stage_1_unit_1")
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_allclose(found.similarity, similarity, atol=1e-5)
    assert nearest(model, gallery[:2], gallery, k=1).indices.tolist() == [[0], [1]]


def test_layers_of_any_model():
    images = keras.Input((4, 4, 1))
    x = keras.layers.Conv2D(3, 2, name="conv")(images)
    model = randomize(keras.Model(images, keras.layers.Flatten()(x)))
    gallery = random_images(6, 4, 4, 1)
    kernel, bias = map(numpy, model.get_layer("conv").weights)
    windows = np.lib.stride_tricks.sliding_window_view(gallery[..., 0], (2, 2), (1, 2))
    features = (np.einsum("brcij,ijk->brck", windows, kernel[:, :, 0]) + bias).reshape(6, -1)
    indices, similarity = by_hand(features[:2], features, 3)
    for some in (model, keras.Sequential([keras.Input((4, 4, 1)), model])):
        for layer in (None, "conv"):
            found = nearest(some, gallery[:2], gallery, k=3, layer=layer)
            np.testing.assert_array_equal(found.indices, indices)
            np.testing.assert_allclose(found.similarity, similarity, atol=1e-5)


@pytest.mark.slow
def test_mixed_precision():
    model, gallery = vit(dtype="mixed_bfloat16"), random_images(8, 8, 15, 3)
    found = nearest(model, gallery, gallery, k=3)
    assert found.similarity.dtype == "float32"
    assert found.indices[:, 0].tolist() == list(range(8))
    full = nearest(vit(), gallery, gallery, k=3)
    np.testing.assert_allclose(found.similarity, full.similarity, atol=0.02)


def test_what_cannot_be_compared_is_refused():
    model, gallery = vit(), random_images(3, 8, 15, 3)
    with pytest.raises(ValueError, match="`k` must not exceed .*k=5, images in the gallery=3"):
        nearest(model, gallery, gallery)
    with pytest.raises(ValueError, match="`k` must be a positive integer"):
        nearest(model, gallery, gallery, k=0)
    with pytest.raises(ValueError, match="layer='block_3'. The layers are .*block_0"):
        nearest(model, gallery, gallery, k=1, layer="block_3")
    with pytest.raises(ValueError, match="same length. Received: images=8, gallery=3"):
        nearest(model, gallery, np.ones((3, 3)), k=1)
    with pytest.raises(ValueError, match="expects images of shape"):
        nearest(model, gallery[:, :, :8], gallery, k=1)


def test_images_without_a_model_are_refused():
    images = np.zeros((3, 8, 8, 3))
    with pytest.raises(ValueError, match="Images need a model"):
        nearest(None, images, images, k=2)
