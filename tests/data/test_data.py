"""Reading images, splitting and shuffling them, against pixels computed by hand."""

import keras
import numpy as np
import pytest
from PIL import Image

from keras_vit import data
from keras_vit.data.transforms import batch_transforms


def image(path, pixels, mode=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels), mode=None).save(path, **options)
    return path


@pytest.fixture
def folder(tmp_path):
    """Five images of each of two classes; the color of an image encodes its class and number."""
    for label, name in enumerate(("cat", "dog")):
        for i in range(5):
            pixels = np.full((4, 6, 3), (100 * label, 10 * i, 7), "uint8")
            image(tmp_path / name / f"{i}.png", pixels)
    return tmp_path


@pytest.mark.backend_free
def test_digits_contain_every_image_once_with_pixels_0_to_255():
    sklearn = pytest.importorskip("sklearn.datasets")
    ink, labels = sklearn.load_digits(return_X_y=True)
    digits = data.digits(seed=3)
    images = np.concatenate([digits.train_images, digits.test_images])
    assert images.dtype == "uint8" and images.shape == (1797, 8, 8, 1)
    assert np.bincount(digits.test_labels).tolist() == [
        round(0.2 * count) for count in np.bincount(labels)
    ]

    def rows(pixels, labels):
        return sorted(map(tuple, np.column_stack([pixels.reshape(1797, 64), labels]).tolist()))

    both = np.concatenate([digits.train_labels, digits.test_labels])
    assert rows(images, both) == rows(np.round(ink * 15.9375), labels)


@pytest.mark.backend_free
def test_split_is_complete_stratified_and_drawn_by_its_seed():
    labels = np.array([0] * 10 + [1] * 30 + [2] * 2)
    train, test = data.split(labels, seed=0)
    assert sorted([*train, *test]) == list(range(42))
    assert np.bincount(labels[test]).tolist() == [2, 6, 1]
    assert np.array_equal(test, data.split(labels, seed=0)[1])
    assert not np.array_equal(test, data.split(labels, seed=1)[1])


@pytest.mark.backend_free
def test_split_refuses_a_class_with_one_image():
    with pytest.raises(ValueError, match="at least 2 images.*class=1, images=1"):
        data.split([0, 0, 1])


@pytest.mark.backend_free
def test_batches_contain_every_image_once_per_epoch_in_a_new_order():
    batches = data.Batches(np.zeros((7, 2, 2, 1)), np.arange(7), batch_size=3, seed=5)
    batches.on_epoch_begin()
    first = np.concatenate([labels for _, labels in batches])
    batches.on_epoch_begin()
    second = np.concatenate([labels for _, labels in batches])
    assert sorted(first[:7]) == sorted(second[:7]) == list(range(7))
    assert first[7:].tolist() == first[:2].tolist()  # the first images fill the last batch
    assert first.tolist() != second.tolist()
    again = data.Batches(np.zeros((7, 2, 2, 1)), np.arange(7), batch_size=3, seed=5)
    assert np.concatenate([labels for _, labels in again]).tolist() == first.tolist()


@pytest.mark.backend_free
def test_batches_keep_images_and_labels_together():
    images = np.arange(11, dtype="uint8").reshape(11, 1, 1, 1)
    for found, labels in data.Batches(images, np.arange(11), batch_size=4):
        assert np.array_equal(found[:, 0, 0, 0], labels)
    listed = data.Batches([*images], [*range(11)], batch_size=4)
    assert [labels.tolist() for _, labels in listed] == [
        labels.tolist() for _, labels in data.Batches(images, np.arange(11), batch_size=4)
    ]


def test_fit_receives_another_order_in_each_epoch():
    drawn = []

    class Recorded(data.Batches):
        def __getitem__(self, index):
            images, labels = super().__getitem__(index)
            drawn.append((self.epoch, labels.tolist()))
            return images, labels

    model = keras.Sequential([keras.Input((1, 1, 1)), keras.layers.Flatten()])
    model.add(keras.layers.Dense(12))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    batches = Recorded(np.zeros((12, 1, 1, 1), "float32"), np.arange(12), batch_size=12)
    model.fit(batches, epochs=3, shuffle=False, verbose=0)
    orders = {epoch: labels for epoch, labels in drawn}  # TensorFlow draws one more to infer shapes
    assert all(sorted(orders[epoch]) == list(range(12)) for epoch in range(3))
    assert orders[0] != orders[1] != orders[2] != orders[0]


