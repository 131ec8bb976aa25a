"""Each layer of the ResNets against plain NumPy, a hand computation and the official code."""

import math

import keras
import numpy as np
import paper_resnet as reference
import pytest
from golden import seeded
from helpers import GOLDEN, check_layer, gradients, numpy, quick, random_tokens, randomize, weights

from keras_vit.convolutions import (
    BiTConv,
    BiTRoot,
    BiTUnit,
    HybridConv,
    HybridRoot,
    HybridUnit,
    SmallRoot,
    group_norm,
)

pytestmark = pytest.mark.usefixtures("blank")
HYBRIDS, BIT = np.load(GOLDEN / "hybrids.npz"), np.load(GOLDEN / "bit.npz")
KINDS = {
    "HybridConv": (lambda **k: HybridConv(7, 3, strides=2, **k), (2, 5, 8, 3), (2, 3, 4, 7), 1),
    "BiTConv": (lambda **k: BiTConv(7, 3, strides=2, **k), (2, 5, 8, 3), (2, 3, 4, 7), 1),
    "HybridRoot": (lambda **k: HybridRoot(32, **k), (2, 13, 18, 3), (2, 4, 5, 32), 3),
    "SmallRoot": (lambda **k: SmallRoot(32, **k), (2, 7, 8, 3), (2, 4, 4, 32), 3),
    "BiTRoot": (lambda **k: BiTRoot(32, **k), (2, 13, 18, 3), (2, 4, 5, 32), 1),
    "HybridUnit": (lambda **k: HybridUnit(32, **k), (2, 5, 3, 128), (2, 5, 3, 128), 9),
    "HybridUnit, half": (lambda **k: HybridUnit(32, 2, **k), (2, 5, 6, 128), (2, 3, 3, 128), 12),
    "BiTUnit": (lambda **k: BiTUnit(32, **k), (2, 5, 3, 128), (2, 5, 3, 128), 9),
    "BiTUnit, half": (lambda **k: BiTUnit(32, 2, **k), (2, 5, 6, 64), (2, 3, 3, 128), 10),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", quick(KINDS, "BiTUnit, half", rest=pytest.mark.weekly))
def test_layer_keeps_its_promises(case, tmp_path):
    check_layer(*KINDS[case], tmp_path)


def built(layer, shape, scale=0.3):
    layer.build(shape)
    return randomize(layer, scale=scale)


@pytest.mark.parametrize("shape", [(2, 7, 10, 3), (2, 8, 9, 3), (1, 1, 2, 3)])
@pytest.mark.parametrize("side, strides", [(1, 1), (3, 2), (7, 2)])
@pytest.mark.parametrize(
    "conv, kernel, padding",
    [
        (HybridConv, reference.hybrid_kernel, reference.fewest),
        (BiTConv, reference.bit_kernel, reference.even),
    ],
)
def test_convolution_equals_numpy(conv, kernel, padding, side, strides, shape):
    x = random_tokens(*shape)
    layer = built(conv(5, side, strides), shape)
    expected = reference.convolve(x, kernel(weights(layer)["kernel"]), strides, padding)
    out = numpy(layer(x))
    assert out.shape == layer.compute_output_shape(shape)
    np.testing.assert_allclose(out, expected, atol=5e-5)


def test_a_kernel_standardised_by_hand():
    """Kernel 1, 3: mean 2, deviation 1, so (-1, 1) but for the epsilons."""
    x = np.array([[[[10.0, 30.0]]]], "float32")
    for conv, divisor in ((HybridConv, 1 + 1e-5), (BiTConv, math.sqrt(1 + 1e-10))):
        layer = conv(1, 1)
        layer.build(x.shape)
        layer.set_weights([np.array([1.0, 3.0]).reshape(1, 1, 2, 1)])
        np.testing.assert_allclose(numpy(layer(x)).item(), 20 / divisor, rtol=1e-6)


@pytest.mark.parametrize("shape", [(2, 13, 18, 3), (2, 16, 15, 3)])
@pytest.mark.parametrize(
    "root, by_hand",
    [
        (HybridRoot, reference.hybrid_root),
        (SmallRoot, reference.small_root),
        (BiTRoot, reference.bit_root),
    ],
)
def test_root_equals_numpy(root, by_hand, shape):
    x = random_tokens(*shape)
    layer = built(root(32), shape)
    np.testing.assert_allclose(numpy(layer(x)), by_hand(x, weights(layer)), atol=1e-4)


def test_zeros_surround_the_map_that_bit_pools():
    """Where all of a window is negative the padding decides: zero, as in BiT's own releases."""
    x = random_tokens(2, 16, 16, 3)
    layer = built(BiTRoot(32), x.shape)
    out = numpy(layer(x))
    assert (out[:, 0] >= 0).all() and (out[:, :, 0] >= 0).all()
    assert (out[:, 1:, 1:] < 0).any()


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("channels", [64, 128])  # at 128 and stride 1 there is no projection
@pytest.mark.parametrize(
    "unit, by_hand", [(HybridUnit, reference.hybrid_unit), (BiTUnit, reference.bit_unit)]
)
def test_unit_equals_numpy(unit, by_hand, channels, strides):
    x = random_tokens(2, 6, 7, channels)
    layer = built(unit(32, strides), x.shape)
    w = weights(layer)
    assert ("projection/kernel" in w) == (channels != 128 or strides != 1)
    expected = by_hand(x.astype("float64"), w, strides)
    assert expected.shape == layer.compute_output_shape(x.shape)
    np.testing.assert_allclose(numpy(layer(x)), expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(
    "unit, by_hand", [(HybridUnit, reference.hybrid_unit), (BiTUnit, reference.bit_unit)]
)
def test_unit_equals_numpy_where_epsilon_counts(unit, by_hand):
    x = random_tokens(2, 6, 7, 128) / 10_000
    layer = built(unit(32), x.shape)
    expected = by_hand(x.astype("float64"), weights(layer), 1)
    np.testing.assert_allclose(numpy(layer(x)), expected, atol=1e-4 * np.abs(expected).max())


def test_the_first_weights_that_are_trained_may_be_those_of_a_norm():
    """Below frozen layers; out = gamma x' + beta, so dL/dgamma is the mean of 2 (out - y) x'."""
    x, y = random_tokens(2, 5, 3, 128), random_tokens(2, 5, 3, 128, seed=1)
    inputs = keras.Input(x.shape[1:])
    model = keras.Model(inputs, group_norm(1e-5, "norm", None)(inputs))
    ones = {"norm/gamma": np.ones(128), "norm/beta": np.zeros(128)}
    standard = reference.group_norm(x.astype("float64"), ones, "norm", 1e-5)
    expected = (2 * (standard - y) * standard).sum((0, 1, 2)) / x.size
    found = {path.split("/")[-1]: g for path, g in gradients(model, x, y).items()}
    np.testing.assert_allclose(found["gamma"], expected, atol=1e-6)


def test_a_hybrids_unit_begins_as_its_shortcut():
    x = np.abs(random_tokens(2, 6, 7, 128))
    layer = HybridUnit(32)
    layer.build(x.shape)
    for conv in (layer.conv_1, layer.conv_2, layer.conv_3):
        conv.set_weights([random_tokens(*conv.kernel.shape)])
    np.testing.assert_array_equal(numpy(layer(x)), x)


def test_the_kernel_is_standardised_in_float32():
    """In half precision a mean far from zero leaves only rounding; weights here are about 10."""
    x = random_tokens(2, 5, 5, 8)
    half, full = HybridConv(4, 3, dtype="mixed_bfloat16"), HybridConv(4, 3)
    half.build(x.shape), full.build(x.shape)
    full.set_weights([10 + random_tokens(3, 3, 8, 4, seed=1) / 100])
    half.set_weights(full.get_weights())
    difference = numpy(keras.ops.cast(half(x), "float32")) - numpy(full(x))
    assert np.abs(difference).max() < 0.02 * numpy(full(x)).std() * 8


@pytest.mark.parametrize("conv, golden", [(HybridConv, HYBRIDS), (BiTConv, BIT)])
def test_convolution_equals_googles(conv, golden):
    """The layer alone, with a tiny kernel: a norm after it would hide its epsilon."""
    layer = conv(11, 3, strides=2)
    layer.build((2, 8, 9, 5))
    layer.set_weights([seeded.weight("convolution/kernel", (3, 3, 5, 11)) / 2000])
    x = seeded.weight("convolution/input", (2, 8, 9, 5))
    np.testing.assert_allclose(numpy(layer(x)), golden["convolution"], atol=1e-5)


def test_sides_of_a_map_may_be_unknown():
    inputs = keras.Input((None, None, 64))
    for unit in (HybridUnit(32, 2), BiTUnit(32, 2)):
        model = keras.Model(inputs, unit(inputs))
        assert model.output_shape == (None, None, None, 128)
        assert model.predict(random_tokens(2, 5, 6, 64), verbose=0).shape == (2, 3, 3, 128)
