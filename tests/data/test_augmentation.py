"""Augmenting and resizing images, against Pillow, statistics and plain loops over single images."""

import math

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from keras_vit.data import AUGMENTATIONS, Augmentation, augment, get_augmentation
from keras_vit.data.transforms import (
    augment_image,
    batch_transforms,
    image_transforms,
    resize_image,
)

pytestmark = pytest.mark.backend_free

BILINEAR, BICUBIC = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC


def photo(width=50, height=37, mode="RGB", seed=0):
    """Smooth noise: neighboring pixels are similar, as in a photograph."""
    shape = (height // 4 + 2, width // 4 + 2, 3) if mode == "RGB" else (height // 4 + 2,) * 2
    noise = np.random.default_rng(seed).integers(0, 256, shape, "uint8")
    return Image.fromarray(noise).resize((width, height), BICUBIC)


def train(image, size, seed=0, **settings):
    return augment_image(image, size, Augmentation(**settings), np.random.default_rng(seed))


def boxes(width, height, shares, number, aspect=1.0):
    draws = np.random.default_rng(0).random((number, 4))
    drawn = [image_transforms.place_crop(width, height, shares, row, aspect) for row in draws]
    return np.array(drawn).T  # left, top, right, bottom


@pytest.mark.parametrize("width, height", [(500, 375), (375, 500), (400, 400)])
def test_inception_crop_has_uniform_areas_and_bounded_proportions(width, height):
    left, top, right, bottom = boxes(width, height, (0.05, 1.0), 5000)
    assert min(left.min(), top.min()) >= 0 and right.max() <= width and bottom.max() <= height
    share = (right - left) * (bottom - top) / (width * height)
    assert share.min() >= 0.05 - 1e-9 and share.max() <= 1
    assert share.mean() == pytest.approx(0.525, abs=0.015)
    tenths = np.histogram(share, np.linspace(0.05, 1, 11))[0]
    assert np.all(np.abs(tenths - 500) < 5 * math.sqrt(500))
    ratio = (right - left) / (bottom - top)
    assert 0.75 - 1e-9 <= ratio.min() < 0.77 and 1.3 < ratio.max() <= 4 / 3 + 1e-9
    small = share < 0.3  # all proportions fit
    assert np.log(ratio[small]).mean() == pytest.approx(0, abs=0.02)
    place = (
        left[small] / (width - right + left)[small],
        top[small] / (height - bottom + top)[small],
    )
    assert np.mean(place, axis=1) == pytest.approx([0.5, 0.5], abs=0.03)


def test_inception_crop_of_a_very_long_image_is_the_largest_that_fits():
    left, top, right, bottom = boxes(1000, 100, (0.5, 1.0), 500)
    assert np.allclose(bottom - top, 100) and np.allclose(right - left, 400 / 3)
    assert left.min() < 30 and left.max() > 830
    left, top, right, bottom = boxes(100, 1000, (0.5, 1.0), 500)
    assert np.allclose(right - left, 100) and np.allclose(bottom - top, 400 / 3)


def test_inception_crop_follows_the_proportions_of_the_model():
    left, top, right, bottom = boxes(600, 300, (0.1, 0.4), 2000, aspect=2.0)
    ratio = (right - left) / (bottom - top)
    assert 1.5 <= ratio.min() < 1.55 and 2.6 < ratio.max() <= 8 / 3 + 1e-9


@pytest.mark.parametrize("filter_name, resampling", [("bilinear", BILINEAR), ("bicubic", BICUBIC)])
@pytest.mark.parametrize("size", [(24, 24), (20, 31), (64, 64)])
def test_a_crop_of_the_whole_image_equals_pillows_resize(filter_name, resampling, size):
    image = photo(40, 40)
    wanted = np.asarray(image.resize(size[::-1], resampling))
    got = train(image, size, interpolation=filter_name)
    assert got.dtype == np.uint8 and np.array_equal(got, wanted)
    if size[0] == size[1]:
        whole = train(image, size, crop=(1.0, 1.0), interpolation=filter_name)
        assert np.array_equal(whole, wanted)


def test_a_crop_equals_pillows_resize_of_the_drawn_box():
    image, draws = photo(60, 45), np.random.default_rng(4).random(4, "float32")
    box = image_transforms.place_crop(60, 45, (0.05, 0.3), draws)
    got = train(image, 16, seed=4, crop=(0.05, 0.3))
    assert np.array_equal(got, np.asarray(image.resize((16, 16), BILINEAR, box)))
    wide = image_transforms.place_crop(60, 45, (0.05, 0.3), draws, aspect=2.0)
    got = train(image, (16, 32), seed=4, crop=(0.05, 0.3))
    assert np.array_equal(got, np.asarray(image.resize((32, 16), BILINEAR, wide)))
    ramp = Image.fromarray(np.tile(np.arange(60, dtype="uint8") * 4, (45, 1)))
    columns = train(ramp, 16, seed=4, crop=(0.05, 0.3))[8, :, 0]
    middles = box[0] + (np.arange(16) + 0.5) * (box[2] - box[0]) / 16
    assert np.abs(columns - 4 * (middles - 0.5)).max() < 2.5


def test_half_of_the_images_are_flipped():
    image = photo(8, 8)
    pixels = np.asarray(image)
    rng = np.random.default_rng(0)
    drawn = [augment_image(image, 8, "flip", rng) for _ in range(1000)]
    mirrored = sum(np.array_equal(one, pixels[:, ::-1]) for one in drawn)
    assert 440 < mirrored < 560
    assert mirrored + sum(np.array_equal(one, pixels) for one in drawn) == 1000


def test_padding_translates_by_whole_pixels_and_fills_with_gray():
    image = photo(8, 8)
    padded = np.full((12, 12, 3), 128, "uint8")
    padded[2:10, 2:10] = image
    crops = {(y, x): padded[y : y + 8, x : x + 8] for y in range(5) for x in range(5)}
    seen = set()
    for seed in range(300):
        got = train(image, 8, seed, pad=0.25)
        seen |= {place for place, crop in crops.items() if np.array_equal(crop, got)}
        assert any(np.array_equal(crop, got) for crop in crops.values())
    assert len(seen) == 25


def references(rng, count=60, size=(13, 9), channels=3):
    images = rng.integers(0, 256, (count, *size, channels), "uint8")
    return images, rng.random((count, 6), "float32")


@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_is_flipped_and_translated_image_by_image(channels):
    images, draws = references(np.random.default_rng(1), channels=channels)
    flipped = batch_transforms.flip(images.copy(), draws[:, :1])
    for image, draw, got in zip(images, draws, flipped, strict=True):
        assert np.array_equal(got, np.fliplr(image) if draw[0] < 0.5 else image)
    transposed = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    assert np.array_equal(batch_transforms.flip(transposed, draws[:, :1]), flipped)
    moved = batch_transforms.translate(images, 0.25, draws[:, :2])  # by up to 3 and 2 pixels
    for image, draw, got in zip(images, draws, moved, strict=True):
        down, right = 3 - int(draw[0] * 7), 2 - int(draw[1] * 5)
        for y, x in np.ndindex(13, 9):
            inside = 0 <= y - down < 13 and 0 <= x - right < 9
            assert np.array_equal(
                got[y, x], image[y - down, x - right] if inside else [128] * channels
            )


def test_affine_transforms_interpolate_between_four_pixels():
    settings = Augmentation(rotation=30, zoom=0.3, shift=0.2)
    images, draws = references(np.random.default_rng(2), 8)
    moved = batch_transforms.transform_affine(images.copy(), settings, draws[:, :5])
    for image, draw, got in zip(images, 2.0 * draws.astype(float) - 1, moved, strict=True):
        angle, zoom, shift = math.radians(30 * draw[0]), 1 + 0.3 * draw[1:3], 0.2 * draw[3:5]
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        for y, x in np.ndindex(13, 9):
            place = zoom * (turn @ (y - 6, x - 4)) + shift * (13, 9) + (6, 4)
            y_low, x_low = np.clip(place, 0, (12, 8)).astype(int)
            down, right = np.clip(place, 0, (12, 8)) - (y_low, x_low)
            y_high, x_high = min(y_low + 1, 12), min(x_low + 1, 8)
            upper = image[y_low, x_low] * (1 - right) + image[y_low, x_high] * right
            lower = image[y_high, x_low] * (1 - right) + image[y_high, x_high] * right
            assert np.abs(got[y, x] - (upper * (1 - down) + lower * down)).max() < 0.5 + 1e-3


def test_colors_are_jittered_in_the_order_of_the_draws():
    images, draws = references(np.random.default_rng(3), 40)
    changed = batch_transforms.jitter_colors(images.copy(), 0.4, draws)
    kinds = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
    for pixels, draw, got in zip(images, draws, changed, strict=True):
        image = Image.fromarray(pixels)
        for kind in np.argsort(draw[3:]):
            image = kinds[kind](image).enhance(1 + 0.4 * (2 * float(draw[kind]) - 1))
        assert np.abs(np.asarray(image) - got.astype(int)).max() <= 1  # of a factor's rounding


def test_erased_rectangles_are_placed_by_their_draws():
    images, draws = references(np.random.default_rng(4), 200, (40, 30))
    erased = batch_transforms.erase(images.copy(), 0.5, draws)
    for image, draw, got in zip(images, draws.astype(float), erased, strict=True):
        area = (0.02 + (1 / 3 - 0.02) * draw[1]) * 1200
        low, high = max(0.3, area / 30**2), min(1 / 0.3, 40**2 / area)
        ratio = math.exp(math.log(low) + draw[2] * math.log(high / low))
        rows, columns = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        top, left = int(draw[3] * (41 - rows)), int(draw[4] * (31 - columns))
        outside = np.ones((40, 30), bool)
        if draw[0] < 0.5:
            outside[top : top + rows, left : left + columns] = False
        assert np.array_equal(got[outside], image[outside])
        assert (got == image)[~outside].mean() < 0.1 if draw[0] < 0.5 else True


def test_an_array_is_augmented_like_its_images():
    images, _ = references(np.random.default_rng(5), 1)
    settings = Augmentation(10, 0.2, 0.1, True, None, 0.1, (2, 9), "increasing", True, 0.3, 0.5)
    before = images.copy()
    for seed in range(20):
        got = augment(images, settings, np.random.default_rng(seed))
        one = augment_image(
            Image.fromarray(images[0]), (13, 9), settings, np.random.default_rng(seed)
        )
        assert np.array_equal(got[0], one) and np.array_equal(images, before)


def test_three_augment_is_one_of_the_effects_of_pillow_with_equal_probability():
    image = photo()
    found = np.concatenate([train(image, (37, 50), seed, three_augment=True) for seed in range(60)])
    found = found.reshape(60, 37, 50, 3)
    gray = np.asarray(image.convert("L").convert("RGB"))
    solarized = np.asarray(ImageOps.solarize(image, 128))
    kinds = [(found == one).all((1, 2, 3)) for one in (gray, solarized)]
    assert np.all(np.abs(np.sum(kinds, axis=1) - 20) < 12)  # three deviations of a third of 60
    for one in found[~np.any(kinds, axis=0)]:  # blurred: smoother, the same mean
        assert np.abs(one.mean((0, 1)) - np.asarray(image).mean((0, 1))).max() < 2
    draws = np.array([[0.99, 0.0], [0.99, 0.5]])  # blurred by 0.1 and 1.05
    batch = np.stack([np.asarray(image)] * 2)
    blurred = batch_transforms.three_augment(batch.copy(), draws)
    wanted = [image.filter(ImageFilter.GaussianBlur(radius)) for radius in (0.1, 1.05)]
    assert np.array_equal(blurred, np.stack([np.asarray(one) for one in wanted]))


def test_jitter_changes_brightness_contrast_and_color_around_one():
    color = Image.new("RGB", (4, 4), (100, 60, 40))
    drawn = np.array([train(color, 4, seed, jitter=0.4)[0, 0] for seed in range(500)], "int")
    grey = drawn @ [0.299, 0.587, 0.114]
    assert 39 < grey.min() < 46 and 94 < grey.max() < 99  # 69.7 times 0.6 and 1.4
    # Contrast and color both scale how far one color is from grey: 0.36 to 1.96 times.
    spread = (drawn[:, 0] - drawn[:, 2]) / grey / (60 / 69.7)
    assert 0.32 < spread.min() < 0.5 and 1.6 < spread.max() < 2.0
    tones = Image.fromarray(np.array([[80, 150]], "uint8"))  # color leaves these as they are
    drawn = [train(tones, (1, 2), seed, jitter=0.4)[0, :, 0] for seed in range(500)]
    low, high = np.array(drawn, "int").T
    contrast = (high - low) / (high + low) / (70 / 230)  # whole greys: off by 1 in 42 at most
    assert 0.58 < contrast.min() < 0.63 and 1.36 < contrast.max() < 1.4 * 43 / 42
    assert np.array_equal(train(color, 4, jitter=0.0)[0, 0], [100, 60, 40])


def test_erased_rectangles_have_the_stated_share_and_noise():
    shares, values, ratios = [], [], []
    draws = np.random.default_rng(0).random((400, 6))
    for pixels in batch_transforms.erase(np.zeros((400, 60, 80, 3), "uint8"), 1.0, draws):
        rows, columns = np.nonzero(pixels.any(axis=-1))
        inside = pixels[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        shares.append(inside[..., 0].size / 4800)
        ratios.append(math.log(len(inside) / inside.shape[1]))
        assert (inside == 0).mean() < 0.1  # a rectangle, all of it noise
        values.append([inside.mean(), inside.std()])
    assert 0.015 < min(shares) < 0.04 and 0.29 < max(shares) < 0.345
    assert np.mean(shares) == pytest.approx((0.02 + 1 / 3) / 2, abs=0.015)
    assert -1.3 < min(ratios) < -1.0 and 1.0 < max(ratios) < 1.3  # 0.3 to 1 / 0.3: up to 1.2
    assert np.mean(values, axis=0) == pytest.approx([127.0, 56.0], abs=2.0)  # cut off at 0 and 255


def test_erasing_happens_with_its_probability():
    draws = np.random.default_rng(0).random((2000, 6))
    erased = batch_transforms.erase(np.zeros((2000, 16, 16, 1), "uint8"), 0.25, draws)
    assert 420 < erased.any(axis=(1, 2, 3)).sum() < 580


def test_squash_is_a_plain_resize():
    image = photo(50, 37)
    for name, resampling in (("bilinear", BILINEAR), ("bicubic", BICUBIC)):
        got = resize_image(image, (20, 30), interpolation=name)
        assert np.array_equal(got, np.asarray(image.resize((30, 20), resampling)))


def test_crop_is_the_center_of_the_resized_image():
    wide = photo(512, 256)  # its small side is 224 * 256 / 224: no resize is left to do
    got = resize_image(wide, 224, "crop")
    assert np.array_equal(got, np.asarray(wide)[16:240, 144:368])
    half = np.asarray(wide.resize((256, 128), BILINEAR))
    assert np.array_equal(resize_image(wide, (112, 224), "crop"), half[8:120, 16:240])
    tall = wide.transpose(Image.Transpose.TRANSPOSE)
    assert np.array_equal(resize_image(tall, 224, "crop"), np.asarray(tall)[144:368, 16:240])
    tight = resize_image(wide, 256, "crop", ratio=1.0)
    assert np.array_equal(tight, np.asarray(wide)[:, 128:384])


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_preset_depends_only_on_the_generator(name):
    image = photo()
    settings = get_augmentation(name)
    draws = [augment_image(image, 24, settings, np.random.default_rng([7, 0, i])) for i in (1, 1)]
    assert draws[0].shape == (24, 24, 3) and draws[0].dtype == np.uint8
    assert np.array_equal(*draws)
    others = [
        augment_image(image, 24, settings, np.random.default_rng([7, 0, i])) for i in range(8)
    ]
    different = {one.tobytes() for one in others}
    assert len(different) == {"none": 1, "flip": 2}.get(name, len(different))
    assert name in ("none", "flip") or len(different) > 6


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("mode, size", [("RGB", (1, 1)), ("L", (3, 2)), ("L", (90, 7))])
def test_every_preset_accepts_any_image(name, mode, size):
    image = photo(40, 40, mode).resize(size)
    channels = {"RGB": 3, "L": 1}[mode]
    for seed in range(30):
        pixels = augment_image(image, (16, 24), name, np.random.default_rng(seed))
        assert pixels.shape == (16, 24, channels)
    for resize in ("squash", "crop"):
        assert resize_image(image, (16, 24), resize).shape == (16, 24, channels)


def test_presets_have_the_values_of_the_papers():
    inception = get_augmentation("inception")
    assert (inception.crop, inception.flip, inception.mixes) == ((0.05, 1.0), True, False)
    levels = {
        "light1": (0, 0),
        "light2": (10, 0.2),
        "medium1": (15, 0.2),
        "medium2": (15, 0.5),
        "strong1": (20, 0.5),
        "strong2": (20, 0.8),
    }
    for name, (magnitude, mixup) in levels.items():
        wanted = inception._replace(randaugment=(2, magnitude), mixup=mixup)
        assert get_augmentation(name) == wanted
        assert wanted.mixes == (mixup > 0)
    deit = get_augmentation("deit")
    assert (deit.mixup, deit.cutmix, deit.erasing, deit.randaugment) == (0.8, 1.0, 0.25, (2, 9))
    assert (deit.randaugment_style, deit.interpolation, deit.jitter) == ("increasing", "bicubic", 0)
    deit3 = get_augmentation("deit3")  # README_revenge.md and augment.py of its repository
    assert (deit3.crop, deit3.jitter, deit3.mixup, deit3.cutmix) == ((0.08, 1.0), 0.3, 0.8, 1.0)
    assert deit3.three_augment and deit3.flip and not deit3.erasing and not deit3.randaugment
    assert get_augmentation("cifar") == Augmentation(pad=0.125, flip=True)
    assert get_augmentation(None) == get_augmentation("none") == Augmentation()


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_presets_pass_their_own_checks_unchanged(name):
    assert get_augmentation(get_augmentation(name)) == AUGMENTATIONS[name]
    assert eval(repr(AUGMENTATIONS[name])) == AUGMENTATIONS[name]


def test_fields_become_plain_numbers():
    plain = Augmentation(rotation=np.float32(5), crop=[np.float64(0.1), 1], randaugment=[2, 9.0])
    assert plain == Augmentation(rotation=5.0, crop=(0.1, 1.0), randaugment=(2, 9))
    kinds = [type(plain.rotation), type(plain.crop[0]), type(plain.randaugment[1])]
    assert kinds == [float, float, int]


MISTAKES = [
    ("strong3", "Did you mean 'strong"),
    ("cutmix", "Valid names: none, flip"),
    (3, "Received: augmentation=3."),
    (True, "Received: augmentation=True."),
    ({"rotation": 10}, "must be a name, an `Augmentation` or None"),
    (Augmentation()._replace(rotation=-1), "`rotation` must be a finite number from 0 to 180"),
]
FIELDS = [
    (dict(rotation=-1), "`rotation` must be a finite number from 0 to 180"),
    (dict(rotation=math.nan), "Received: rotation=nan. rotation=0 turns it off."),
    (dict(rotation="10"), "Received: rotation='10'"),
    (dict(rotation=True), "`rotation` must be"),
    (dict(zoom=1), "`zoom` must be a finite number from 0 to 0.9"),
    (dict(shift=1.5), "`shift` must be"),
    (dict(flip=1), "`flip` must be True or False"),
    (dict(three_augment=1), "`three_augment` must be True or False"),
    (dict(pad=4), "`pad` must be a finite number from 0 to 1"),
    (dict(crop=0.05), "`crop` must be (smallest, largest) share of the area"),
    (dict(crop=(0, 1)), "The paper's is crop=(0.05, 1.0)"),
    (dict(crop=(5, 100)), "`crop` must be"),
    (dict(crop=(1.0, 0.05)), "`crop` must be"),
    (dict(crop=(math.nan, 1.0)), "`crop` must be"),
    (dict(crop=("a", 1.0)), "`crop` must be"),
    (dict(crop=(0.1, 0.5, 1.0)), "`crop` must be"),
    (dict(randaugment=2), "`randaugment` must be two numbers"),
    (dict(randaugment=(0, 10)), "`operations of randaugment` must be a positive integer"),
    (dict(randaugment=(2.0, 10)), "`operations of randaugment` must be a positive integer"),
    (dict(randaugment=(2, 31)), "`magnitude of randaugment` must be"),
    (dict(randaugment=(2, -1)), "`magnitude of randaugment` must be"),
    (dict(randaugment_style="timm"), "must be one of 'tensorflow', 'increasing'"),
    (dict(jitter=1.1), "`jitter` must be"),
    (dict(erasing=25), "`erasing` must be a finite number from 0 to 1"),
    (dict(mixup=-0.2), "`mixup` must be"),
    (dict(mixup=math.inf), "`mixup` must be a finite number"),
    (dict(cutmix=None), "Received: cutmix=None. cutmix=0 turns it off."),
    (dict(interpolation="nearest"), "must be one of 'bilinear', 'bicubic'"),
]


@pytest.mark.parametrize("value, words", MISTAKES, ids=lambda value: str(value)[-40:])
def test_unknown_augmentations_are_refused_with_advice(value, words):
    with pytest.raises(ValueError) as error:
        get_augmentation(value)
    assert words in str(error.value)


@pytest.mark.parametrize("fields, words", FIELDS, ids=lambda value: str(value)[-40:])
def test_fields_outside_their_range_are_refused_with_advice(fields, words):
    with pytest.raises(ValueError) as error:
        Augmentation(**fields)
    assert words in str(error.value)


def test_invalid_images_and_sizes_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="mode RGB or L. Received: image='RGBA'"):
        augment_image(Image.new("RGBA", (4, 4)), 4, None, rng)
    with pytest.raises(ValueError, match="Received: image='ndarray'. Convert it"):
        resize_image(np.zeros((4, 4, 3), "uint8"), 4)
    with pytest.raises(ValueError, match="`image_size` must be a positive integer"):
        augment_image(photo(), 0, None, rng)
    with pytest.raises(ValueError, match="`resize` must be one of 'squash', 'crop'"):
        resize_image(photo(), 8, "pad")
    with pytest.raises(ValueError, match="`ratio` must be at least 1"):
        resize_image(photo(), 8, "crop", ratio=0.875)
    with pytest.raises(ValueError, match="`interpolation` must be one of"):
        resize_image(photo(), 8, interpolation="nearest")


def test_arrays_refuse_fields_that_need_single_images():
    images, rng = np.zeros((2, 8, 8, 3), "uint8"), np.random.default_rng(0)
    settings = Augmentation(shift=0.1, mixup=0.2, crop=(0.05, 1.0))
    with pytest.raises(ValueError, match=r"Received: crop=\(0.05, 1.0\), mixup=0.2. Use"):
        augment(images, settings, rng)
    with pytest.raises(ValueError, match="must be uint8. Received: images='float32'"):
        augment(images.astype("float32"), Augmentation(flip=True), rng)
    with pytest.raises(ValueError, match="augmentation='fliip'. Did you mean 'flip'"):
        augment(images, "fliip", rng)
