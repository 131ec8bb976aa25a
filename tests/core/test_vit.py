"""The whole model against the equations, and everything that Keras users do with a model."""

import keras
import numpy as np
import paper
import pytest
from helpers import (
    call,
    check_saving,
    gradients,
    numpy,
    outputs,
    quick,
    random_images,
    random_tokens,
    randomize,
    slow,
    weights,
    wide_vit,
)

import keras_vit
from keras_vit.layers import logits

register = keras.saving.register_keras_serializable(package="tests")
SMALL = dict(
    image_size=(10, 21),
    patch_size=(5, 7),
    num_layers=2,
    hidden_dim=15,
    mlp_dim=17,
    num_heads=3,
    num_classes=11,
)


def small(model=keras_vit.ViT, **overrides):
    return model(**{**SMALL, **overrides})


@pytest.mark.parametrize("approximate", [False, True])
@pytest.mark.parametrize("pooling", ["token", "gap", "map"])
@pytest.mark.parametrize("representation_size", [None, 13])
def test_model_equals_equations_1_to_8(pooling, representation_size, approximate):
    model = randomize(
        small(pooling=pooling, representation_size=representation_size, approximate=approximate),
        scale=0.3,
    )
    images = random_images(2, 10, 21, 3)
    expected = [
        paper.vit(
            image.astype("float64"),
            weights(model),
            patch_size=(5, 7),
            num_layers=2,
            num_heads=3,
            approximate=approximate,
            pooling=pooling,
        )
        for image in images
    ]
    np.testing.assert_allclose(outputs(model, images), expected, atol=1e-5)


def test_mean_pooling_leaves_the_class_token_out():
    model = small(pooling="gap", num_classes=None)
    assert "patch_encoder/class_token" not in weights(model)
    tokens = keras.Model(model.input, model.get_layer("encoder_norm").output)
    images = random_images(2, 10, 21, 3)
    assert tokens(images).shape == (2, 6, 15)
    np.testing.assert_allclose(outputs(model, images), numpy(tokens(images)).mean(1), atol=1e-5)


def test_head_starts_at_its_bias():
    """The fine-tuning head is zero, so before training every class has the same logit."""
    model, images = small(), random_images(2, 10, 21, 3)
    np.testing.assert_array_equal(outputs(model, images), np.zeros((2, 11)))
    model.get_layer("head").bias.assign(np.full(11, -10))
    np.testing.assert_array_equal(outputs(model, images), np.full((2, 11), -10))


def test_without_pooling_the_output_is_the_normalised_tokens():
    model, images = (
        randomize(small(pooling=None, num_classes=None), scale=0.3),
        random_images(2, 10, 21, 3),
    )
    assert model.output_shape == (None, 7, 15) and model.num_classes is None
    assert [layer.name for layer in model.layers][-1] == "encoder_norm"
    sizes = dict(patch_size=(5, 7), num_layers=2, num_heads=3, approximate=False, pooling=None)
    expected = [paper.vit(image.astype("float64"), weights(model), **sizes) for image in images]
    tokens = outputs(model, images)
    np.testing.assert_allclose(tokens, expected, atol=1e-5)
    features = small(num_classes=None)  # has the same weights
    features.set_weights(model.get_weights())
    np.testing.assert_allclose(outputs(features, images), tokens[:, 0], atol=1e-6)


@pytest.mark.parametrize("head", [dict(num_classes=10), dict(representation_size=13)])
def test_without_pooling_there_is_no_head(head):
    assert small(pooling=None, num_classes=None).num_classes is None
    with pytest.raises(ValueError, match="has no head.*pooling=None.*another pooling"):
        small(pooling=None, **{"num_classes": None, **head})


@pytest.mark.parametrize(
    "arguments, shape",
    [
        (dict(num_classes=None), (2, 15)),
        (dict(num_classes=None, representation_size=13), (2, 13)),
        (dict(num_classes=None, pooling="map"), (2, 15)),
        (dict(num_classes=1), (2, 1)),
    ],
)
def test_output_shapes(arguments, shape):
    model = small(**arguments)
    assert model.output_shape == (None, *shape[1:])
    assert model(random_images(2, 10, 21, 3)).shape == shape


