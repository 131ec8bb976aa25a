"""Models for images, patches and classes of another size, with their own weights."""

import keras
import numpy as np
import pytest
from helpers import numpy, outputs, quick, random_images, random_tokens, wide_vit

import keras_vit
from keras_vit import ablations, descendants, resizing, training
from keras_vit.ablations import positions, relative
from keras_vit.descendants import beit, flexivit

SIZES = {"patch_size": (8, 8), "image_size": (16, 24)}
KINDS = {
    "own settings": (keras_vit.ViT, {"normalize": None, "approximate": True, "epsilon": 1e-3}),
    "halves": (ablations.PositionViT, {"position_embedding": "2d", "position_placement": "every"}),
    "relative": (ablations.RelativeViT, {}),
    "axial": (ablations.AxialViT, {"position_embedding": "sincos"}),
    "hybrid": (keras_vit.HybridViT, {"resnet_units": (1,), "pooling": "gap", **SIZES}),
    "registers": (descendants.RegisterViT, {"pooling": "token and mean"}),
    "rotary": (descendants.DINOv3ViT, {"gated": True}),
    "clip": (descendants.CLIPViT, {"epsilon": 1e-5}),
    "biases": (descendants.BEiTViT, {"pooling": "patch mean"}),
    "attention pooling": (keras_vit.ViT, {"pooling": "map", "dtype": "mixed_bfloat16"}),
}
DEEP = {"num_layers": 1, "hidden_dim": 16}


def features(model):
    """Returns a model up to the input of its head."""
    return keras.Model(model.input, model.get_layer("head").input)


@pytest.mark.parametrize("name", quick(KINDS, "own settings"))
def test_what_was_not_asked_to_change_stays(name, blank):
    kind, options = KINDS[name]
    model = wide_vit(kind, **DEEP | options)
    images = random_images(2, *model.image_size, 3)
    new = keras_vit.resize(model, num_classes=5)
    assert type(new) is kind
    assert new.get_config() == model.get_config() | {"num_classes": 5}
    np.testing.assert_array_equal(outputs(features(new), images), outputs(features(model), images))
    assert outputs(new, images).tolist() == [[0] * 5] * 2
    larger = keras_vit.resize(model, image_size=(24, 40 if name == "hybrid" else 45))
    assert larger.num_classes == 3 and larger.grid == ((3, 5) if name == "hybrid" else (6, 9))
    assert np.isfinite(outputs(larger, random_images(1, *larger.image_size, 3))).all()
    back = keras_vit.resize(larger, image_size=model.image_size)
    if name in ("own settings", "halves"):  # from 2 x 3 to 6 x 9 and back, corners on corners
        np.testing.assert_array_equal(
            numpy(back.get_layer("block_0").mlp.expand.kernel),
            numpy(model.get_layer("block_0").mlp.expand.kernel),
        )


def test_a_resnet_takes_images_of_any_size(blank):
    shape = {"image_size": 32, "units": (1,), "num_classes": 2}
    for kind in (keras_vit.ResNet, ablations.AxialResNet):
        new = keras_vit.resize(kind(**shape), image_size=(32, 48))
        assert new.input_shape[1:3] == (32, 48)


def test_halves_of_positions_are_resized_along_their_axis(blank):
    options = {"position_embedding": "2d", "position_placement": "every"}
    model = wide_vit(ablations.PositionViT, **options)
    new = keras_vit.resize(model, image_size=(20, 15))
    old, layer = (m.get_layer("positions_1") for m in (model, new))
    y, table = numpy(old.y_embedding)[0], numpy(layer.y_embedding)[0]
    expected = [np.interp(np.linspace(0, 1, 5), [0, 1], column) for column in y.T]
    np.testing.assert_allclose(table.T, expected, atol=1e-6)
    np.testing.assert_array_equal(numpy(layer.x_embedding), numpy(old.x_embedding))
    np.testing.assert_array_equal(numpy(layer.class_embedding), numpy(old.class_embedding))


