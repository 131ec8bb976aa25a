"""Occlusion of models whose answer is known by hand."""

import functools

import keras
import numpy as np
import pytest
from helpers import random_images, randomize, weights

import keras_vit
from keras_vit.explain import masking
from keras_vit.explain.inside import batched
from keras_vit.explain.masking import occlusion

pytestmark = pytest.mark.usefixtures("blank")


@functools.cache
def linear(shape, classes, activation=None):
    """A model whose logits are weighted sums of the pixels."""
    layers = [keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(classes, activation)]
    return randomize(keras.Sequential(layers), scale=0.0007)


def probability(model, image, label):
    """Softmax of a linear model's logits, in float64."""
    (kernel, bias), image = weights(model).values(), image.astype("float64")
    e = np.exp(image.reshape(-1) @ kernel + bias)
    return (e / e.sum())[label]


@pytest.mark.parametrize("activation", [None, "softmax"])
def test_each_patch_in_turn_becomes_the_mean_color(activation):
    model, labels = linear((6, 10, 3), 4, activation), [0, 3]
    images = random_images(2, 6, 10, 3)
    truth = np.zeros((2, 2, 2))
    for image, row, column in np.ndindex(truth.shape):
        covered = images[image].copy()
        covered[3 * row : 3 * row + 3, 5 * column : 5 * column + 5] = covered.mean((0, 1))
        whole = probability(model, images[image], labels[image])
        truth[image, row, column] = whole - probability(model, covered, labels[image])
    found = occlusion(model, images, labels, patch_size=(3, 5))
    assert found.dtype == "float32" and np.abs(truth).max() > 0.05 and truth.min() < 0
    np.testing.assert_allclose(found, truth, atol=1e-5)
    again = occlusion(model, images, labels, patch_size=(3, 5), batch_size=2)
    np.testing.assert_allclose(again, truth, atol=1e-5)


def test_none_is_the_most_probable_class_of_each_image():
    model, images = linear((4, 4, 3), 3), random_images(12, 4, 4, 3)
    labels = keras.ops.convert_to_numpy(model(images)).argmax(-1)
    assert len(set(labels)) > 1
    maps = occlusion(model, images, patch_size=2)
    np.testing.assert_array_equal(maps, occlusion(model, images, labels, patch_size=2))


def test_an_image_of_one_color_loses_nothing():
    maps = occlusion(linear((4, 4, 3), 3), np.full((1, 4, 4, 3), 77, "uint8"), patch_size=2)
    np.testing.assert_allclose(maps, 0, atol=1e-6)


def test_integer_pixels_get_a_mean_that_is_not_rounded():
    model, images = linear((4, 4, 3), 3), random_images(1, 4, 4, 3).astype("uint8")
    same = occlusion(model, images.astype("float32"), 1, patch_size=2)
    np.testing.assert_allclose(occlusion(model, images, 1, patch_size=2), same, atol=1e-7)


@pytest.mark.slow
def test_patches_are_those_of_the_encoder_in_pixels_of_the_image():
    sizes = {"image_size": (16, 24), "num_layers": 1, "hidden_dim": 8, "num_classes": 3}
    vit = randomize(keras_vit.create("ViT-Mini/8", **sizes))
    images = random_images(1, 32, 48, 3)
    outer = keras.Sequential([keras.Input((32, 48, 3)), keras.layers.Resizing(16, 24), vit])
    maps = occlusion(outer, images, 1)
    assert maps.shape == (1, 2, 3)
    np.testing.assert_array_equal(maps, occlusion(outer, images, 1, patch_size=16))


def test_a_model_without_patches_gets_a_grid_of_14():
    assert occlusion(linear((28, 15, 1), 2), np.zeros((1, 28, 15, 1))).shape == (1, 14, 14)
    assert occlusion(linear((5, 28, 1), 2), np.zeros((1, 5, 28, 1))).shape == (1, 5, 14)
    numbers = masking.number_patches((5, 3), (2, 3))
    np.testing.assert_array_equal(numbers[:, 0], [0, 0, 0, 3, 3])
    np.testing.assert_array_equal(numbers[0], [0, 1, 2])


def test_patches_must_divide_the_image():
    with pytest.raises(ValueError, match=r"height must be divisible.*patch_size=\(4, 4\)"):
        occlusion(linear((6, 8, 3), 2), np.zeros((1, 6, 8, 3)), patch_size=4)


def test_no_more_than_a_batch_of_covered_images_is_in_memory(monkeypatch):
    """The images are views of the user's array; only their batches are copied."""
    model, images, seen = linear((6, 10, 3), 4, None), random_images(2, 6, 10, 3), []
    run = batched.run

    def watched(function, model, given, *more, batch_size, **settings):
        seen.append((np.shares_memory(given, images), batch_size))
        return run(function, model, given, *more, batch_size=batch_size, **settings)

    monkeypatch.setattr(batched, "run", watched)
    occlusion(model, images, 1, patch_size=1, batch_size=7)
    assert seen == [(True, 7), (True, 7)]  # 61 covered images in 9 batches, once each image
    occlusion(model, images, 1, patch_size=1, batch_size=60)
    assert seen[2:] == [(True, 31), (True, 31)]  # two equal batches, not 60 and 1


@pytest.mark.slow
def test_mixed_precision_and_single_outputs():
    images = random_images(1, 16, 16, 3)
    vit = keras_vit.create("ViT-Mini/8", image_size=16, num_classes=1, dtype="mixed_bfloat16")
    randomize(vit, scale=0.3)
    for_one, for_zero = occlusion(vit, images, 1), occlusion(vit, images, 0)
    assert for_one.dtype == "float32" and np.abs(for_one).max() > 1e-3
    np.testing.assert_allclose(for_one, -for_zero, atol=1e-6)
