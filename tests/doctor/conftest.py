"""Folders of images for the tests of the dataset doctor: good ones, and one with every fault."""

import os
import shutil

import faults
import pytest

from keras_vit import doctor


@pytest.fixture(scope="session")
def faulty(tmp_path_factory):
    """A folder with every fault of `faults.FILES`, and its report."""
    folder = faults.make_good(tmp_path_factory.mktemp("faulty") / "set")
    faults.make(folder, faults.FILES)
    return folder, doctor.check(folder)


@pytest.fixture
def good(tmp_path):
    return faults.make_good(tmp_path / "set")


@pytest.fixture
def splits(tmp_path):
    return faults.make_good_splits(tmp_path / "set")


@pytest.fixture
def bad(splits):
    """Splits with unreadable files, copies and a clash of labels."""
    faults.make(splits, [("leak", "train/cat/00.jpg", lambda p: faults._to(p, "test/cat/x.jpg"))])
    shutil.copy(splits / "train/owl/01.jpg", splits / "test/dog/clash.jpg")
    (splits / "train/dog/empty.jpg").touch()
    (splits / "val/dog/more").mkdir()
    faults.write(splits / "val/dog/more/page.jpg", b"<html>")
    faults.link(splits / "val/dog/gone.jpg", "nowhere.jpg")
    os.utime(splits / "train/dog/empty.jpg", ns=(1_111_111_111, 1_111_111_111))
    return splits
