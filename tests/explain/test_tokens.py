"""Tokens as maps of the image, against slices and hand computations."""

import keras
import numpy as np
import pytest
from helpers import numpy, quick, random_images, randomize, wide_vit

import keras_vit
from keras_vit.explain.inside import find_encoder
from keras_vit.explain.tokens import patch_grid, token_colors, token_similarity
from keras_vit.explain.views import VIEWS
from keras_vit.explain.views.record import Request

pytestmark = pytest.mark.usefixtures("blank")


class Wrapped(keras.Model):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, x):
        return 2 * self.inner(x)


def hand_built(final_norm=None):
    images = keras.Input((8, 15, 3))
    x = keras_vit.PatchEncoder(8)(keras_vit.Patches((4, 5))(images / 255))
    x = keras_vit.TransformerBlock(2, 8, name="first")(x)
    x = keras_vit.TransformerBlock(2, 8, name="second")(x)
    if final_norm:
        x = keras_vit.LayerNorm(name=final_norm)(x)
    return randomize(keras.Model(images, keras.layers.GlobalAveragePooling1D()(x)), scale=0.3)


def tokens(model, name, images):
    """Returns the output of a layer, from a model of its own."""
    found = keras.Model(model.inputs[0], model.get_layer(name).output)(images)
    return numpy(keras.ops.cast(found, "float32")).astype("float64")


def cosine(x, y):
    return np.dot(x, y) / np.sqrt(np.dot(x, x) * np.dot(y, y))


# --- Patches ------------------------------------------------------------------------------------


def test_patches_are_slices():
    images = random_images(4, 8, 15, 3).astype("uint8")
    inner = wide_vit()
    for model in (inner, Wrapped(inner), keras.Sequential([keras.Input((8, 15, 3)), inner])):
        found = patch_grid(model, images)
        assert found.shape == (4, 2, 3, 4, 5, 3) and found.dtype == "uint8"
        for r in range(2):
            for c in range(3):
                slices = images[:, 4 * r : 4 * r + 4, 5 * c : 5 * c + 5]
                np.testing.assert_array_equal(found[:, r, c], slices)


def test_patches_of_a_hybrid_are_those_of_the_image():
    model = wide_vit(keras_vit.HybridViT, image_size=(16, 24), patch_size=8, resnet_units=())
    images = random_images(1, 16, 24, 3)
    np.testing.assert_array_equal(patch_grid(model, images)[0, 1, 2], images[0, 8:, 16:])


def test_patches_of_grey_images_without_an_axis_of_channels():
    images = random_images(2, 8, 15)
    found = patch_grid(wide_vit(num_channels=1), images)
    np.testing.assert_array_equal(found[1, 0, 2, ..., 0], images[1, :4, 10:])


def test_patches_of_other_images_are_refused():
    with pytest.raises(ValueError, match="expects images of shape"):
        patch_grid(wide_vit(), random_images(1, 8, 16, 3))
    with pytest.raises(ValueError, match="needs a model with one Transformer encoder"):
        patch_grid(keras_vit.ResNet(16, (1,)), random_images(1, 16, 16, 3))


# --- Similarity ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared():
    """One model for many tests, since each model would be compiled separately."""
    keras.utils.set_random_seed(3)
    return wide_vit()


