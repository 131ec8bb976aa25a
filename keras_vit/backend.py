"""The three backends: which is installed, and what each can do."""

import contextlib
import importlib.util
import json
import os
import pathlib
import sys

BACKENDS = ("jax", "tensorflow", "torch")
RANDOM_INITIALIZERS = ("RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling")


def ensure_installed():
    """Lets Keras start on the backend that is installed.

    Keras's own choice (`KERAS_BACKEND`, then `keras.json`, then TensorFlow) stands whenever it can
    be imported. Only where `import keras` would fail, and nobody asked for that backend by
    `KERAS_BACKEND`, the first one that is installed is taken.

    Raises:
        ImportError: no backend is installed, or the one asked for is not.
    """
    chosen = os.environ.get("KERAS_BACKEND") or _configured()
    if "keras" in sys.modules or chosen not in BACKENDS or is_installed(chosen):
        return
    installed = [backend for backend in BACKENDS if is_installed(backend)]
    if not installed:
        raise ImportError(
            "Keras needs a backend: TensorFlow, JAX or PyTorch. None is installed. "
            'Install one, for example with: pip install "keras-vit[jax]"'
        )
    if os.environ.get("KERAS_BACKEND"):
        raise ImportError(
            f"Keras must find the backend that it is set to. Received: KERAS_BACKEND={chosen!r}, "
            f"which is not installed. Set KERAS_BACKEND={installed[0]}, which is, or run: "
            f'pip install "keras-vit[{chosen}]"'
        )
    os.environ["KERAS_BACKEND"] = installed[0]


def is_installed(package):
    """Whether a package, a backend or another, can be imported; it is not imported."""
    return importlib.util.find_spec(package) is not None


def leave_the_gpu():
    """Hides GPUs from TensorFlow where it only reads or writes for another backend.

    It would take all of their memory.
    """
    import keras
    import tensorflow

    if keras.backend.backend() != "tensorflow":
        with contextlib.suppress(RuntimeError):  # it has begun to compute: its devices are settled
            tensorflow.config.set_visible_devices([], "GPU")


def has_attention_kernel():
    """Whether one fused attention kernel beats matmul, softmax, matmul (docs/speed.md).

    PyTorch has one for every device, JAX for GPU and TPU, TensorFlow none.
    """
    import keras

    if keras.backend.backend() == "jax":
        return not keras.distribution.list_devices()[0].startswith("cpu")
    return keras.backend.backend() == "torch"


@contextlib.contextmanager
def blank_weights():
    """Within it, weights that would be random are zero: all of them are about to be loaded.

    JAX compiles a generator for every shape, which takes longer than loading a small model.
    """
    import keras
    import numpy as np

    kinds = [getattr(keras.initializers, name) for name in RANDOM_INITIALIZERS]
    calls = [kind.__call__ for kind in kinds]
    try:
        for kind in kinds if keras.backend.backend() == "jax" else ():
            kind.__call__ = lambda self, shape, dtype=None: np.zeros(shape, dtype or "float32")
        yield
    finally:
        for kind, call in zip(kinds, calls, strict=True):
            kind.__call__ = call


def _configured():
    """The backend named in Keras's configuration file, TensorFlow where there is none."""
    home = os.environ.get("KERAS_HOME") or pathlib.Path.home() / ".keras"
    try:
        config = json.loads(pathlib.Path(home, "keras.json").read_text())
        return config.get("backend", "tensorflow")
    except (OSError, ValueError):
        return "tensorflow"
