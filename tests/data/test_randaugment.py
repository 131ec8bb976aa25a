"""RandAugment's operations against Pillow's and pixels computed by hand."""

import math

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from keras_vit.data.transforms import operations, randaugment

pytestmark = pytest.mark.backend_free

GRAY = operations.GRAY


UP, DOWN = np.full((1, 3), 0.1), np.full((1, 3), 0.9)  # a draw below one half keeps the sign


def apply(name, images, strengths, interpolation="nearest"):
    images = images.copy()
    operations.change(images, np.ones(len(images), bool), name, strengths, interpolation)
    return images


def operate(name, pixels, strength, **arguments):
    pixels = np.array(pixels, "uint8")
    images = pixels.reshape(1, *pixels.shape[:2], -1)
    return apply(name, images, np.array([strength]), **arguments).reshape(pixels.shape).tolist()


SQUARE = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
WIDE = [[1, 2, 3, 4], [5, 6, 7, 8]]
RAMP = [[0, 1, 127, 128, 254, 255]]


@pytest.mark.parametrize(
    "name, pixels, strength, expected",
    [
        ("Invert", RAMP, None, [[255, 254, 128, 127, 1, 0]]),
        ("Solarize", RAMP, 128, [[0, 1, 127, 127, 1, 0]]),
        ("Solarize", RAMP, 0, [[255, 254, 128, 127, 1, 0]]),
        ("Solarize", RAMP, 256, RAMP),
        ("SolarizeAdd", RAMP, 110, [[110, 111, 237, 128, 254, 255]]),
        ("SolarizeAdd", RAMP, 165, [[165, 166, 255, 128, 254, 255]]),
        ("Posterize", [[0b10110111, 15, 16, 255]], 4, [[0b10110000, 0, 16, 240]]),
        ("Posterize", RAMP, 1, [[0, 0, 0, 128, 128, 128]]),
        ("Posterize", RAMP, 8, RAMP),
        ("Posterize", RAMP, 0, [[0] * 6]),
        ("AutoContrast", [[50, 100, 150]], None, [[0, 127, 255]]),
        ("AutoContrast", [[70, 70]], None, [[70, 70]]),
        ("Brightness", RAMP, 0.0, [[0] * 6]),
        ("Brightness", RAMP, 1.0, RAMP),
        ("Brightness", RAMP, 0.5, [[0, 0, 63, 64, 127, 127]]),
        ("Brightness", RAMP, 2.0, [[0, 2, 254, 255, 255, 255]]),
        ("Contrast", [[10, 30]], 0.0, [[20, 20]]),
        ("Contrast", [[10, 30]], 0.5, [[15, 25]]),
        ("Contrast", [[10, 30]], 2.0, [[0, 40]]),
        ("Contrast", [[10, 30]], 3.0, [[0, 50]]),
        ("Color", [[[200, 100, 50]]], 0.0, [[[124, 124, 124]]]),  # 0.299, 0.587 and 0.114 parts
        ("Color", [[[200, 100, 50]]], 1.0, [[[200, 100, 50]]]),
        ("Color", [[[200, 100, 50]]], 1.5, [[[238, 88, 13]]]),
        ("Color", RAMP, 0.3, RAMP),
        ("Sharpness", [[0, 0, 0], [0, 13, 0], [0, 0, 0]], 0.0, [[0, 0, 0], [0, 5, 0], [0, 0, 0]]),
        ("Sharpness", [[0, 0, 0], [0, 13, 0], [0, 0, 0]], 2.0, [[0, 0, 0], [0, 21, 0], [0, 0, 0]]),
        ("TranslateX", WIDE, 1 / 4, [[2, 3, 4, GRAY], [6, 7, 8, GRAY]]),
        ("TranslateX", WIDE, -2 / 4, [[GRAY, GRAY, 1, 2], [GRAY, GRAY, 5, 6]]),
        ("TranslateY", WIDE, 1 / 2, [[5, 6, 7, 8], [GRAY] * 4]),
        # A row's middle is read half a pixel further for shear 1: 0.5, 1.5, 2.5 to the right.
        ("ShearX", SQUARE, 1.0, [[2, 3, GRAY], [6, GRAY, GRAY], [GRAY] * 3]),
        ("ShearX", SQUARE, -0.5, [[1, 2, 3], [GRAY, 4, 5], [GRAY, 7, 8]]),
        ("ShearY", SQUARE, 0.4, [[1, 5, 6], [4, 8, 9], [7, GRAY, GRAY]]),
        ("Rotate", SQUARE, 90.0, [[7, 4, 1], [8, 5, 2], [9, 6, 3]]),
        ("Rotate", SQUARE, -90.0, [[3, 6, 9], [2, 5, 8], [1, 4, 7]]),
        ("Rotate", WIDE, 180.0, [[8, 7, 6, 5], [4, 3, 2, 1]]),
        ("Rotate", WIDE, 0.0, WIDE),
        ("Cutout", WIDE, (0.25, 0.5, 0.5), [[1, GRAY, GRAY, 4], [5, GRAY, GRAY, 8]]),
        ("Cutout", SQUARE, (1 / 3, 0.0, 1.0), [[1, 2, 3], [4, 5, 6], [GRAY, 8, 9]]),
        ("Cutout", SQUARE, (0.0, 0.5, 0.5), SQUARE),
    ],
)
def test_operations_give_the_pixels_computed_by_hand(name, pixels, strength, expected):
    assert operate(name, pixels, strength) == expected


