"""The tutorials, from their first cell to their last, on each backend."""

import importlib
import os
import pathlib
import subprocess
import sys

import keras
import pytest
from helpers import ROOT

import keras_vit

for package in ("jupytext", "nbclient", "ipykernel", "sklearn"):
    pytest.importorskip(package, reason="needs the extra `docs`")

FOLDER = ROOT / "tutorials"
TUTORIALS = [*sorted(FOLDER.glob("[0-9][0-9]_*.py")), *sorted(FOLDER.glob("deeper/*.py"))]
TUTORIALS = [str(path.relative_to(FOLDER).with_suffix("")) for path in TUTORIALS]
# CI makes the pages of the chapters on JAX, and what it kept is not run again.
IN_CI = ["04_eighty_lines", "09_looking_inside"]
if keras.backend.backend() == "jax":
    IN_CI = [name for name in TUTORIALS if not name.startswith("deeper/")]


@pytest.mark.slow
@pytest.mark.first
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in IN_CI else pytest.mark.weekly) for name in TUTORIALS],
)
def test_a_tutorial_runs(name, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    running = importlib.import_module("running")
    monkeypatch.setenv("KERAS_BACKEND", keras.backend.backend())
    monkeypatch.delenv("XLA_FLAGS", raising=False)  # a page is made as its reader makes it
    kept = ROOT / "build" / "tutorials" / keras.backend.backend()
    tutorial = running.read(FOLDER / f"{name}.py")
    if tutorial.downloads and not os.environ.get("KERAS_VIT_TEST_DATA"):
        pytest.skip("it downloads weights or data that KERAS_VIT_TEST_DATA would have")
    run = running.recall(tutorial, kept) or running.run_and_keep(tutorial, kept)
    assert len(run["outputs"]) == len(tutorial.code())
    assert (
        run["backend"]
        == {"jax": "JAX", "tensorflow": "TensorFlow", "torch": "PyTorch"}[
            os.environ["KERAS_BACKEND"]
        ]
    )
    sys.modules.pop("running")


FIRST = """
import sys
sys.modules["tensorflow"] = None  # as if it were not installed
exec(sys.argv[1])
print(keras.backend.backend())
"""


@pytest.mark.slow
@pytest.mark.backend_free
def test_first_cell_starts_keras_on_the_backend_that_is_installed(monkeypatch, tmp_path):
    """All first cells import keras_vit before keras; one of them runs without TensorFlow."""
    pytest.importorskip("jax")
    monkeypatch.syspath_prepend(ROOT / "docs")
    running = importlib.import_module("running")
    cells = [running.read(FOLDER / f"{name}.py").code()[0].source for name in TUTORIALS]
    sys.modules.pop("running")
    assert all(0 <= cell.find("import keras_vit") < cell.find("import keras\n") for cell in cells)
    environment = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}
    environment |= {"KERAS_HOME": str(tmp_path), "PYTHONPATH": f"{FOLDER}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-c", FIRST, cells[0]], capture_output=True, text=True, env=environment
    )
    assert done.stdout.endswith("\njax\n"), done.stderr


CODE = """
import numpy as np
import keras_vit

model = keras_vit.create("ViT-Mini/8", image_size=16, num_layers=1, num_classes=2)
images = np.zeros((1, 16, 16, 3))
keras_vit.explain.attention_rollout(model, images)
keras_vit.data.split(np.arange(8) % 2)
"""


@pytest.mark.slow
def test_dependencies_hold_every_file_that_runs(monkeypatch):
    """Against the interpreter: files of the package in which a function of `CODE` is called."""
    monkeypatch.syspath_prepend(ROOT / "docs")
    dependencies = importlib.import_module("dependencies")
    package, called = pathlib.Path(keras_vit.__file__).parent, set()
    program = compile(CODE, "tutorial", "exec")
    sys.setprofile(lambda frame, event, arg: called.add(frame.f_code.co_filename))
    try:
        exec(program, {})
    finally:
        sys.setprofile(None)
    called = {pathlib.Path(name) for name in called}
    called = {path for path in called if package in path.parents}
    assert len(called) > 5
    assert called - {package / "__init__.py"} <= dependencies.files(CODE)
