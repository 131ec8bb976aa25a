"""Weights from the Hugging Face Hub, here a local server that speaks its protocol."""

import errno
import importlib.util
import json
import os
import re
import threading
import time
import types

import numpy as np
import pytest
from hub_server import BIG, COMMIT, GATED, NOT_FOUND, Server
from PIL import Image

import keras_vit
from keras_vit import backend, cli
from keras_vit.checkpoints import catalogue
from keras_vit.checkpoints.catalogue import hub
from keras_vit.io import files

constants = pytest.importorskip("huggingface_hub.constants")
free = pytest.mark.backend_free
NAME = "owner/little-vit"
ADDRESS, CLASSES = f"hf://{NAME}", ("cat", "dog", "hen")
SIZE = {"image_size": 16, "patch_size": 8, "num_classes": 3}
SIZE |= {"num_layers": 1, "hidden_dim": 32, "mlp_dim": 64, "num_heads": 2}


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with Server() as server:
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(constants, "ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(time, "sleep", lambda _: None)  # between its attempts
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        server.repositories[NAME] = {
            "README.md": b"# A model",
            "config.json": b'{"architecture": "vit_little"}',
            "model.safetensors": safetensors({"a": np.arange(BIG, dtype="float32")}),
            "model.weights.h5": b"not wanted",
            "pytorch_model.bin": b"\x80\x02 a pickle",
            "onnx/model.onnx": b"not wanted",
        }
        yield server
        server.shutdown()
        thread.join()


def safetensors(tensors):
    from safetensors.numpy import save

    return save(tensors)


def cached(tmp_path):
    """Returns the files in the cache's snapshots and blobs."""
    root = tmp_path / "cache"
    kinds = ("snapshots", "blobs")
    found = [p for p in root.rglob("*") if p.is_file() and set(kinds) & set(p.parts)]
    return sorted(p.name for p in found if "snapshots" in p.parts), found


def fetch(address=ADDRESS):
    """Fetches a repository as a new process would."""
    hub._fetched.clear()
    return hub.fetch(address)


def fails(words, kind=OSError, address=ADDRESS):
    with pytest.raises(kind) as caught:
        fetch(address)
    message = str(caught.value)
    assert address in message and all(word in message for word in words), message
    assert "force_download" not in message and "local_files_only" not in message
    return message


@free
@pytest.mark.parametrize(
    "address", [ADDRESS, *(f"{ADDRESS}@{revision}" for revision in ("v1", "refs/pr/7", COMMIT))]
)
def test_only_safe_files_are_downloaded_and_only_once(address, server, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_mine")
    folder = fetch(address)
    assert cached(tmp_path)[0] == ["config.json", "model.safetensors"]
    assert server.tokens == {"Bearer hf_mine"}
    served = dict(server.served)
    assert served == {name: len(server.repositories[NAME][name]) for name in served}
    assert set(served) == {"config.json", "model.safetensors"}
    assert fetch(address) == folder and server.served == served
    requests = server.requests
    assert hub.fetch(address) == folder and server.requests == requests
    with files.open_tensors(folder) as file:
        assert file.read("a").tolist() == list(range(BIG))


def test_a_repository_is_loaded_as_its_folder_is(server, tmp_path, capsys):
    model = keras_vit.ViT(**SIZE)
    for weight in model.weights:
        weight.assign(np.random.default_rng(0).normal(size=weight.shape))
    keras_vit.save_weights(model, tmp_path / "model.safetensors", "huggingface")
    config = {"model_type": "vit", "num_attention_heads": 2, "layer_norm_eps": 1e-6}
    config["id2label"] = {"0": "cat", "1": "dog", "2": "hen"}
    server.repositories[NAME] = {
        "model.safetensors": (tmp_path / "model.safetensors").read_bytes(),
        "config.json": json.dumps(config | {"hidden_act": "gelu_new"}).encode(),
        "preprocessor_config.json": b'{"image_mean": [0.5, 0.5, 0.5], "image_std": [1, 1, 1]}',
    }
    loaded = keras_vit.load_pretrained(ADDRESS)
    assert capsys.readouterr().out.startswith(f"{ADDRESS}: ")
    assert loaded.name.startswith("little_vit") and loaded.approximate
    assert loaded.normalize == (127.5, 255)
    for ours, theirs in zip(loaded.weights, model.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    Image.fromarray(np.full((9, 9, 3), 99, "uint8")).save(tmp_path / "x.png")
    assert cli.main(["predict", ADDRESS, str(tmp_path / "x.png")]) == 0
    assert {*re.findall("cat|dog|hen", capsys.readouterr().out.splitlines()[-1])} == {*CLASSES}


@free
def test_shards_are_links_in_the_cache_and_are_read(server):
    shards = {f"model-0000{i}-of-00002.safetensors": {f"t{i}": np.full(BIG, i)} for i in (1, 2)}
    index = {"weight_map": {name: s for s, tensors in shards.items() for name in tensors}}
    server.repositories[NAME] = {
        "model.safetensors.index.json": json.dumps(index).encode(),
        **{name: safetensors(tensors) for name, tensors in shards.items()},
        "model-00001-of-00002.bin": b"not wanted",
    }
    with files.open_tensors(fetch()) as file:
        assert file.read("t2").tolist() == [2] * BIG and set(file.specs) == {"t1", "t2"}
    assert len(server.served) == 3


@free
def test_a_folder_of_kerashub(server, tmp_path):
    server.repositories[NAME] = {"model.weights.h5": b"1", "task.json": b"{}", "config.json": b"{}"}
    fetch()
    assert cached(tmp_path)[0] == ["config.json", "model.weights.h5", "task.json"]


@free
def test_a_broken_connection_is_resumed(server, monkeypatch):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)  # 10 MB: what is lost at most
    server.faults["model.safetensors"] = "cut"
    fetch()
    size = len(server.repositories[NAME]["model.safetensors"])
    assert server.ranges == [2000]
    assert server.served["model.safetensors"] == size // 2 + size - 2000


@free
def test_after_an_interruption_only_the_rest_is_downloaded(server, tmp_path):
    server.faults["model.safetensors"] = "broken"
    fails(["was interrupted", "Run it again: complete files are in the cache"], ConnectionError)
    names, found = cached(tmp_path)
    assert names == ["config.json"] and len(found) == 2, found  # and its blob: nothing half-written
    server.faults.clear()
    before = dict(server.served)
    fetch()
    size = len(server.repositories[NAME]["model.safetensors"])
    assert server.served["config.json"] == before["config.json"]
    assert server.served["model.safetensors"] - before["model.safetensors"] == size


@free
@pytest.mark.parametrize("fault", ["wrong", "short"])
def test_other_bytes_than_announced_are_not_kept(fault, server, tmp_path):
    server.faults["model.safetensors"] = fault
    words = ["checksum of model.safetensors is", "removed; run it again"]
    fails(words if fault == "wrong" else ["was interrupted"])
    assert cached(tmp_path)[0] == ["config.json"]
    server.faults.clear()
    fetch()
    assert cached(tmp_path)[0] == ["config.json", "model.safetensors"]


@free
def test_a_file_that_was_damaged_in_the_cache_is_replaced(server, tmp_path):
    path = os.path.join(fetch(), "model.safetensors")
    os.truncate(path, BIG)
    fails(["checksum of model.safetensors"])
    fetch()
    assert os.path.getsize(path) == len(server.repositories[NAME]["model.safetensors"])


INVALID = 401, {"X-Error-Message": "Invalid credentials in Authorization header"}
WAITING = 403, GATED[1]
# what the server answers, address, type of the error, words of it
REFUSALS = {
    "no repository": (None, "hf://a/nothing", FileNotFoundError, "no such repository"),
    "no revision": (None, f"{ADDRESS}@v9", FileNotFoundError, "no revision 'v9'"),
    "private": (NOT_FOUND, ADDRESS, FileNotFoundError, "for a private one, log in with `hf auth "),
    "gated": (GATED, ADDRESS, PermissionError, f"{NAME}, then log in with `hf auth login` or set"),
    "gated, waiting": (WAITING, ADDRESS, PermissionError, "asks you to accept a license first"),
    "bad token": (INVALID, ADDRESS, PermissionError, "your token gives no access to it"),
    "broken": ((503, {}), ADDRESS, ConnectionError, "reached (the server answers 503)"),
}


@free
@pytest.mark.parametrize("name", REFUSALS)
def test_each_refusal_has_its_own_words(name, server, tmp_path):
    answer, address, kind, words = REFUSALS[name]
    if answer:
        server.refusals[NAME] = answer
    fails([words], kind, address)
    assert cached(tmp_path)[0] == []


@free
def test_the_license_may_be_asked_for_at_the_file_only(server, tmp_path):
    server.faults["model.safetensors"] = GATED
    fails(["license first"], PermissionError)


@free
def test_without_network_the_cache_is_used_if_it_has_all_of_it(server, tmp_path, monkeypatch):
    server.faults["model.safetensors"] = "broken"
    fails(["was interrupted"])
    with monkeypatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        fails(["HF_HUB_OFFLINE is set", "the cache does not have all of it"], ConnectionError)
    server.faults.clear()
    folder = fetch()
    with monkeypatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        assert fetch() == folder
    server.server_close()
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert fetch() == folder
    fails(["cannot be reached", "hf download owner/other"], ConnectionError, "hf://owner/other")


@free
def test_a_full_disk(server, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        usage = types.SimpleNamespace(free=1000)
        patch.setattr(hub.shutil, "disk_usage", lambda _: usage)
        fails(["it needs 4,", "the disk has 1,000 left", "cache_dir= or the variable HF_HOME"])
        assert server.served == {}

    def write(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    from huggingface_hub import file_download

    monkeypatch.setattr(file_download, "http_get", write)
    fails(["the disk is full", "HF_HOME"])
    assert cached(tmp_path)[0] == []


@free
def test_pickles_alone_are_not_downloaded(server):
    server.repositories[NAME] = {"config.json": b"{}", "pytorch_model.bin": b"\x80\x02"}
    message = fails(
        ["'pytorch_model.bin'", "@refs/pr/", "weights_only=True", "save_file"], ValueError
    )
    assert "pickle.load" not in message and server.served == {}
    server.repositories[NAME] = {"README.md": b"# Nothing"}
    fails(["model.safetensors or", "'README.md'"], ValueError)


@free
@pytest.mark.parametrize(
    "address", ["hf://", "hf://dinov2", "hf://a/b/c", "hf://a/b@", "hf://../b"]
)
def test_an_address_is_checked_first(address):
    with pytest.raises(ValueError, match="An address must be hf://owner/name"):
        keras_vit.load_pretrained(address)


@free
def test_without_the_package(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(backend, "is_installed", lambda name: name != "huggingface_hub" and found)
    with pytest.raises(ImportError, match=r"needs the package .* pip install huggingface_hub"):
        catalogue.check_source(ADDRESS)