def test_empty_areas_of_color_images_become_gray():
    pixels = np.full((2, 2, 3), (1, 2, 3))
    assert operate("TranslateX", pixels, 0.5)[0] == [[1, 2, 3], [GRAY, GRAY, GRAY]]
    assert operate("Cutout", pixels, (0.5, 0.0, 0.5))[1] == [[GRAY, GRAY, GRAY], [1, 2, 3]]


def test_equalize_spreads_a_known_histogram():
    values = np.repeat([10, 20, 30], 255).reshape(15, 51)
    # Steps of (765 - 255) // 255 = 2 pixels: before 10 there are 0, before 20 255, before 30 510.
    spread = np.repeat([0, 128, 255], 255).reshape(15, 51)
    assert operate("Equalize", values, None) == spread.tolist()


def test_bicubic_translation_is_exact_by_whole_pixels_and_smooth_between():
    assert operate("TranslateY", WIDE, 0.5, interpolation="bicubic")[0] == WIDE[1]
    step = np.repeat([[0] * 8, [200] * 8], 4, axis=0)
    between = np.array(operate("TranslateY", step, 0.5 / 8, interpolation="bicubic"))
    assert between[3, 4] == 100
    assert set(np.unique(operate("TranslateY", step, 0.4 / 8))) <= {0, GRAY, 200}


def shear(x, y):
    return lambda image, strength: (1, x * strength, 0, y * strength, 1, 0)


def translation(x, y):
    return lambda image, s: (1, 0, x * s * image.width, 0, 1, y * s * image.height)


def rotation(image, degrees):
    a, x, y = math.radians(degrees), image.width / 2, image.height / 2
    c, s = math.cos(a), math.sin(a)
    return c, s, x - c * x - s * y, -s, c, y + s * x - c * y


def enhanced(kind):
    return lambda image, strength: getattr(ImageEnhance, kind)(image).enhance(strength)


def mapped(function):
    return lambda image, strength: image.point(
        [function(value, strength) for value in range(256)] * len(image.getbands())
    )


