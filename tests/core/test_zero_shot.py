"""Classifiers whose classes are texts."""

import documentation
import keras
import numpy as np
import pytest
from helpers import ROOT, outputs, random_images, random_tokens, slow, wide_vit

import keras_vit
from keras_vit import descendants, explain, training

CLIP = (descendants.CLIPViT, {"projection_dim": 6, "num_classes": None, "num_layers": 1})
SIGLIP = (keras_vit.ViT, {"pooling": "map", "num_classes": None, "dtype": "mixed_bfloat16"})
PAGE = (ROOT / "docs" / "howto" / "zero-shot.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind, options, scale, bias", [(*CLIP, 100, None), slow(*SIGLIP, 20, -9)])
def test_logits_are_scaled_cosines(kind, options, scale, bias, tmp_path, blank):
    encoder, images = wide_vit(kind, **options), random_images(2, 8, 15, 3)
    texts = random_tokens(4, encoder.output_shape[-1])
    model = keras_vit.zero_shot_head(encoder, texts, scale, bias)
    y = np.asarray(encoder.predict(images, verbose=0), "float64")
    y, t = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (y, texts.astype("float64")))
    found = model.predict(images, verbose=0)
    np.testing.assert_allclose(found, scale * y @ t.T + (bias or 0), rtol=1e-4, atol=1e-4)
    assert found.dtype == "float32"
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again) is descendants.ZeroShotClassifier
    assert again.get_config() == model.get_config()
    np.testing.assert_allclose(again.predict(images, verbose=0), found, atol=1e-5)


def test_its_images_may_have_another_size(tmp_path, blank):
    """As if the encoder had been resized first."""
    encoder, texts = wide_vit(CLIP[0], **CLIP[1]), random_tokens(4, 6)
    model, images = keras_vit.zero_shot_head(encoder, texts, 20, -1), random_images(2, 12, 10, 3)
    model.class_names = ["cat", "dog", "parrot", "fox"]
    training.freeze(model, "linear")
    sizes = {"image_size": (12, 10), "patch_size": (4, 5)}
    expected = outputs(
        keras_vit.zero_shot_head(keras_vit.resize(encoder, **sizes), texts, 20, -1), images
    )
    model.save(tmp_path / "model.keras")
    found = keras_vit.load_pretrained(tmp_path / "model.keras", **sizes, verbose=False)
    for resized in (keras_vit.resize(model, **sizes), found):
        np.testing.assert_allclose(outputs(resized, images), expected, atol=1e-5)
        assert resized.class_names == model.class_names
        assert [w.path for w in resized.trainable_weights] == ["head/kernel", "head/bias"]
    with pytest.raises(ValueError, match="that of the texts, 4.*zero_shot_head"):
        keras_vit.resize(model, num_classes=3)


@pytest.mark.slow
def test_it_is_explained_and_trained_as_other_models(blank):
    encoder, images = wide_vit(CLIP[0], **CLIP[1]), random_images(2, 8, 15, 3)
    model = keras_vit.zero_shot_head(encoder, random_tokens(3, 6))
    assert explain.attention_rollout(model, images).shape == (2, 2, 3)
    assert np.isfinite(explain.relevance(model, images)).all()
    embeddings = keras_vit.features(model, images, verbose=0)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    training.freeze(model, "linear")
    assert [w.path for w in model.trainable_weights] == ["head/kernel", "head/bias"]
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = encoder.get_weights()
    model.fit(images, np.arange(2), verbose=0)
    assert all(map(np.array_equal, before, encoder.get_weights()))


def test_what_has_no_embedding_is_refused(blank):
    tokens = wide_vit(num_classes=None, pooling=None, num_layers=1)
    classes = wide_vit(num_layers=1)
    for model in (tokens, classes, keras.Sequential([keras.Input((2,))])):
        with pytest.raises(ValueError, match="returns embeddings.*num_classes=None"):
            keras_vit.zero_shot_head(model, np.ones((3, 8)))
    encoder = wide_vit(num_classes=None, num_layers=1)
    with pytest.raises(ValueError, match=r"must be finite numbers \(classes, 8\).*\(3, 6\)"):
        keras_vit.zero_shot_head(encoder, np.ones((3, 6)))
    with pytest.raises(ValueError, match="must be finite numbers"):
        keras_vit.zero_shot_head(encoder, np.full((3, 8), np.nan))
    with pytest.raises(ValueError, match="embedding of zeros"):
        keras_vit.zero_shot_head(encoder, np.zeros((3, 8)))
    with pytest.raises(ValueError, match="`scale` must be"):
        keras_vit.zero_shot_head(encoder, np.ones((3, 8)), scale=0)


@pytest.mark.slow
def test_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for section in PAGE.split("\n## ")[2:4]:
        exec(documentation.blocks(section)[0][1], names)
    assert names["heatmaps"].shape == (2, 2, 2) and names["probabilities"].shape == (2, 3)
    assert (tmp_path / "zero_shot.keras").exists()
