"""`load`: which images are in which split, and which arguments are refused."""

import re

import keras
import numpy as np
import pytest
from PIL import Image

from keras_vit import data
from keras_vit.data import dataset
from keras_vit.data.sources import source as sources
from keras_vit.data.sources.source import Splits, draw_missing

pytestmark = pytest.mark.backend_free


def drawn(count, size=(12, 9, 3), seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (count, *size), "uint8")
    return pixels, np.arange(count) % 3


def test_small_images_are_evaluated_in_larger_batches():
    sizes = {(8, 4): 512, (96, 4): 151, (224, 64): 64, (224, 4): 27}  # 4 MiB of images
    for (side, batch_size), size in sizes.items():
        images = np.zeros((600, 1, 1, 3), "uint8")
        parts = {"train": (images[:2], [0, 1]), "test": (images, np.arange(600) % 2)}
        loaded = data.load(parts, side, batch_size, validation_share=0, pipeline="keras")
        assert loaded.fixed_batches("test").batch_size == size


def test_missing_splits_are_drawn_stratified_by_class():
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    source = sources.ArraySource(np.zeros((100, 1, 1, 1), "uint8"), labels)
    parts = Splits("x", ("a", "b", "c"), source, None, None)

    def numbers(**options):
        found = draw_missing(parts, **options)
        return [set(map(int, part.names)) if part else None for part in found[2:5]]

    train, validation, test = numbers()
    assert train | validation | test == set(range(100)) and len(train) == 72
    assert np.bincount(labels[sorted(test)]).tolist() == [10, 6, 4]
    assert np.bincount(labels[sorted(validation)]).tolist() == [4, 2, 2]  # a tenth of 40, 24, 16
    assert numbers() == [train, validation, test] != numbers(seed=1)
    assert numbers(validation_share=0.5)[2] == test  # depends on its own share only
    assert numbers(validation_share=0, test_share=0) == [set(range(100)), None, None]


def test_existing_splits_are_kept_and_validation_is_drawn_from_training():
    whole = {"train": drawn(30), "test": drawn(6, seed=1)}
    loaded = data.load(whole, 8, pipeline="keras")
    assert loaded.counts == {"train": 27, "validation": 3, "test": 6}
    assert loaded.sources["test"].names == list("012345")
    both = data.load(whole | {"val": drawn(9, seed=2)}, 8, pipeline="keras")
    assert both.counts == {"train": 30, "validation": 9, "test": 6}


def test_the_seed_changes_the_order_but_not_the_splits():
    first, second = (data.load(drawn(40), 8, seed=seed, pipeline="keras") for seed in (0, 1))
    assert first.sampler.order(0).tolist() != second.sampler.order(0).tolist()
    assert first.sources["test"].names == second.sources["test"].names


def test_classes_without_images_in_a_split_are_warned_of():
    images = np.zeros((4, 2, 2, 1), "uint8")
    parts = {"train": (images, [0, 1, 2, 2]), "val": (images, [0] * 4), "test": (images, [2] * 4)}
    with pytest.warns(UserWarning) as warned:
        loaded = data.load(parts, 2, pipeline="keras")
    assert [str(warning.message) for warning in warned] == [
        "The validation split of 'arrays' has no image of class '1', '2'.",
        "The test split of 'arrays' has no image of class '0', '1'.",
    ]
    assert loaded.num_classes == 3 and warned[0].filename == __file__
    with pytest.warns(UserWarning, match="test.*class '1', '2'"):  # one image is trained on
        loaded = data.load((images, [0, 0, 1, 2]), 2, pipeline="keras")
    assert loaded.counts == {"train": 3, "validation": 0, "test": 1}
    assert loaded.validation is None and len(loaded.labels("validation")) == 0
    with pytest.raises(ValueError, match="split.*'train', 'validation', 'test'"):
        loaded.labels("val")