MATRICES = {
    "Rotate": rotation, "ShearX": shear(1, 0), "ShearY": shear(0, 1),
    "TranslateX": translation(1, 0), "TranslateY": translation(0, 1),
}  # fmt: skip
PILLOW = {
    "AutoContrast": lambda image, _: ImageOps.autocontrast(image),
    "Equalize": lambda image, _: ImageOps.equalize(image),
    "Invert": lambda image, _: ImageOps.invert(image),
    "Posterize": lambda image, bits: ImageOps.posterize(image, int(bits)),
    "Solarize": lambda image, limit: ImageOps.solarize(image, int(limit)),
    "SolarizeAdd": mapped(lambda value, add: min(value + int(add), 255) if value < 128 else value),
} | {kind: enhanced(kind) for kind in ("Color", "Contrast", "Brightness", "Sharpness")}


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("style", ["tensorflow", "increasing"])
def test_a_batch_is_changed_as_pillow_changes_each_image(style, mode):
    rng, count = np.random.default_rng(0), 12
    shape = (count, 23, 30, 3 if mode == "RGB" else 1)
    images = rng.integers(0, 200, shape, "uint8") // 4 * 5
    images[-1] = 77  # nothing to stretch or to spread
    strengths, *_, interpolation = randaugment.STYLES[style]
    resampling = Image.Resampling[interpolation.upper()]
    for name in strengths.keys() - {"Cutout"}:
        drawn = strengths[name](rng.uniform(0, 10, count), rng.random((count, 3)))
        got = apply(name, images, drawn, interpolation)
        for pixels, strength, changed in zip(images, drawn, got, strict=True):
            image = Image.fromarray(pixels.squeeze())
            if name in PILLOW:
                expected = PILLOW[name](image, strength)
            else:
                matrix, affine = MATRICES[name](image, strength), Image.Transform.AFFINE
                options = {"resample": resampling, "fillcolor": "gray"}
                expected = image.transform(image.size, affine, matrix, **options)
            apart = np.abs(np.asarray(expected).reshape(changed.shape) - changed.astype(int))
            # Pillow cuts off what interpolation leaves behind the point.
            assert apart.max() <= (interpolation == "bicubic" and name in MATRICES), name


def test_equal_rows_of_draws_change_an_image_equally_in_any_batch():
    rng = np.random.default_rng(0)
    images, draws = rng.integers(0, 256, (40, 9, 7, 3), "uint8"), rng.random((40, 10))
    for style in randaugment.STYLES:
        together = randaugment.randaugment(images.copy(), 2, 9, draws, style)
        alone = [
            randaugment.randaugment(images[i : i + 1].copy(), 2, 9, draws[i : i + 1], style)
            for i in range(40)
        ]
        assert np.array_equal(together, np.concatenate(alone))
        assert (together != images).any(axis=(1, 2, 3)).sum() > 20


@pytest.mark.parametrize(
    "style, name, level, expected",
    [
        ("tensorflow", "Rotate", 10, 30.0),
        ("tensorflow", "Rotate", 15, 45.0),
        ("tensorflow", "ShearX", 10, 0.3),
        ("tensorflow", "ShearY", 20, 0.6),
        ("tensorflow", "TranslateX", 10, 100 / 224),
        ("tensorflow", "TranslateY", 15, 150 / 224),
        ("tensorflow", "Color", 0, 0.1),
        ("tensorflow", "Contrast", 10, 1.9),
        ("tensorflow", "Brightness", 15, 2.8),
        ("tensorflow", "Sharpness", 5, 1.0),
        ("tensorflow", "Posterize", 0, 1),
        ("tensorflow", "Posterize", 10, 4),
        ("tensorflow", "Posterize", 15, 6),
        ("tensorflow", "Posterize", 20, 8),
        ("tensorflow", "Posterize", 30, 8),
        ("tensorflow", "Solarize", 5, 128),
        ("tensorflow", "Solarize", 10, 0),
        ("tensorflow", "Solarize", 15, 128),
        ("tensorflow", "SolarizeAdd", 10, 110),
        ("tensorflow", "SolarizeAdd", 15, 165),
        ("tensorflow", "Cutout", 10, (40 / 224, 0.1, 0.1)),
        ("increasing", "Rotate", 9, 27.0),
        ("increasing", "TranslateX", 10, 0.45),
        ("increasing", "Posterize", 0, 4),
        ("increasing", "Posterize", 9, 1),
        ("increasing", "Posterize", 10, 1),
        ("increasing", "Solarize", 0, 256),
        ("increasing", "Solarize", 9, 26),
        ("increasing", "Solarize", 10, 0),
        ("increasing", "Color", 10, 1.9),
        ("increasing", "Contrast", 0, 1.0),
        ("increasing", "SolarizeAdd", 9, 99),
    ],
)
def test_strength_of_a_level(style, name, level, expected):
    drawn = randaugment.STYLES[style].strengths[name](np.array([level]), UP)[0]
    assert drawn == pytest.approx(expected)


