"""The environment: this package's version and installation, other versions, the hardware."""

import functools
import os
import pathlib
import platform
import sys
import warnings

__version__ = "0.1.0"

TITLES = {"jax": "JAX", "tensorflow": "TensorFlow", "torch": "PyTorch"}


def versions():
    """Returns the versions of Python, Keras, its backend, NumPy and this package."""
    import keras
    import numpy as np

    backend = keras.backend.backend()
    return {
        "python": platform.python_version(),
        "keras": keras.version(),
        backend: __import__(backend).__version__,
        "numpy": np.__version__,
        "keras_vit": __version__,
    }


def hardware():
    """Returns the processor's name, the number of cores, and the accelerators."""
    return {"processor": processor(), "cores": cores(), "accelerators": _accelerators()}


def description():
    """Returns a line such as "keras_vit 0.1.0, Keras 3.15.1 on JAX 0.10.2 (CPU)"."""
    import keras

    backend = keras.backend.backend()
    accelerators = _accelerators()
    device = ", ".join(accelerators) if accelerators else "CPU"
    found = versions()
    return (
        f"keras_vit {__version__}, Keras {found['keras']} on "
        f"{TITLES.get(backend, backend)} {found[backend]} ({device})"
    )


def cores():
    """Returns the number of cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only: respects a container's limit
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def processor():
    """Returns the processor's name, or its architecture if the name is unknown."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def keras_home():
    """Returns the folder of Keras's configuration and downloads, below which ours are too."""
    return pathlib.Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser()


def check_installation():
    """Returns what is wrong with the installation and how to repair it.

    On PyPI, keras-vit is another project whose module is `keras_vit` too. In one environment, the
    package installed last overwrites files of the other. The check looks for a folder of that
    project on `sys.path`, which takes about a millisecond.

    Returns:
        A message if the other project is installed beside this one, otherwise None.

    Example:
    >>> keras_vit.environment.check_installation()
    """
    for folder in sys.path:
        # An editable installation of ours that still has the old name lists no file of keras_vit.
        for record in pathlib.Path(folder).glob("keras_vit-*.dist-info/RECORD"):
            if "\nkeras_vit/" in "\n" + record.read_text(encoding="utf-8"):
                return _message(record.parents[1])
    return None


@functools.cache
def warn_of_namesake():
    """Warns, once per process, if `check_installation` finds the other project."""
    if message := check_installation():
        warnings.warn(message, stacklevel=3)


def _accelerators():
    import keras

    if keras.backend.backend() == "torch":  # Keras lists no devices there
        import torch

        return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    devices = keras.distribution.list_devices()
    return [device for device in devices if not device.startswith("cpu")]


def _message(folder):
    return (
        "keras_vit must come from keras-vision-transformers alone. Received: keras-vit too, which "
        f"is another project, in {str(folder)!r}; its files can replace this package's. Run: "
        "pip uninstall keras-vit; then install keras-vision-transformers again, with "
        "pip install --force-reinstall, because the two share the names of some files."
    )
