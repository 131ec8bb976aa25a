"""Each layer against plain NumPy, a hand computation, or a convolution."""

import keras
import numpy as np
import paper
import pytest
from helpers import check_layer, numpy, random_images, random_tokens, randomize, weights

import keras_vit
from keras_vit.descendants.deit import ClassAndDistillationToken
from keras_vit.vit import ClassToken

CASES = {
    "Patches": (lambda **k: keras_vit.Patches((5, 7), **k), (2, 15, 21, 3), (2, 9, 105), 0),
    "PatchEncoder": (lambda **k: keras_vit.PatchEncoder(11, **k), (2, 7, 13), (2, 8, 11), 4),
    "PatchEncoder without class token": (
        lambda **k: keras_vit.PatchEncoder(11, prefix_tokens=0, **k),
        (2, 7, 13),
        (2, 7, 11),
        3,
    ),
    "LayerNorm": (lambda **k: keras_vit.LayerNorm(**k), (2, 5, 7), (2, 5, 7), 2),
    "SelfAttention": (lambda **k: keras_vit.SelfAttention(3, **k), (2, 7, 15), (2, 7, 15), 4),
    "MLP": (lambda **k: keras_vit.MLP(17, **k), (2, 7, 11), (2, 7, 11), 4),
    "TransformerBlock": (
        lambda **k: keras_vit.TransformerBlock(3, 17, approximate=True, epsilon=1e-5, **k),
        (2, 7, 15),
        (2, 7, 15),
        12,
    ),
    "ClassToken": (lambda **k: ClassToken(**k), (2, 7, 15), (2, 15), 0),
    "ClassAndDistillationToken": (
        lambda **k: ClassAndDistillationToken(**k),
        (2, 7, 15),
        (2, 30),
        0,
    ),
    "AttentionPooling": (
        lambda **k: keras_vit.AttentionPooling(3, 17, **k),
        (2, 7, 15),
        (2, 15),
        15,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_layer_keeps_its_promises(case, tmp_path):
    check_layer(*CASES[case], tmp_path)


def test_patches_of_an_image_counted_by_hand():
    # Pixel (row, column) holds 10 row + column; two channels, the second negative.
    grid = 10 * np.arange(4)[:, None] + np.arange(6)
    image = np.stack([grid, -grid], -1)[None].astype("float32")
    x = numpy(keras_vit.Patches((2, 3))(image))
    assert x.shape == (1, 4, 12)
    np.testing.assert_array_equal(x[0, 0, ::2], [0, 1, 2, 10, 11, 12])
    np.testing.assert_array_equal(x[0, 1, ::2], [3, 4, 5, 13, 14, 15])
    np.testing.assert_array_equal(x[0, 2, ::2], [20, 21, 22, 30, 31, 32])
    np.testing.assert_array_equal(x[0, :, 1::2], -x[0, :, ::2])


def test_the_patch_encoder_takes_pixels_as_they_are_read():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 12, 3)).astype("uint8")
    encoder = keras_vit.PatchEncoder(11)
    expected = numpy(encoder(keras_vit.Patches(4)(pixels.astype("float32"))))
    np.testing.assert_allclose(numpy(encoder(keras_vit.Patches(4)(pixels))), expected, rtol=1e-6)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_patches_and_encoder_are_a_strided_convolution(channels):
    images = random_images(2, 15, 21, channels)
    patches = keras_vit.Patches((5, 7))(images)
    encoder = keras_vit.PatchEncoder(11)
    encoder.build(patches.shape)
    w = weights(randomize(encoder))
    convolution = keras.layers.Conv2D(11, (5, 7), strides=(5, 7))
    convolution.build(images.shape)
    kernel = w["projection/kernel"].reshape(5, 7, channels, 11)
    convolution.set_weights([kernel, w["projection/bias"]])
    expected = numpy(convolution(images)).reshape(2, 9, 11) + w["position_embedding"][:, 1:]
    np.testing.assert_allclose(numpy(encoder(patches))[:, 1:], expected, rtol=1e-5, atol=1e-4)


def test_patch_encoder_equals_equation_1():
    images = random_images(2, 15, 21, 3) / 255
    encoder = keras_vit.PatchEncoder(11)
    out = keras_vit.Patches((5, 7))(images)
    encoder.build(out.shape)
    w = weights(randomize(encoder))
    expected = [paper.embed(paper.patches(image, 5, 7), w) for image in images]
    np.testing.assert_allclose(numpy(encoder(out)), expected, atol=1e-5)


def test_patch_encoder_with_three_prefix_tokens():
    x = random_tokens(2, 7, 13)
    encoder = keras_vit.PatchEncoder(11, prefix_tokens=3)
    encoder.build(x.shape)
    assert encoder.count_params() == 13 * 11 + 11 + 3 * 11 + (3 + 7) * 11
    w = weights(randomize(encoder))
    expected = [paper.embed(patches.astype("float64"), w) for patches in x]
    assert np.shape(expected) == (2, 10, 11)
    np.testing.assert_allclose(numpy(encoder(x)), expected, atol=1e-5)