@pytest.fixture
def image_folder(tmp_path):
    """Gray images of 70 x 70 in RGB files; the shade encodes class and number."""
    for label, name in enumerate(("cat", "dog", "eel")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(10):
            path = tmp_path / "photos" / name / f"{i}.png"
            Image.new("RGB", (70, 70), (80 * label + i,) * 3).save(path)
    return tmp_path / "photos"


@pytest.mark.parametrize("cache", [None, True, False])
def test_a_folder_is_loaded(image_folder, cache):
    loaded = data.load(image_folder, 8, batch_size=5, num_channels=1, cache=cache, pipeline="keras")
    assert loaded.name == "photos" and loaded.class_names == ("cat", "dog", "eel")
    assert loaded.counts == {"train": 21, "validation": 3, "test": 6}
    assert isinstance(loaded.sources["train"], sources.ArraySource) == (cache is True)
    for part in ("train", "validation", "test"):
        for images, labels in getattr(loaded, part):
            assert images.shape[1:] == (8, 8, 1)
            assert np.array_equal(images[:, 0, 0, 0] // 80, labels)
    names = loaded.sampler.names(1, 2)
    assert len(names) == 5 and all(re.fullmatch(r"(cat|dog|eel)/\d\.png", name) for name in names)


def test_channels_are_converted():
    pixels, labels = drawn(12)
    grey = data.load((pixels, labels), (12, 9), num_channels=1, pipeline="keras")
    images, classes = next(iter(grey.test))
    source = pixels[int(grey.sources["test"].names[0])]
    assert np.array_equal(images[0, ..., 0], Image.fromarray(source).convert("L"))
    colors = data.load((pixels[..., :1], labels), (12, 9), pipeline="keras")
    images, _ = next(iter(colors.train))
    assert images.shape[-1] == 3 and (images == images[..., :1]).all()


def test_fingerprint_changes_with_everything_a_resumed_run_must_share(image_folder):
    def fingerprint(**options):
        return data.load(image_folder, **{"image_size": 8, "pipeline": "keras"} | options).sampler

    same = fingerprint().fingerprint()
    assert same == fingerprint(pipeline="keras", resize="crop").fingerprint()
    others = [{"seed": 1}, {"image_size": 9}, {"batch_size": 3}, {"augment": "flip"}]
    others += [{"split_seed": 1}, {"num_channels": 1}, {"validation_share": 0.5}]
    for options in others:
        assert fingerprint(**options).fingerprint() != same, options
    pairs = dict.fromkeys(("train", "validation", "test"), drawn(20))
    prints = [
        data.load({**pairs, **changed}, 8, pipeline="keras").sampler.fingerprint()
        for changed in ({}, {"validation": drawn(19)}, {"test": drawn(19)})
    ]
    assert prints[0] != prints[1] != prints[2] != prints[0]
    moved = image_folder.parent / "elsewhere" / "photos"
    moved.parent.mkdir()
    image_folder.rename(moved)
    assert data.load(moved, 8, pipeline="keras").sampler.fingerprint() == same


def test_repr_describes_the_dataset(image_folder):
    loaded = data.load(image_folder, (8, 16), batch_size=5, augment="cifar", pipeline="keras")
    assert repr(loaded) == (
        "<ImageDataset 'photos': 21 train, 3 validation, 6 test\n"
        " 3 classes: cat, dog, eel\n"
        " 8 x 16 pixels, 3 channels, batches of 5, 5 per epoch, seed 0\n"
        " augmentation of training images: flip=True, pad=0.125>"
    )
    cubic = data.Augmentation(interpolation="bicubic")
    loaded = data.load(image_folder, 8, augment=cubic, resize="crop", pipeline="keras")
    assert repr(loaded).endswith(" images: none\n resizing: bicubic, crop>")


def test_the_grid_contains_the_models_input(image_folder):
    loaded = data.load(image_folder, 8, batch_size=10, augment="inception", pipeline="keras")
    images, labels = loaded.training_batches.batch(1, 0)
    with pytest.raises(ValueError, match="number=0"):
        loaded.grid(0)
    figure = loaded.grid(number=9, epoch=1)
    assert len(figure.axes) == 9
    for axes, image, label in zip(figure.axes, images, labels, strict=False):
        assert np.array_equal(axes.images[0].get_array(), image)
        assert axes.get_title() == ("cat", "dog", "eel")[label]
    mixed = data.load(image_folder, 8, batch_size=30, augment="deit", pipeline="keras").grid()
    titles = [axes.get_title() for axes in mixed.axes]
    assert len(titles) == 16 and any(re.fullmatch(r"\w+ \d+ %\n\w+ \d+ %", t) for t in titles)
    assert loaded.sampler.begin() == (0, 0)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"image_size": 0}, "image_size.*a positive integer.*image_size=0"),
        ({"batch_size": 0}, "batch_size.*a positive integer"),
        ({"seed": -1}, "seed.*seed=-1"),
        ({"seed": True}, "seed"),
        ({"split_seed": 0.5}, "split_seed"),
        ({"test_share": 1}, "test_share.*less than 1.*tenth"),
        ({"validation_share": -0.1}, "validation_share.*at least 0.*tenth"),
        ({"num_channels": 2}, "num_channels.*1, 3"),
        ({"resize": "stretch"}, "resize.*'squash', 'crop'"),
        ({"cache": "yes"}, "cache"),
        ({"pipeline": "torch"}, "pipeline.*'tf.data', 'keras'"),
        ({"augment": "incption"}, "Did you mean 'inception'"),
    ],
)
def test_invalid_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        data.load(drawn(10), **options)


def test_invalid_sources_are_refused(tmp_path):
    for missing in (tmp_path / "none", "images/none", "none.csv", "no name", r"C:\none"):
        with pytest.raises(FileNotFoundError, match="which does not exist. Pass a folder"):
            data.load(missing)
    (tmp_path / "x.txt").write_text("x")
    with pytest.raises(ValueError, match="folder, a .csv or an .npz.*x.txt"):
        data.load(tmp_path / "x.txt")
    with pytest.raises(ValueError, match="source='int'"):
        data.load(3)


def test_names_of_datasets_are_distinguished_from_paths(monkeypatch, tmp_path):
    asked = []

    def load_splits(name, **options):
        asked.append((name, options))
        source = sources.ArraySource(*drawn(10))
        return Splits(name, ("a", "b", "c"), source, source, source)

    monkeypatch.setattr(data.tfds, "load_splits", load_splits)
    options = {"data_dir": "/sets", "validation_share": 0.3, "split_seed": 4, "num_channels": 1}
    loaded = data.load("cifar10", 8, pipeline="keras", **options)
    assert loaded.name == "cifar10" and loaded.counts["validation"] == 10
    expected = {"data_dir": "/sets", "validation_share": 0.3, "seed": 4, "num_channels": 1}
    assert asked == [("cifar10", expected)]
    assert data.load("vtab/pets", 8, pipeline="keras").name == "vtab/pets"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cifar10").mkdir()
    with pytest.raises(ValueError, match="two class folders"):  # existing folders win
        data.load("cifar10")


def test_without_tensorflow_pipelines_are_keras_datasets(monkeypatch):
    monkeypatch.setattr(dataset.backend, "is_installed", lambda _: False)
    loaded = data.load(drawn(20), 8)
    assert isinstance(loaded.train, keras.utils.PyDataset) and loaded.pipeline == "keras"
    assert data.load(drawn(20), 8, validation_share=0, test_share=0).validation is None