def test_blocks_are_nodes_of_the_graph():
    names = [layer.name for layer in small().layers]
    assert names == [
        "images", "normalization", "patches", "patch_encoder", "block_0", "block_1",
        "encoder_norm", "pooling", "head",
    ]  # fmt: skip


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_any_channel_count(channels):
    model = small(num_channels=channels)
    assert model(random_images(2, 10, 21, channels)).shape == (2, 11)
    assert weights(model)["patch_encoder/projection/kernel"].shape == (5 * 7 * channels, 15)


def test_normalisation_is_the_first_node():
    images = random_images(2, 10, 21, 3)
    mean, deviation = [1.0, 2.0, 3.0], [4.0, 5.0, 6.0]
    model = randomize(small(normalize=(mean, deviation)))
    plain = small(normalize=None)
    plain.set_weights(model.get_weights())
    expected = numpy(plain((images - mean) / deviation))
    np.testing.assert_allclose(outputs(model, images), expected, atol=1e-5)
    first = keras.Model(model.input, model.get_layer("normalization").output)
    np.testing.assert_allclose(outputs(first, images), (images - mean) / deviation, rtol=1e-5)


def test_default_normalisation_maps_pixels_to_minus_one_and_one():
    model = small()
    first = keras.Model(model.input, model.get_layer("normalization").output)
    images = np.zeros((1, 10, 21, 3), "uint8")
    images[0, 0, 0] = [0, 255, 51]
    np.testing.assert_allclose(outputs(first, images)[0, 0, 0], [-1, 1, -0.6], atol=1e-6)


def test_integer_pixels_equal_float_pixels():
    model = randomize(small())
    images = random_images(3, 10, 21, 3).astype("uint8")
    expected = numpy(model(images.astype("float32")))
    np.testing.assert_allclose(outputs(model, images), expected, atol=1e-6)
    np.testing.assert_allclose(model.predict(images, verbose=0), expected, atol=1e-5)


def test_gray_images_may_lack_the_channel_axis():
    model = randomize(small(num_channels=1))
    images = random_images(2, 10, 21, 1)
    np.testing.assert_allclose(numpy(model(images[..., 0])), outputs(model, images), atol=1e-6)


@pytest.mark.parametrize(
    "overrides",
    [
        {},
        dict(pooling="gap", dropout=0.1, stochastic_depth=0.2, approximate=True),
        slow(dict(pooling="map", representation_size=7, epsilon=1e-5)),
        slow(dict(normalize=None, num_classes=None, name="features")),
        slow(dict(pooling=None, num_classes=None)),
        slow(dict(normalize=((1, 2, 3), (4, 5, 6)), dtype="mixed_bfloat16")),
    ],
)
def test_saving_gives_back_the_class_its_config_and_outputs(overrides, tmp_path):
    model = randomize(small(**overrides))
    loaded = check_saving(model, random_images(2, 10, 21, 3), tmp_path)
    assert loaded.name == model.name
    for key, value in model.get_config().items():
        assert np.array_equal(loaded.get_config()[key], value), key
    assert loaded.dtype_policy.name == model.dtype_policy.name
    again = keras_vit.ViT.from_config(model.get_config())
    again.set_weights(model.get_weights())
    images = random_images(2, 10, 21, 3)
    np.testing.assert_array_equal(outputs(again, images), outputs(model, images))


def test_weights_file_round_trip(tmp_path):
    model = randomize(small())
    model.save_weights(tmp_path / "model.weights.h5")
    other = small()
    other.load_weights(tmp_path / "model.weights.h5")
    images = random_images(2, 10, 21, 3)
    np.testing.assert_array_equal(outputs(other, images), outputs(model, images))


@pytest.mark.parametrize("pooling", ["token", "gap", "map"])
def test_every_weight_gets_a_finite_gradient(pooling):
    model = randomize(small(pooling=pooling, representation_size=13), scale=0.3)
    images, targets = random_images(3, 10, 21, 3), random_tokens(3, 11)
    for path, gradient in gradients(model, images, targets).items():
        assert np.isfinite(gradient).all(), path
        assert np.abs(gradient).max() > 1e-7 or "key/bias" in path, path