def test_layer_norm_equals_numpy():
    x = random_tokens(3, 5, 7) * 13 + 17
    norm = keras_vit.LayerNorm()
    norm.build(x.shape)
    w = weights(randomize(norm))
    expected = paper.layer_norm(x.astype("float64"), w["gamma"], w["beta"], 1e-6)
    np.testing.assert_allclose(numpy(norm(x)), expected, atol=1e-5)


def test_layer_norm_epsilon_is_the_official_one():
    x = np.array([[[-1e-3, 1e-3]]], "float32")  # variance 1e-6, equal to epsilon
    np.testing.assert_allclose(
        numpy(keras_vit.LayerNorm()(x)), [[[-(0.5**0.5), 0.5**0.5]]], rtol=1e-3
    )


def test_self_attention_equals_equations_5_to_8():
    x = random_tokens(2, 7, 15)
    attention = keras_vit.SelfAttention(3)
    attention.build(x.shape)
    w = weights(randomize(attention, scale=0.5))
    expected, scores = zip(*[paper.msa(z.astype("float64"), w, 3) for z in x], strict=True)
    np.testing.assert_allclose(numpy(attention(x)), expected, atol=1e-5)
    query, key, _ = attention.heads(x)
    np.testing.assert_allclose(numpy(attention.scores(query, key)), scores, atol=1e-5)


@pytest.mark.parametrize("kernel", [True, False])
def test_the_fused_kernel_and_the_equations_give_the_same_numbers(kernel, monkeypatch):
    monkeypatch.setattr(keras_vit.backend, "has_attention_kernel", lambda _: kernel)
    fused, called = keras_vit.backend.attention, []
    watch = lambda *args: called.append(1) or fused(*args)  # noqa: E731
    monkeypatch.setattr(keras_vit.backend, "attention", watch)
    x = random_tokens(2, 7, 15)
    attention = keras_vit.SelfAttention(3)
    attention.build(x.shape)
    w = weights(randomize(attention, scale=0.5))
    expected = [paper.msa(z.astype("float64"), w, 3)[0] for z in x]
    np.testing.assert_allclose(numpy(attention(x)), expected, atol=1e-5)
    assert bool(called) is kernel


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="about PyTorch's kernel")
def test_the_fused_kernel_is_not_differentiated_in_16_bits_on_a_cpu(monkeypatch):
    """Its gradient takes several times as long as the equations'; outputs alone do not."""
    import torch

    called, fused = [], keras_vit.backend.attention
    watch = lambda *args: called.append(1) or fused(*args)  # noqa: E731
    monkeypatch.setattr(keras_vit.backend, "attention", watch)
    uses = {}
    for dtype in ("float32", "mixed_bfloat16"):
        attention, x = keras_vit.SelfAttention(3, dtype=dtype), torch.zeros(2, 7, 15, device="cpu")
        attention.build(x.shape)
        attention.to("cpu")
        for grad in (True, False):
            called.clear()
            with torch.set_grad_enabled(grad):
                attention(x)
            uses[dtype, grad] = bool(called)
    assert uses.pop(("mixed_bfloat16", True)) is False
    assert all(uses.values())


def test_attention_to_equal_keys_is_the_mean():
    x = random_tokens(2, 5, 4)
    attention = keras_vit.SelfAttention(2)
    attention.build(x.shape)
    kernel = np.zeros((4, 12))
    kernel[:, 8:] = np.eye(4)  # queries and keys 0, values the tokens themselves
    attention.set_weights([kernel, np.zeros(12), np.eye(4), np.zeros(4)])
    expected = np.broadcast_to(x.mean(1, keepdims=True), x.shape)
    np.testing.assert_allclose(numpy(attention(x)), expected, atol=1e-6)


@pytest.mark.parametrize("approximate", [False, True])
def test_transformer_block_equals_equations_2_and_3(approximate):
    x = random_tokens(2, 7, 15)
    block = keras_vit.TransformerBlock(3, 17, approximate=approximate)
    block.build(x.shape)
    w = weights(randomize(block, scale=0.5))
    expected = [paper.block(z.astype("float64"), w, 3, approximate) for z in x]
    np.testing.assert_allclose(numpy(block(x)), expected, atol=1e-5)


def test_the_two_forms_of_gelu_differ():
    x = random_tokens(2, 7, 15) * 3
    exact, tanh = keras_vit.MLP(17), keras_vit.MLP(17, approximate=True)
    exact.build(x.shape), tanh.build(x.shape)
    tanh.set_weights(randomize(exact, scale=1).get_weights())
    difference = np.abs(numpy(exact(x)) - numpy(tanh(x))).max()
    assert 1e-5 < difference < 1e-2


