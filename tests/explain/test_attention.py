"""The scores behind every view of attention, and the encoder that they come from."""

import gc
import os
import pathlib
import re
import weakref

import keras
import numpy as np
import pytest
from helpers import arrays, numpy, outputs, quick, random_images, random_tokens, randomize, weights

import keras_vit
from keras_vit import descendants, hooks
from keras_vit.explain import attention
from keras_vit.explain.inside import batched, find_encoder, forward
from keras_vit.layers import weighted_sum

DATA = pathlib.Path(os.environ.get("KERAS_VIT_TEST_DATA", "not set"))
REAL = DATA / "weights" / "vit_tiny_patch16_224.augreg_in21k_ft_in1k.safetensors"
needs_data = pytest.mark.skipif(
    not REAL.exists(), reason="KERAS_VIT_TEST_DATA names no folder with real weights"
)
pytestmark = pytest.mark.usefixtures("blank")
SIZE = (12, 10)  # of the images: 3 x 5 patches of 4 x 2 pixels


def vit(model=keras_vit.ViT, seed=1, scale=0.7, **options):
    shape = dict(image_size=SIZE, patch_size=(4, 2), num_layers=2, hidden_dim=6, mlp_dim=5)
    model = model(**{**shape, "num_heads": 3, "num_classes": 2, **options})
    return randomize(model, seed, scale)


def scores_of_weights(model, x):
    """Eq. 2, 5 and 6 in NumPy, from the inputs of the blocks in the model's own graph."""
    blocks = find_encoder.find(model).blocks
    inputs = keras.Model(model.input, {block.name: block.input for block in blocks})(x)
    return np.stack([by_hand(numpy(inputs[block.name]), block) for block in blocks])


def by_hand(z, block):
    w, z = weights(block), z.astype("float64")
    deviation = np.sqrt(z.var(-1, keepdims=True) + block.epsilon)
    z = (z - z.mean(-1, keepdims=True)) / deviation * w["norm_1/gamma"] + w["norm_1/beta"]
    name = "attention/query_key_value/"
    query, key, _ = np.split(z @ w[name + "kernel"] + w[name + "bias"], 3, axis=-1)
    d = z.shape[-1] // block.num_heads
    heads = []
    for h in range(0, z.shape[-1], d):
        products = query[..., h : h + d] @ key[..., h : h + d].swapaxes(1, 2) / np.sqrt(d)
        powers = np.exp(products)
        heads.append(powers / powers.sum(-1, keepdims=True))
    return np.stack(heads, axis=1)


@pytest.mark.parametrize("pooling", quick(["token", "gap", "map", "distilled"], "token"))
def test_scores_equal_the_equation_for_every_pooling(pooling):
    prefix_tokens = {"token": 1, "gap": 0, "map": 0, "distilled": 2}[pooling]
    model, x = vit(pooling=pooling), random_images(2, *SIZE, 3)
    scores = attention.attention_scores(model, x)
    assert (scores.grid, scores.patch_size, scores.prefix_tokens) == ((3, 5), (4, 2), prefix_tokens)
    assert list(scores) == ["block_0", "block_1"]
    assert {s.dtype.name for s in scores.values()} == {"float32"}
    expected = scores_of_weights(model, x)
    assert scores.stack().shape == expected.shape == (2, 2, 3, *[15 + prefix_tokens] * 2)
    assert expected.std() > 0.02  # not all alike
    np.testing.assert_allclose(scores.stack(), expected, atol=1e-5)


def test_the_model_computes_with_these_scores():
    """With these scores, Eq. 7 and 8 give the output of its attention, perhaps a fused kernel."""
    model, x = vit(), random_images(2, *SIZE, 3)
    scores = attention.attention_scores(model, x)
    for block in find_encoder.find(model).blocks:
        z = block.norm_1(keras.Model(model.input, block.input)(x))
        x_heads = weighted_sum(scores[block.name], block.attention.heads(z)[2])
        rebuilt = block.attention.projection(keras.ops.reshape(x_heads, z.shape))
        expected = numpy(block.attention(z))
        assert np.abs(expected).max() > 0.1
        np.testing.assert_allclose(numpy(rebuilt), expected, atol=1e-5)


def test_half_precision_gives_whole_rows():
    model, x = vit(scale=0.4, num_layers=1, dtype="mixed_bfloat16"), random_images(2, *SIZE, 3)
    scores = attention.attention_scores(model, x).stack()
    assert scores.dtype == "float32"
    np.testing.assert_allclose(scores.sum(-1), 1, atol=1e-6)
    assert scores.std() > 0.02
    np.testing.assert_allclose(scores, scores_of_weights(model, x), atol=0.02)


