"""The ResNets against plain NumPy, against Google's Flax code and against timm."""

import math
import pathlib
import re

import keras
import numpy as np
import paper
import pytest
from golden import seeded
from helpers import (
    check_layer,
    check_saving,
    gradients,
    numpy,
    random_images,
    random_tokens,
    randomize,
    weights,
)

import keras_vit
from keras_vit.convolutions import BiTConv, BiTRoot, BiTUnit, HybridConv, HybridRoot, HybridUnit
from keras_vit.variants import HYBRIDS as HYBRID_NAMES

GOLDEN = pathlib.Path(__file__).with_name("golden")
HYBRIDS, BIT = np.load(GOLDEN / "hybrids.npz"), np.load(GOLDEN / "bit.npz")
KINDS = {
    "HybridConv": (lambda **k: HybridConv(7, 3, strides=2, **k), (2, 5, 8, 3), (2, 3, 4, 7), 1),
    "BiTConv": (lambda **k: BiTConv(7, 3, strides=2, **k), (2, 5, 8, 3), (2, 3, 4, 7), 1),
    "HybridRoot": (lambda **k: HybridRoot(32, **k), (2, 13, 18, 3), (2, 4, 5, 32), 3),
    "BiTRoot": (lambda **k: BiTRoot(32, **k), (2, 13, 18, 3), (2, 4, 5, 32), 1),
    "HybridUnit": (lambda **k: HybridUnit(32, **k), (2, 5, 3, 128), (2, 5, 3, 128), 9),
    "HybridUnit, half": (lambda **k: HybridUnit(32, 2, **k), (2, 5, 6, 128), (2, 3, 3, 128), 12),
    "BiTUnit": (lambda **k: BiTUnit(32, **k), (2, 5, 3, 128), (2, 5, 3, 128), 9),
    "BiTUnit, half": (lambda **k: BiTUnit(32, 2, **k), (2, 5, 6, 64), (2, 3, 3, 128), 10),
}


@pytest.fixture(autouse=True)
def blank(monkeypatch):
    """Kernels begin at zero: JAX would compile a generator for each shape, and all are replaced."""
    zeros = keras.initializers.Zeros.__call__
    monkeypatch.setattr(keras.initializers.VarianceScaling, "__call__", zeros)


def quick(names, *some):
    """All of `names`, but only `some` in the quick suite."""
    return [pytest.param(n, marks=[] if n in some else [pytest.mark.slow]) for n in names]


@pytest.mark.parametrize(
    "case", quick(KINDS, *(k for k in KINDS if k not in ("HybridUnit", "BiTUnit")))
)
def test_layer_keeps_its_promises(case, tmp_path):
    check_layer(*KINDS[case], tmp_path)


# --- Plain NumPy -------------------------------------------------------------------------------


def hybrid_kernel(kernel):
    return (kernel - kernel.mean((0, 1, 2))) / (kernel.std((0, 1, 2)) + 1e-5)


def bit_kernel(kernel):
    return (kernel - kernel.mean((0, 1, 2))) / np.sqrt(kernel.var((0, 1, 2)) + 1e-10)


def fewest(size, window, strides):
    """Padding before and after, as little as gives size / strides positions, rounded up."""
    total = max((math.ceil(size / strides) - 1) * strides + window - size, 0)
    return total // 2, total - total // 2


def even(size, window, strides):
    return window // 2, window // 2


