"""The tutorials, from their first cell to their last, on each backend."""

import importlib
import os
import sys

import keras
import pytest
from helpers import ROOT

for package in ("jupytext", "nbclient", "ipykernel", "sklearn"):
    pytest.importorskip(package, reason="needs the extra `docs`")

TUTORIALS = sorted(path.stem for path in (ROOT / "tutorials").glob("[0-9][0-9]_*.py"))
# `make docs` runs all of them on JAX, and what it kept is not run again.
IN_CI = TUTORIALS if keras.backend.backend() == "jax" else ["03_vision_transformer", "05_finetuning"]


@pytest.mark.slow
@pytest.mark.first
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in IN_CI else pytest.mark.weekly) for name in TUTORIALS
    ],
)
def test_a_tutorial_runs(name, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    running = importlib.import_module("running")
    monkeypatch.setenv("KERAS_BACKEND", keras.backend.backend())
    kept = ROOT / "build" / "tutorials" / keras.backend.backend()
    tutorial = running.read(ROOT / "tutorials" / f"{name}.py")
    run = running.recall(tutorial, kept) or running.run_and_keep(tutorial, kept)
    assert len(run["outputs"]) == len(tutorial.code())
    assert run["backend"] == {"jax": "JAX", "tensorflow": "TensorFlow", "torch": "PyTorch"}[
        os.environ["KERAS_BACKEND"]
    ]
    sys.modules.pop("running")