class Outer(keras.Model):
    """A subclassed model, which has no graph."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.top = inner, keras.layers.Dense(3)

    def call(self, x, training=None):
        return self.top(self.inner(x, training=training))


def test_a_nested_model_has_the_scores_of_the_inner_one():
    inner, x = vit(), random_images(2, *SIZE, 3)
    expected = attention.attention_scores(inner, x).stack()
    inputs = keras.Input((*SIZE, 3))
    scaled = keras.layers.Rescaling(2.0)(inputs)
    with pytest.warns(UserWarning, match="'rescaling.*' normalizes pixels"):
        functional = keras.Model(inputs, inner(scaled))
    subclassed = Outer(keras.Sequential([inner]))
    for model, factor in ((functional, 0.5), (subclassed, 1)):
        scores = attention.attention_scores(model, x * factor)
        assert (scores.grid, scores.patch_size, scores.prefix_tokens) == ((3, 5), (4, 2), 1)
        np.testing.assert_allclose(scores.stack(), expected, atol=1e-6)


def test_a_loaded_model_has_the_scores_of_the_saved_one(tmp_path):
    model, x = vit(), random_images(2, *SIZE, 3)
    expected = attention.attention_scores(model, x).stack()
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(attention.attention_scores(again, x).stack(), expected, atol=1e-6)


class HandBuilt(keras.Model):
    """The layers, called one by one."""

    def __init__(self):
        super().__init__()
        self.patches = keras_vit.Patches((4, 2))
        self.patch_encoder = keras_vit.PatchEncoder(6)
        self.blocks = [keras_vit.TransformerBlock(3, 5, name=f"mine_{i}") for i in range(2)]
        self.top = keras.layers.Dense(2)

    def call(self, x):
        x = self.patch_encoder(self.patches(x))
        for block in self.blocks:
            x = block(x)
        return self.top(x[:, 0])


def test_models_of_our_layers_have_scores():
    layers = HandBuilt()
    x = random_images(2, *SIZE, 3) / 255
    with pytest.raises(ValueError, match="built before .*Received: model='.*Call it once"):
        attention.attention_scores(layers, x)
    layers(x)
    randomize(layers, scale=0.7)
    inputs = keras.Input((*SIZE, 3))
    functional = keras.Model(inputs, layers.call(inputs))
    expected = scores_of_weights(functional, x)
    for model in (layers, functional):
        scores = attention.attention_scores(model, x)
        assert list(scores) == ["mine_0", "mine_1"]
        assert (scores.grid, scores.patch_size, scores.prefix_tokens) == ((3, 5), (4, 2), 1)
        np.testing.assert_allclose(scores.stack(), expected, atol=1e-5)


def test_patches_of_a_hybrid_are_told_in_pixels_of_the_image():
    sizes = dict(image_size=(16, 24), patch_size=(4, 8), num_layers=1)
    hybrid = vit(keras_vit.HybridViT, resnet_units=(), **sizes)
    x = random_images(1, 16, 24, 3)
    scores = attention.attention_scores(keras.Sequential([hybrid]), x)
    assert find_encoder.find(hybrid).patches.patch_size == (1, 2)  # of the map, 4 times smaller
    assert (scores.grid, scores.patch_size) == ((4, 3), (4, 8))
    np.testing.assert_allclose(scores.stack(), scores_of_weights(hybrid, x), atol=1e-5)


def test_a_last_batch_of_fewer_images_is_like_the_others():
    model, x = vit(), random_images(5, *SIZE, 3)
    whole = attention.attention_scores(model, x, batch_size=100).stack()
    parts = attention.attention_scores(model, x, batch_size=2).stack()
    assert whole.shape == parts.shape == (2, 5, 3, 16, 16)
    np.testing.assert_allclose(parts, whole, atol=1e-5)


def test_images_come_a_few_at_a_time_where_not_all_are_kept():
    model, x = vit(num_layers=1), random_images(5, *SIZE, 3)
    parts = list(attention.iterate_scores(model, x, batch_size=2))
    assert [part["block_0"].shape[0] for part in parts] == [2, 2, 1]
    joined = np.concatenate([part["block_0"] for part in parts])
    scores = attention.attention_scores(model, x)
    np.testing.assert_allclose(joined, scores["block_0"], atol=1e-5)
    assert {(p.grid, p.patch_size, p.prefix_tokens) for p in parts} == {((3, 5), (4, 2), 1)}
    assert list(attention.iterate_scores(scores)) == [scores]


@pytest.mark.slow
def test_blocks_stay_in_order_also_where_their_names_do_not():
    """Sorted, block_10 comes before block_2."""
    model = vit(num_layers=11, hidden_dim=2, num_heads=1, image_size=(4, 2))
    scores = attention.attention_scores(model, random_images(1, 4, 2, 3))
    assert list(scores) == [f"block_{i}" for i in range(11)]
    np.testing.assert_array_equal(scores.stack()[10], scores["block_10"])


# --- Looking changes nothing ----------------------------------------------------------------------


def test_weights_are_those_of_the_moment():
    model, x = vit(num_layers=1), random_images(2, *SIZE, 3)
    before = attention.attention_scores(model, x).stack()
    randomize(model, seed=5, scale=0.7)
    after = attention.attention_scores(model, x).stack()
    assert np.abs(after - before).max() > 0.1
    np.testing.assert_allclose(after, scores_of_weights(model, x), atol=1e-5)


def test_two_models_do_not_mix():
    x = random_images(2, *SIZE, 3)
    models = [vit(seed=seed, num_layers=1) for seed in (1, 2)]
    for _ in range(2):
        for model in models:
            scores = attention.attention_scores(model, x).stack()
            np.testing.assert_allclose(scores, scores_of_weights(model, x), atol=1e-5)


def test_the_model_stays_as_it_was():
    model, x = vit(num_layers=1, dropout=0.1), random_images(2, *SIZE, 3)
    state = [numpy(v).copy() for v in model.variables]
    attributes = {layer: set(vars(layer)) for layer in model._flatten_layers()}
    nodes = {layer: len(layer._inbound_nodes) for layer in model._flatten_layers()}
    attention.attention_scores(model, x)
    assert {layer: set(vars(layer)) for layer in model._flatten_layers()} == attributes
    assert {layer: len(layer._inbound_nodes) for layer in model._flatten_layers()} == nodes
    assert all(np.array_equal(numpy(v), s) for v, s in zip(model.variables, state, strict=True))


@pytest.mark.slow
def test_what_is_compiled_for_predicting_and_training_stays():
    model, x = vit(num_layers=1), random_images(2, *SIZE, 3)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    expected = model.predict(x, verbose=0)
    model.fit(x, np.array([0, 1]), verbose=0)
    functions = model.predict_function, model.train_function
    weights_now = model.get_weights()
    attention.attention_scores(model, x)
    assert (model.predict_function, model.train_function) == functions
    assert not np.array_equal(model.predict(x, verbose=0), expected)  # it has been trained
    assert all(map(np.array_equal, model.get_weights(), weights_now))
    model.fit(x, np.array([0, 1]), verbose=0)
    assert not all(map(np.array_equal, model.get_weights(), weights_now))


def test_a_change_of_a_model_is_seen():
    """LoRA adds weights, and an activation is a part of what was compiled."""
    model, x = vit(num_layers=1), random_images(2, *SIZE, 3)
    before = numpy(forward.run(model, x)["output"])
    model.get_layer("head").activation = keras.activations.sigmoid
    found = numpy(forward.run(model, x)["output"])
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-before)), rtol=1e-5)
    plain = attention.attention_scores(model, x).stack()
    layer = model.get_layer("block_0").attention.query_key_value
    layer.enable_lora(2)
    layer.lora_kernel_a.assign(random_tokens(6, 2))
    layer.lora_kernel_b.assign(random_tokens(2, 18))
    found = attention.attention_scores(model, x).stack()
    np.testing.assert_allclose(found, scores_of_weights(keras_vit.resize(model), x), atol=1e-5)
    assert abs(found - plain).max() > 0.01
    block = model.get_layer("block_0")
    block.norm_1.epsilon = 1e4
    z_0 = keras.Model(model.inputs[0], model.get_layer("patch_encoder").output)(x)
    expected = numpy(block.attention_scores(z_0))
    found, before = attention.attention_scores(model, x).stack()[0], found[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert abs(found - before).max() > 0.01


def test_an_error_on_the_way_leaves_nothing_behind(monkeypatch):
    model, x = vit(num_layers=1), random_images(2, *SIZE, 3)
    block = model.get_layer("block_0")

    def broken(x):
        raise RuntimeError("no such scores")

    monkeypatch.setattr(block, "attention_scores", broken)
    with pytest.raises(RuntimeError, match="no such scores"):
        attention.attention_scores(model, x)
    assert not any("call" in vars(layer) for layer in model._flatten_layers())
    monkeypatch.undo()
    scores = attention.attention_scores(model, x).stack()
    np.testing.assert_allclose(scores, scores_of_weights(model, x), atol=1e-5)


def test_a_model_that_was_looked_into_can_be_forgotten():
    def look():  # its caller has returned: TensorFlow records the variables of a caller
        model = vit(num_layers=1)
        attention.attention_scores(model, random_images(2, *SIZE, 3))
        return weakref.ref(model), weakref.ref(next(iter(batched._COMPILED[model][1].values())))

    gone, compiled = look()
    gc.collect()
    assert gone() is None and compiled() is None


# --- What is refused ------------------------------------------------------------------------------


def test_models_without_one_encoder_are_refused():
    resnet = keras_vit.ResNet(image_size=8, units=(1,), num_classes=2, name="resnet")
    words = "Received: model='resnet', Patches layers in it=0. .*cka, grad_cam, occlusion, nearest"
    with pytest.raises(ValueError, match=f"one Transformer encoder.*{words}"):
        attention.attention_scores(resnet, random_images(1, 8, 8, 3))
    inputs = keras.Input((*SIZE, 3))
    two = keras.Model(inputs, [vit(name="a")(inputs), vit(name="b")(inputs)], name="two")
    words = "Received: model='two', Patches layers in it=2. Pass the submodel"
    with pytest.raises(ValueError, match=words):
        attention.attention_scores(two, random_images(1, *SIZE, 3))
    x = keras_vit.PatchEncoder(6)(keras_vit.Patches(2)(inputs))
    with pytest.raises(ValueError, match="TransformerBlock layers in it=0"):
        find_encoder.find(keras.Model(inputs, x))


def test_wrong_images_are_refused_before_any_work():
    model = vit()
    message = re.escape("shape (batch, 12, 10, 3). Received: images shape=(2, 10, 12, 3)")
    with pytest.raises(ValueError, match=message):
        attention.attention_scores(model, random_images(2, 10, 12, 3))
    with pytest.raises(ValueError, match=r"batch axis: model\(image\[None\]\)"):
        attention.attention_scores(model, random_images(*SIZE, 3))
    with pytest.raises(ValueError, match=r"At least one image.*\(0, 12, 10, 3\)"):
        attention.attention_scores(model, random_images(0, *SIZE, 3))
    with pytest.raises(ValueError, match="`batch_size` must be a positive integer"):
        attention.attention_scores(model, random_images(2, *SIZE, 3), batch_size=0)
    damaged = random_images(2, *SIZE, 3)
    damaged[1, 3] = np.nan
    with pytest.raises(ValueError, match="finite numbers. Received: image=1, pixel=nan"):
        attention.attention_scores(keras.Sequential([keras.Input((*SIZE, 3)), model]), damaged)
    with pytest.raises(ValueError, match="Pixels must be numbers. Received: images='object'"):
        attention.attention_scores(model, damaged.astype("object"))
    assert model not in batched._COMPILED


# --- Where scores may come from -------------------------------------------------------------------


def test_an_array_is_scores_too():
    array = random_tokens(3, 2, 4, 10, 10)
    scores = attention.as_scores(array)
    assert (scores.grid, scores.prefix_tokens, scores.patch_size) == ((3, 3), 1, None)
    np.testing.assert_array_equal(scores.stack(), array)
    scores = attention.as_scores(array.astype("float64"), grid=(2, 4))
    assert (scores.grid, scores.prefix_tokens) == ((2, 4), 2)
    assert scores["block_2"].dtype == "float32"
    assert attention.as_scores(array, grid=2).grid == (2, 2)  # six tokens of another kind
    assert attention.as_scores(scores) is scores


def test_scores_of_a_model():
    model, x = vit(num_layers=1), random_images(1, *SIZE, 3)
    found = attention.as_scores(model, x)
    np.testing.assert_array_equal(found.stack(), attention.attention_scores(model, x).stack())


def test_what_is_no_scores_is_refused():
    with pytest.raises(ValueError, match=r"\(layers, batch, heads, tokens, tokens\).*\(5, 5\)"):
        attention.as_scores(np.eye(5))
    with pytest.raises(ValueError, match=r"shape=\(1, 1, 1, 4, 5\).*`attention_scores`"):
        attention.as_scores(np.zeros((1, 1, 1, 4, 5)))
    with pytest.raises(ValueError, match=r"no more patches than tokens.*\(2, 3\), tokens=5"):
        attention.as_scores(np.zeros((1, 1, 1, 5, 5)), grid=(2, 3))
    with pytest.raises(ValueError, match=r"at most two class tokens.*tokens=12.*grid=\(rows"):
        attention.as_scores(np.zeros((1, 1, 1, 12, 12)))
    with pytest.raises(ValueError, match="A model needs images"):
        attention.as_scores(vit())
    with pytest.raises(ValueError, match="A model needs images"):
        list(attention.iterate_scores(vit()))


# --- The encoder ----------------------------------------------------------------------------------


def test_the_encoder_is_found_with_what_its_tokens_stand_for():
    model = vit(pooling="distilled")
    found = find_encoder.find(model)
    assert found.blocks == (model.get_layer("block_0"), model.get_layer("block_1"))
    assert found.patches is model.get_layer("patches")
    assert found.patch_encoder is model.get_layer("patch_encoder")
    assert (found.grid, found.patch_size, found.prefix_tokens) == ((3, 5), (4, 2), 2)


def test_images_of_any_size_before_a_resizing_layer():
    """The inner model determines the size of a patch in pixels."""
    inner = vit()
    inputs = keras.Input((None, None, 3))
    model = keras.Model(
        inputs, inner(keras.layers.Resizing(*SIZE, interpolation="nearest")(inputs))
    )
    x = random_images(2, *SIZE, 3)
    scores = attention.attention_scores(model, np.repeat(np.repeat(x, 2, axis=1), 2, axis=2))
    assert (scores.grid, scores.patch_size) == ((3, 5), (4, 2))
    np.testing.assert_allclose(scores.stack(), scores_of_weights(inner, x), atol=1e-5)


# --- Real weights ---------------------------------------------------------------------------------


@pytest.mark.slow
@needs_data
def test_real_activations_are_those_of_timm():
    golden = arrays(DATA / "weights" / "golden_ViT-Ti_16.npz")
    model, x = keras_vit.load_pretrained(REAL, verbose=False), golden["x_uint8"][:1]
    found = find_encoder.find(model)
    names = {"patch_embed": found.patch_encoder.projection, "embeddings": found.patch_encoder}
    names |= {f"block{i}": block for i, block in enumerate(found.blocks)}
    names["final_norm"] = model.get_layer("encoder_norm")
    with hooks.record(names.values()) as outputs:
        model(x)
    for name, layer in names.items():
        expected = golden[f"timm_picture0_{name}"]
        np.testing.assert_allclose(numpy(outputs[layer.name])[0], expected, rtol=1e-4, atol=2e-4)
    scores = attention.attention_scores(model, x).stack()
    assert scores.shape == (12, 1, 3, 197, 197)
    np.testing.assert_allclose(scores.sum(-1), 1, atol=1e-5)


def test_pooling_attention_is_what_the_probe_takes_from_each_token():
    """By hand, from the weights of the pooling; part of the attention goes to a class token."""
    shape = {"image_size": (8, 12), "num_layers": 1, "num_classes": None, "pooling": "map"}
    model = randomize(keras_vit.create("ViT-Mini/4", keras_vit.descendants.PEViT, **shape))
    images = random_images(2, 8, 12, 3)
    found = attention.pooling_attention(model, images)
    tokens = outputs(keras.Model(model.input, model.get_layer("encoder_norm").output), images)
    layer = model.get_layer("pooling")
    query, key = layer.attention.query_dense, layer.attention.key_dense
    q = np.einsum("d,dhk->hk", numpy(layer.probe)[0, 0], numpy(query.kernel)) + numpy(query.bias)
    k = np.einsum("btd,dhk->bthk", tokens, numpy(key.kernel)) + numpy(key.bias)
    scores = np.exp(np.einsum("hk,bthk->bht", q, k) / q.shape[-1] ** 0.5)
    scores = scores / scores.sum(-1, keepdims=True)
    np.testing.assert_allclose(found.reshape(2, 8, 6), scores[..., 1:], atol=1e-6)


def test_attention_of_a_pooling_without_registers_is_that_of_all_patches():
    model = vit(descendants.RegisterViT, pooling="map", num_registers=2, num_layers=1)
    found = attention.pooling_attention(model, random_images(2, *SIZE, 3))
    assert found.shape == (2, 3, 3, 5)
    np.testing.assert_allclose(found.sum((2, 3)), 1, rtol=1e-5)


def test_a_model_that_pools_in_another_way_has_no_pooling_attention():
    model = keras_vit.create("ViT-Mini/4", image_size=8, num_layers=1)
    with pytest.raises(ValueError, match="must pool with attention"):
        attention.pooling_attention(model, random_images(1, 8, 8, 3))
