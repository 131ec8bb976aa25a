"""Where a run was made: versions and hardware, for numbers that others can compare."""

import os
import pathlib
import platform

import keras
import numpy as np

from keras_vit.version import __version__

TITLES = {"jax": "JAX", "tensorflow": "TensorFlow", "torch": "PyTorch"}


def versions():
    """Returns the versions of Python, Keras, its backend, NumPy and this package."""
    backend = keras.backend.backend()
    return {
        "python": platform.python_version(),
        "keras": keras.version(),
        backend: __import__(backend).__version__,
        "numpy": np.__version__,
        "keras_vit": __version__,
    }


def hardware():
    """Returns the processor's name, the number of cores this process may use, accelerators."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only: respects a container's limit
    return {
        "processor": _processor(),
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "accelerators": _accelerators(),
    }


def _accelerators():
    if keras.backend.backend() == "torch":  # Keras lists no devices there
        import torch

        return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    devices = keras.distribution.list_devices()
    return [device for device in devices if not device.startswith("cpu")]


def description():
    """Names package, backend and device: "keras_vit 0.1.0, Keras 3.15.1 on JAX 0.10.2 (CPU)"."""
    backend = keras.backend.backend()
    accelerators = hardware()["accelerators"]
    device = ", ".join(accelerators) if accelerators else "CPU"
    found = versions()
    return (
        f"keras_vit {__version__}, Keras {found['keras']} on "
        f"{TITLES.get(backend, backend)} {found[backend]} ({device})"
    )


def _processor():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