@pytest.mark.parametrize("prefix", [0, 1])
def test_an_offset_is_the_mean_of_the_pairs_that_have_it(prefix):
    """Pair by pair; the distance of two patches is that in the image, not in the sequence."""
    (rows, columns), (new_rows, new_columns) = grid, new_grid = (2, 3), (4, 2)
    table = random_tokens(2 * (prefix + 6) - 1, 4)
    middle, number, found = prefix + 5, new_rows * new_columns, {}
    for i in np.ndindex(new_grid):
        for j in np.ndindex(new_grid):
            down = (i[0] - j[0]) * (rows - 1) / (new_rows - 1)
            right = (i[1] - j[1]) * (columns - 1) / (new_columns - 1)
            value = sum(
                max(0, 1 - abs(down - r)) * max(0, 1 - abs(right - c)) * table[middle - r * 3 - c]
                for r in range(-1, 2)
                for c in range(-2, 3)
            )
            offset = (i[0] - j[0]) * new_columns + i[1] - j[1]
            found.setdefault(offset, []).append(value)
    expected = [np.mean(found[o], axis=0) for o in range(number - 1, -number, -1)]
    resized = relative.resize_offsets(table, grid, new_grid)
    np.testing.assert_allclose(resized[prefix : len(resized) - prefix], expected, atol=1e-6)
    np.testing.assert_array_equal(resized[:prefix], table[:prefix])
    np.testing.assert_allclose(relative.resize_offsets(table, grid, grid), table, atol=1e-7)


@pytest.mark.parametrize(
    "kind, name, resized",
    [
        (ablations.RelativeViT, "offset_embedding", relative.resize_offsets),
        (descendants.BiasedViT, "bias_table", beit.resize_table),
    ],
)
def test_relative_positions_fit_another_grid(kind, name, resized, blank):
    model = wide_vit(kind)
    new = keras_vit.resize(model, image_size=(12, 10))
    old, table = (numpy(getattr(m.get_layer("block_1").attention, name)) for m in (model, new))
    np.testing.assert_array_equal(table, resized(old, (2, 3), (3, 2)))


def test_biases_of_the_same_grid_stay(blank):
    """Of larger images in larger patches."""
    model = wide_vit(descendants.BEiTViT, pooling="patch mean", num_layers=1)
    new = keras_vit.resize(model, image_size=(16, 30), patch_size=(8, 10))
    assert new.grid == model.grid
    old, table = (numpy(m.get_layer("block_0").attention.bias_table) for m in (model, new))
    np.testing.assert_array_equal(table, old)


def test_registers_stay_when_the_class_token_is_removed_or_added(blank):
    """They are the last of the prefix tokens, with or without a class token before them."""
    model = wide_vit(descendants.RegisterViT, num_registers=2, num_layers=1)
    pooled = resizing.rebuild(model, pooling="gap")
    again = resizing.rebuild(pooled, pooling="token")
    for name in ("class_token", "position_embedding"):
        encoders = (m.get_layer("patch_encoder") for m in (model, pooled, again))
        old, without, new = (numpy(getattr(encoder, name)) for encoder in encoders)
        np.testing.assert_array_equal(without, old[:, 1:])
        np.testing.assert_array_equal(new[:, 1:], old[:, 1:])


# --- Patches -------------------------------------------------------------------------------------
@pytest.mark.parametrize("method", flexivit.MATRICES)
def test_larger_patches_have_the_same_tokens(method):
    """Patches resized by Keras's own function, but for the corners that `bilinear` ignores."""
    patches, kernel = random_tokens(7, 4, 5, 3), random_tokens(60, 6)
    resized = flexivit.resize_kernel(kernel, (4, 5), (6, 11), method)
    matrices = [flexivit.MATRICES[method](*sides) for sides in ((4, 6), (5, 11))]
    larger = np.einsum("hr,wc,brcd->bhwd", *matrices, patches)
    tokens = patches.reshape(7, -1) @ kernel
    np.testing.assert_allclose(larger.reshape(7, -1) @ resized, tokens, atol=1e-4)
    if method in ("bilinear", "bicubic"):
        antialias = method == "bicubic"
        own = keras.ops.image.resize(
            patches, (6, 11), method, antialias, data_format="channels_last"
        )
        np.testing.assert_allclose(numpy(own).reshape(7, -1) @ resized, tokens, atol=1e-4)


def test_a_model_of_larger_patches_has_the_same_tokens(blank):
    model = wide_vit(hidden_dim=16, image_size=(8, 10))
    images = random_images(2, 8, 10, 3)
    patches = images.reshape(2, 2, 4, 2, 5, 3).transpose(0, 1, 3, 2, 4, 5).reshape(8, 4, 5, 3)
    matrices = [flexivit.MATRICES["bilinear"](*sides) for sides in ((4, 6), (5, 10))]
    patches = np.einsum("hr,wc,brcd->bhwd", *matrices, patches).reshape(2, 2, 2, 6, 10, 3)
    larger = patches.transpose(0, 1, 3, 2, 4, 5).reshape(2, 12, 20, 3).astype("float32")
    new = keras_vit.resize(model, image_size=(12, 20), patch_size=(6, 10))
    np.testing.assert_allclose(outputs(new, larger), outputs(model, images), atol=1e-4)


