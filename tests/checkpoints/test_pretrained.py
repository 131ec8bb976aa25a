"""Models by a name of the catalog; the download itself is tested in test_download.py."""

import itertools
import os
import pathlib
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from helpers import quick
from PIL import Image

import keras_vit
from keras_vit import backend
from keras_vit.checkpoints import catalogue
from keras_vit.hybrid import SmallHybridViT
from keras_vit.io import download
from keras_vit.training.recipes.recipe_rows import RECIPES

CIFAR = pathlib.Path(os.environ.get("KERAS_VIT_TEST_DATA", "not set"), "cifar10")


@pytest.fixture
def served(monkeypatch, tmp_path):
    """Lets `fetch` return a small file that a test has written, and records its arguments."""
    asked = []

    def serve(model, source):
        path = tmp_path / f"weights{'.npz' if source in ('google', 'bit') else '.safetensors'}"
        keras_vit.save_weights(model, path, source)
        monkeypatch.setattr(download, "fetch", lambda *words: asked.append(words) or path)
        return asked

    return serve


def small(**options):
    return keras_vit.create("ViT-Ti/16", image_size=32, num_layers=1, num_classes=4, **options)


def test_a_variant_loads_its_recommended_weights(served):
    asked = served(small(), "google")
    model = keras_vit.load_pretrained("ViT-Ti/16", cache_dir="here", verbose=False)
    assert asked == [(catalogue.find("ViT-Ti/16-augreg-i21k-ft-224"), "here")]
    assert (model.approximate, model.epsilon, model.normalize) == (True, 1e-6, (127.5, 127.5))


def test_the_catalog_has_the_normalization_that_the_file_lacks(served, capsys):
    """DeiT uses ImageNet's mean and deviation, in 0..1: 0.485 ..., 0.229 ..."""
    served(small(pooling="distilled"), "timm")
    model = keras_vit.load_pretrained("ViT-Ti/16-deit-distilled-i1k-224", num_classes=9)
    mean, deviation = model.normalize
    np.testing.assert_allclose(mean, np.array([0.485, 0.456, 0.406]) * 255)
    np.testing.assert_allclose(deviation, np.array([0.229, 0.224, 0.225]) * 255)
    assert model.pooling == "distilled" and model.output_shape == (None, 9)
    assert "assumed" not in capsys.readouterr().out


def test_a_resnet_has_the_resolution_of_its_last_training(served):
    served(keras_vit.ResNet(image_size=64, units=(1, 1), num_classes=4), "bit")
    name = "R50x1-bit-m-i21k-ft-448"
    assert keras_vit.load_pretrained(name, verbose=False).image_size == (448, 448)
    assert keras_vit.load_pretrained(name, image_size=96, verbose=False).image_size == (96, 96)


def test_positions_for_a_gigantic_image_are_refused_or_resized(tmp_path):
    model = keras_vit.create("ViT-Mini/4", image_size=8, num_classes=2, num_layers=1)
    keras_vit.save_weights(model, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as file:
        tensors = dict(file)
    tensors["Transformer/posembed_input/pos_embedding"] = np.zeros((1, 40_001, 64), "float32")
    np.savez(tmp_path / "a.npz", **tensors)
    words = r"at most 16,384 patches.*patches=\(200, 200\). Attention .* Pass image_size="
    with pytest.raises(ValueError, match=words):
        keras_vit.load_pretrained(tmp_path / "a.npz")
    model = keras_vit.load_pretrained(tmp_path / "a.npz", image_size=16, verbose=False)
    assert model.get_layer("patch_encoder").position_embedding.shape == (1, 17, 64)


@pytest.mark.backend_free
def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match="name='ViT-B/61'.*Did you mean .*'ViT-B/16'"):
        keras_vit.load_pretrained("ViT-B/61")


def test_shipped_weights_need_no_network(monkeypatch):
    monkeypatch.setattr(download, "_download", None)
    model = keras_vit.load_pretrained("ViT-Mini/4", verbose=False)
    assert model.input_shape == (None, 32, 32, 3) and model.output_shape == (None, 10)
    assert (model.normalize, model.approximate) == ((75, 4000), False)
    larger = keras_vit.load_pretrained("ViT-Mini/4", image_size=48, num_classes=3, verbose=False)
    assert larger.get_layer("block_0").input.shape == (None, 1 + 12 * 12, 64)
    plain = keras_vit.load_pretrained("ViT-Midi/4", verbose=False)
    assert type(plain) is keras_vit.ViT and (plain.pooling, plain.grid) == ("gap", (8, 8))
    hybrid = keras_vit.load_pretrained("R+ViT-Midi/4", verbose=False)
    assert type(hybrid) is SmallHybridViT and (hybrid.pooling, hybrid.grid) == ("gap", (8, 8))
    for model in (plain, hybrid):
        assert model.normalize == RECIPES["cifar"].normalize and model.output_shape == (None, 10)


@pytest.mark.slow
@pytest.mark.skipif(not CIFAR.exists(), reason="KERAS_VIT_TEST_DATA names no folder with CIFAR-10")
@pytest.mark.parametrize(
    "name",
    quick(["ViT-Mini/4", "ViT-Midi/4", "R+ViT-Midi/4"], "ViT-Mini/4", rest=pytest.mark.weekly),
)
def test_shipped_weights_have_the_published_accuracy(name):
    """The 10,000 test images of CIFAR-10, from the copy that the model was trained on."""
    entry = catalogue.find(name)
    images, labels = [], []
    with tarfile.open(CIFAR / "cifar10-images.tar.xz") as files:
        for member in itertools.takewhile(lambda m: "train" not in m.name, files):
            part, label = ("", "", *pathlib.PurePath(member.name).parts)[-3:-1]
            if part == "test" and member.isfile():
                images.append(np.asarray(Image.open(files.extractfile(member))))
                labels.append(entry.class_names.index(label))
    assert len(images) == 10_000
    model = keras_vit.load_pretrained(entry.name, verbose=False)
    logits = model.predict(np.stack(images), batch_size=500, verbose=0)
    accuracy = 100 * (logits.argmax(axis=1) == labels).mean()
    assert abs(accuracy - entry.accuracy) < 0.05


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="it measures memory by /proc")
def test_loading_takes_little_more_memory_than_the_model(tmp_path):
    """For the paper's base size, measured in a separate process after Keras is imported."""
    with backend.blank_weights():
        model = keras_vit.create("ViT-B/16")
    keras_vit.save_weights(model, tmp_path / "model.safetensors", "huggingface")
    code = """
import pathlib, sys
import keras_vit
memory = lambda name: int(
    pathlib.Path("/proc/self/status").read_text().split(name + ":")[1].split()[0]
)
keras_vit.load_pretrained("ViT-Mini/4", verbose=False)
before = memory("VmRSS")
model = keras_vit.load_pretrained(sys.argv[1], verbose=False)
print((memory("VmHWM") - before) * 1024 / (4 * model.count_params()))
"""
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 0.9 < float(done.stdout) < 1.3
