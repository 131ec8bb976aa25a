"""`on_error="skip"`: unreadable images are replaced or left out, and nothing else changes."""

import shutil

import numpy as np
import pytest
from PIL import Image

from keras_vit import data

pytestmark = pytest.mark.backend_free
SETTINGS = {"image_size": 4, "batch_size": 4, "pipeline": "keras", "cache": False}
SETTINGS |= {"augment": "flip", "on_error": "skip"}


@pytest.fixture
def folder(tmp_path):
    """Train and test of two classes; every image has a color of its own."""
    for split, shade in (("train", 0), ("test", 100)):
        for label, name in enumerate(("cat", "dog")):
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(6):
                image = Image.new("RGB", (5, 5), (shade + 10 * i, 200 * label, i))
                image.save(tmp_path / split / name / f"{i}.png")
    return tmp_path


def batches(loaded, epoch=1):
    steps = range(loaded.steps_per_epoch)
    return [loaded.training_batches.batch(epoch, step) for step in steps]


@pytest.mark.parametrize("cache", [False, True, "disk"])
def test_the_next_image_of_the_class_takes_the_place(folder, cache, monkeypatch, tmp_path_factory):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("home")))
    settings = {**SETTINGS, "validation_share": 0, "cache": cache}
    whole = data.load(folder, **settings).sampler.fingerprint()
    for bad in ("cat/2.png", "cat/3.png", "dog/5.png"):
        (folder / "train" / bad).write_bytes(b"no image")
    with pytest.warns(UserWarning) as warned:
        loaded = data.load(folder, **settings)
        found = batches(loaded)
    texts = sorted(str(warning.message) for warning in warned)
    assert len(texts) == 3 and all("cannot be read" in text for text in texts)
    assert "train/cat/2.png'" in texts[0] and texts[0].endswith("It is skipped.")
    assert sorted(loaded.skipped) == [f"train/{n}.png" for n in ("cat/2", "cat/3", "dog/5")]
    assert loaded.sampler.fingerprint() == whole  # a run that was begun before resumes
    again = batches(loaded)
    for bad, other in (("cat/2", "cat/4"), ("cat/3", "cat/4"), ("dog/5", "dog/0")):
        shutil.copy(folder / "train" / f"{other}.png", folder / "train" / f"{bad}.png")
    expected = batches(data.load(folder, **settings))
    for pairs in (found, again):
        for (images, labels), (others, classes) in zip(pairs, expected, strict=True):
            assert np.array_equal(images, others) and np.array_equal(labels, classes)


def test_test_images_are_left_out_and_listed(folder):
    (folder / "test" / "dog" / "1.png").write_bytes(b"")
    loaded = data.load(folder, **SETTINGS, validation_share=0)
    assert loaded.counts["test"] == 11
    assert "test/dog/1.png" not in loaded.sources["test"].names
    assert loaded.notes == ("skipped in the test split, cannot be read: test/dog/1.png",)
    for path in (folder / "test").rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="test split must have an image that can be read"):
        data.load(folder, **SETTINGS, validation_share=0)


def test_a_class_without_readable_images_stops_the_training(folder):
    loaded = data.load(folder, **SETTINGS, validation_share=0)
    for path in (folder / "train" / "cat").iterdir():
        path.write_bytes(b"")
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="class must have an image"):
        batches(loaded)


def test_by_default_the_training_stops(folder):
    loaded = data.load(folder, **{**SETTINGS, "on_error": "stop"})
    for path in (folder / "train" / "cat").iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match="train/cat/.*does not exist"):
        batches(loaded)


def test_a_file_without_permission_says_so(folder, monkeypatch):
    def deny(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(Image, "open", deny)
    words = r"cat.0.png' cannot be read as an image \(Permission denied\). Change its permissions"
    with pytest.raises(ValueError, match=words):
        data.read(folder / "train" / "cat" / "0.png", 4)