@pytest.mark.parametrize("layer", [None, "patch_encoder", "block_0"])
@pytest.mark.parametrize("token", [None, (1, 2)])
def test_similarity_by_hand(layer, token, shared):
    model, images = shared, random_images(4, 8, 15, 3)
    x = tokens(model, layer or "encoder_norm", images)
    chosen = x[:, 0 if token is None else 1 + 1 * 3 + 2]
    for some in (model, Wrapped(model)) if layer is None else (model,):
        if not some.built:
            some(images)
        found = token_similarity(some, images, token, layer)
        assert found.shape == (4, 2, 3) and found.dtype == "float32"
        for i in range(4):
            for patch in range(6):
                expected = cosine(chosen[i], x[i, 1 + patch])
                assert found[i, patch // 3, patch % 3] == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("pooling", quick(["gap", "patch mean", "distilled"], "gap", "patch mean"))
def test_similarity_where_the_class_token_is_not_pooled_or_not_the_only_one(pooling):
    """If a model pools the patches, their mean replaces it; of two, the first is used."""
    model, images = wide_vit(pooling=pooling), random_images(4, 8, 15, 3)
    x = tokens(model, "encoder_norm", images)
    patches = x[:, {"gap": 0, "patch mean": 1, "distilled": 2}[pooling] :]
    chosen = x[:, 0] if pooling == "distilled" else patches.mean(axis=1)
    expected = [[cosine(c, p) for p in row] for c, row in zip(chosen, patches, strict=True)]
    found = token_similarity(model, images)
    np.testing.assert_allclose(found.reshape(4, 6), expected, atol=2e-5)
    assert token_similarity(model, images, (1, 0))[1, 1, 0] == pytest.approx(1)


def test_the_last_block_where_no_layer_is_named_encoder_norm():
    images = random_images(4, 8, 15, 3)
    for model, name in ((hand_built(), "second"), (hand_built("encoder_norm"), "encoder_norm")):
        x = tokens(model, name, images)
        found = token_similarity(model, images)
        assert found[1, 0, 1] == pytest.approx(cosine(x[1, 0], x[1, 2]), abs=2e-5)


def test_batches(shared):
    images = random_images(5, 8, 15, 3)
    one_by_one = [token_similarity(shared, image[None])[0] for image in images]
    np.testing.assert_allclose(
        token_similarity(shared, images, batch_size=4), one_by_one, atol=1e-5
    )


@pytest.mark.slow
def test_mixed_precision():
    images = random_images(4, 8, 15, 3)
    mixed = token_similarity(wide_vit(dtype="mixed_bfloat16"), images)
    assert mixed.dtype == "float32"
    np.testing.assert_allclose(mixed, token_similarity(wide_vit(), images), atol=0.1)


@pytest.mark.parametrize("token", [(2, 0), (0, 3), (-1, 0), 4, (1,), (0, 0.5)])
def test_tokens_that_are_no_patch_are_refused(token):
    with pytest.raises(ValueError, match=r"`token` must be \(row, column\) .* grid of 2 x 3"):
        token_similarity(wide_vit(), random_images(4, 8, 15, 3), token)


def test_layers_without_all_tokens_are_refused():
    for view in (token_similarity, token_colors):
        for name in ("head", "pooling", "block_7"):
            with pytest.raises(
                ValueError, match="outputs all tokens.*These layers are patch_encoder, bl"
            ):
                view(wide_vit(), random_images(4, 8, 15, 3), layer=name)


# --- Colors ------------------------------------------------------------------------------------


def plain(values):
    """A model whose tokens are `values`, (patches, D), times the brightness of the image."""
    model = wide_vit(image_size=(8, 15), pooling="gap", normalize=None, hidden_dim=values.shape[1])
    encoder = model.get_layer("patch_encoder")
    encoder.projection.kernel.assign(np.zeros(encoder.projection.kernel.shape))
    encoder.projection.bias.assign(np.zeros(values.shape[1]))
    encoder.position_embedding.assign(values[None])
    return model


def test_colors_are_principal_components_by_hand():
    """Six tokens on three orthogonal axes, the longest first: each axis is one color."""
    values = np.zeros((6, 8))
    values[0, 4], values[1, 4] = 9, -9
    values[2, 6], values[3, 6] = 6, -6
    values[4, 1], values[5, 1] = -3, 3
    images = random_images(4, 8, 15, 3)
    found = token_colors(plain(values), images, "patch_encoder")
    assert found.shape == (4, 2, 3, 3) and found.dtype == "float32"
    middle = 0.5
    expected = [
        [[1, middle, middle], [0, middle, middle], [middle, 1, middle]],
        [[middle, 0, middle], [middle, middle, 0], [middle, middle, 1]],
    ]
    np.testing.assert_allclose(found, [expected] * 4, atol=1e-5)


def test_colors_by_an_independent_decomposition(shared):
    model, images = shared, random_images(40, 8, 15, 3)
    parts = [tokens(model, "encoder_norm", images[i : i + 4]) for i in range(0, 40, 4)]
    x = np.concatenate(parts)[:, 1:].reshape(240, 8)
    x = x - x.mean(0)
    _, axes = np.linalg.eigh(np.cov(x.T))
    axes = axes[:, ::-1][:, :3]
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), range(3)])
    low, high = np.percentile(x @ axes, [1, 99], axis=0)
    expected = np.clip((x @ axes - low) / (high - low), 0, 1).reshape(40, 2, 3, 3)
    np.testing.assert_allclose(token_colors(model, images), expected, atol=2e-3)
    wrapped = keras.Sequential([keras.Input((8, 15, 3)), model])
    np.testing.assert_allclose(token_colors(wrapped, images), expected, atol=2e-3)


def test_colors_are_the_same_for_all_images_of_a_call(shared):
    model, images = shared, random_images(4, 8, 15, 3)
    images[2] = images[0]
    found = token_colors(model, images)
    np.testing.assert_allclose(found[2], found[0], atol=1e-5)
    assert found.min() == 0 and found.max() == 1


def test_tokens_that_are_all_alike_are_grey():
    found = token_colors(plain(np.ones((6, 8))), random_images(4, 8, 15, 3), "patch_encoder")
    assert (found == 0.5).all()


def test_a_norm_after_pooling_is_not_one_of_tokens():
    shape = {"image_size": (8, 12), "num_layers": 1, "num_classes": 2, "pooling": "patch mean"}
    model = keras_vit.create("ViT-Mini/4", keras_vit.descendants.EVAMeanViT, **shape)
    for each in (model, keras.models.clone_model(model)):
        assert list(find_encoder.find_token_layers(each)) == ["patch_encoder", "block_0"]


@pytest.mark.parametrize(
    "pooling, words", [("token", "the class token"), ("gap", "the mean of all")]
)
def test_similarity_is_to_what_the_model_pools(pooling, words):
    request = Request(wide_vit(pooling=pooling), random_images(3, 8, 15, 3), list("abc"))
    title = VIEWS["token_similarity"].plot(np.ones((3, 2, 3)), request).get_suptitle()
    assert title.startswith(f"Similarity of each patch's token to {words}")
