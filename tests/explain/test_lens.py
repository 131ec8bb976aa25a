"""The logit lens against NumPy, the model's own logits and models with fewer blocks."""

import os
import pathlib

import keras
import numpy as np
import pytest
from helpers import arrays, numpy, outputs, random_images, randomize, wide_vit

import keras_vit
from keras_vit.explain.tokens import logit_lens

pytestmark = pytest.mark.usefixtures("blank")
DATA = pathlib.Path(os.environ.get("KERAS_VIT_TEST_DATA", "none"))
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="KERAS_VIT_TEST_DATA is not set")


class Wrapped(keras.Model):
    """Adds a layer that also sees the image, so the rest is more than the head."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.last = keras.layers.Dense(2, name="last")

    def call(self, x):
        return self.last(self.inner(x)) + keras.ops.mean(x, axis=(1, 2, 3))[:, None]


def silence(block):
    """Makes both branches of a block return zero."""
    for dense in (block.attention.projection, block.mlp.contract):
        for weight in dense.weights:
            weight.assign(np.zeros(weight.shape))


@pytest.mark.parametrize("pooling", ["token", "gap"])
def test_first_row_in_numpy_and_last_row_the_models_own(pooling):
    model, images = wide_vit(pooling=pooling), random_images(4, 8, 15, 3)
    found = logit_lens(model, images)
    assert found.shape == (3, 4, 3) and found.dtype == "float32"
    np.testing.assert_allclose(found[-1], outputs(model, images), atol=1e-5)
    encoder, norm, head = map(model.get_layer, ("patch_encoder", "encoder_norm", "head"))
    pixels = (images.astype("float64") - 127.5) / 127.5
    patches = pixels.reshape(4, 2, 4, 3, 5, 3).swapaxes(2, 3).reshape(4, 6, 60)
    z = patches @ numpy(encoder.projection.kernel) + numpy(encoder.projection.bias)
    if pooling == "token":
        first = np.broadcast_to(numpy(encoder.class_token), (4, 1, 8))
        z = np.concatenate([first, z], axis=1)
    z = z + numpy(encoder.position_embedding)
    z = (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + 1e-6)
    z = z * numpy(norm.gamma) + numpy(norm.beta)
    y = z[:, 0] if pooling == "token" else z.mean(axis=1)
    np.testing.assert_allclose(found[0], y @ numpy(head.kernel) + numpy(head.bias), atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"representation_size": 7},
        pytest.param({"pooling": "map"}, marks=pytest.mark.slow),
        pytest.param({"pooling": "distilled"}, marks=pytest.mark.slow),
    ],
)
def test_a_row_is_that_of_a_model_with_fewer_blocks(options):
    model, images = wide_vit(**options), random_images(4, 8, 15, 3)
    found = logit_lens(model, images)
    fewer = wide_vit(num_layers=1, **options)
    for layer in fewer.layers:
        layer.set_weights(model.get_layer(layer.name).get_weights())
    np.testing.assert_allclose(found[1], outputs(fewer, images), atol=1e-5)


def test_blocks_that_do_nothing_change_nothing():
    model, images = wide_vit(), random_images(4, 8, 15, 3)
    for i in range(2):
        silence(model.get_layer(f"block_{i}"))
    found = logit_lens(model, images)
    np.testing.assert_allclose(found, np.broadcast_to(found[-1:], found.shape), atol=1e-6)
    assert np.abs(found).max() > 0.01


@pytest.mark.slow
def test_a_model_around_it_is_part_of_the_rest():
    images = random_images(4, 8, 15, 3)
    inner = wide_vit()
    rows = logit_lens(inner, images)
    functional = keras.Sequential([keras.Input((8, 15, 3)), inner, keras.layers.Dense(2)])
    subclassed = Wrapped(inner)
    subclassed(images)
    for outer in (randomize_last(functional), randomize_last(subclassed)):
        last = outer.layers[-1]
        expected = rows @ numpy(last.kernel) + numpy(last.bias)
        if outer is subclassed:
            expected = expected + images.mean(axis=(1, 2, 3))[:, None]
        np.testing.assert_allclose(logit_lens(outer, images, batch_size=3), expected, atol=1e-4)


def randomize_last(model):
    randomize(model.layers[-1])
    return model


@pytest.mark.slow
def test_mixed_precision():
    model, images = wide_vit(dtype="mixed_bfloat16"), random_images(4, 8, 15, 3)
    found = logit_lens(model, images)
    assert found.dtype == "float32"
    np.testing.assert_allclose(found, logit_lens(wide_vit(), images), atol=0.1)


@pytest.mark.slow
def test_hybrids():
    model = wide_vit(keras_vit.HybridViT, image_size=(16, 24), patch_size=8, resnet_units=(1,))
    images = random_images(4, 16, 24, 3)
    found = logit_lens(model, images)
    np.testing.assert_allclose(found[-1], outputs(model, images), atol=1e-5)
    for i in range(2):
        silence(model.get_layer(f"block_{i}"))
    np.testing.assert_allclose(found[0], outputs(model, images), atol=1e-5)


def test_a_model_without_classes_gives_representations():
    model, images = wide_vit(num_classes=None), random_images(4, 8, 15, 3)
    found = logit_lens(model, images)
    assert found.shape == (3, 4, 8)
    np.testing.assert_allclose(found[-1], outputs(model, images), atol=1e-5)


def test_the_saved_model_says_the_same(tmp_path):
    model, images = wide_vit(), random_images(4, 8, 15, 3)
    before = logit_lens(model, images)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(logit_lens(loaded, images), before)
    assert all("call" not in vars(layer) for layer in model.layers)


def test_models_without_blocks_are_refused():
    with pytest.raises(ValueError, match="needs a model with one Transformer encoder"):
        logit_lens(keras_vit.ResNet(16, (1,)), random_images(1, 16, 16, 3))
    with pytest.raises(ValueError, match="expects images of shape"):
        logit_lens(wide_vit(), random_images(1, 8, 8, 3))


@needs_data
@pytest.mark.slow
def test_the_published_model_decides_late():
    """The last row is the official code's; the true class rises with depth."""
    golden = arrays(DATA / "weights" / "golden_ViT-Ti_16.npz")
    file = DATA / "weights" / "ViT-Ti_16.augreg.imagenet2012.224.npz"
    model = keras_vit.load_pretrained(file, verbose=False)
    found = logit_lens(model, golden["x_uint8"])
    assert found.shape == (13, 8, 1000)
    np.testing.assert_allclose(found[-1], golden["logits_google_flax"], atol=1e-4)
    agree = (found.argmax(-1) == found[-1].argmax(-1)).mean(axis=1)
    assert agree[0] <= 0.25 and agree[-2] >= 0.5
