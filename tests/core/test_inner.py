"""Layers inside layers: the same numbers as Keras's own, in fewer steps; no time is measured."""

import collections
import contextlib
import gc
import math
import weakref

import keras
import numpy as np
import pytest
from helpers import gradients, numpy, outputs, random_images, random_tokens, randomize

import keras_vit
from keras_vit import backend, inner

BACKEND = keras.backend.backend()
on_torch = pytest.mark.skipif(BACKEND != "torch", reason="PyTorch alone runs line by line")
on_jax = pytest.mark.skipif(BACKEND != "jax", reason="JAX alone computes again for the gradient")
SMALL = dict(image_size=8, patch_size=4, num_layers=3, hidden_dim=12, mlp_dim=24, num_heads=3)


def pair(kind, *args, shape=(2, 5, 8), **kwargs):
    """Returns a layer of `inner` and Keras's own, with the same weights."""
    ours, keras_own = (getattr(m, kind)(*args, **kwargs) for m in (inner, keras.layers))
    for layer in (ours, keras_own):
        layer.build(shape)
    keras_own.set_weights(randomize(ours).get_weights())
    return ours, keras_own


@pytest.mark.parametrize("dtype", ["float32", "float16", "mixed_bfloat16"])
@pytest.mark.parametrize("options", [{}, {"use_bias": False}, {"activation": "tanh"}])
def test_dense_equals_keras_dense(options, dtype):
    ours, keras_own = pair("Dense", 7, dtype=dtype, **options)
    for shape in [(2, 8), (2, 5, 8), (2, 3, 5, 8)]:
        x = random_tokens(*shape)
        found, expected = ours(x), keras_own(x)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        tolerance = {"float16": 1e-2, "mixed_bfloat16": 5e-2}.get(dtype, 1e-6)
        as_floats = [numpy(keras.ops.cast(y, "float32")) for y in (found, expected)]
        np.testing.assert_allclose(*as_floats, atol=tolerance, rtol=tolerance)


def test_dense_with_lora_equals_keras_dense():
    ours, keras_own = pair("Dense", 7)
    for layer in (ours, keras_own):
        layer.enable_lora(2)
    keras_own.set_weights(randomize(ours).get_weights())
    x = random_tokens(2, 5, 8)
    np.testing.assert_allclose(numpy(ours(x)), numpy(keras_own(x)), atol=1e-5)


def test_dense_is_quantized_as_keras_dense():
    ours, keras_own = pair("Dense", 7)
    x = random_tokens(2, 5, 8)
    exact = numpy(ours(x))
    for layer in (ours, keras_own):
        layer.quantize("int8")
    np.testing.assert_allclose(numpy(ours(x)), numpy(keras_own(x)), atol=1e-6)
    assert 0 < np.abs(numpy(ours(x)) - exact).max() < 0.5