def test_attention_scores_of_a_block():
    x = random_tokens(2, 7, 15)
    block = keras_vit.TransformerBlock(3, 17)
    block.build(x.shape)
    w = weights(randomize(block, scale=0.5))
    scores = numpy(block.attention_scores(x))
    assert scores.shape == (2, 3, 7, 7)
    np.testing.assert_allclose(scores.sum(-1), 1, atol=1e-5)
    normed = paper.norm(x.astype("float64"), w, "norm_1")
    expected = [paper.msa(z, paper.under(w, "attention"), 3)[1] for z in normed]
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_attention_pooling_equals_numpy():
    x = random_tokens(2, 7, 15)
    pool = keras_vit.AttentionPooling(3, 17)
    pool.build(x.shape)
    w = weights(randomize(pool, scale=0.5))
    expected = [paper.attention_pooling(z.astype("float64"), w, False) for z in x]
    np.testing.assert_allclose(numpy(pool(x)), expected, atol=1e-5)


def test_initialisation_is_the_official_one():
    block = keras_vit.TransformerBlock(12, 3072)
    block.build((None, 197, 768))
    encoder = keras_vit.PatchEncoder(768)
    encoder.build((None, 196, 768))
    w = {**weights(block), **weights(encoder)}
    glorot = (6 / (768 + 768)) ** 0.5  # uniform limit of each of the three square matrices
    assert np.abs(w["attention/query_key_value/kernel"]).max() <= glorot
    assert w["attention/query_key_value/kernel"].std() == pytest.approx(glorot / 3**0.5, rel=0.01)
    assert w["attention/projection/kernel"].std() == pytest.approx(glorot / 3**0.5, rel=0.01)
    assert w["mlp/expand/kernel"].std() == pytest.approx((2 / (768 + 3072)) ** 0.5, rel=0.01)
    assert w["mlp/contract/bias"].std() == pytest.approx(1e-6, rel=0.1)
    assert w["projection/kernel"].std() == pytest.approx(768**-0.5, rel=0.01)
    assert w["position_embedding"].std() == pytest.approx(0.02, rel=0.01)
    zeros = ["class_token", "projection/bias", "attention/query_key_value/bias"]
    assert all(not w[name].any() for name in zeros)


def test_dropout_is_where_the_paper_puts_it():
    """After positions, after U_msa and after both dense layers of the MLP; never after U_qkv."""
    block = keras_vit.TransformerBlock(3, 17, dropout=0.3)
    encoder = keras_vit.PatchEncoder(15, dropout=0.3)
    drops = [encoder.drop, block.attention.drop, block.mlp.drop_1, block.mlp.drop_2]
    assert [drop.rate for drop in drops] == [0.3] * 4
    every = {
        id(layer)
        for parent in (encoder, block)
        for layer in parent._flatten_layers()
        if isinstance(layer, keras.layers.Dropout) and layer.rate
    }
    assert every == {id(drop) for drop in drops}


@pytest.mark.parametrize("layer", ["block", "encoder"])
def test_dropout_works_in_training_only(layer):
    x = random_tokens(2, 7, 15)
    layer = {
        "block": keras_vit.TransformerBlock(3, 17, dropout=0.5),
        "encoder": keras_vit.PatchEncoder(15, dropout=0.5),
    }[layer]
    calm = numpy(layer(x))
    np.testing.assert_array_equal(numpy(layer(x, training=False)), calm)
    assert np.abs(numpy(layer(x, training=True)) - calm).max() > 0.1


def test_stochastic_depth_skips_whole_branches():
    x = random_tokens(64, 7, 15)
    block = keras_vit.TransformerBlock(3, 17, stochastic_depth=0.5)
    block.build(x.shape)
    randomize(block)
    moved = np.abs(numpy(block(x, training=True)) - x).max((1, 2)) > 0
    assert 0.6 < moved.mean() < 0.9  # both branches are skipped by a quarter of the images
    branch = keras_vit.TransformerBlock(3, 17, stochastic_depth=0.5).skip_1
    kept = numpy(branch(np.ones((64, 7, 15), "float32"), training=True))
    assert set(np.unique(kept)) == {0.0, 2.0}  # kept values are doubled, so the mean stays the same
    assert (kept == kept[:, :1, :1]).all()


def test_number_of_tokens_may_differ_between_calls():
    block = keras_vit.TransformerBlock(3, 17)
    inputs = keras.Input((None, 15))
    model = keras.Model(inputs, block(inputs))
    assert model(random_tokens(2, 5, 15)).shape == (2, 5, 15)
    assert model.predict(random_tokens(2, 11, 15), verbose=0).shape == (2, 11, 15)
