"""Whole models in .keras files from anywhere: loaded by Keras, or refused in our words."""

import json
import os
import resource
import zipfile

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit import training
from keras_vit.checkpoints import keras_file
from keras_vit.cli import common
from keras_vit.training.runs import saved_run


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("keras") / "model.keras"
    model = keras_vit.create("ViT-Mini/4", image_size=8, num_classes=2, num_layers=1)
    model.get_layer("head").bias.assign([1, 2])
    model.save(path)
    return path


def changed(whole, path, change=lambda config: config, without=None):
    """Writes the file with another config.json, or without one of its members."""
    with zipfile.ZipFile(whole) as read, zipfile.ZipFile(path, "w") as written:
        for name in set(read.namelist()) - {without}:
            content = read.read(name)
            if name == "config.json":
                content = json.dumps(change(json.loads(content))).encode()
            written.writestr(name, content)
    return path


def fields(**values):
    return lambda config: {**config, "config": {**config["config"], **values}}


def as_class(module, name, registered=None):
    found = {"module": module, "class_name": name, "registered_name": registered}
    return lambda config: {**config, **found}


def within(layer):
    """Puts a layer at a place where a model may have any layer."""
    return lambda config: {**config, "config": {**config["config"], "dtype": [{"a": layer}]}}


LAMBDA = {"module": "keras.layers", "class_name": "Lambda", "config": {"function": "f"}}
CODE = {"class_name": "__lambda__", "config": {"value": ["4wAA", None, None]}}
TOO_MUCH = "asks for far more weights than the"
# the change of config.json, words of the error
CONFIGS = {
    "wide": (fields(hidden_dim=64_000, mlp_dim=128_000), TOO_MUCH),
    "wide head": (fields(num_classes=10**10), TOO_MUCH),
    "endlessly deep": (fields(num_layers=10**9), TOO_MUCH),
    "large images": (fields(image_size=[400_000] * 2), TOO_MUCH),
    "heads that do not divide": (fields(hidden_dim=10**12, num_heads=3), "divisible by"),
    "unknown argument": (fields(command="touch x"), "unexpected keyword argument 'command'"),
    "lambda layer": (within(LAMBDA), "code in it .a Lambda.. Loading could run it"),
    "lambda": (within(CODE), "Python code in it .a lambda."),
    "module os": (as_class("os", "system"), "whose class 'os.system' is not known here"),
    "builtin": (as_class("builtins", "eval"), "no model can be built"),
    "foreign": (as_class("my.models", "MyViT", "my>MyViT"), "@keras.saving.register_keras_serial"),
    "no class": (lambda config: {}, "no model can be built"),
    "no object": (lambda config: [1], "no model can be built"),
}  # fmt: skip


def refused(path, words):
    with pytest.raises(ValueError, match=rf"A model that Keras saved .* Received: .*{words}") as e:
        keras_file.load(path)
    message = str(e.value)
    assert "safe_mode" not in message and "unsafe" not in message and "pickle" not in message
    assert len(message) < 600
    return message


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_that_does_not_fit_its_file(name, whole, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(keras_file, "ALLOWANCE", 2**20)  # deep nesting is found sooner
    change, words = CONFIGS[name]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(changed(whole, tmp_path / "bad.keras", change), words)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
    assert os.listdir(tmp_path) == ["bad.keras"]


# what is written, words of the error
CONTENTS = {
    "empty": (b"", "which is empty"),
    "Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\n", "LFS .* git lfs pull"),
    "web page": (b"<!doctype html>", "a web page"),
    "pickle": (b"\x80\x04K.", "a Python p[i]ckle"),
    "zip of nothing": (b"PK\5\6" + bytes(18), "without config.json"),
}  # fmt: skip


@pytest.mark.backend_free
@pytest.mark.parametrize("name", CONTENTS)
def test_something_else_is_described(name, tmp_path):
    content, words = CONTENTS[name]
    (tmp_path / "x.keras").write_bytes(content)
    with pytest.raises(ValueError, match=rf"A model that Keras .* Received: .*{words}") as caught:
        keras_file.load(tmp_path / "x.keras")
    assert "pickle.load" not in str(caught.value)
    with pytest.raises(ValueError, match=words):
        common.load_model(str(tmp_path / "x.keras"))


@pytest.mark.backend_free
def test_a_part_is_missing(whole, tmp_path):
    for length in (100, 5_000, whole.stat().st_size - 1):
        (tmp_path / "cut.keras").write_bytes(whole.read_bytes()[:length])
        refused(tmp_path / "cut.keras", "which is damaged or truncated")
    for name in ("config.json", "model.weights.h5"):
        refused(changed(whole, tmp_path / "less.keras", without=name), f"without {name}")
    with pytest.raises(FileNotFoundError, match="none.keras"):
        keras_file.load(tmp_path / "none.keras")


def test_what_is_registered_loads(whole, tmp_path):
    assert keras_file.load(whole).get_layer("head").bias.numpy().tolist() == [1, 2]

    @keras.saving.register_keras_serializable("of_a_test")
    class MyViT(keras_vit.ViT):
        pass

    model = MyViT(image_size=8, patch_size=4, num_layers=1, hidden_dim=8, mlp_dim=8, num_heads=2)
    model.save(tmp_path / "mine.keras")
    loaded = keras_file.load(tmp_path / "mine.keras")
    assert type(loaded) is MyViT
    for ours, theirs in zip(loaded.weights, model.weights, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(ours), keras.ops.convert_to_numpy(theirs)
        )


def test_a_run_says_it_too(whole, tmp_path):
    (tmp_path / "metrics.json").write_text(json.dumps(dict.fromkeys(saved_run.NEEDED)))
    changed(whole, tmp_path / "model.keras", as_class("os", "system"))
    with pytest.raises(ValueError, match="The run .* whose class 'os.system' is not known here"):
        training.load(tmp_path)
