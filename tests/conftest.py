"""Shared by all tests: their order, a seed for each, and the memory that they leave."""

import ctypes
import gc
import json
import os
import pathlib

import keras
import numpy as np
import pytest
from golden import seeded
from helpers import DESCENDANTS

from keras_vit.io import files

# Scripts, which need timm and transformers, or KerasHub
collect_ignore = ["trial_checkpoints.py", "trial_presets.py", "trial_round_trip.py"]


@pytest.hookimpl(trylast=True)  # after deselected tests have been removed
def pytest_collection_modifyitems(items):
    """Each of two workers gets half; the files that take minutes come first on both, in turn."""
    longest = [item for item in items if item.get_closest_marker("first")]
    files = sorted({item.path for item in longest})
    one, two = ([item for item in longest if item.path in files[i::2]] for i in range(2))
    rest = [item for item in items if item not in longest]
    middle = max(0, len(items) // 2 - len(one))
    items[:] = [*one, *rest[:middle], *two, *rest[middle:]]


def pytest_collection_finish():
    """Makes the garbage collector skip imported objects, which live until the end, and run less."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest.fixture(autouse=True, scope="session")
def untuned():
    """On TensorFlow, starts no thread that tunes a dataset: to end one takes up to a minute."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        options, iterate = tf.data.Options(), tf.data.Dataset.__iter__
        options.autotune.enabled = False
        tf.data.Dataset.__iter__ = lambda dataset: iterate(dataset.with_options(options))


@pytest.fixture(autouse=True)
def check_backend_free(request, monkeypatch):
    """Checks that a `backend_free` test calls no layer, since it runs on one backend only.

    This detects most wrong marks, but not calls of `keras.ops`.
    """
    if request.node.get_closest_marker("backend_free"):

        def refuse(layer, *args, **kwargs):
            raise AssertionError(f"{layer} was called in a test that is marked backend_free.")

        monkeypatch.setattr(keras.layers.Layer, "__call__", refuse)


@pytest.fixture(autouse=True)
def seed_and_policy():
    """Seeds every test in the same way, and resets a dtype policy that a test may have set."""
    keras.utils.set_random_seed(7)
    policy = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(policy)


ROOM = 1 << 30  # bytes that compiled programs may fill
RESIDENT = pathlib.Path("/proc/self/statm")  # on Linux


def resident():
    """Returns how many bytes of memory this process occupies, on Linux."""
    return int(RESIDENT.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(scope="session")
def occupied():
    """A list of what `resident` returned when `memory` last released programs."""
    return [resident() if RESIDENT.exists() else 0]


@pytest.fixture(autouse=True, scope="module")
def memory(occupied):
    """Releases the programs of the files so far when they fill a gigabyte, on JAX.

    Many are needed again by the next files, so releasing them after each would take a quarter of
    the time of all quick tests.
    """
    yield
    if keras.backend.backend() != "jax":
        return
    if not RESIDENT.exists() or resident() > occupied[0] + ROOM:
        import jax

        jax.clear_caches()
        gc.collect()
        if RESIDENT.exists():
            ctypes.CDLL(None).malloc_trim(0)  # otherwise the C library keeps what was freed
            occupied[0] = resident()


@pytest.fixture
def blank(monkeypatch):
    """Kernels start at zero: JAX would compile a generator for each shape, and all are replaced."""
    zeros = keras.initializers.Zeros.__call__
    monkeypatch.setattr(keras.initializers.VarianceScaling, "__call__", zeros)


@pytest.fixture
def hollow():
    """Weights have shapes but no values, which is enough for counting models of gigabytes."""
    with keras.StatelessScope(initialize_variables=False):
        yield
    keras.utils.clear_session(free_memory=False)  # otherwise the next scope would give them values


@pytest.fixture
def publish(tmp_path):
    """A function that writes the folder of a recorded model and returns it."""

    def write(case, images=None, **config):
        facts = json.loads(str(DESCENDANTS[f"{case}/file"]))
        shapes, factors = facts["shapes"].items(), facts.get("factors", {})
        weight = seeded.torch_weight
        tensors = {name: np.asarray(weight(name, tuple(shape), factors)) for name, shape in shapes}
        files.write_safetensors(tmp_path / "model.safetensors", tensors)
        (tmp_path / "config.json").write_text(json.dumps(facts["config"] | config))
        if images:
            (tmp_path / "preprocessor_config.json").write_text(json.dumps(images))
        return tmp_path

    return write
