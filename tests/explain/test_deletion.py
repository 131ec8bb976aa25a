"""The deletion curve on a grid of 2 x 2 patches, by hand."""

import math

import deletion
import numpy as np
import pytest
from helpers import random_images, randomize
from test_occlusion import linear, probability

import keras_vit
from keras_vit.explain import masking
from keras_vit.explain.masking import deletion_curve

pytestmark = pytest.mark.usefixtures("blank")

# Patches are 0 1 / 2 3. Equal ones are deleted in order: 1, 2, 0, 3.
MAP, ORDER = np.array([[0.2, 0.9], [0.9, 0.1]]), [1, 2, 0, 3]


def after(model, image, label, gone, instead):
    """The probability after the patches in `gone` are replaced by those of `instead`."""
    image = image.copy()
    for patch in gone:
        row, column = divmod(patch, 2)
        place = np.s_[2 * row : 2 * row + 2, 3 * column : 3 * column + 3]
        image[place] = np.broadcast_to(instead, image.shape)[place]
    return probability(model, image, label)


@pytest.mark.parametrize(("steps", "gone"), [(4, [0, 1, 2, 3, 4]), (3, [0, 1, 3, 4]), (1, [0, 4])])
def test_patches_go_in_the_order_of_the_map(steps, gone):
    model, images, labels = linear((4, 6, 3), 3), random_images(2, 4, 6, 3), [2, 0]
    maps = np.stack([MAP, -MAP])
    orders = [ORDER, [3, 0, 1, 2]]
    truth = [
        [
            after(model, images[i], labels[i], orders[i][:n], images[i].mean((0, 1)))
            for i in range(2)
        ]
        for n in gone
    ]
    found = deletion_curve(model, images, maps, labels, steps=steps, batch_size=1)
    assert found.shape == (steps + 1, 2) and found.dtype == "float32"
    assert np.ptp(truth) > 0.05
    np.testing.assert_allclose(found, truth, atol=1e-5)


def gaussian_blur(image, down, across):
    """Pixel by pixel: the mean of all pixels, weighted by a Gaussian."""
    height, width, _ = image.shape
    result = np.zeros(image.shape)
    for i, j in np.ndindex(height, width):
        square = ((np.arange(height) - i) / down)[:, None] ** 2 + (
            (np.arange(width) - j) / across
        ) ** 2
        weights = np.exp(-square / 2)
        result[i, j] = np.tensordot(weights / weights.sum(), image, 2)
    return result


def test_blur_is_of_one_patch():
    model, images = linear((4, 6, 3), 3), random_images(1, 4, 6, 3)
    instead = gaussian_blur(images[0].astype("float64"), down=2, across=3)
    np.testing.assert_allclose(masking.blur(images, (2, 3))[0], instead, rtol=1e-4)
    truth = [after(model, images[0], 1, ORDER[:n], instead) for n in range(5)]
    found = deletion_curve(model, images, MAP[None], 1, steps=4, fill="blur")
    np.testing.assert_allclose(found[:, 0], truth, atol=1e-5)


def test_equal_values_go_row_by_row():
    model, images = linear((4, 6, 3), 3), random_images(1, 4, 6, 3)
    mean = images[0].mean((0, 1))
    truth = [after(model, images[0], 1, range(n), mean) for n in range(5)]
    found = deletion_curve(model, images, np.zeros((1, 2, 2)), 1, steps=4)
    np.testing.assert_allclose(found[:, 0], truth, atol=1e-5)


def test_maps_may_have_any_grid_of_whole_pixels():
    model, images = linear((5, 7, 3), 3), random_images(2, 5, 7, 3)
    found = deletion_curve(model, images, np.random.default_rng(0).random((2, 3, 4)))
    assert found.shape == (15, 2)
    mean = images.mean((1, 2))[0]
    alone = probability(model, np.broadcast_to(mean, (5, 7, 3)), images_class(model, images)[0])
    np.testing.assert_allclose(found[-1, 0], alone, atol=1e-5)


def images_class(model, images):
    return [max(range(3), key=lambda label: probability(model, x, label)) for x in images]


def test_no_class_means_the_most_probable_one_of_the_whole_image():
    model, images = linear((4, 6, 3), 3), random_images(12, 4, 6, 3)
    images *= np.random.default_rng(1).uniform(0, 1, (12, 1, 1, 3)).astype("float32")
    maps = np.broadcast_to(MAP, (12, 2, 2))
    labels = images_class(model, images)
    assert len(set(labels)) > 1
    same = deletion_curve(model, images, maps, labels, steps=2)
    np.testing.assert_array_equal(deletion_curve(model, images, maps, steps=2), same)


@pytest.mark.slow
def test_a_vit_under_mixed_precision():
    vit = keras_vit.create("ViT-Mini/8", image_size=16, num_classes=3, dtype="mixed_bfloat16")
    curve = deletion_curve(randomize(vit), random_images(2, 16, 16, 3), np.ones((2, 2, 2)), steps=2)
    assert curve.shape == (3, 2) and curve.dtype == "float32"
    assert ((curve > 0) & (curve < 1)).all()


@pytest.mark.parametrize(
    ("maps", "options", "message"),
    [
        (np.zeros((2, 2)), {}, "one map for each image"),
        (np.zeros((3, 2, 2)), {}, r"maps shape=\(3, 2, 2\), images shape=\(2, 4, 6, 3\)"),
        (np.zeros((2, 5, 2)), {}, "no finer than it"),
        (np.zeros((2, 0, 2)), {}, "one map for each image"),
        (np.full((2, 2, 2), math.nan), {}, "`maps` must be finite. Received: not finite=8"),
        (np.zeros((2, 2, 2)), {"steps": 0}, "`steps` must be a positive integer"),
        (np.zeros((2, 2, 2)), {"fill": "black"}, "`fill` must be one of 'mean', 'blur'"),
        (np.zeros((2, 2, 2)), {"classes": 3}, "The model has 3 classes, 0 to 2"),
    ],
)
def test_bad_arguments_are_refused(maps, options, message):
    with pytest.raises(ValueError, match=message):
        deletion_curve(linear((4, 6, 3), 3), np.zeros((2, 4, 6, 3)), maps, **options)


@pytest.mark.backend_free
def test_the_benchmarks_area_and_its_interval():
    curve = np.array([[1.0, 0.8], [0.5, 0.4], [0.0, 0.4]])
    np.testing.assert_allclose(deletion.areas(curve), [0.5, 0.5])  # (0.75 + 0.25, 0.6 + 0.4) / 2
    np.testing.assert_array_equal(deletion.interval(np.ones(5), np.random.default_rng(0)), [1, 1])
    values = np.random.default_rng(1).normal(size=400)
    low, high = deletion.interval(values, np.random.default_rng(0))
    expected = 1.96 * values.std() / 20  # a mean is approximately normal
    np.testing.assert_allclose([low, high], values.mean() + np.array([-1, 1]) * expected, atol=0.01)