def test_an_activity_regularizer_adds_what_it_adds_in_keras():
    ours, keras_own = pair("Dense", 7, activity_regularizer=keras.regularizers.L2(0.1))
    for layer in (ours, keras_own):
        layer(random_tokens(2, 5, 8))
    (found,), (expected,) = ours.losses, keras_own.losses
    np.testing.assert_allclose(numpy(found), numpy(expected), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
def test_a_quantized_model_has_no_dense_layer_left_out():
    """Keras silently skips a subclass of `Dense`."""
    model = keras_vit.ViT(**SMALL, num_classes=2)
    model.quantize("int8")
    modes = [x.quantization_mode for x in model._flatten_layers() if isinstance(x, inner.Dense)]
    assert modes == ["int8"] * (1 + 4 * 3)


@pytest.mark.parametrize("training", [True, False, None])
def test_dropout_at_rate_0_is_no_operation_at_all(training):
    x = keras.ops.ones((2, 5))
    assert inner.Dropout(0.0)(x, training=training) is x


@pytest.mark.parametrize("approximate", [True, False])
def test_gelu_equals_its_formula(approximate):
    x = np.linspace(-6, 6, 97, dtype="float32")
    phi = [(1 + math.erf(value / math.sqrt(2))) / 2 for value in x.tolist()]
    cubic = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
    expected = x * (1 + np.tanh(cubic)) / 2 if approximate else x * np.array(phi)
    found = numpy(backend.gelu(keras.ops.convert_to_tensor(x), approximate))
    np.testing.assert_allclose(found, expected, atol=1e-6)


# ------------------------------------------------------------------------------------- PyTorch


@contextlib.contextmanager
def counted(owner, name, monkeypatch):
    """A context that counts the calls of a method by the class of the object."""
    calls, method = collections.Counter(), getattr(owner, name)

    def count(self, *args, **kwargs):
        calls[type(self).__name__] += 1
        return method(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, count)
        yield calls


@on_torch
def test_keras_prepares_only_the_model_and_its_head(monkeypatch):
    """Keras's `Layer.__call__` takes as long as a small matrix product."""
    model = keras_vit.ViT(**SMALL, num_classes=2)
    images = random_images(2, 8, 8, 3)
    with counted(keras.layers.Layer, "__call__", monkeypatch) as calls:
        model(images, training=True)
    assert calls == {"ViT": 1, "Head": 1}


@on_torch
def test_a_block_computes_each_dense_layer_in_one_operation():
    import torch

    block, x = keras_vit.TransformerBlock(3, 24), torch.ones(2, 5, 12)
    block(x)
    with torch.no_grad(), torch.profiler.profile() as profile:
        block(x)
    counts = collections.Counter({e.key: e.count for e in profile.key_averages()})
    assert counts["aten::addmm"] == 4  # query-key-value, projection, expand, contract
    assert counts["aten::mm"] == counts["aten::mul"] == 0
    assert counts["aten::add"] == 2  # the residuals
    assert counts["aten::scaled_dot_product_attention"] == 1
    assert counts["aten::clone"] == 0  # nothing is copied


@on_torch
@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "float64"])
def test_an_input_that_must_be_cast_is_cast(dtype):
    block = keras_vit.TransformerBlock(3, 24, dtype=dtype)
    block.build((2, 5, 12))
    x = random_tokens(2, 5, 12)
    expected = {"mixed_bfloat16": "bfloat16"}.get(dtype, dtype)
    for layer in (block, block.norm_1, block.attention, block.mlp.expand):
        assert keras.backend.standardize_dtype(layer(x, training=False).dtype) == expected


@on_torch
def test_dropout_inside_of_layers_knows_that_the_model_is_trained():
    block = keras_vit.TransformerBlock(3, 24, dropout=0.5)
    x = keras.ops.convert_to_tensor(random_tokens(2, 5, 12))
    randomize_after_build(block, x)
    still = numpy(block(x))
    np.testing.assert_array_equal(numpy(block(x, training=False)), still)
    assert np.abs(numpy(block(x, training=True)) - still).max() > 0.01
    model = keras.Sequential([keras.Input((5, 12)), block])
    np.testing.assert_array_equal(numpy(model(x)), still)
    assert np.abs(numpy(model(x, training=True)) - still).max() > 0.01


class Loud(keras_vit.TransformerBlock):
    """A block that asks for `training` itself."""

    def call(self, x, training=None):
        return x + 100.0 if training else x


@pytest.mark.parametrize("training", [True, False, None])
def test_the_blocks_of_a_model_know_that_it_is_trained(training):
    class LoudViT(keras_vit.ViT):
        block = Loud

    x = random_images(2, 8, 8, 3)
    loud = LoudViT(**SMALL, pooling=None)
    tokens = keras.Model(loud.input, loud.get_layer("block_2").output)
    added = numpy(tokens(x, training=training)) - numpy(tokens(x))
    np.testing.assert_allclose(added, 300.0 if training else 0.0, atol=1e-4)
    model = randomize(keras_vit.ViT(**SMALL, num_classes=2, dropout=0.5))
    differs = np.abs(numpy(model(x, training=training)) - numpy(model(x))).max() > 0.01
    assert differs == bool(training)


