"""BiT and the hybrids against Google's code and timm, and everything that users do with a model."""

import math
import re

import keras
import numpy as np
import paper
import paper_resnet as reference
import pytest
from golden import seeded
from helpers import (
    GOLDEN,
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
)

import keras_vit
from keras_vit.hybrid import SmallHybridViT
from keras_vit.variants import HYBRIDS as HYBRID_NAMES

pytestmark = pytest.mark.usefixtures("blank")
HYBRIDS, BIT = np.load(GOLDEN / "hybrids.npz"), np.load(GOLDEN / "bit.npz")


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
    """The seeded array of one weight; its values are in the same order for any shape."""
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


def assert_logits(model, images, expected):
    logits = model.predict(images, verbose=0)
    np.testing.assert_allclose(logits, expected, atol=1e-4 * max(1, expected.std()))


@pytest.mark.parametrize("name", quick(HYBRID_NAMES, "R+ViT-Ti/16", rest=pytest.mark.weekly))
def test_hybrid_equals_googles(name):
    model = keras_vit.create(
        name, image_size=(64, 96), num_layers=2, num_classes=7, approximate=True
    )
    fill(model, google_weight, GOOGLE)
    assert_logits(model, seeded.make_images(64, 96), HYBRIDS[f"{name} logits"])


@pytest.mark.slow
def test_bit_equals_big_vision():
    model = keras_vit.create("R50x1", image_size=(63, 98), num_classes=7)
    fill(model, google_weight, BIG_VISION)
    assert_logits(model, seeded.make_images(63, 98, frame=5), BIT["R50x1 big_vision"])


@pytest.mark.slow
@pytest.mark.parametrize("name", quick(("R50x1", "R101x3"), "R50x1", rest=pytest.mark.weekly))
def test_bit_equals_timm(name):
    model = keras_vit.create(name, image_size=(63, 98), num_classes=7)
    fill(model, timm_weight)
    assert_logits(model, seeded.make_images(63, 98), BIT[f"{name} timm"])


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
    return keras_vit.HybridViT(**{**HYBRID, **overrides})


@pytest.mark.slow
def test_bit_is_its_parts():
    model = randomize(small(), scale=0.3)
    images, w = random_images(2, 17, 30, 3), weights(model)
    x = reference.bit_root(images.astype("float64") / 127.5 - 1, paper.under(w, "root"))
    for name, strides in (("stage_1_unit_1", 1), ("stage_1_unit_2", 1), ("stage_2_unit_1", 2)):
        x = reference.bit_unit(x, paper.under(w, name), strides)
    x = reference.relu(reference.group_norm(x, w, "norm", 1e-5)).mean((1, 2))
    expected = x @ w["head/kernel"] + w["head/bias"]
    np.testing.assert_allclose(outputs(model, images), expected, atol=1e-4)


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


@pytest.mark.parametrize(
    "units, patch_size, kernel",
    [((), 2, (1 * 1 * 32, 12)), ((1, 1), 4, (256, 12)), ((2, 2), (8, 4), (2 * 1 * 256, 12))],
)
def test_a_small_hybrid_keeps_twice_the_positions(units, patch_size, kernel):
    model = SmallHybridViT(**{**HYBRID, "patch_size": patch_size, "resnet_units": units})
    assert weights(model)["root/conv/kernel"].shape == (3, 3, 3, 32)
    assert weights(model)["patch_encoder/projection/kernel"].shape == kernel
    if units:
        assert weights(model)["stage_1_unit_1/conv_2/kernel"].shape == (3, 3, 32, 32)
    assert model.get_layer("patch_encoder").output.shape == (None, 1 + math.prod(model.grid), 12)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, (5, 64)])
def test_bit_takes_any_size(size):
    model = small(image_size=size)
    logits = outputs(randomize(model), random_images(2, *model.image_size, 3))
    assert logits.shape == (2, 5) and np.isfinite(logits).all()


@pytest.mark.parametrize("make", [small, hybrid])
@pytest.mark.parametrize("level", quick([0, 128, 255], 0))
def test_flat_images_give_numbers(make, level):
    """A flat image has no variance to divide by; one-pass formulas can make it negative."""
    model = randomize(make(), scale=0.3)
    images = np.full((2, *model.input_shape[1:]), level, "float32")
    assert np.isfinite(outputs(model, images)).all()


