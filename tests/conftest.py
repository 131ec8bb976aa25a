"""What all tests share: names for the examples in docstrings, and a fresh seed for each test."""

import keras
import numpy as np
import pytest

import keras_vit


@pytest.fixture(autouse=True)
def doctest_names(doctest_namespace):
    """Gives the examples in docstrings the three names that they use."""
    doctest_namespace.update(keras_vit=keras_vit, keras=keras, np=np)


@pytest.fixture(autouse=True)
def seed_and_policy():
    """Seeds every test alike and undoes a dtype policy that a test may have set."""
    keras.utils.set_random_seed(7)
    policy = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(policy)


@pytest.fixture
def blank(monkeypatch):
    """Kernels begin at zero: JAX would compile a generator for each shape, and all are replaced."""
    zeros = keras.initializers.Zeros.__call__
    monkeypatch.setattr(keras.initializers.VarianceScaling, "__call__", zeros)
