"""One number for a head, one for a token."""

import keras
import numpy as np
import pytest
from helpers import numpy, quick, random_images, random_tokens, randomize

import keras_vit
from keras_vit.explain import attention
from keras_vit.explain.attention import attention_entropy
from keras_vit.explain.tokens import token_norms

pytestmark = pytest.mark.usefixtures("blank")


@pytest.mark.backend_free
def test_entropy_of_uniform_and_of_one_hot_attention():
    for tokens in (5, 197):
        uniform = np.full((1, 1, 1, tokens, tokens), 1 / tokens)
        np.testing.assert_allclose(attention_entropy(uniform), [[np.log(tokens)]], rtol=1e-5)
        np.testing.assert_array_equal(attention_entropy(np.eye(tokens)[None, None, None]), [[0]])


@pytest.mark.backend_free
def test_entropy_by_hand():
    """Two rows of (1/2, 1/2, 0), one of (1/4, 1/4, 1/2): log 2, log 2 and 1.5 log 2."""
    rows = np.array([[0.5, 0.5, 0], [0, 0.5, 0.5], [0.25, 0.25, 0.5]])
    images = np.stack([rows, np.eye(3)])[None, :, None]  # the mean of two images
    np.testing.assert_allclose(attention_entropy(images), [[3.5 / 6 * np.log(2)]], rtol=1e-6)


@pytest.mark.backend_free
def test_entropy_of_each_layer_and_head():
    array = np.exp(random_tokens(3, 2, 4, 12, 12))  # not a square; the grid does not matter
    array /= array.sum(-1, keepdims=True)
    expected = -(array * np.log(array)).sum(-1).mean((1, 3))
    found = attention_entropy(array)
    assert found.shape == (3, 4) and found.dtype == "float32"
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def vit(**options):
    shape = dict(image_size=(8, 12), patch_size=4, num_layers=3, hidden_dim=6, mlp_dim=5)
    model = keras_vit.ViT(**shape, num_heads=3, num_classes=2, **options)
    return randomize(model, scale=0.7)


def test_entropy_of_a_model_is_that_of_its_scores():
    model, x = vit(), random_images(11, 8, 12, 3)
    expected = attention_entropy(attention.attention_scores(model, x).stack())
    np.testing.assert_allclose(attention_entropy(model, x), expected, rtol=1e-4)


@pytest.mark.parametrize("pooling", quick(["distilled", "gap"], "distilled"))
def test_norms_are_those_of_the_graphs_own_tokens(pooling):
    tokens = {"distilled": 8, "gap": 6}[pooling]
    model, x = vit(pooling=pooling), random_images(5, 8, 12, 3)
    names = ("patch_encoder", "block_0", "block_1", "block_2")
    z = keras.Model(model.input, [model.get_layer(name).output for name in names])(x)
    expected = [np.sqrt((numpy(tokens).astype("float64") ** 2).sum(-1)) for tokens in z]
    found = token_norms(keras.Sequential([model]), x, batch_size=2)
    assert found.shape == (4, 5, tokens) and found.dtype == "float32"
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert not any("call" in vars(layer) for layer in model._flatten_layers())


@pytest.mark.slow
def test_norms_are_computed_in_single_precision():
    """In bfloat16, the sum of many squares is too small."""
    model = keras_vit.ViT(8, 4, 1, 384, 5, 1, num_classes=2, dtype="mixed_bfloat16")
    randomize(model, scale=0.7)
    x = random_images(2, 8, 8, 3)
    tokens = keras.Model(model.input, model.get_layer("patch_encoder").output)(x)
    expected = np.linalg.norm(numpy(keras.ops.cast(tokens, "float32")), axis=-1)
    found = token_norms(model, x)
    assert found.dtype == "float32"
    np.testing.assert_allclose(found[0], expected, rtol=1e-3)


def test_what_is_refused():
    resnet = keras_vit.ResNet(image_size=8, units=(1,), num_classes=2)
    for view in (attention_entropy, token_norms):
        with pytest.raises(ValueError, match="one Transformer encoder.*cka, grad_cam"):
            view(resnet, random_images(1, 8, 8, 3))
        with pytest.raises(ValueError, match=r"shape \(batch, 8, 12, 3\)"):
            view(vit(), random_images(1, 12, 8, 3))
    with pytest.raises(ValueError, match="A model needs images"):
        attention_entropy(vit())
    with pytest.raises(ValueError, match="an array of numbers. Received: source='x'"):
        attention_entropy("x")
    with pytest.warns(UserWarning, match="from 0 to 1 look scaled already"):  # as `predict` warns
        token_norms(vit(), np.linspace(0, 1, 288).reshape(1, 8, 12, 3))
