"""The package as a whole: what it imports, what it exports, and on which backends."""

import ast
import collections
import os
import pathlib
import subprocess
import sys

import keras
import pytest

import keras_vit
from keras_vit import backend

PACKAGE = pathlib.Path(keras_vit.__file__).parent
# The reading order: a module imports only from those before it. The paper's model is `layers` and
# `vit`; its variations come after them.
ORDER = [
    "environment", "arguments", "io", "startup", "backend", "inner", "hooks", "figures",
    "variants", "pixel_range", "guards", "model", "layers", "vit",
    "convolutions", "resnet", "hybrid", "ablations", "descendants", "families", "resizing",
    "accounting", "doctor", "data", "checkpoints", "explain", "training", "pretraining",
    "browser", "studies", "cli", "__main__",
]  # fmt: skip


def run(code, **environment):
    """Runs Python in a fresh process and returns what it printed, or its error."""
    env = {**os.environ, **environment}
    env = {name: value for name, value in env.items() if value is not None}
    command = [sys.executable, "-W", "ignore", "-c", code]
    result = subprocess.run(command, env=env, capture_output=True, text=True)
    return result.stdout.strip() if result.returncode == 0 else result.stderr.strip()


def imports_of(path):
    """Names of the package's own modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("keras_vit"):
            below = node.module.split(".")[1:]
            yield from below[:1] or [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("keras_vit."):
                    yield alias.name.split(".")[1]


def test_modules_import_only_from_those_above():
    for path in PACKAGE.rglob("*.py"):
        module = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if module == "__init__":
            continue
        for name in imports_of(path):
            if name in ORDER:
                assert ORDER.index(name) <= ORDER.index(module), f"{path} imports {name}"


def test_the_house_is_small_enough_to_find_ones_way():
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    below = {room: set() for room in ORDER}
    for path in PACKAGE.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 350, path
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room in below:
            below[room] |= set(imports_of(path)) & set(ORDER) - {room}
    floors = {}
    for room in ORDER:  # a file at the top level stands on the floor that it needs
        floors[room] = (room in rooms) + max((floors[name] for name in below[room]), default=0)
    assert len(rooms) <= 16 and max(floors.values()) <= 8


def test_every_module_has_its_place_in_the_order():
    modules = {path.name.removesuffix(".py") for path in PACKAGE.iterdir()}
    assert modules - {"__init__", "__pycache__"} == set(ORDER)


def test_no_two_modules_share_a_name():
    modules = [path.stem for path in PACKAGE.rglob("*.py") if path.stem != "__init__"]
    folders = [path.parent.name for path in PACKAGE.rglob("__init__.py")]
    counts = collections.Counter(modules + folders)
    assert {name: count for name, count in counts.items() if count > 1} == {}


def test_nobody_imports_private_keras():
    for path in PACKAGE.rglob("*.py"):
        assert "keras.src" not in path.read_text(), path


def test_everything_exported_exists_and_is_documented():
    for name in keras_vit.__all__:
        assert getattr(keras_vit, name).__doc__, name


@pytest.mark.slow
def test_import_brings_in_no_other_backend_and_no_heavy_library():
    name = keras.backend.backend()
    lazy = ["tensorflow", "jax", "torch", "matplotlib", "sklearn", "PIL", "tensorflow_datasets"]
    code = f"""
import sys, keras
before = set(sys.modules)
import keras_vit
keras_vit.create("ViT-Mini/8", image_size=16, num_classes=2)
new = sorted(set(sys.modules) - before)
print([name for name in {lazy!r} if name in new])
print("keras_vit.studies" in new)
print("tensorflow" in sys.modules)
"""
    brought, studies, tensorflow = run(code, KERAS_BACKEND=name).splitlines()[-3:]
    assert (brought, studies) == ("[]", "False")
    assert tensorflow == str(name == "tensorflow")


ONLY = """
import importlib.util, os, sys
find_spec = importlib.util.find_spec
hidden = {hidden!r}
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hide())
importlib.util.find_spec = lambda name, *a: None if name in hidden else find_spec(name, *a)
import keras_vit, keras
print(keras.backend.backend(), keras_vit.create("ViT-Mini/8", image_size=16).count_params())
"""


@pytest.mark.weekly
def test_works_with_this_backend_alone_installed(tmp_path):
    """Keras itself would look for TensorFlow, which is not installed."""
    name = keras.backend.backend()
    hidden = [other for other in backend.BACKENDS if other != name]
    printed = run(ONLY.format(hidden=hidden), KERAS_BACKEND=None, KERAS_HOME=str(tmp_path))
    assert printed.splitlines()[-1].split()[0] == name, printed


def test_without_a_backend_it_says_what_to_install(tmp_path):
    hidden = list(backend.BACKENDS)
    printed = run(ONLY.format(hidden=hidden), KERAS_BACKEND=None, KERAS_HOME=str(tmp_path))
    assert printed.splitlines()[-1].endswith("none is installed. Run: pip install jax")
    printed = run(ONLY.format(hidden=hidden), KERAS_BACKEND="torch", KERAS_HOME=str(tmp_path))
    assert printed.splitlines()[-1].endswith("none is installed. Run: pip install torch")


def test_a_backend_that_was_asked_for_is_not_replaced(tmp_path):
    code = ONLY.format(hidden=["torch"])
    printed = run(code, KERAS_BACKEND="torch", KERAS_HOME=str(tmp_path)).splitlines()[-1]
    assert "KERAS_BACKEND='torch'" in printed and "not installed" in printed
    assert "Run: pip install torch, or set KERAS_BACKEND=" in printed


@pytest.mark.parametrize("name", ["JAX", "pytorch"])
def test_a_backend_that_does_not_exist_is_refused(name):
    printed = run("import keras_vit", KERAS_BACKEND=name).splitlines()[-1]
    assert f"must be one of jax, tensorflow, torch. Received: {name!r}" in printed


@pytest.mark.slow
def test_the_configured_backend_is_kept(tmp_path):
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    code = ONLY.format(hidden=["torch"])
    printed = run(code, KERAS_BACKEND=None, KERAS_HOME=str(tmp_path))
    assert printed.splitlines()[-1].startswith("jax"), printed