@pytest.mark.parametrize("dtype", ["float32", "float16", "mixed_bfloat16"])
@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}])
def test_layer_normalization_equals_that_of_keras(options, dtype):
    ours, keras_own = pair("LayerNormalization", dtype=dtype, **options)
    x = random_tokens(2, 5, 8)
    found, expected = ours(x), keras_own(x)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    as_floats = [numpy(keras.ops.cast(y, "float32")) for y in (found, expected)]
    np.testing.assert_allclose(*as_floats, atol=1e-6)


class Offset(keras_vit.MLP):
    """A layer inside a block that asks for `training`."""

    def call(self, x, training=None):
        return super().call(x) + (100.0 if training else 0.0)


class OffsetBlock(keras_vit.TransformerBlock):
    mlp_layer = Offset


class Averaging(keras_vit.ViT):
    """A ViT whose dropout is always active, as for an average over samples."""

    def call(self, inputs, training=None, mask=None):
        return super().call(inputs, training=True)


class FrozenStatistics(keras_vit.layers.Layer):
    """A stem that normalizes with fixed statistics, also in training."""

    def build(self, input_shape):
        self.norm = self.part(keras.layers.BatchNormalization, name="norm")
        self.norm.build(input_shape)

    def call(self, x):
        return self.norm(x, training=False)


class FrozenStemViT(keras_vit.ViT):
    def stem(self, x):
        return self.part(FrozenStatistics, name="stem")(x)


@on_torch
@pytest.mark.parametrize("training", [True, False, None])
def test_layers_inside_of_layers_may_ask_whether_the_model_is_trained(training):
    block, x = OffsetBlock(3, 24), keras.ops.convert_to_tensor(random_tokens(2, 5, 12))
    randomize_after_build(block, x)
    model = keras.Sequential([keras.Input((5, 12)), block])
    for compute in (block, model):
        added = numpy(compute(x, training=training)) - numpy(compute(x))
        np.testing.assert_allclose(added, 100.0 if training else 0.0, atol=1e-4)


@on_torch
@pytest.mark.parametrize("kind, training", [(Averaging, False), (FrozenStemViT, True)])
def test_one_value_of_training_does_not_displace_another(kind, training):
    """A model may train its layers in inference, and a layer compute in training as if not."""
    model, x = kind(**SMALL, num_classes=2, dropout=0.5), random_images(2, 8, 8, 3)
    randomize(model, scale=0.3)
    answers = [numpy(model(x, training=training)) for _ in range(2)]
    assert np.abs(answers[0] - answers[1]).max() > 0.01


@on_torch
@pytest.mark.parametrize("name", ["block_1", "encoder_norm"])
def test_an_activity_regularizer_adds_its_loss(name):
    model, x = randomize(keras_vit.ViT(**SMALL, num_classes=2)), random_images(4, 8, 8, 3)
    layer = model.get_layer(name)
    layer.activity_regularizer = keras.regularizers.L2(0.5)
    model(x)
    (found,) = (float(numpy(loss)) for loss in model.losses)
    made = numpy(keras.Model(model.input, layer.output)(x))
    np.testing.assert_allclose(found, 0.5 * (made**2).sum() / 4, rtol=1e-5)


def randomize_after_build(layer, x):
    layer.build(x.shape)
    return randomize(layer)


@on_torch
def test_hooks_of_pytorch_see_layers_inside_of_layers():
    block, seen = keras_vit.TransformerBlock(3, 24), []
    x = keras.ops.convert_to_tensor(random_tokens(2, 5, 12))
    block(x)
    block.mlp.expand.register_forward_hook(lambda layer, inputs, output: seen.append(output.shape))
    block(x)
    assert seen == [(2, 5, 24)]


@on_torch
def test_layers_inside_of_layers_are_rematerialized(monkeypatch):
    x = keras.ops.convert_to_tensor(random_tokens(2, 5, 12))
    with keras.RematScope(mode="full"):
        block = keras_vit.TransformerBlock(3, 24)
        block(x)  # makes those layers that know their size only now
    with counted(keras.layers.Layer, "rematerialized_call", monkeypatch) as calls:
        block(x)
    assert calls["Dense"] == 4 and calls["MLP"] == calls["SelfAttention"] == 1


