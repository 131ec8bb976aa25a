"""Mixup and CutMix: the labels are the shares of the mixed pixels."""

import numpy as np
import pytest

from keras_vit.data import Augmentation
from keras_vit.data.transforms import mixing

pytestmark = pytest.mark.backend_free

COLOURS = np.array([0, 40, 80, 160, 240], "uint8")  # one per image


def constant(height=12, width=8, channels=3):
    pixels = np.empty((len(COLOURS), height, width, channels), "uint8")
    pixels[:] = COLOURS[:, None, None, None]
    return pixels


def mix(seed, images=None, labels=(0, 1, 2, 3, 4), **settings):
    images = constant() if images is None else images
    rng = np.random.default_rng(seed)
    return mixing.mix(images, np.array(labels), 5, Augmentation(**settings), rng)


def test_nothing_is_mixed_without_an_alpha():
    images, labels = mix(0)
    assert images.dtype == "uint8" and labels.dtype == "float32"
    assert np.array_equal(images, constant()) and np.array_equal(labels, np.eye(5))


@pytest.mark.parametrize("alpha", [0.2, 0.8, 1.0])
def test_mixup_adds_images_in_the_share_of_the_labels(alpha):
    shares = []
    for seed in range(200):
        images, labels = mix(seed, mixup=alpha)
        assert images.dtype == "uint8" and labels.dtype == "float32"
        assert np.allclose(labels.sum(axis=1), 1, atol=1e-6)
        assert np.count_nonzero(labels) <= 10
        wanted = labels @ COLOURS.astype("float32")  # an image's color is that of its classes
        assert np.allclose(images, wanted[:, None, None, None], atol=0.5)  # to whole numbers
        own = labels.diagonal()
        assert np.ptp(own) == 0 and 256 * own[0] % 1 == 0  # one share for the batch
        assert np.allclose(labels[np.arange(5), np.arange(5) - 1], 1 - own, atol=1e-6)
        shares.append(own[0])
    draws = np.random.default_rng(99).beta(alpha, alpha, 200_000)
    assert min(shares) >= 0.5
    assert np.mean(shares) == pytest.approx(np.maximum(draws, 1 - draws).mean(), abs=0.04)


def test_cutmix_labels_are_the_counted_pixels():
    shares = []
    for seed in range(300):
        images, labels = mix(seed, cutmix=1.0)
        own = (images == constant()).all(axis=-1).mean(axis=(1, 2))
        assert labels.diagonal() == pytest.approx(own, abs=1e-6)
        assert np.allclose(labels.sum(axis=1), 1, atol=1e-6)
        others = images == np.roll(constant(), 1, axis=0)
        assert np.all(others | (images == constant()))
        shares.append(own[0])
    assert min(shares) < 0.3 and max(shares) == 1.0


def test_cutmix_replaces_a_rectangle():
    covered = 0
    for seed in range(50):
        replaced = mix(seed, cutmix=1.0)[0][2, :, :, 0] != COLOURS[2]
        rows, columns = replaced.any(axis=1), replaced.any(axis=0)
        assert np.array_equal(replaced, np.outer(rows, columns))
        assert np.count_nonzero(np.diff(rows)) <= 2 and np.count_nonzero(np.diff(columns)) <= 2
        covered += replaced.any()
    assert covered > 40


class Middle:
    """A generator that puts every center at one place."""

    def __init__(self, *places):
        self.places = list(places)

    def integers(self, side):
        return self.places.pop(0)


@pytest.mark.parametrize(
    "share, middle, rows, columns",
    [
        (0.75, (5, 10), (3, 8), (5, 15)),  # half of each side of (10, 20)
        (0.75, (0, 0), (0, 3), (0, 5)),
        (0.75, (9, 19), (7, 10), (14, 20)),
        (0.0, (5, 10), (0, 10), (0, 20)),
        (0.0, (0, 10), (0, 5), (0, 20)),
        (1.0, (5, 10), (5, 5), (10, 10)),
    ],
)
def test_box_has_the_given_share_and_is_clipped(share, middle, rows, columns):
    drawn = mixing.draw_box(10, 20, share, Middle(*middle))
    assert [(part.start, part.stop) for part in drawn] == [rows, columns]


def test_if_both_are_on_each_batch_gets_one_of_them():
    kinds = []
    for seed in range(400):
        images, labels = mix(seed, mixup=0.8, cutmix=1.0)
        is_cut = np.all((images == constant()) | (images == np.roll(constant(), 1, axis=0)))
        kinds.append(is_cut)
        wanted, rounding = labels @ COLOURS.astype("float32"), 0.1 if is_cut else 0.5
        assert np.allclose(images.mean(axis=(1, 2, 3)), wanted, atol=rounding)
    assert 0.4 < np.mean(kinds) < 0.6


def test_images_of_one_class_keep_it():
    for settings in ({"mixup": 0.4}, {"cutmix": 1.0}):
        labels = mix(3, labels=(2, 2, 2, 2, 2), **settings)[1]
        assert np.allclose(labels, np.eye(5)[[2] * 5], atol=1e-6)


def test_a_single_image_is_mixed_with_itself():
    images, labels = mix(0, images=constant()[3:4], labels=(3,), mixup=0.5)
    assert (images == COLOURS[3]).all() and labels[0, 3] == pytest.approx(1)


def test_blended_pixels_are_rounded_to_the_nearest_whole_number():
    values = np.arange(256, dtype="uint8")
    images = np.stack([values, values[::-1]]).reshape(2, 16, 16, 1)
    for part in range(257):
        exact = (part * images.astype(float) + (256 - part) * images[::-1].astype(float)) / 256
        assert np.array_equal(mixing.blend(images, part / 256), np.floor(exact + 0.5))


def test_equal_generators_mix_equally():
    settings = {"mixup": 0.8, "cutmix": 1.0}
    first, again, other = mix(5, **settings), mix(5, **settings), mix(6, **settings)
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


def test_the_input_is_not_changed():
    images = constant()
    for settings in ({"mixup": 0.4}, {"cutmix": 1.0}):
        mix(1, images=images, **settings)
        assert np.array_equal(images, constant())


@pytest.mark.parametrize(
    "images, labels, words",
    [
        (constant(), [0, 1, 2, 3], "one label for every image. Received: images=5, labels=4"),
        (constant(), [0, 1, 2, 3, 5], "classes from 0 to 4. Received: label=5, num_classes=5"),
        (constant(), [0, -1, 2, 3, 4], "label=-1"),
        (constant(), [0.0, 1.0, 2.0, 3.0, 4.0], "labels='float64 of shape (5,)'"),
        (constant(), np.eye(5, dtype="int32"), "of shape (batch,)"),
    ],
)
def test_invalid_labels_are_refused(images, labels, words):
    with pytest.raises(ValueError) as error:
        mix(0, images=images, labels=labels, mixup=0.2)
    assert words in str(error.value)