@pytest.mark.parametrize(
    "make, overrides",
    [
        (small, {}),
        slow(small, dict(normalize=None, num_classes=None, num_channels=2, name="features")),
        slow(small, dict(normalize=((1, 2, 3), (4, 5, 6)))),
        (hybrid, {}),
        slow(hybrid, dict(resnet_units=(), pooling="gap")),
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
    np.testing.assert_array_equal(outputs(again, images), outputs(model, images))


@pytest.mark.slow  # the quick tests of the layers see theirs
@pytest.mark.parametrize("make", [small, hybrid])
def test_every_weight_gets_a_finite_gradient(make):
    model = randomize(make(), scale=0.3)
    images, targets = random_images(3, *model.input_shape[1:]), random_tokens(3, 5)
    for path, gradient in gradients(model, images, targets).items():
        assert np.isfinite(gradient).all(), path
        assert np.abs(gradient).max() > 1e-7, path


@pytest.mark.slow
@pytest.mark.parametrize("make", quick((small, hybrid), hybrid, rest=pytest.mark.weekly))
def test_mixed_precision_keeps_weights_and_logits_in_float32(make):
    model, full = randomize(make(dtype="mixed_bfloat16"), scale=0.3), make()
    again = type(model).from_config(model.get_config())
    assert again.dtype_policy.name == "mixed_bfloat16"
    assert again.get_layer("stage_2_unit_1").conv_2.compute_dtype == "bfloat16"
    assert {keras.backend.standardize_dtype(w.dtype) for w in model.weights} == {"float32"}
    images = random_images(4, *model.input_shape[1:])
    logits = call(model, images)
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    full.set_weights(model.get_weights())
    expected = outputs(full, images)
    np.testing.assert_allclose(numpy(logits), expected, atol=0.05 * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize("make", quick((small, hybrid), small, rest=pytest.mark.weekly))
def test_fit_learns(make):
    labels = np.arange(16) % 2
    model = randomize(make(num_classes=2))
    images = random_images(16, *model.input_shape[1:]) / 4 + 190 * labels[:, None, None, None]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    model.fit(images, labels, batch_size=8, epochs=8, verbose=0)
    assert model.evaluate(images, labels, verbose=0)[1] == 1.0


@pytest.mark.slow
def test_feature_extractor_and_width():
    model = keras_vit.create("R50x2", num_classes=None, num_channels=1)
    assert model.output_shape == (None, 2048 * 2)
    assert weights(model)["root/conv/kernel"].shape == (7, 7, 1, 128)
    model = small(num_classes=None)
    images = random_images(2, 17, 30, 3)
    assert outputs(model, images).shape == (2, 512)


@pytest.mark.slow
def test_head_starts_at_its_bias():
    model, images = small(), random_images(2, 17, 30, 3)
    np.testing.assert_array_equal(outputs(model, images), np.zeros((2, 5)))
    model.get_layer("head").bias.assign(np.full(5, -10))
    np.testing.assert_array_equal(outputs(model, images), np.full((2, 5), -10))


@pytest.mark.parametrize("make", [small, hybrid])
def test_the_global_image_format_changes_nothing(make):
    model = randomize(make())
    images = random_images(2, *model.input_shape[1:])
    keras.config.set_image_data_format("channels_first")
    try:
        other = make()
        other.set_weights(model.get_weights())
        logits = outputs(other, images)
    finally:
        keras.config.set_image_data_format("channels_last")
    np.testing.assert_array_equal(logits, outputs(model, images))


@pytest.mark.parametrize("make, epsilon", [("hybrid", 1e-6), ("bit", 1e-5)])
def test_every_norm_has_its_epsilon(make, epsilon):
    model = hybrid() if make == "hybrid" else small()
    kind = keras.layers.GroupNormalization
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, kind)]
    assert len(norms) == (1 + 2 * 4 if make == "hybrid" else 3 * 3 + 1)
    assert {(norm.epsilon, norm.groups, norm.axis) for norm in norms} == {(epsilon, 32, -1)}
