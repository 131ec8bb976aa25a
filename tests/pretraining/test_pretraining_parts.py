"""Targets, masks, positions and colors of pre-training: by hand, in NumPy, and by statistics."""

import math
import tracemalloc

import keras
import numpy as np
import paper
import pytest
from helpers import numpy, outputs, quick, random_images, wide_vit

import keras_vit
from keras_vit import descendants, pretraining
from keras_vit.ablations import PositionViT
from keras_vit.ablations.positions import sincos
from keras_vit.pretraining import masked_patches as mpp
from keras_vit.pretraining import patch_targets
from keras_vit.pretraining import vit_stages as encoders
from keras_vit.pretraining.pixels import find_nearest


def generator(seed=0):
    return keras.random.SeedGenerator(seed)


def flat(*colors, pixels=6):
    """Patches of one color each: (1, N, pixels * channels)."""
    return np.stack([np.tile(color, pixels) for color in colors])[None].astype("float32")


# --- Targets -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("color", "expected"),
    [
        ((0, 0, 0), 0),
        ((255, 255, 255), 511),
        ((31.9, 0, 0), 0),  # 3 bits: 32 values of a channel are one level
        ((32, 0, 0), 64),
        ((0, 32, 0), 8),
        ((0, 0, 32), 1),
        ((255, 128, 63), 7 * 64 + 4 * 8 + 1),
    ],
)
def test_mean_color_of_even_patches(color, expected):
    classes = numpy(patch_targets.quantize_mean(flat(color), (2, 3), channels=3))
    assert classes.tolist() == [[[expected]]]


def test_mean_color_is_of_the_mean_not_the_mean_of_colors():
    # Levels of the pixels are 0 and 7, mean 3.5; the mean of the pixels, 127.5, is of level 3.
    patch = np.array([[[0, 255, 255, 0]]], "float32")
    assert numpy(patch_targets.quantize_mean(patch, (2, 2), channels=1)).tolist() == [[[3]]]
    # One pixel value more, and the mean is 128: level 4
    assert numpy(patch_targets.quantize_mean(patch + 0.5, (2, 2), channels=1)).tolist() == [[[4]]]


@pytest.mark.parametrize("side", [7, 14, 16])
def test_mean_colors_on_the_border_of_two_levels(side):
    levels = np.arange(8) * 32.0
    patches = np.stack([np.full(side * side, level) for level in levels])[None]
    classes = numpy(
        patch_targets.quantize_mean(patches.astype("float32"), (side, side), channels=1)
    )
    assert classes[0, :, 0].tolist() == list(range(8))


def test_mean_color_equals_numpy():
    images = random_images(3, 8, 15, 3, seed=3).round()
    classes = numpy(
        patch_targets.quantize_mean(keras_vit.Patches((4, 5))(images), (4, 5), channels=3)
    )
    for image, found in zip(images, classes, strict=True):
        for patch, number in zip(paper.patches(image, 4, 5), found[:, 0], strict=True):
            red, green, blue = patch.reshape(-1, 3).astype("float64").mean(axis=0) // 32
            assert number == 64 * red + 8 * green + blue


def test_downsized_patches_row_by_row():
    # A patch of 8 x 12: 16 parts of 2 x 3 pixels; part k is of level k mod 8 in its one channel.
    parts = np.arange(16).reshape(4, 4) % 8
    patch = np.kron(parts, np.ones((2, 3))) * 32 + 16
    patch[0, 0] += 15  # still the same level: the other five pixels of the part outweigh it
    classes = numpy(
        patch_targets.quantize_downsized(patch.reshape(1, 1, -1).astype("float32"), (8, 12), 1)
    )
    assert classes.shape == (1, 1, 16)
    assert classes[0, 0].tolist() == parts.ravel().tolist()