def test_smaller_patches_are_more_patches(blank):
    model = wide_vit()
    new = keras_vit.resize(model, patch_size=(2, 5))
    assert new.grid == (4, 3) and new.image_size == (8, 15)
    old, table = (numpy(m.get_layer("patch_encoder").position_embedding) for m in (model, new))
    np.testing.assert_array_equal(table, positions.resize(old, (2, 3), (4, 3)))


# --- Settings ------------------------------------------------------------------------------------
def test_frozen_layers_stay_frozen_and_a_new_head_can_learn(blank):
    model = wide_vit(dropout=0.1)
    training.freeze(model, "linear")
    model.get_layer("head").trainable = False
    same = keras_vit.resize(model, image_size=(12, 15))
    assert not same.trainable_weights
    new = keras_vit.resize(model, num_classes=7)
    assert [w.path for w in new.trainable_weights] == ["head/kernel", "head/bias"]
    assert new.get_layer("block_0").mlp.drop_1.rate == 0.0 and new.dropout == 0.1


def test_the_tanh_layer_and_the_projection_go_with_the_head(blank):
    model = wide_vit(representation_size=6)
    assert keras_vit.resize(model, num_classes=4).representation_size is None
    assert keras_vit.resize(model, num_classes=3).representation_size == 6
    model = wide_vit(descendants.CLIPViT, projection_dim=6, num_classes=None)
    assert keras_vit.resize(model, num_classes=4).projection_dim is None
    assert keras_vit.resize(model, image_size=(12, 15)).output_shape == (None, 6)


@pytest.mark.slow
@pytest.mark.both
def test_a_saved_model_is_resized_as_it_is_loaded(tmp_path, blank, capsys):
    model = wide_vit(normalize=None, approximate=True)
    model.save(tmp_path / "own.keras")
    same = keras_vit.load_pretrained(tmp_path / "own.keras")
    images = random_images(2, 8, 15, 3)
    np.testing.assert_array_equal(outputs(same, images), outputs(model, images))
    sizes = {"image_size": (12, 20), "patch_size": (6, 10), "num_classes": 2}
    new = keras_vit.load_pretrained(tmp_path / "own.keras", dropout=0.1, **sizes)
    expected = keras_vit.resize(model, **sizes)
    for weight, other in zip(new.weights, expected.weights, strict=True):
        np.testing.assert_array_equal(numpy(weight), numpy(other))
    assert new.dropout == 0.1 and new.normalize is None and new.approximate
    assert "own.keras" in capsys.readouterr().out


def test_another_model_is_refused(tmp_path, blank):
    other = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="must be a ViT.*model='Sequential'"):
        keras_vit.resize(other, image_size=3)
    other.save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match="must be a ViT.*model='Sequential'"):
        keras_vit.load_pretrained(tmp_path / "other.keras", image_size=3)
    (tmp_path / "cut.keras").write_bytes((tmp_path / "other.keras").read_bytes()[:50])
    with pytest.raises(ValueError, match="damaged or truncated"):
        keras_vit.load_pretrained(tmp_path / "cut.keras")


def test_what_cannot_be_resized_is_refused(blank):
    resnet = keras_vit.ResNet(image_size=32, units=(1,), num_classes=2)
    with pytest.raises(ValueError, match="has no argument patch_size"):
        keras_vit.resize(resnet, patch_size=8)
    model = wide_vit()
    with pytest.raises(ValueError, match="(?i)divisible|multiple|divide"):
        keras_vit.resize(model, image_size=(9, 15))
    with pytest.raises(ValueError, match="`method` must be one of"):
        keras_vit.resize(model, image_size=(12, 15), method="nearest")
    model.get_layer("block_0").mlp.expand.quantize("int8")
    with pytest.raises(ValueError, match="must not be quantized.*before you quantize it"):
        keras_vit.resize(model, num_classes=7)
    with pytest.raises(ValueError, match="row for each pixel of a patch"):
        flexivit.resize_kernel(np.zeros((50, 2)), 4, 8)
