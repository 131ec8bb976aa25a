"""Features of any layer, for images from anywhere."""

import types

import keras
import numpy as np
import pytest
from helpers import numpy, random_images, wide_vit
from PIL import Image

import keras_vit
from keras_vit import descendants, training
from keras_vit.training.evaluation import extraction

ONE = {"num_layers": 1, "hidden_dim": 8}


def tokens_of(model, layer, images):
    return numpy(keras.Model(model.input, model.get_layer(layer).output)(images))


@pytest.mark.slow
@pytest.mark.both
def test_blocks_by_number_and_name_are_what_the_layers_return(blank, capsys):
    model, images = wide_vit(), random_images(5, 8, 15, 3)
    found = keras_vit.features(model, images, [0, -1, "encoder_norm"], batch_size=2)
    assert "3/3" in capsys.readouterr().out
    for key, layer in {0: "block_0", -1: "block_1", "encoder_norm": "encoder_norm"}.items():
        np.testing.assert_allclose(found[key], tokens_of(model, layer, images), atol=1e-5)
    labeled = training.features(model, (images, np.arange(5))).features
    np.testing.assert_array_equal(keras_vit.features(model, images, verbose=0), labeled)
    token = keras_vit.features(model, images, [0, -1], pool="token", verbose=0)
    np.testing.assert_allclose(token[0], found[0][:, 0], atol=1e-6)
    assert capsys.readouterr().out == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind, options, prefix",
    [
        pytest.param(descendants.DINOv3ViT, {"pooling": "patch mean"}, 5, marks=pytest.mark.both),
        (descendants.RegisterViT, {"pooling": None}, 5),
        (descendants.RegisterViT, {"pooling": "gap", "num_registers": 2}, 2),
        (keras_vit.ViT, {"pooling": "map"}, 0),
    ],
)
def test_registers_are_no_patches(kind, options, prefix, blank):
    options |= {"num_classes": None} if options["pooling"] is None else {}
    model, images = wide_vit(kind, **ONE, **options), random_images(2, 8, 15, 3)
    tokens = tokens_of(model, "encoder_norm", images)
    mean = keras_vit.features(model, images, pool="mean", verbose=0)
    np.testing.assert_allclose(mean, tokens[:, prefix:].mean(1), atol=1e-5)
    grid = keras_vit.features(model, images, pool="patches", verbose=0)
    np.testing.assert_allclose(grid[:, 1, 2], tokens[:, prefix + 5], atol=1e-5)
    if options["pooling"] in ("gap", "map"):
        with pytest.raises(ValueError, match="returns tokens and a class token"):
            keras_vit.features(model, images, "encoder_norm", pool="token")


@pytest.mark.slow
def test_maps_of_a_hybrid_and_layers_of_a_model_with_lora(blank):
    shape = {"patch_size": 8, "image_size": (16, 24), "pooling": "gap", "resnet_units": (1,)}
    model = wide_vit(keras_vit.HybridViT, **ONE | shape)
    training.freeze(model, "lora", rank=2)
    images = random_images(2, 16, 24, 3)
    found = keras_vit.features(model, images, ["root", -1], "patches", verbose=0)
    np.testing.assert_allclose(found["root"], tokens_of(model, "root", images), atol=1e-5)
    assert found[-1].shape == (2, 2, 3, 8)
    with pytest.raises(ValueError, match="pool='token'` needs.*tokens before the patches=0"):
        keras_vit.features(model, images, pool="token")


def test_images_come_from_folders_lists_and_datasets(tmp_path, blank):
    model, images = wide_vit(**ONE), random_images(3, 8, 15, 3).round()
    expected = keras_vit.features(model, images, verbose=0)
    (tmp_path / "a").mkdir()
    files = [tmp_path / "a" / "1.png", tmp_path / "b.png", tmp_path / "c.png"]
    for file, image in zip(files, images, strict=True):
        Image.fromarray(image.astype("uint8")).save(file)
    (tmp_path / "notes.txt").write_text("no image")
    dataset = training.ImageFiles(iter(files), [0, 1, 0], (8, 15), batch_size=2)
    for source in (tmp_path, files, dataset, list(images), iter([images[:2], images[2:]])):
        batches, count = extraction.unlabeled(model, source, 2)
        assert count == (None if hasattr(source, "__next__") else 2)
        np.testing.assert_allclose(np.concatenate(list(batches)), images, atol=1e-5)
    batches, _ = extraction.unlabeled(model, [images[:2], images[2:]], 2)  # not a pair with labels
    np.testing.assert_array_equal(np.concatenate(list(batches)), images)
    found = keras_vit.features(model, tmp_path, verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.backend_free
def test_files_are_resized_as_asked(tmp_path):
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 40, 3), "uint8"))
    photo.save(tmp_path / "a.png")
    model = types.SimpleNamespace(input_shape=(None, 8, 15, 3))
    how = ("crop", "bicubic")
    batches, _ = extraction.unlabeled(model, [tmp_path / "a.png"], 2, "test", *how)
    expected = keras_vit.data.transforms.resize_image(photo, (8, 15), *how)
    np.testing.assert_array_equal(np.concatenate(list(batches)), expected[None])


def test_what_cannot_be_computed_is_refused(tmp_path, blank):
    model, images = wide_vit(**ONE), random_images(2, 8, 15, 3)
    with pytest.raises(ValueError, match="layer=1. Its layers: .*block_0"):
        keras_vit.features(model, images, layers=1)
    with pytest.raises(ValueError, match="`pool` must be one of"):
        keras_vit.features(model, images, pool="max")
    with pytest.raises(ValueError, match="pool='mean'` needs a layer that returns tokens"):
        keras_vit.features(model, images, "pooling", "mean")
    with pytest.raises(ValueError, match="Received: .*8, 10, 3"):
        keras_vit.features(model, images[:, :, :10])
    with pytest.raises(ValueError, match="At least one image"):
        keras_vit.features(model, images[:0])
    images[1, 2] = np.inf
    for call in (keras_vit.features, lambda *given: training.features(model, (images, [0, 1]))):
        with pytest.raises(ValueError, match="finite numbers. Received: image=1, pixel=inf"):
            call(model, images)
    with pytest.raises(ValueError, match="At least one image"):
        keras_vit.features(model, tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        keras_vit.features(model, tmp_path / "nowhere")