def windows(x, side, strides, padding, value):
    """(batch, rows, columns, side, side, channels), cut out one by one."""
    sides = [padding(size, side, strides) for size in x.shape[1:3]]
    x = np.pad(x, ((0, 0), *sides, (0, 0)), constant_values=value)
    rows, columns = ((size - side) // strides + 1 for size in x.shape[1:3])
    cut = np.empty((len(x), rows, columns, side, side, x.shape[-1]))
    for row in range(rows):
        for column in range(columns):
            top, left = row * strides, column * strides
            cut[:, row, column] = x[:, top : top + side, left : left + side]
    return cut


def convolve(x, kernel, strides, padding):
    cut = windows(x, kernel.shape[0], strides, padding, 0)
    return np.einsum("bijhwc,hwcd->bijd", cut, kernel)


def group_norm(x, w, name, epsilon):
    groups = x.reshape(*x.shape[:3], 32, -1)
    mean = groups.mean((1, 2, 4), keepdims=True)
    variance = ((groups - mean) ** 2).mean((1, 2, 4), keepdims=True)
    normed = ((groups - mean) / np.sqrt(variance + epsilon)).reshape(x.shape)
    return normed * w[f"{name}/gamma"] + w[f"{name}/beta"]


def relu(x):
    return np.maximum(x, 0)


def hybrid_unit(x, w, strides):
    def layer(x, conv, norm, strides=1):
        x = convolve(x, hybrid_kernel(w[f"{conv}/kernel"]), strides, fewest)
        return group_norm(x, w, norm, 1e-6)

    y = relu(layer(x, "conv_1", "norm_1"))
    y = relu(layer(y, "conv_2", "norm_2", strides))
    y = layer(y, "conv_3", "norm_3")
    return relu(
        y + (layer(x, "projection", "norm_projection", strides) if "projection/kernel" in w else x)
    )


def bit_unit(x, w, strides):
    def layer(x, conv, strides=1):
        return convolve(x, bit_kernel(w[f"{conv}/kernel"]), strides, even)

    first = relu(group_norm(x, w, "norm_1", 1e-5))
    y = relu(group_norm(layer(first, "conv_1"), w, "norm_2", 1e-5))
    y = relu(group_norm(layer(y, "conv_2", strides), w, "norm_3", 1e-5))
    return layer(y, "conv_3") + (
        layer(first, "projection", strides) if "projection/kernel" in w else x
    )


def hybrid_root(x, w):
    x = convolve(x, hybrid_kernel(w["conv/kernel"]), 2, fewest)
    return windows(relu(group_norm(x, w, "norm", 1e-6)), 3, 2, fewest, -np.inf).max((3, 4))


def bit_root(x, w):
    x = convolve(x, bit_kernel(w["conv/kernel"]), 2, even)
    return windows(x, 3, 2, even, 0).max((3, 4))


def built(layer, shape, scale=0.3):
    layer.build(shape)
    return randomize(layer, scale=scale)


@pytest.mark.parametrize("shape", [(2, 7, 10, 3), (2, 8, 9, 3), (1, 1, 2, 3)])
@pytest.mark.parametrize("side, strides", [(1, 1), (3, 2), (7, 2)])
@pytest.mark.parametrize(
    "conv, kernel, padding", [(HybridConv, hybrid_kernel, fewest), (BiTConv, bit_kernel, even)]
)
def test_convolution_equals_numpy(conv, kernel, padding, side, strides, shape):
    x = random_tokens(*shape)
    layer = built(conv(5, side, strides), shape)
    expected = convolve(x, kernel(weights(layer)["kernel"]), strides, padding)
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
@pytest.mark.parametrize("root, by_hand", [(HybridRoot, hybrid_root), (BiTRoot, bit_root)])
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
@pytest.mark.parametrize("unit, by_hand", [(HybridUnit, hybrid_unit), (BiTUnit, bit_unit)])
def test_unit_equals_numpy(unit, by_hand, channels, strides):
    x = random_tokens(2, 6, 7, channels)
    layer = built(unit(32, strides), x.shape)
    w = weights(layer)
    assert ("projection/kernel" in w) == (channels != 128 or strides != 1)
    expected = by_hand(x.astype("float64"), w, strides)
    assert expected.shape == layer.compute_output_shape(x.shape)
    np.testing.assert_allclose(numpy(layer(x)), expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("unit, by_hand", [(HybridUnit, hybrid_unit), (BiTUnit, bit_unit)])
def test_unit_equals_numpy_where_epsilon_counts(unit, by_hand):
    x = random_tokens(2, 6, 7, 128) / 10_000
    layer = built(unit(32), x.shape)
    expected = by_hand(x.astype("float64"), weights(layer), 1)
    np.testing.assert_allclose(numpy(layer(x)), expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("make, epsilon", [("hybrid", 1e-6), ("bit", 1e-5)])
def test_every_norm_has_its_epsilon(make, epsilon):
    model = hybrid() if make == "hybrid" else small()
    kind = keras.layers.GroupNormalization
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, kind)]
    assert len(norms) == (1 + 2 * 4 if make == "hybrid" else 3 * 3 + 1)
    assert {(norm.epsilon, norm.groups, norm.axis) for norm in norms} == {(epsilon, 32, -1)}


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


# --- The official code and timm ----------------------------------------------------------------

ENDS = {"gamma": "scale", "beta": "bias", "kernel": "kernel", "bias": "bias"}
GOOGLE = {  # path of ours: name of Google's
    r"root/conv": "conv_root",
    r"root/norm": "gn_root",
    r"stage_(\d+)_unit_(\d+)/conv_(\d)": r"block\1/unit\2/conv\3",
    r"stage_(\d+)_unit_(\d+)/norm_(\d)": r"block\1/unit\2/gn\3",
    r"stage_(\d+)_unit_(\d+)/projection": r"block\1/unit\2/conv_proj",
    r"stage_(\d+)_unit_(\d+)/norm_projection": r"block\1/unit\2/gn_proj",
    r"patch_encoder/projection": "embedding",
    r"block_(\d+)/norm_1": r"Transformer/encoderblock_\1/LayerNorm_0",
    r"block_(\d+)/attention/query_key_value": (
        r"Transformer/encoderblock_\1/MultiHeadDotProductAttention_0/{query,key,value}"
    ),
    r"block_(\d+)/attention/projection": (
        r"Transformer/encoderblock_\1/MultiHeadDotProductAttention_0/out"
    ),
    r"block_(\d+)/norm_2": r"Transformer/encoderblock_\1/LayerNorm_1",
    r"block_(\d+)/mlp/expand": r"Transformer/encoderblock_\1/MlpBlock_0/Dense_0",
    r"block_(\d+)/mlp/contract": r"Transformer/encoderblock_\1/MlpBlock_0/Dense_1",
    r"encoder_norm": "Transformer/encoder_norm",
    r"head": "head",
}
BIG_VISION = {
    r"root/conv": "root_block/conv_root",
    r"stage_(\d+)_unit_(\d+)/conv_(\d)": r"block\1/unit0\2/conv\3",
    r"stage_(\d+)_unit_(\d+)/norm_(\d)": r"block\1/unit0\2/gn\3",
    r"stage_(\d+)_unit_(\d+)/projection": r"block\1/unit0\2/conv_proj",
    r"norm": "norm-pre-head",
    r"head": "head",
}


def google_weight(path, shape, names):
    """The seeded array of one weight; its values stand in the same order whatever its shape."""
    if path.endswith("class_token"):
        return seeded.weight("cls", shape)
    if "position_embedding" in path:
        return seeded.weight("Transformer/posembed_input/pos_embedding", shape)
    place, end = path.rsplit("/", 1)
    pattern = next(pattern for pattern in names if re.fullmatch(pattern, place))
    name = re.sub(pattern, names[pattern], place)
    if "{" not in name:
        return seeded.weight(f"{name}/{ENDS[end]}", shape)
    part = (*shape[:-1], shape[-1] // 3)
    three = [name.replace("{query,key,value}", one) for one in ("query", "key", "value")]
    return np.concatenate([seeded.weight(f"{one}/{ENDS[end]}", part) for one in three], -1)


def timm_weight(path, shape):
    stage, unit = map(int, re.match(r"(?:stage_(\d+)_unit_(\d+))?", path).groups(1))
    place = re.sub(r"stage_\d+_unit_\d+", f"stages.{stage - 1}.blocks.{unit - 1}", path)
    place = place.replace("root/conv", "stem.conv").replace("projection", "downsample.conv")
    place = re.sub(r"(conv|norm)_(\d)", r"\1\2", place).replace("head", "head.fc")
    place, end = place.replace("/", ".").rsplit(".", 1)
    if end == "kernel":
        return seeded.weight(f"{place}.weight/kernel", shape)
    return seeded.weight(f"{place}.weight/scale" if end == "gamma" else f"{place}.bias", shape)


def fill(model, weight, *names):
    for variable in model.weights:
        variable.assign(weight(variable.path, tuple(variable.shape), *names))
    return model


def assert_logits(model, pictures, expected):
    logits = model.predict(pictures, verbose=0)
    np.testing.assert_allclose(logits, expected, atol=1e-4 * max(1, expected.std()))


@pytest.mark.parametrize("name", quick(HYBRID_NAMES, "R+ViT-Ti/16", "R26+ViT-S/32"))
def test_hybrid_equals_googles(name):
    model = keras_vit.create(
        name, image_size=(64, 96), num_layers=2, num_classes=7, approximate=True
    )
    fill(model, google_weight, GOOGLE)
    assert_logits(model, seeded.pictures(64, 96), HYBRIDS[f"{name} logits"])


@pytest.mark.slow
def test_bit_equals_big_vision():
    model = keras_vit.create("R50x1", image_size=(63, 98), num_classes=7)
    fill(model, google_weight, BIG_VISION)
    assert_logits(model, seeded.pictures(63, 98, frame=5), BIT["R50x1 big_vision"])


@pytest.mark.parametrize("name", quick(("R50x1", "R101x3"), "R50x1"))
def test_bit_equals_timm(name):
    model = keras_vit.create(name, image_size=(63, 98), num_classes=7)
    fill(model, timm_weight)
    assert_logits(model, seeded.pictures(63, 98), BIT[f"{name} timm"])


@pytest.mark.parametrize("conv, golden", [(HybridConv, HYBRIDS), (BiTConv, BIT)])
def test_convolution_equals_googles(conv, golden):
    """Alone and with a tiny kernel: a norm behind it would hide which epsilon it has."""
    layer = conv(11, 3, strides=2)
    layer.build((2, 8, 9, 5))
    layer.set_weights([seeded.weight("convolution/kernel", (3, 3, 5, 11)) / 2000])
    x = seeded.weight("convolution/input", (2, 8, 9, 5))
    np.testing.assert_allclose(numpy(layer(x)), golden["convolution"], atol=1e-5)


# --- Whole models ------------------------------------------------------------------------------

SMALL = dict(image_size=(17, 30), units=(2, 1), num_classes=5)
HYBRID = dict(
    image_size=(16, 24),
    patch_size=8,
    resnet_units=(1, 1),
    num_layers=1,
    hidden_dim=12,
    mlp_dim=7,
    num_heads=3,
    num_classes=5,
)


def small(**overrides):
    return keras_vit.ResNet(**{**SMALL, **overrides})


def hybrid(**overrides):
    return keras_vit.ViT(**{**HYBRID, **overrides})


def test_bit_is_its_parts():
    model = randomize(small(), scale=0.3)
    images, w = random_images(2, 17, 30, 3), weights(model)
    x = bit_root(images.astype("float64") / 127.5 - 1, paper.under(w, "root"))
    for name, strides in (("stage_1_unit_1", 1), ("stage_1_unit_2", 1), ("stage_2_unit_1", 2)):
        x = bit_unit(x, paper.under(w, name), strides)
    x = relu(group_norm(x, w, "norm", 1e-5)).mean((1, 2))
    expected = x @ w["head/kernel"] + w["head/bias"]
    np.testing.assert_allclose(numpy(model(images)), expected, atol=1e-4)


def test_nodes_of_the_graph_and_paths_of_the_weights():
    assert [layer.name for layer in small().layers] == [
        "images", "normalization", "root", "stage_1_unit_1", "stage_1_unit_2", "stage_2_unit_1",
        "norm", "relu", "pooling", "head",
    ]  # fmt: skip
    assert [layer.name for layer in hybrid().layers] == [
        "images", "normalization", "root", "stage_1_unit_1", "stage_2_unit_1", "patches",
        "patch_encoder", "block_0", "encoder_norm", "pooling", "head",
    ]  # fmt: skip
    paths = weights(small())
    assert paths["root/conv/kernel"].shape == (7, 7, 3, 64)
    assert paths["stage_2_unit_1/projection/kernel"].shape == (1, 1, 256, 512)
    assert "stage_1_unit_2/projection/kernel" not in paths and "root/norm/gamma" not in paths
    assert paths["norm/gamma"].shape == (512,) and paths["head/kernel"].shape == (512, 5)
    paths = weights(hybrid(name="other"))
    assert paths["root/norm/beta"].shape == (64,)
    assert paths["stage_2_unit_1/norm_projection/gamma"].shape == (512,)
    assert paths["patch_encoder/projection/kernel"].shape == (512, 12)


@pytest.mark.parametrize(
    "units, patch_size, kernel",
    [
        ((), (4, 8), (1 * 2 * 64, 12)),
        ((1,), (8, 4), (2 * 1 * 256, 12)),
        ((1, 1), (8, 8), (512, 12)),
        ((1, 1, 1), (16, 16), (1024, 12)),
    ],
)
def test_a_patch_counts_pixels_whatever_the_stages(units, patch_size, kernel):
    model = hybrid(image_size=(32, 48), resnet_units=units, patch_size=patch_size)
    assert weights(model)["patch_encoder/projection/kernel"].shape == kernel
    tokens = 1 + (32 // patch_size[0]) * (48 // patch_size[1])
    assert model.get_layer("patch_encoder").output.shape == (None, tokens, 12)
    assert model.patch_size == patch_size


@pytest.mark.parametrize("size", [1, (5, 64)])
def test_bit_takes_any_size(size):
    model = small(image_size=size)
    logits = randomize(model)(random_images(2, *model.image_size, 3))
    assert logits.shape == (2, 5) and np.isfinite(numpy(logits)).all()


@pytest.mark.parametrize("make", [small, hybrid])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_flat_pictures_give_numbers(make, level):
    """A flat picture has no variance to divide by; one-pass formulas can make it negative."""
    model = randomize(make(), scale=0.3)
    images = np.full((2, *model.input_shape[1:]), level, "float32")
    assert np.isfinite(numpy(model(images))).all()


@pytest.mark.parametrize(
    "make, overrides",
    [
        (small, {}),
        (small, dict(normalize=None, num_classes=None, num_channels=2, name="features")),
        (small, dict(head_bias=None, normalize=((1, 2, 3), (4, 5, 6)))),
        (hybrid, {}),
        (hybrid, dict(resnet_units=(), pooling="gap")),
    ],
)
def test_saving_gives_back_the_class_its_config_and_outputs(make, overrides, tmp_path):
    model = randomize(make(**overrides))
    images = random_images(2, *model.input_shape[1:])
    loaded = check_saving(model, images, tmp_path)
    assert loaded.name == model.name
    for key, value in model.get_config().items():
        assert np.array_equal(loaded.get_config()[key], value), key
    again = type(model).from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(numpy(again(images)), numpy(model(images)))


@pytest.mark.slow  # the quick tests of the layers see theirs
@pytest.mark.parametrize("make", [small, hybrid])
def test_every_weight_gets_a_finite_gradient(make):
    model = randomize(make(), scale=0.3)
    images, targets = random_images(3, *model.input_shape[1:]), random_tokens(3, 5)
    for path, gradient in gradients(model, images, targets).items():
        assert np.isfinite(gradient).all(), path
        assert np.abs(gradient).max() > 1e-7, path


@pytest.mark.slow
@pytest.mark.parametrize("make", [small, hybrid])
def test_mixed_precision_keeps_weights_and_logits_in_float32(make):
    model, full = randomize(make(dtype="mixed_bfloat16"), scale=0.3), make()
    again = type(model).from_config(model.get_config())
    assert again.dtype_policy.name == "mixed_bfloat16"
    assert again.get_layer("stage_2_unit_1").conv_2.compute_dtype == "bfloat16"
    assert {keras.backend.standardize_dtype(w.dtype) for w in model.weights} == {"float32"}
    images = random_images(4, *model.input_shape[1:])
    logits = model(images)
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    full.set_weights(model.get_weights())
    expected = numpy(full(images))
    np.testing.assert_allclose(numpy(logits), expected, atol=0.05 * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize("make", [small, hybrid])
def test_fit_learns(make):
    labels = np.arange(16) % 2
    model = randomize(make(num_classes=2))
    images = random_images(16, *model.input_shape[1:]) / 4 + 190 * labels[:, None, None, None]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    model.fit(images, labels, batch_size=8, epochs=8, verbose=0)
    assert model.evaluate(images, labels, verbose=0)[1] == 1.0


def test_feature_extractor_and_width():
    model = keras_vit.create("R50x2", num_classes=None, num_channels=1)
    assert model.output_shape == (None, 2048 * 2)
    assert weights(model)["root/conv/kernel"].shape == (7, 7, 1, 128)
    model = small(num_classes=None)
    images = random_images(2, 17, 30, 3)
    assert model(images).shape == (2, 512)


def test_head_starts_at_its_bias():
    logits = numpy(small(head_bias=-10.0)(random_images(2, 17, 30, 3)))
    np.testing.assert_array_equal(logits, np.full((2, 5), -10))
    assert "head/bias" not in weights(small(head_bias=None))


@pytest.mark.parametrize("make", [small, hybrid])
def test_the_global_image_format_changes_nothing(make):
    model = randomize(make())
    images = random_images(2, *model.input_shape[1:])
    keras.config.set_image_data_format("channels_first")
    try:
        other = make()
        other.set_weights(model.get_weights())
        logits = numpy(other(images))
    finally:
        keras.config.set_image_data_format("channels_last")
    np.testing.assert_array_equal(logits, numpy(model(images)))


def test_sides_of_a_map_may_be_unknown():
    inputs = keras.Input((None, None, 64))
    for unit in (HybridUnit(32, 2), BiTUnit(32, 2)):
        model = keras.Model(inputs, unit(inputs))
        assert model.output_shape == (None, None, None, 128)
        assert model.predict(random_tokens(2, 5, 6, 64), verbose=0).shape == (2, 3, 3, 128)