# ----------------------------------------------------------------------------------------- JAX


@on_jax
def test_a_dense_layer_and_its_gradients_multiply_matrices():
    """The compiler for CPUs takes twice as long for a batch of matrices."""
    import jax

    layer, x = inner.Dense(7), random_tokens(2, 5, 8)
    layer.build(x.shape)
    weights = [w.value for w in layer.trainable_variables]
    compute = lambda weights, x: layer.stateless_call(weights, [], x)[0].sum()  # noqa: E731
    program = jax.make_jaxpr(jax.grad(compute, argnums=(0, 1)))(weights, x)
    ranks = [
        [x.aval.ndim for x in e.invars] for e in program.eqns if e.primitive.name == "dot_general"
    ]
    assert ranks == [[2, 2]] * 3  # x W, and the gradients of x and of W


@on_jax
def test_a_norm_is_traced_anew_while_its_last_trace_is_not_yet_collected():
    layer = keras_vit.AttentionPooling(3, 17)
    x = random_tokens(2, 7, 15)
    model = keras.Sequential([keras.Input((7, 15)), layer])
    gc.disable()
    try:
        outputs(model, x)
        found = gradients(model, x, np.zeros((2, 15)))
    finally:
        gc.enable()
    bias = found[layer.mlp.weights[-1].path]
    np.testing.assert_allclose(bias, 2 * outputs(model, x).sum(axis=0) / 30, rtol=1e-5)


@on_jax
@pytest.mark.slow
def test_training_on_jax_stores_less_and_computes_the_same(monkeypatch):
    model = randomize(keras_vit.ViT(**SMALL, num_classes=2), scale=0.3)
    images, targets = random_images(64, 8, 8, 3), random_tokens(64, 2)
    found, stored = gradients(model, images, targets), stored_bytes(model, images)
    monkeypatch.setattr(backend, "recomputed", lambda function, x: function(x))
    expected = gradients(model, images, targets)
    for path, gradient in expected.items():
        np.testing.assert_allclose(found[path], gradient, atol=1e-5, err_msg=path)
    assert stored < 0.7 * stored_bytes(model, images)


def stored_bytes(model, images):
    """Returns the number of bytes that the forward pass keeps for the gradient."""
    import jax

    weights = [w.value for w in model.trainable_variables]
    _, backward = jax.vjp(lambda weights: model.stateless_call(weights, [], images)[0], weights)
    return sum(array.nbytes for array in jax.tree.leaves(backward))


@on_torch
def test_a_model_lets_go_of_each_tensor_after_its_last_use(monkeypatch):
    """Truth: Keras's own walk through the graph, in which all outputs live to the end."""
    model, images = keras_vit.ViT(**SMALL, num_classes=2), random_images(2, 8, 8, 3)
    alive, made = [], []

    def note(block, inputs, output):
        made.append(weakref.ref(output))
        alive.append(sum(reference() is not None for reference in made))

    import torch

    for number in range(SMALL["num_layers"]):
        model.get_layer(f"block_{number}").register_forward_hook(note)
    with torch.no_grad():
        found = numpy(model(images))
        assert alive == [1, 2, 2]  # the input of a block, which it is computing, and its output
        alive.clear(), made.clear()
        monkeypatch.delattr(inner.Graph, "_run_through_graph")
        expected = numpy(model(images))
    assert alive == [1, 2, 3]
    np.testing.assert_array_equal(found, expected)


@on_torch
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Dynamo detected")
def test_pytorch_compiles_the_whole_model():
    import torch

    model, images = keras_vit.ViT(**SMALL, num_classes=2), random_images(2, 8, 8, 3)
    with torch.no_grad():
        found = torch.compile(model, fullgraph=True, backend="eager")(torch.tensor(images))
    np.testing.assert_allclose(numpy(found), numpy(model(images)), atol=1e-6)