def test_downsized_patches_have_colors():
    images = random_images(1, 8, 8, 3, seed=4)
    found = numpy(
        patch_targets.quantize_downsized(keras_vit.Patches(8)(images), (8, 8), channels=3)
    )[0, 0]
    means = images[0].reshape(4, 2, 4, 2, 3).astype("float64").mean(axis=(1, 3)).reshape(16, 3)
    np.testing.assert_array_equal(found, (means // 32) @ [64, 8, 1])


def test_the_color_of_a_class_is_of_that_class():
    classes = np.arange(512)
    colors = patch_targets.to_color(classes, channels=3)
    again = numpy(patch_targets.quantize_mean(colors[None], (1, 1), channels=3))
    assert again.ravel().tolist() == classes.tolist()


def test_standardized_patches_as_norm_pix_loss():
    patches = random_images(2, 3, 12, seed=5)
    x, mean, deviation = (numpy(part) for part in patch_targets.standardize(patches))
    double = patches.astype("float64")
    expected = (double - double.mean(-1, keepdims=True)) / np.sqrt(
        double.var(-1, ddof=1, keepdims=True) + 1e-6
    )
    np.testing.assert_allclose(x, expected, atol=1e-5)
    np.testing.assert_allclose(x * deviation + mean, patches, atol=1e-4)  # of 255


def test_images_undo_patches():
    images = random_images(2, 8, 15, 3)
    patches = numpy(keras_vit.Patches((4, 5))(images))
    np.testing.assert_array_equal(patch_targets.to_images(patches, (2, 3), (4, 5)), images)


# --- Masks ---------------------------------------------------------------------------------------


def test_corruption_of_10_000_patches():
    """B.1.2: half of each image; of these 80 % masked, 10 % another patch, 10 % kept."""
    fate, others = (numpy(x) for x in mpp.draw_corruption(generator(), 100, 100, 50))
    assert ((fate != mpp.LEFT).sum(axis=1) == 50).all()
    corrupted = fate[fate != mpp.LEFT]
    for kind, share in mpp.SHARES.items():
        deviation = math.sqrt(share * (1 - share) / corrupted.size)
        assert abs((corrupted == kind).mean() - share) < 4 * deviation
    everywhere = (fate != mpp.LEFT).mean(axis=0)  # no place is favored
    assert abs(everywhere - 0.5).max() < 4.5 * 0.5 / math.sqrt(100)
    assert len(np.unique(fate, axis=0)) == 100  # each image has its own
    distance = (others - np.arange(100)) % 100
    assert distance.min() == 1 and distance.max() == 99  # another patch, never itself
    counts = np.bincount(distance.ravel(), minlength=100)[1:]  # each equally often, by chi squared
    expected = 10_000 / 99
    assert abs(((counts - expected) ** 2 / expected).sum() - 98) < 4.5 * math.sqrt(2 * 98)


def test_corrupted_embeddings_by_hand():
    x = np.arange(10, dtype="float32").reshape(1, 5, 2)
    fate = np.array([[mpp.LEFT, mpp.MASK_TOKEN, mpp.OTHER_PATCH, mpp.KEPT, mpp.OTHER_PATCH]])
    others = np.array([[1, 2, 1, 4, 0]])
    found = numpy(mpp.corrupt_embeddings(x, fate, others, np.full((1, 1, 2), -1, "float32")))
    # The other patch is as it was before the corruption: that of number 1, not the mask token.
    assert found[0].tolist() == [[0, 1], [-1, -1], [2, 3], [6, 7], [0, 1]]


def test_a_random_mask_hides_as_many_of_each_image():
    mask = numpy(encoders.draw_mask(generator(), 500, 20, 7))
    assert (mask.sum(axis=1) == 7).all()
    assert abs(mask.mean(axis=0) - 0.35).max() < 4.5 * math.sqrt(0.35 * 0.65 / 500)


def test_orders_and_places_undo_each_other():
    order, places = (numpy(x) for x in encoders.shuffle(generator(), 3, 11))
    for one, other in zip(order, places, strict=True):
        assert sorted(one) == list(range(11))
        assert one[other].tolist() == list(range(11))


@pytest.mark.parametrize(
    ("value", "patches", "number"), [(0.75, 196, 147), (0.6, 49, 30), (0.7, 10, 7), (0.5, 5, 3)]
)
def test_hidden_patches_are_rounded_up(value, patches, number):
    assert encoders.count_hidden("mask", value, patches) == number
    assert patches - number == int(patches * (1 - value) + 1e-9)  # the visible patches, as in MAE


def test_simmim_masks_squares():
    encoder = keras_vit.ViT(
        image_size=(12, 18), patch_size=3, num_layers=1, hidden_dim=8, mlp_dim=8, num_heads=2
    )
    model = pretraining.SimMIM(encoder, mask=0.5, mask_unit=2)  # 2 x 3 squares on a 4 x 6 grid
    mask = numpy(model.draw_mask(generator(), 50)).reshape(50, 2, 2, 3, 2)
    squares = mask[:, :, 0, :, 0]
    assert (mask == squares[:, :, None, :, None]).all()
    assert (squares.sum(axis=(1, 2)) == 3).all()
    assert len(np.unique(squares, axis=0)) > 10  # of 20


# --- Positions, colors --------------------------------------------------------------------------


def test_sincos_positions_equal_a_transcription():
    rows, columns, dim = 3, 5, 12
    table = sincos((rows, columns), dim, before=1)
    assert table.shape == (1, 16, 12) and not table[0, 0].any()
    for row in range(rows):
        for column in range(columns):
            expected = []
            for place in (column, row):  # MAE's meshgrid gives the column first
                omega = [1 / 10000 ** (k / (dim / 4)) for k in range(dim // 4)]
                expected += [math.sin(place * w) for w in omega]
                expected += [math.cos(place * w) for w in omega]
            found = table[0, 1 + row * columns + column]
            np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["token", "gap"])
@pytest.mark.parametrize("kind", ["1d", "2d", "sincos", None])
def test_first_tokens_are_those_of_the_model(kind, pooling):
    """In one step, as MAE does it, and in two steps, as SimMIM does it."""
    encoder = wide_vit(PositionViT, position_embedding=kind, pooling=pooling)
    images = random_images(2, 8, 15, 3)
    first = keras.Model(encoder.input, encoder.get_layer("block_0").input)
    expected = outputs(first, images)
    np.testing.assert_allclose(numpy(encoders.embed(encoder, images)), expected, atol=1e-5)
    z = encoders.add_positions(encoder, encoders.project(encoder, images))
    np.testing.assert_allclose(numpy(z), expected, atol=1e-5)


@pytest.mark.parametrize(
    "kind",
    quick(
        [descendants.CLIPViT, descendants.PESpatialViT, descendants.PooledNormViT],
        descendants.CLIPViT,
    ),
)
def test_tokens_are_those_of_the_model(kind):
    """With CLIP's norm before the blocks, and without a norm after them."""
    encoder = wide_vit(kind, pooling=None, num_classes=None, num_layers=1)
    images = random_images(2, 8, 15, 3)
    found = encoders.encode(encoder, encoders.embed(encoder, images))
    np.testing.assert_allclose(numpy(found), outputs(encoder, images), atol=1e-5)


@pytest.mark.parametrize(
    "kind, name",
    [(PositionViT, "positions/x_embedding"), (descendants.CLIPViT, "embedding_norm/gamma")],
)
def test_what_comes_before_the_blocks_is_trained(kind, name, blank):
    options = {"position_embedding": "2d"} if kind is PositionViT else {}
    model = pretraining.SimMIM(wide_vit(kind, num_layers=1, **options), mask_unit=1)
    assert name in [weight.path for weight in model.trainable_variables]


def test_palette_finds_clusters():
    rng = np.random.default_rng(0)
    centers = np.array([[20, 30, 40], [200, 30, 90], [100, 220, 10]])
    pixels = (centers[:, None] + rng.normal(size=(3, 400, 3))).reshape(1, 30, 40, 3)
    found = pretraining.find_palette(pixels, colors=3, seed=1)
    np.testing.assert_allclose(found, centers[[0, 2, 1]], atol=0.3)  # sorted by the first channel


@pytest.mark.backend_free
def test_palette_of_many_images_takes_the_memory_of_its_pixels():
    """A number for each pixel of these images would take 16 MB."""
    images = np.repeat(np.array([7, 200], "uint8"), 2**20).reshape(512, 64, 64, 1)
    tracemalloc.start()
    found = pretraining.find_palette(images, colors=8)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
    assert found.tolist() == [[7], [200]]


def test_palette_has_no_more_colors_than_the_images():
    images = np.array([[0, 5], [5, 255]]).reshape(1, 2, 2, 1)
    assert pretraining.find_palette(images, colors=8).tolist() == [[0], [5], [255]]


def test_nearest_colors_equal_numpy():
    rng = np.random.default_rng(0)
    pixels, centers = (rng.uniform(0, 255, (n, 3)).astype("float32") for n in (50, 7))
    expected = ((pixels[:, None] - centers) ** 2).sum(-1).argmin(-1)
    np.testing.assert_array_equal(find_nearest(pixels, centers), expected)
    encoder = keras_vit.ViT(
        image_size=(5, 10), patch_size=1, num_layers=1, hidden_dim=8, mlp_dim=8, num_heads=2
    )
    model = pretraining.PixelPrediction(encoder, centers)
    images = pixels.reshape(1, 5, 10, 3)
    np.testing.assert_array_equal(numpy(model.truth(images))[0], expected)
    np.testing.assert_array_equal(
        numpy(model.reduce_colors(images))[0].reshape(50, 3), centers[expected]
    )


# --- Classifiers ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_classifier_has_the_encoder_and_a_new_head():
    encoder = wide_vit(representation_size=5)
    model = pretraining.build_classifier(encoder, num_classes=7)
    images = random_images(2, 8, 15, 3)
    inner = [keras.Model(m.input, m.get_layer("pooling").output) for m in (encoder, model)]
    np.testing.assert_allclose(*(outputs(m, images) for m in inner), atol=1e-6)
    assert outputs(model, images).tolist() == [[0] * 7] * 2
    assert model.representation_size is None and encoder.num_classes == 3
    before = numpy(encoder.get_layer("encoder_norm").gamma)
    model.get_layer("encoder_norm").gamma.assign(np.zeros(8))
    np.testing.assert_array_equal(numpy(encoder.get_layer("encoder_norm").gamma), before)  # a copy


def test_a_classifier_of_another_size_has_resized_positions():
    encoder = wide_vit()
    model = pretraining.build_classifier(encoder, 7, image_size=(12, 20), dropout=0.1)
    old, new = (numpy(m.get_layer("patch_encoder").position_embedding) for m in (encoder, model))
    np.testing.assert_array_equal(new, keras_vit.ablations.positions.resize(old, (2, 3), (3, 4)))
    assert model.dropout == 0.1


def test_a_classifier_may_pool_otherwise():
    encoder = wide_vit()
    model = pretraining.build_classifier(encoder, 7, pooling="gap")
    old, new = (numpy(m.get_layer("patch_encoder").position_embedding) for m in (encoder, model))
    np.testing.assert_array_equal(new, old[:, 1:])
    back = pretraining.build_classifier(model, 7, pooling="token")
    again = numpy(back.get_layer("patch_encoder").position_embedding)
    np.testing.assert_array_equal(again[:, 1:], new)


def test_a_classifier_of_an_encoder_with_lora_has_its_changes():
    encoder = wide_vit()
    keras_vit.training.freeze(encoder, "lora", rank=2)
    dense = encoder.get_layer("block_0").mlp.expand
    dense.lora_kernel_b.assign(np.ones(dense.lora_kernel_b.shape))
    model = pretraining.build_classifier(encoder, 7)
    expected = numpy(dense.kernel)
    np.testing.assert_allclose(
        numpy(model.get_layer("block_0").mlp.expand.kernel), expected, atol=1e-6
    )
