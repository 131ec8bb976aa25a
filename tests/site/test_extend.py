"""The examples of docs/extend.md run, train, and come back from a file."""

import documentation
import keras
import numpy as np
import pytest
from helpers import ROOT

import keras_vit

PAGE = (ROOT / "docs" / "extend.md").read_text(encoding="utf-8")
EXAMPLES = {
    title: documentation.blocks(section)[0][1]
    for title, _, section in (part.partition("\n") for part in PAGE.split("\n## ")[1:])
    if title.startswith("Another ")
}


def made(title, monkeypatch):
    """Returns the names that an example defines."""
    monkeypatch.setattr(keras_vit.ViT, "poolings", dict(keras_vit.ViT.poolings))
    found = {}
    exec(EXAMPLES[title], found)
    return found


def test_there_are_four_examples():
    assert [title.split()[-1] for title in EXAMPLES] == ["attention", "MLP", "head", "pooling"]


@pytest.mark.slow
@pytest.mark.parametrize("title", EXAMPLES)
def test_example_trains_and_loads(title, monkeypatch, tmp_path):
    model = made(title, monkeypatch)["model"]
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (8, 32, 32, 3)), rng.integers(0, 10, 8)
    model.compile("adamw", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    losses = model.fit(images, labels, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again) is type(model)
    logits = model.predict(images, verbose=0)
    np.testing.assert_allclose(again.predict(images, verbose=0), logits, atol=1e-5)


def test_top_k_attention_attends_to_eight_tokens(monkeypatch):
    model = made("Another attention", monkeypatch)["model"]
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3))
    scores = keras_vit.explain.attention_scores(model, images).stack()
    assert scores.shape == (4, 2, 4, 17, 17)
    assert ((scores > 0).sum(-1) == 8).all()
    np.testing.assert_allclose(scores.sum(-1), 1, atol=1e-5)


def test_gated_mlp_equals_numpy(monkeypatch):
    layer = made("Another MLP", monkeypatch)["GatedMLP"](mlp_dim=16)
    x = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")
    layer.build(x.shape)
    w = {part: getattr(layer, part).get_weights() for part in ("gate", "expand", "contract")}
    gate = x @ w["gate"][0] + w["gate"][1]
    hidden = gate / (1 + np.exp(-gate)) * (x @ w["expand"][0] + w["expand"][1])
    expected = hidden @ w["contract"][0] + w["contract"][1]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(x)), expected, atol=1e-5)


def test_max_pooling_has_no_class_token(monkeypatch):
    model = made("Another pooling", monkeypatch)["model"]
    assert model.get_layer("encoder_norm").output.shape == (None, 16, 64)
    assert model.get_layer("pooling").output.shape == (None, 64)
