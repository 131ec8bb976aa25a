"""Gives the examples in docstrings the three names that they use; pytest imports it first."""

import keras_vit  # before keras: it picks an installed backend

# isort: split
import keras
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def doctest_names(doctest_namespace):
    """Puts the names into every docstring's example."""
    doctest_namespace.update(keras_vit=keras_vit, keras=keras, np=np)
