"""The other project called keras-vit is detected, and nothing else."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

import keras_vit
from keras_vit.environment import check_installation

pytestmark = pytest.mark.backend_free
PACKAGE = pathlib.Path(keras_vit.__file__).parent
# The start of the RECORD of keras-vit 1.0.1 on PyPI.
RECORD = """keras_vit/__init__.py,sha256=x1oJ_OtzWFxdG-kLSXUTaS-hTn5lKhLyyyT7fACxcmo,23
keras_vit/config.py,sha256=jWYCDhrJ0mqhMYMtHJLPBJvN31cNlgE7q41HoFeyZvA,1287
"""


def install(folder, record):
    """Writes what pip writes for a package called keras-vit."""
    information = folder / "keras_vit-1.0.1.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: keras-vit\n")
    (information / "RECORD").write_text(record)


def command(*words, path):
    """Runs `python -m keras_vit` in a fresh process with `path` before all other packages."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    process = [sys.executable, "-m", "keras_vit", *words]
    return subprocess.run(process, env=env, cwd=path[-1], capture_output=True, text=True)


def test_every_start_names_the_other_project_and_the_repair(tmp_path):
    install(tmp_path, RECORD)
    result = command("--version", path=[PACKAGE.parent, tmp_path])
    assert result.stdout == f"keras-vit {keras_vit.__version__}\n"
    assert str(tmp_path) in result.stderr
    assert "UserWarning: keras_vit must come from keras-vision-transformers" in result.stderr
    assert "pip uninstall keras-vit;" in result.stderr


def test_the_command_refuses_to_run_the_other_projects_files(tmp_path):
    ours = tmp_path / "keras_vit"
    ours.mkdir()
    for name in ("__main__", "environment"):
        shutil.copy(PACKAGE / f"{name}.py", ours)
    (ours / "__init__.py").write_text('__version__ = "1.0.0"\n')  # as keras-vit 1.0.1 writes it
    install(tmp_path, RECORD)
    result = command("train", path=[tmp_path])
    assert result.returncode == 1 and not result.stdout
    assert result.stderr.startswith("keras-vit: keras_vit must come from keras-vision-transformers")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "record, found",
    [
        (RECORD, True),
        ("keras_vit-1.0.1.dist-info/METADATA,,\n" + RECORD, True),
        ("__editable__.keras_vit-0.1.0.pth,,\n", False),  # ours, installed before it was renamed
    ],
)
def test_only_a_package_with_files_of_keras_vit_counts(record, found, tmp_path, monkeypatch):
    install(tmp_path, record)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "nowhere"), str(tmp_path)])
    assert (check_installation() is not None) == found
