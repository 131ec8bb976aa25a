"""Anything that is not a file of tensors is described and refused, fast and with little memory."""

import json
import sys
import time

import damage
import numpy as np
import pytest
from damage import WRITE, read_all
from damage_cases import CASES

from keras_vit.io import files

pytestmark = pytest.mark.backend_free


def make(name, folder):
    """Creates the file of a case; returns the path to open."""
    return CASES[name][0](folder / "weights.npz")


@pytest.mark.parametrize("name", CASES)
def test_the_error_describes_what_a_bad_file_is(name, tmp_path):
    path, words = make(name, tmp_path), CASES[name][1:]
    start = time.process_time()
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        files.open_tensors(path)
    assert time.process_time() - start < 1
    message = str(caught.value)
    assert str(path.parent) in message and "Received: " in message
    assert all(word in message for word in words), message


@pytest.mark.slow
def test_refusing_them_all_takes_no_memory(tmp_path):
    pytest.importorskip("resource")
    paths = []
    for i, name in enumerate(CASES):
        (tmp_path / str(i)).mkdir()
        paths.append(str(make(name, tmp_path / str(i))))
    code = """
import json, resource, sys
print("safetensors" in sys.modules or "h5py" in sys.modules)
import h5py, safetensors
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before, refused = peak(), 0
for path in json.load(sys.stdin):
    try:
        files.open_tensors(path)
    except (ValueError, FileNotFoundError):
        refused += 1
print(refused, peak() - before)
"""
    done = damage.run_alone(code, input=json.dumps(paths))
    imported, figures = done.stdout.splitlines()
    assert imported == "False"
    refused, grown = map(int, figures.split())
    unit = 1 if sys.platform == "darwin" else 1024
    assert refused == len(paths) and grown * unit < 300e6, done.stdout


@pytest.mark.slow
def test_advice_for_pytorch_files_does_what_it_says(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    tied = torch.arange(6.0).reshape(2, 3)
    torch.save({"model": {"a": tied, "b": tied.T}}, "weights.pth")
    with pytest.raises(ValueError, match="is a PyTorch file") as caught:
        files.open_tensors("weights.pth")
    lines = str(caught.value).split("safetensors:\n")[1]
    exec(lines)
    read = read_all("model.safetensors")
    assert read["a"].tolist() == [[0, 1, 2], [3, 4, 5]] and read["b"].shape == (3, 2)


@pytest.mark.parametrize("format", WRITE)
def test_cut_anywhere_it_is_refused(format, tmp_path):
    WRITE[format](tmp_path / "whole", damage.TENSORS)
    whole = (tmp_path / "whole").read_bytes()
    for length in damage.cuts(len(whole)):
        (tmp_path / "cut").write_bytes(whole[:length])
        with pytest.raises(ValueError, match="Received: .*cut'"):
            read_all(tmp_path / "cut")


def test_a_flipped_bit_in_an_npz_is_found(tmp_path):
    files.write_npz(tmp_path / "a.npz", {"a": np.zeros(5000, "float32")})
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[10_000] ^= 1
    (tmp_path / "a.npz").write_bytes(content)
    with files.open_tensors(tmp_path / "a.npz") as file:
        with pytest.raises(ValueError, match="its tensor 'a' cannot be read .*CRC"):
            file.read("a")


@pytest.mark.parametrize(
    "count", [250, pytest.param(20_000, marks=pytest.mark.weekly)], ids=["quick", "thorough"]
)
def test_mutated_safetensors_headers(count, tmp_path):
    files.write_safetensors(tmp_path / "whole", damage.TENSORS)
    plain, rng = (tmp_path / "whole").read_bytes(), np.random.default_rng(3)
    for _ in range(count):
        damage.mutated_safetensors(rng, tmp_path / "a", plain)
        read_or_refuse(tmp_path / "a")


@pytest.mark.parametrize(
    "count", [250, pytest.param(5_000, marks=pytest.mark.weekly)], ids=["quick", "thorough"]
)
def test_mutated_npz_files(count, tmp_path):
    rng = np.random.default_rng(4)
    for _ in range(count):
        read_or_refuse(damage.mutated_npz(rng, tmp_path / "a"))


def read_or_refuse(path):
    start = time.process_time()
    try:
        arrays = read_all(path)
        assert sum(array.nbytes for array in arrays.values()) < 1e6
    except ValueError as error:
        assert "Received: " in str(error)
    assert time.process_time() - start < 2
