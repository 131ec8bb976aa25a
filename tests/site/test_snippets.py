"""The Python code on the first pages runs unchanged and prints the output shown there."""

import contextlib
import io
import os
import pathlib
import re

import numpy as np
import pytest
from helpers import ROOT

BLOCK = re.compile(r"```python\n(.*?)```(?:\n+``` \{ \.text \.output [^\n]*\n(.*?)```)?", re.S)
WEIGHTS = pathlib.Path(os.environ.get("KERAS_VIT_TEST_DATA", "not set")) / "weights"
WEIGHTS /= "ViT-Ti_16.augreg.imagenet2012.224.npz"
needs_weights = pytest.mark.skipif(
    not WEIGHTS.exists(), reason="KERAS_VIT_TEST_DATA names no folder with real weights"
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [
        pytest.param("index", marks=needs_weights),
        pytest.param("quickstart", marks=needs_weights),
        pytest.param("howto/freezing", marks=pytest.mark.weekly),
    ],
)
def test_python_of_a_page_runs(page, tmp_path, monkeypatch):
    downloads = tmp_path / "keras_vit"
    downloads.mkdir()
    (downloads / "ViT-Ti_16-augreg-i21k-ft-224.npz").symlink_to(WEIGHTS)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3))
    names = {"images": images, "labels": np.arange(6) % 3}
    blocks = BLOCK.findall((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8"))
    assert any(printed for _, printed in blocks)
    for code, printed in blocks:
        with contextlib.redirect_stdout(io.StringIO()) as said:
            exec(re.sub(r"epochs=\d+", "epochs=1, steps_per_epoch=2", code), names)
        lines = [line for line in said.getvalue().splitlines() if line in printed.splitlines()]
        assert lines == printed.splitlines()