@pytest.mark.parametrize("how", quick(["argument", "global policy"], "argument"))
def test_mixed_precision_keeps_weights_and_logits_in_float32(how):
    if how == "argument":
        model = small(dtype="mixed_bfloat16", representation_size=13, pooling="map")
    else:
        keras.config.set_dtype_policy("mixed_bfloat16")
        model = small(representation_size=13, pooling="map")
        keras.config.set_dtype_policy("float32")
    assert model.dtype_policy.name == "mixed_bfloat16"
    assert {keras.backend.standardize_dtype(w.dtype) for w in model.weights} == {"float32"}
    assert model.get_layer("block_1").compute_dtype == "bfloat16"
    randomize(model)
    images = random_images(4, 10, 21, 3)
    logits = call(model, images)
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    full = small(representation_size=13, pooling="map")
    full.set_weights(model.get_weights())
    np.testing.assert_allclose(numpy(logits), outputs(full, images), atol=0.05)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = model.fit(images, np.arange(4), verbose=0)
    assert np.isfinite(history.history["loss"]).all()


def test_stochastic_depth_grows_with_depth():
    model = small(num_layers=5, stochastic_depth=0.2)
    rates = [model.get_layer(f"block_{i}").stochastic_depth for i in range(5)]
    np.testing.assert_allclose(rates, [0, 0.05, 0.1, 0.15, 0.2])
    assert small(num_layers=1, stochastic_depth=0.2).get_layer("block_0").stochastic_depth == 0


def images_and_labels():
    """Two classes that differ by brightness: any model that learns can distinguish them."""
    labels = np.arange(32) % 2
    images = random_images(32, 10, 21, 3) / 4 + 190 * labels[:, None, None, None]
    return images.astype("float32"), labels.astype("int32")


def numpy_arrays(x, y):
    return dict(x=x, y=y, batch_size=8)


def tf_data(x, y):
    tf = pytest.importorskip("tensorflow")
    return dict(x=tf.data.Dataset.from_tensor_slices((x, y)).batch(8), shuffle=False)


def py_dataset(x, y):
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 4

        def __getitem__(self, i):
            return x[8 * i : 8 * i + 8], y[8 * i : 8 * i + 8]

    return dict(x=Batches())


def grain_dataset(x, y):
    grain = pytest.importorskip("grain")
    pairs = [(x[i], y[i]) for i in range(len(x))]
    batches = grain.MapDataset.source(pairs).repeat().batch(8).to_iter_dataset()
    return dict(x=batches, steps_per_epoch=4, shuffle=False)  # Grain's data have no length


SOURCES = (numpy_arrays, tf_data, py_dataset, grain_dataset)


