"""Gives the examples in docstrings the three names that they use."""

import keras
import numpy as np
import pytest

import keras_vit


@pytest.fixture(autouse=True)
def doctest_names(doctest_namespace):
    """Puts the names into every docstring's example."""
    doctest_namespace.update(keras_vit=keras_vit, keras=keras, np=np)
