"""Files of `save`, `save_weights` and `load_weights`: complete, or as they were before."""

import contextlib
import re

import keras
import numpy as np
import pytest

import keras_vit

SPARSE = keras.losses.SparseCategoricalCrossentropy


def small(**options):
    shape = {"image_size": 8, "patch_size": 4, "num_layers": 1, "hidden_dim": 6}
    return keras_vit.ViT(**{**shape, "mlp_dim": 5, "num_heads": 3, "num_classes": 3, **options})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with files of one model, whole and cut."""
    folder, model = tmp_path_factory.mktemp("files"), small()
    model.compile("sgd", SPARSE(from_logits=True))
    model.save(folder / "a.keras")
    model.save_weights(folder / "a.weights.h5")
    for name in ("a.keras", "a.weights.h5"):
        (folder / f"cut.{name}").write_bytes((folder / name).read_bytes()[:-300])
    (folder / "a.npz").write_bytes(b"PK")
    return folder


@contextlib.contextmanager
def full_disk(size):
    """No file grows beyond `size` bytes."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("name", ["a.keras", "a.weights.h5"])
@pytest.mark.parametrize("size", [100, 40_000])
def test_a_full_disk_keeps_the_file_that_is_there(name, size, folder, tmp_path):
    path = tmp_path / name
    path.write_bytes((folder / name).read_bytes())
    model = small(hidden_dim=48)
    write = model.save if name == "a.keras" else model.save_weights
    with full_disk(size), pytest.raises(OSError, match=f"nothing was changed: .*{name}'"):
        write(path)
    assert path.read_bytes() == (folder / name).read_bytes()
    assert [file.name for file in tmp_path.iterdir()] == [name]
    write(path)
    small(hidden_dim=48).load_weights(path)


@pytest.mark.parametrize(
    "name, words",
    [
        ("a.weights.h5", "must fit the model .*shape=.*Nothing was loaded. Build the model"),
        ("a.keras", "must fit the model .*shape=.*Nothing was loaded. Build the model"),
        ("cut.a.weights.h5", "is damaged"),
        ("cut.a.keras", "damaged or truncated"),
        ("a.npz", r"\.weights\.h5 or \.keras\. Received: .*keras_vit.load_weights\(model, path\)"),
        ("none.weights.h5", "which does not exist. Check the path."),
    ],
)
def test_weights_that_cannot_all_be_loaded_change_none(name, words, folder):
    """Keras would load those of the layers before the one that does not fit."""
    model = small(num_classes=5)
    before = model.get_weights()
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        model.load_weights(folder / name)
    assert re.search(words, str(error.value)) and "\n" not in str(error.value)
    for kept, value in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, value)


def test_ctrl_c_while_weights_are_loaded_changes_none(folder, monkeypatch):
    def stop(store):
        raise KeyboardInterrupt

    model = small()
    before = model.get_weights()
    monkeypatch.setattr(model.get_layer("head"), "load_own_variables", stop)
    with pytest.raises(KeyboardInterrupt):
        model.load_weights(folder / "a.weights.h5")
    for kept, value in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, value)


def test_the_other_forms_of_saving_are_those_of_keras(tmp_path, monkeypatch):
    model = small()
    model.save(tmp_path / "folder", zipped=False)
    model.save_weights(tmp_path / "b.weights.json", max_shard_size=1)
    small().load_weights(tmp_path / "b.weights.json")
    model.save(tmp_path / "a.keras", overwrite=False)
    before = (tmp_path / "a.keras").read_bytes()
    monkeypatch.setattr("builtins.input", lambda *_: "n")
    small(hidden_dim=9).save(tmp_path / "a.keras", overwrite=False)
    assert (tmp_path / "a.keras").read_bytes() == before
    with pytest.raises(FileNotFoundError, match="Create .*gone' first"):
        model.save(tmp_path / "gone" / "a.keras")