@pytest.mark.backend_free
def test_resample_shifts_rotates_and_interpolates():
    image = np.arange(0, 120, 10, dtype="uint8").reshape(1, 3, 4, 1)

    def moved(matrix, shift):
        return batch_transforms.resample(image, np.array([matrix]), np.array([shift]))[0, :, :, 0]

    same = [[1.0, 0.0], [0.0, 1.0]]
    plain = image[0, :, :, 0]
    assert np.array_equal(moved(same, [0.0, 0.0]), plain)
    assert np.array_equal(moved(same, [1.0, 0.0]), plain[[1, 2, 2]])
    assert np.array_equal(moved(same, [0.0, -1.0]), plain[:, [0, 0, 1, 2]])
    assert np.array_equal(moved([[1.0, 0.0], [0.0, -1.0]], [0.0, 0.0]), plain[:, ::-1])
    assert np.array_equal(moved([[-1.0, 0.0], [0.0, -1.0]], [0.0, 0.0]), plain[::-1, ::-1])
    assert moved(same, [0.0, 0.25])[1].tolist() == [42, 52, 62, 70]  # 42.5 and 52.5 go to even
    assert moved(same, [0.5, 0.0])[:, 0].tolist() == [20, 60, 80]


@pytest.mark.backend_free
def test_augmentation_stays_within_its_limits():
    ramp = np.tile(np.arange(100, dtype="uint8"), (300, 10, 1))[..., None]  # pixel = its column
    rng = np.random.default_rng(0)
    shifted = data.augment(ramp, data.Augmentation(shift=0.1), rng)[:, 5, 50, 0].astype(int) - 50
    assert -10 <= shifted.min() < -8 and 8 < shifted.max() <= 10
    zoomed = data.augment(ramp, data.Augmentation(zoom=0.2), rng)[:, 5].astype(int)[:, :, 0]
    widths = (zoomed[:, 70] - zoomed[:, 30]) / 40
    assert 0.77 <= widths.min() < 0.84 and 1.16 < widths.max() <= 1.23
    mirrored = data.augment(ramp, data.Augmentation(flip=True), rng)[:, 5, 0, 0] == 99
    assert 110 < mirrored.sum() < 190
    rows = ramp.transpose(0, 2, 1, 3)  # pixel = its row; turned by a, a step right climbs sin(a)
    wide = np.broadcast_to(rows, (300, 100, 10, 1)).repeat(10, axis=2)
    turned = data.augment(wide, data.Augmentation(rotation=10), rng)[:, 50].astype(int)[:, :, 0]
    climbs = (turned[:, 90] - turned[:, 10]) / 80
    assert 0.15 < climbs.max() <= 0.19 and -0.19 <= climbs.min() < -0.15


@pytest.mark.backend_free
def test_batches_augment_an_image_anew_but_reproducibly():
    image = np.random.default_rng(0).integers(0, 255, (1, 9, 9, 1), "uint8")

    def epochs():
        batches = data.Batches(image, np.zeros(1), 1, augmentation=data.Augmentation(shift=0.2))
        for _ in range(2):
            batches.on_epoch_begin()
            yield batches[0][0]

    (first, second), again = epochs(), list(epochs())
    assert not np.array_equal(first, second)
    assert np.array_equal(first, again[0]) and np.array_equal(second, again[1])


def test_a_folder_is_read_with_its_classes_in_alphabetical_order(folder):
    loaded = data.load(folder, image_size=4, validation_share=0, pipeline="keras")
    assert loaded.class_names == ("cat", "dog") and loaded.name == folder.name
    assert loaded.counts == {"train": 8, "validation": 0, "test": 2}
    numbers = []
    for part in ("train", "test"):
        images, labels = loaded.fixed_batches(part).batch(0, 0)
        assert np.array_equal(images[:, 0, 0, 0], 100 * labels)
        numbers += images[:, 0, 0, 1].tolist()
    assert sorted(numbers) == sorted([0, 10, 20, 30, 40] * 2)