@pytest.mark.slow
@pytest.mark.parametrize("source", quick(SOURCES, numpy_arrays))
def test_fit_learns_from_every_kind_of_data(source):
    x, y = images_and_labels()
    model = small(num_classes=2, dropout=0.1)
    model.compile(
        keras.optimizers.Adam(3e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(**source(x, y), epochs=12, verbose=0)
    assert model.evaluate(x, y, verbose=0)[1] == 1.0


def test_same_seed_same_model():
    def build():
        keras.utils.set_random_seed(3)
        return small()

    for a, b in zip(build().get_weights(), build().get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


# --- Relatives, as a user writes them ------------------------------------------------------------


@register
class TopAttention(keras_vit.SelfAttention):
    """Each token attends only to the two tokens with the highest scores."""

    def scores(self, query, key):
        x = logits(query, key)
        second = keras.ops.top_k(x, 2)[0][..., -1:]
        return keras.ops.softmax(keras.ops.where(x < second, -np.inf, x))


@register
class TopBlock(keras_vit.TransformerBlock):
    attention_layer = TopAttention


@register
class TopViT(keras_vit.ViT):
    block = TopBlock


def test_a_foreign_attention_trains_saves_and_can_be_seen(tmp_path):
    model, images = randomize(small(TopViT), scale=0.3), random_images(4, 10, 21, 3)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    first, second = (model.train_on_batch(images, np.arange(4)) for _ in range(2))
    assert second < first
    check_saving(model, images, tmp_path)
    scores = keras_vit.explain.attention_scores(model, images).stack()
    assert scores.shape == (2, 4, 3, 7, 7)
    assert ((scores > 0).sum(-1) == 2).all()
    np.testing.assert_allclose(scores.sum(-1), 1, atol=1e-5)


@pytest.mark.parametrize("kernel", [True, False])
def test_a_foreign_attention_equals_numpy(kernel, monkeypatch):
    """Also if a fused kernel would compute attention, which ignores overridden scores."""
    monkeypatch.setattr(keras_vit.backend, "has_attention_kernel", lambda _: kernel)
    layer, x = TopAttention(3), random_tokens(2, 7, 15)
    layer.build(x.shape)
    w = weights(randomize(layer, scale=0.5))

    def top(x):
        return full(np.where(x < np.sort(x)[..., -2:-1], -np.inf, x))

    full = paper.softmax
    monkeypatch.setattr(paper, "softmax", top)
    expected = [paper.msa(z.astype("float64"), w, 3)[0] for z in x]
    np.testing.assert_allclose(outputs(layer, x), expected, atol=1e-5)


@register
class SquaredReLU(keras_vit.MLP):
    def call(self, x):
        x = self.drop_1(keras.ops.square(keras.ops.relu(self.expand(x))))
        return self.drop_2(self.contract(x))


@register
class SquaredBlock(keras_vit.TransformerBlock):
    mlp_layer = SquaredReLU


@register
class SquaredViT(keras_vit.ViT):
    block = SquaredBlock


def test_a_foreign_mlp_equals_numpy_and_saves(tmp_path, monkeypatch):
    model = randomize(small(SquaredViT), scale=0.3)
    monkeypatch.setattr(paper, "gelu", lambda x, approximate: np.maximum(x, 0) ** 2)
    images = random_images(2, 10, 21, 3)
    sizes = dict(patch_size=(5, 7), num_layers=2, num_heads=3, approximate=False)
    expected = [paper.vit(image.astype("float64"), weights(model), **sizes) for image in images]
    np.testing.assert_allclose(outputs(model, images), expected, atol=1e-5)
    check_saving(model, images, tmp_path)


@register
class OtherEnds(keras_vit.ViT):
    """Tokens of a convolution, without positions; logits of vectors of length 1, without bias."""

    def embed(self, x):
        sides, dtype = (self.patch_size, self.patch_size), self.policy
        x = keras.layers.Conv2D(self.hidden_dim, *sides, name="convolution", dtype=dtype)(x)
        return keras.layers.Reshape((-1, self.hidden_dim), dtype=dtype)(x)

    def head(self, x):
        x = keras.layers.UnitNormalization(dtype="float32")(x)
        return keras.layers.Dense(self.num_classes, use_bias=False, name="head")(x)


def test_a_foreign_embedding_and_head_equal_numpy_and_save(tmp_path):
    model, images = (
        randomize(small(OtherEnds, pooling="gap"), scale=0.3),
        random_images(2, 10, 21, 3),
    )
    w, expected = weights(model), []
    for image in images.astype("float64") / 127.5 - 1:
        z = paper.patches(image, 5, 7) @ w["convolution/kernel"].reshape(-1, 15)
        z = z + w["convolution/bias"]
        for i in range(2):
            z = paper.block(z, paper.under(w, f"block_{i}"), 3, False)
        y = paper.norm(z, w, "encoder_norm").mean(0)
        expected.append(y / np.linalg.norm(y) @ w["head/kernel"])
    np.testing.assert_allclose(outputs(model, images), expected, atol=1e-5)
    check_saving(model, images, tmp_path)


@pytest.mark.slow
def test_two_models_of_one_variant_make_an_ensemble(tmp_path):
    def ensemble(seed):
        kinds = (
            lambda: keras_vit.create("ViT-Mini/8", image_size=16, num_classes=3),
            lambda: wide_vit(image_size=16, patch_size=8),
        )
        images = keras.Input((16, 16, 3))
        members = [randomize(kind(), seed + i) for kind in kinds for i in range(2)]
        assert len({member.name for member in members}) == 4
        return keras.Model(images, keras.layers.Average()([m(images) for m in members])), members

    model, members = ensemble(seed=1)
    x = random_images(2, 16, 16, 3)
    expected = np.mean([outputs(member, x) for member in members], axis=0)
    np.testing.assert_allclose(outputs(model, x), expected, atol=1e-5)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        outputs(keras.saving.load_model(tmp_path / "model.keras"), x), outputs(model, x)
    )
    model.save_weights(tmp_path / "model.weights.h5")
    again, others = ensemble(seed=5)
    again.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(outputs(again, x), outputs(model, x))
    assert [w.path for w in others[0].weights] == [w.path for w in members[0].weights]


def test_a_name_is_kept_and_the_others_are_counted():
    keras.utils.clear_session()
    names = [wide_vit(**options).name for options in ({}, {}, {"name": "mine"}, {})]
    assert names == ["vit", "vit_1", "mine", "vit_2"]