def test_directions_are_drawn():
    def strength(name, level):
        return randaugment.INCREASING[name](np.array([level]), DOWN)[0]

    assert strength("Rotate", 10) == -30.0
    assert strength("TranslateY", 10) == -0.45
    assert strength("Brightness", 10) == pytest.approx(0.1)
    assert strength("Brightness", 5) == pytest.approx(0.55)


def test_both_styles_have_their_operations():
    assert len(randaugment.TENSORFLOW) == 16 and len(randaugment.INCREASING) == 15
    known = set(operations.MOVES) | set(operations.CHANGES) - {"Blur"}  # that is of 3-Augment
    assert set(randaugment.TENSORFLOW) == known == set(randaugment.INCREASING) | {"Cutout"}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("style", ["tensorflow", "increasing"])
def test_every_operation_runs_at_every_level(style, channels):
    noise = np.random.default_rng(0).integers(0, 256, (1, 5, 7, channels), "uint8")
    strengths, *_, interpolation = randaugment.STYLES[style]
    for level in (0, 3, 10) if style == "increasing" else (0, 3, 10, 15, 20, 30):
        for name, strength in strengths.items():
            for images in (noise, noise[:, :1, :1]):
                drawn = strength(np.array([level]), np.array([[0.7, 0.2, 0.9]]))
                changed = apply(name, images, drawn, interpolation)
                assert (changed.shape, changed.dtype) == (images.shape, "uint8"), (name, level)


@pytest.fixture
def draw(monkeypatch):
    """A function that returns names and strengths of the operations that 2,000 images get."""

    def run(magnitude, style="tensorflow"):
        applied = []

        def record(images, chosen, name, strengths, interpolation):
            applied.extend((name, strength) for strength in strengths[chosen])

        monkeypatch.setattr(randaugment, "change", record)
        draws = np.random.default_rng(0).random((2000, 10), "float32")
        randaugment.randaugment(np.zeros((2000, 1, 1, 1), "uint8"), 2, magnitude, draws, style)
        return applied

    return run


def test_operations_are_drawn_evenly_and_all_applied(draw):
    applied = draw(10)
    assert len(applied) == 4000
    names, counts = np.unique([name for name, _ in applied], return_counts=True)
    assert len(names) == 16
    assert np.all(np.abs(counts - 250) < 5 * np.sqrt(250))
    assert {abs(strength) for name, strength in applied if name == "Rotate"} == {30.0}


def test_increasing_applies_half_of_the_operations_at_levels_around_the_magnitude(draw):
    applied = draw(9, "increasing")
    assert 1850 < len(applied) < 2150
    turns = np.array([strength for name, strength in applied if name == "Rotate"])
    levels = np.abs(turns) / 3
    assert 8.8 < levels.mean() < 9.2 and 0.4 < levels.std() < 0.6 and levels.max() <= 10
    assert 0.3 < (turns > 0).mean() < 0.7


def test_magnitude_zero_still_changes_images():
    images = np.full((200, 4, 4, 3), (200, 100, 50), "uint8")
    draws = np.random.default_rng(0).random((200, 5))
    changed = randaugment.randaugment(images, 1, 0, draws)
    seen = set(map(tuple, changed[:, 1, 1].tolist()))
    assert (20, 10, 5) in seen  # Brightness 0.1
    assert (55, 155, 205) in seen  # Invert, and Solarize from 0 on
    assert (128, 0, 0) in seen  # Posterize leaves one bit
