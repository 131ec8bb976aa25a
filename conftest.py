"""What the examples in docstrings share: three names, and how arrays are printed."""

import keras
import numpy as np
import pytest

import keras_vit


@pytest.fixture(autouse=True)
def doctest_names(doctest_namespace):
    """Puts the names into every example and rounds arrays: last digits depend on the processor."""
    doctest_namespace.update(keras_vit=keras_vit, keras=keras, np=np)
    with np.printoptions(precision=4, suppress=True):
        yield
