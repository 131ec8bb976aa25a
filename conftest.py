"""What tests and the examples in docstrings share; pytest imports it first."""

import importlib.metadata
import os

import keras_vit  # before keras: it picks an installed backend

# isort: split
import drawing
import keras
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def doctest_names(request, doctest_namespace, monkeypatch):
    """Puts the names into every example and rounds arrays: last digits depend on the processor.

    An example may write files: it runs in an empty folder.
    """
    doctest_namespace.update(keras_vit=keras_vit, keras=keras, np=np)
    if isinstance(request.node, pytest.DoctestItem):
        monkeypatch.chdir(request.getfixturevalue("tmp_path"))
    with np.printoptions(precision=4, suppress=True):
        yield


# Modules whose docstring examples train a model, or compute one many times.
SLOW_EXAMPLES = ["pretraining.", "ablations.axial.", "ablations.relative.", "resnet."]
SLOW_EXAMPLES += ["explain.gradients.", "explain.masking.", "explain.representations."]
SLOW_EXAMPLES += ["explain.tokens.logit_lens"]
WHOLE_RUNS = "keras_vit.training.runs.execution."  # examples that train and evaluate: a minute


# XLA compiles in a fraction of the time: simple kernels, all of a program's in one module. It does
# not start if it does not know a flag, so only the version that was tried gets them.
KNOWN_JAX = "0.10."
QUICK_KERNELS = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"


def pytest_configure():
    """Prepares tests to spend their time on what they test, and little on compiling it."""
    if keras.backend.backend() == "jax":
        drawing.replace_samplers()
        if importlib.metadata.version("jaxlib").startswith(KNOWN_JAX):
            os.environ["XLA_FLAGS"] = f"{QUICK_KERNELS} {os.environ.get('XLA_FLAGS', '')}"
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # Functions are traced as ever; their graphs run as they are. A step of `fit` is tested in
        # three quarters of the time.
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def pytest_itemcollected(item):
    """Marks the examples in docstrings that take long."""
    slow = tuple(f"keras_vit.{module}" for module in SLOW_EXAMPLES)
    if isinstance(item, pytest.DoctestItem) and item.name.startswith(slow):
        item.add_marker(pytest.mark.slow)
    if isinstance(item, pytest.DoctestItem) and item.name.startswith(WHOLE_RUNS):
        item.add_marker(pytest.mark.weekly)


@pytest.hookimpl(tryfirst=True)  # before the fixtures of a test compile anything
def pytest_runtest_setup(item):
    """Tests compile and optimize little on JAX, which takes most of their time; `first` ones train.

    What two tests compare bit by bit must therefore be computed in tests of one kind.
    """
    if keras.backend.backend() == "jax":
        import jax

        short = not item.get_closest_marker("first")
        drawing.active = short
        jax.config.update("jax_disable_most_optimizations", short)
        os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = str(int(short))  # for other processes
