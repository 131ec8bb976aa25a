"""Pitfalls of Keras, each covered by a test: mistakes made elsewhere must not happen here."""

import re
import warnings

import keras
import numpy as np
import pytest
from helpers import numpy, outputs, random_images, random_tokens, randomize

import keras_vit

SMALL = dict(image_size=8, patch_size=4, num_layers=2, hidden_dim=6, mlp_dim=5, num_heads=3)


def small(model=keras_vit.ViT, **overrides):
    return model(**{**SMALL, "num_classes": 2, **overrides})


def every_layer():
    return [
        (keras_vit.PatchEncoder(6), (None, 4, 48), 4),
        (keras_vit.SelfAttention(3), (None, 5, 6), 4),
        (keras_vit.MLP(7), (None, 5, 6), 4),
        (keras_vit.TransformerBlock(3, 7), (None, 5, 6), 12),
        (keras_vit.AttentionPooling(3, 7), (None, 5, 6), 15),
    ]


def test_a_sublayer_follows_its_parents_policy():
    """Without `dtype=` a sublayer computes in float32 inside a bfloat16 parent."""
    block = keras_vit.TransformerBlock(3, 7, dtype="mixed_bfloat16")
    block.build((None, 5, 6))
    assert {layer.compute_dtype for layer in block._flatten_layers()} == {"bfloat16"}


def test_build_makes_every_weight_without_a_warning():
    """Without `build`, a layer warns that it builds 0 weights, and silently loads none."""
    for layer, shape, count in every_layer():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            layer.build(shape)
        assert len(layer.weights) == count, layer.name


@pytest.mark.slow
def test_a_subclassed_model_restores_its_weights(tmp_path):
    class Mine(keras.Model):
        def __init__(self):
            super().__init__()
            self.patches = keras_vit.Patches(4)
            self.encoder = keras_vit.PatchEncoder(6)
            self.block = keras_vit.TransformerBlock(3, 7)

        def call(self, x):
            return self.block(self.encoder(self.patches(x)))

    images = random_images(2, 8, 8, 3) / 255
    first, second = Mine(), Mine()
    first(images), second(images)
    randomize(first)
    first.save_weights(tmp_path / "mine.weights.h5")
    second.load_weights(tmp_path / "mine.weights.h5")
    np.testing.assert_array_equal(outputs(second, images), outputs(first, images))


def test_every_call_has_one_output():
    """A second output behind a flag is sliced from the batch in a symbolic call."""
    for layer, shape, _ in every_layer():
        assert isinstance(layer(keras.Input(shape[1:])), keras.KerasTensor)
        assert len(layer(random_tokens(2, *shape[1:])).shape) in (2, 3)


def test_attention_scores_from_the_graph_also_after_saving_and_nesting(tmp_path):
    """Re-calling blocks in a second model fails; reading their inputs from the graph does not."""
    model = randomize(small(), scale=0.5)
    images = random_images(2, 8, 8, 3)

    def scores(model):
        blocks = [layer for layer in model.layers if layer.name.startswith("block_")]
        inputs = keras.Model(model.input, {block.name: block.input for block in blocks})(images)
        return [numpy(block.attention_scores(inputs[block.name])) for block in blocks]

    expected = scores(model)
    for a in expected:
        np.testing.assert_allclose(a.sum(-1), 1, atol=1e-5)
    model.save(tmp_path / "model.keras")
    outer_input = keras.Input((8, 8, 3))
    outer = keras.Model(outer_input, keras.layers.Softmax()(model(outer_input)))
    nested = next(layer for layer in outer.layers if isinstance(layer, keras_vit.ViT))
    for other in (keras.saving.load_model(tmp_path / "model.keras"), nested):
        for a, b in zip(scores(other), expected, strict=True):
            np.testing.assert_array_equal(a, b)


def test_attention_rows_sum_to_one_in_half_precision_too():
    block = keras_vit.TransformerBlock(3, 7, dtype="mixed_bfloat16")
    block.build((None, 5, 12))
    scores = numpy(randomize(block, scale=0.5).attention_scores(random_tokens(2, 5, 12)))
    np.testing.assert_allclose(scores.sum(-1), 1, atol=1e-5)
    assert scores.dtype == "float32" and scores.std() > 0.02


def test_dropouts_do_not_share_a_mask():
    """Several `Dropout` layers with one integer seed drop the same places."""
    mlp = keras_vit.MLP(64, dropout=0.5)
    mlp.build((None, 8, 64))
    ones = np.ones((2, 8, 64), "float32")
    first, second = (numpy(d(ones, training=True)) for d in (mlp.drop_1, mlp.drop_2))
    assert 0.3 < (first == second).mean() < 0.7
    assert not np.array_equal(first, numpy(mlp.drop_1(ones, training=True)))