def test_scan_ignores_hidden_files_and_reports_others(folder):
    for name in (".DS_Store", "cat/._0.png", ".git/x/1.png", "cat/.thumbs/1.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"\0")
    for name in ("notes.txt", "dog/list.csv"):
        (folder / name).write_text("x")
    image(folder / "dog" / "more" / "deep.JPG", np.zeros((2, 2, 3), "uint8"), format="JPEG")
    listing = data.scan(folder)
    assert listing.class_names == ("cat", "dog") and listing.labels.tolist() == [0] * 5 + [1] * 6
    assert [path.name for path in listing.others] == ["list.csv", "notes.txt"]


def test_invalid_folders_are_refused(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.*does not exist"):
        data.scan(folder / "nowhere")
    with pytest.raises(FileNotFoundError, match="is a file"):
        data.scan(folder / "cat" / "0.png")
    with pytest.raises(ValueError, match="at least two class folders"):
        data.scan(folder / "cat")
    for i in range(1, 5):
        (folder / "dog" / f"{i}.png").unlink()
    with pytest.raises(ValueError, match="dog.*images=1"):
        data.scan(folder)


def test_an_error_contains_the_name_of_a_damaged_image(folder):
    path = folder / "dog" / "3.png"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ValueError, match="3.png.*cannot be read"):
        data.load(folder, image_size=4, pipeline="keras")  # small images are decoded at once


@pytest.mark.backend_free
@pytest.mark.parametrize(
    "mode, pixel, color, grey",
    [
        ("RGB", (255, 0, 0), (255, 0, 0), 76),  # grey is 0.299 R + 0.587 G + 0.114 B
        ("L", 90, (90, 90, 90), 90),
        ("1", 1, (255, 255, 255), 255),
        ("LA", (0, 0), (255, 255, 255), 255),  # fully transparent: white
        ("RGBA", (0, 0, 255, 255), (0, 0, 255), 29),
        ("RGBA", (0, 0, 0, 51), (204, 204, 204), 204),  # one fifth black on white
        ("I;16", 257 * 130, (130, 130, 130), 130),
    ],
)
def test_pillow_modes_are_converted(tmp_path, mode, pixel, color, grey):
    Image.new(mode, (3, 2), pixel).save(tmp_path / "x.png")
    assert (data.read(tmp_path / "x.png", (2, 3)) == color).all()
    assert (data.read(tmp_path / "x.png", (2, 3), num_channels=1) == grey).all()


@pytest.mark.backend_free
def test_palettes_and_cmyk_are_converted(tmp_path):
    palette = Image.new("RGB", (3, 2), (0, 255, 0)).convert("P")
    palette.save(tmp_path / "palette.png")
    assert (data.read(tmp_path / "palette.png", (2, 3)) == (0, 255, 0)).all()
    palette.save(tmp_path / "clear.png", transparency=palette.getpixel((0, 0)))
    assert (data.read(tmp_path / "clear.png", (2, 3)) == 255).all()
    Image.new("CMYK", (8, 8), (255, 0, 0, 0)).save(tmp_path / "cmyk.jpg", quality=95)
    assert np.abs(data.read(tmp_path / "cmyk.jpg", 8).astype(int) - (0, 255, 255)).max() <= 3


@pytest.mark.backend_free
def test_the_exif_orientation_is_applied(tmp_path):
    image = Image.fromarray(np.array([[10, 20, 30], [40, 50, 60]], "uint8"))
    exif = Image.Exif()
    exif[0x0112] = 6  # the top is on the right side, so turn it by 90 degrees clockwise
    image.save(tmp_path / "turned.png", exif=exif)
    upright = data.read(tmp_path / "turned.png", (3, 2), num_channels=1)
    assert upright[:, :, 0].tolist() == [[40, 10], [50, 20], [60, 30]]


@pytest.mark.backend_free
def test_a_digit_is_cropped_to_its_ink_and_stretched_to_255(tmp_path):
    paper = np.full((20, 30), 250, "uint8")
    paper[4:12, 5:9] = 60  # a bar 8 tall, 4 wide: in a square of 8 two columns are free beside it
    path = image(tmp_path / "bar.png", paper)
    expected = np.zeros((8, 8))
    expected[:, 2:6] = 255
    assert np.array_equal(data.read_digit(path, invert=True)[:, :, 0], expected)


@pytest.mark.backend_free
def test_an_empty_image_is_an_empty_digit(tmp_path):
    for value in (0, 255):
        path = image(tmp_path / "empty.png", np.full((5, 7), value, "uint8"))
        assert data.read_digit(path).shape == (8, 8, 1)
        assert not data.read_digit(path, invert=value == 255).any()


@pytest.mark.backend_free
def test_invert_inverts_pixels(tmp_path):
    path = image(tmp_path / "x.png", np.array([[0, 100], [200, 255]], "uint8"))
    assert data.read(path, 2, 1, invert=True)[:, :, 0].tolist() == [[255, 155], [55, 0]]


@pytest.mark.backend_free
def test_an_error_contains_the_name_of_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.png"):
        data.read(tmp_path / "none.png", 8)
