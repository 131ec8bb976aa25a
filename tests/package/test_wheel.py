"""The wheel, installed by pip into an empty environment with JAX alone."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pytest
from helpers import ROOT

import keras_vit

pytestmark = [pytest.mark.backend_free, pytest.mark.slow]
EXTRAS = "[jax,tutorials]"
UNSET = ("PYTHONPATH", "KERAS_BACKEND", "KERAS_HOME", "PYTHONDONTWRITEBYTECODE")

# Runs each file of code in its own process. Modules that are slow to import are imported once.
RUN_EACH = """
import os, pathlib, sys, traceback
import jax, matplotlib.pyplot, sklearn.datasets, sklearn.linear_model
assert "keras" not in sys.modules
for path in map(pathlib.Path, sys.argv[1:]):
    child = os.fork()
    if child:
        print(path.name, os.waitpid(child, 0)[1])
        continue
    try:
        exec(compile(path.read_text(), path, "exec"), {"__name__": "__main__"})
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
"""


def run(*words, cwd, **environment):
    """Runs a command outside this environment and returns its output."""
    env = {name: value for name, value in os.environ.items() if name not in UNSET} | environment
    result = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result


def sources():
    """The files of the repository, as git lists them."""
    options = ("--cached", "--others", "--exclude-standard")
    listed = run("git", "ls-files", *options, cwd=ROOT).stdout.splitlines()
    return [name for name in listed if (ROOT / name).is_file()]


def contents(wheel):
    """{name: bytes} of the files in a wheel, without the list that names their hashes."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/RECORD")]
        return {name: archive.read(name) for name in names}


def first_cell(tutorial):
    """The first code cell of a tutorial, up to where it downloads weights."""
    cells = re.split(r"^# %%", tutorial.read_text(), flags=re.MULTILINE)[1:]
    code = next(cell for cell in cells if not cell.startswith(" [markdown]"))
    return re.split(r"^model = keras_vit.load_pretrained", code.partition("\n")[2], flags=re.M)[0]


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """The folder that `make dist` writes, made from a copy of the sources."""
    copy = tmp_path_factory.mktemp("sources") / "a clone"
    for name in sources():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    run("make", "dist", f"PYTHON={sys.executable}", cwd=copy)
    return copy / "dist"


@pytest.fixture(scope="module")
def wheel(dist):
    [path] = dist.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def bin(wheel, tmp_path_factory):
    """The programs of an environment that contains only the wheel and its dependencies."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", folder, cwd=folder)
    install = (folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-compile")
    run(*install, f"{wheel}{EXTRAS}", cwd=folder)
    return folder / "bin"


def test_wheel_holds_the_package_and_nothing_else(wheel):
    packed = {name for name in contents(wheel) if ".dist-info/" not in name}
    assert packed == {name for name in sources() if name.startswith("keras_vit/")}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in contents(wheel))


@pytest.mark.weekly
def test_source_archive_builds_the_wheel_of_the_sources(dist, wheel, tmp_path):
    """`make dist` makes its wheel from the archive, the other one is made from the sources."""
    [archive] = dist.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml"} <= names
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", dist.parent, cwd=tmp_path)
    [other] = tmp_path.glob("*.whl")
    assert contents(wheel) == contents(other)


@pytest.mark.weekly
def test_installed_command_says_its_version(bin, tmp_path):
    said = run(bin / "keras-vit", "--version", cwd=tmp_path, KERAS_HOME=str(tmp_path))
    assert said.stdout == f"keras-vit {keras_vit.__version__}\n"
    assert not said.stderr


def test_installed_command_trains(bin, tmp_path):
    train = ("train", "--epochs", "1", "--out", "first run")
    said = run(bin / "keras-vit", *train, cwd=tmp_path, KERAS_HOME=str(tmp_path)).stdout
    assert "on JAX" in said and "epoch 1/1" in said
    advice = re.search(r"^  keras-vit (predict .*)$", said, re.MULTILINE)[1]
    assert "example.png" in run(bin / "keras-vit", *shlex.split(advice), cwd=tmp_path).stdout


def test_installed_package_brings_weights(bin, tmp_path):
    code = """
import keras_vit
print(keras_vit.__file__)
print(keras_vit.load_pretrained("ViT-Mini/4").count_params())
"""
    said = run(bin / "python", "-c", code, cwd=tmp_path, KERAS_HOME=str(tmp_path)).stdout
    file, *_, parameters = said.split()
    assert file.startswith(str(bin.parent))
    with np.load(ROOT / "keras_vit/checkpoints/shipped/ViT-Mini_4-cifar10.npz") as file:
        expected = sum(file[name].size for name in file)
    assert int(parameters) == expected


@pytest.mark.parametrize("configured", [None, pytest.param("tensorflow", marks=pytest.mark.weekly)])
def test_tutorials_begin_with_jax_alone(configured, bin, tmp_path):
    """Keras itself would look for TensorFlow; a failed import of it is recorded in a file."""
    home = tmp_path / "home"
    home.mkdir()
    if configured:
        (home / "keras.json").write_text(f'{{"backend": "{configured}"}}')
    tutorials = sorted((ROOT / "tutorials").glob("[0-9][0-9]_*.py"))
    for tutorial in tutorials:
        (tmp_path / tutorial.name).write_text(first_cell(tutorial))
    shutil.copy(ROOT / "tutorials" / "check.py", tmp_path)  # which a notebook brings along
    assert len(tutorials) == 10
    settings = {"KERAS_HOME": str(home), "MPLBACKEND": "agg"}
    names = [tutorial.name for tutorial in tutorials]
    said = run(bin / "python", "-c", RUN_EACH, *names, cwd=tmp_path, **settings)
    ended = [line for line in said.stdout.splitlines() if ".py " in line]
    assert ended == [f"{name} 0" for name in names], said.stderr
