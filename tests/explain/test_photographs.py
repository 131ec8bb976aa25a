"""Rollout on photographs: most of it is on the object that the image shows."""

import os
import pathlib

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.explain.attention import mean_attention_distance
from keras_vit.explain.rollout import attention_rollout

DATA = pathlib.Path(os.environ.get("KERAS_VIT_TEST_DATA", "not set"))
WEIGHTS = DATA / "weights" / "vit_tiny_patch16_224.augreg_in21k_ft_in1k.safetensors"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not WEIGHTS.exists(), reason="KERAS_VIT_TEST_DATA names no folder with real weights"
    ),
]

# Boxes drawn by hand, before any map was seen: left, top, right, bottom, in pixels of 299 x 299.
BOXES = {
    "0c7ac4a8c9dfa802.png": (100, 78, 262, 200),  # beetle
    "4fc263d35a3ad3ee.png": (8, 38, 110, 247),  # dog
    "a2de1f4f2c1021fa.png": (57, 80, 161, 174),  # badge
    "4bb12984b41d0834.png": (6, 34, 258, 220),  # turtle
    "7506caf0a49c3951.png": (40, 27, 270, 299),  # tick
    "3bd1ba0432603b28.png": (150, 192, 248, 299),  # traffic light
    "1733cbc68a2ae05d.png": (34, 65, 299, 224),  # toy fire engine
    "0411ca972e637297.png": (2, 23, 220, 195),  # cup of coffee
    "fd26c4733822dfcc.png": (125, 88, 232, 200),  # badger
    "1394faa319bd353c.png": (0, 94, 204, 226),  # car
}


@pytest.fixture(scope="module")
def model():
    yield keras_vit.load_pretrained(WEIGHTS, verbose=False)
    keras.backend.clear_session()


def images(names):
    return np.stack([keras_vit.data.read(DATA / "photos" / "nips17" / n, 224) for n in names])


def covered(box):
    """Returns the share of each of the 14 x 14 patches that is inside the box."""
    left, top, right, bottom = np.array(box) * 14 / 299
    patch = np.arange(14)

    def overlap(low, high):
        return np.clip(np.minimum(patch + 1, high) - np.maximum(patch, low), 0, 1)

    return np.outer(overlap(top, bottom), overlap(left, right))


@pytest.mark.parametrize(
    "options, better, ratio", [({}, 9, 1.5), (dict(heads="max", discard=0.9), 9, 2.2)]
)
def test_rollout_lies_on_the_thing(model, options, better, ratio):
    """Measured: all ten are above their box's share of the area, by 1.64 and 2.41 on average."""
    boxes = np.stack([covered(box) for box in BOXES.values()])
    area = boxes.mean((1, 2))
    maps = attention_rollout(model, images(BOXES), **options)
    share = (maps * boxes).sum((1, 2))
    report = dict(zip(BOXES, zip(area.round(3), share.round(3), strict=True), strict=True))
    assert (share > area).sum() >= better, report
    assert (share / area).mean() > ratio, report


def test_attention_reaches_further_in_deeper_layers(model):
    """Figure 7, right: early layers have heads that look near and heads that look far."""
    names = sorted(path.name for path in (DATA / "photos" / "nips17").glob("*.png"))[:20]
    distance = mean_attention_distance(model, images(names))  # (12 layers, 3 heads)
    depth = np.corrcoef(np.arange(12), distance.mean(-1))[0, 1]
    assert depth > 0.85, distance.round(1)
    assert distance[:3].min(-1).max() < 32 < 64 < distance[:3].max(-1).min(), distance.round(1)
    assert distance[8:].min() > 96, distance.round(1)