def test_epsilon_is_not_keras_default():
    """Keras's default is 1e-3; ViT's is 1e-6, everywhere in the model."""
    model = small(pooling="map")
    norms = [x for x in model._flatten_layers() if isinstance(x, keras.layers.LayerNormalization)]
    assert len(norms) == 2 * 2 + 1 + 1
    assert {norm.epsilon for norm in norms} == {1e-6}


@pytest.mark.slow
@pytest.mark.parametrize("matrix", ["query", "key", "value"])
def test_attention_of_keras_starts_at_glorots_scale(matrix):
    pool = keras_vit.AttentionPooling(12, 3072)
    pool.build((None, 5, 768))
    kernel = numpy(getattr(pool.attention, f"{matrix}_dense").kernel)
    assert kernel.std() == pytest.approx((2 / (768 + 768)) ** 0.5, rel=0.01)  # 0.0361


def test_config_is_what_the_constructor_takes():
    """Keras's automatic config fails for functional subclasses; KerasHub's lists other names."""
    for layer, _, _ in every_layer():
        assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()
    for kind in (keras_vit.ViT, keras_vit.ablations.PositionViT):
        config = small(kind, name="mine", trainable=False).get_config()
        assert set(config) == {"name", "trainable", "dtype", *kind.checks}
        assert (config["num_layers"], config["hidden_dim"], config["name"]) == (2, 6, "mine")
        again = kind.from_config(config)
        assert type(again) is kind and again.get_config() == config


@pytest.mark.parametrize("kind", [keras_vit.ViT, keras_vit.ablations.PositionViT])
def test_a_cloned_model_computes_the_same(kind):
    """`clone_model` gives a plain functional model; its graph must still be complete.

    If `__init__` takes `*args, **kwargs`, Keras assumes that the class takes a graph.
    """
    model = randomize(small(kind))
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    images = random_images(2, 8, 8, 3)
    np.testing.assert_allclose(outputs(clone, images), outputs(model, images), atol=1e-6)


def test_one_block_may_be_called_twice():
    """Weights are shared between the calls, as one layer used twice must share them."""
    block = keras_vit.TransformerBlock(3, 7)
    inputs = keras.Input((5, 6))
    model = randomize(keras.Model(inputs, block(block(inputs))))
    assert len(model.weights) == 12
    x = random_tokens(2, 5, 6)
    np.testing.assert_allclose(outputs(model, x), numpy(block(block(x))), atol=1e-6)


def test_the_argument_dropout_stays_a_number():
    """KerasHub's classifier overwrites its dropout layer with the rate."""
    for layer in (keras_vit.MLP(7, dropout=0.1), keras_vit.SelfAttention(3, dropout=0.1)):
        assert layer.dropout == 0.1
        assert layer.get_config()["dropout"] == 0.1
    assert small(dropout=0.1).dropout == 0.1


@pytest.mark.parametrize("normalize", [(127.5, 127.5), ((1, 2, 3), (4, 5, 6))])
def test_the_global_image_format_changes_nothing(normalize):
    """Keras's layers for images follow `image_data_format`; tokens and our images do not."""
    images = random_images(2, 8, 8, 3)
    model = randomize(small(pooling="gap", normalize=normalize))
    keras.config.set_image_data_format("channels_first")
    try:
        other = small(pooling="gap", normalize=normalize)
        other.set_weights(model.get_weights())
        logits = outputs(other, images)
    finally:
        keras.config.set_image_data_format("channels_last")
    np.testing.assert_array_equal(logits, outputs(model, images))


def test_paths_of_weights_do_not_hold_the_models_name():
    """Tables of weights address them by path, so a path may not change with the name."""
    paths = [weight.path for weight in small(name="some_name").weights]
    assert "block_1/attention/query_key_value/kernel" in paths
    assert paths == [weight.path for weight in small(name="other").weights]


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "jax", reason="it is XLA's fusion that is counted")
def test_compiled_gradients_do_not_grow_with_depth():
    """With Keras's own layer normalization the largest fusion holds the chain of all blocks."""
    shallow, deep = (largest_fusion(depth) for depth in (4, 12))
    assert deep < 1.5 * shallow


def largest_fusion(depth):
    """Lines of the largest fused computation in the compiled gradient of a ViT."""
    import jax

    model = keras_vit.ViT(**{**SMALL, "num_layers": depth, "num_classes": 2})
    images = np.zeros((2, 8, 8, 3), "float32")

    def loss(trainable):
        logits, _ = model.stateless_call(trainable, [], images)
        return keras.ops.mean(keras.ops.square(logits))

    weights = [w.value for w in model.trainable_variables]
    text = jax.jit(jax.grad(loss)).lower(weights).compile().as_text()
    fusions = re.findall(r"^%?\S*fused\S* .*?\{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL)
    return max(fusion.count("\n") for fusion in fusions)
