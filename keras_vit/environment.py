"""The environment: this package's version and installation, other versions, the hardware."""

import functools
import os
import pathlib
import platform
import re
import sys
import warnings

__version__ = "0.1.0"

SHARED = "/tmp"  # where Keras keeps files without a home folder; all users may write there
TITLES = {"jax": "JAX", "tensorflow": "TensorFlow", "torch": "PyTorch"}
# Linux control groups, versions 2 and 1: the line of /proc/self/cgroup, the folder, the files of
# the limit and of the usage, and the part of the usage that is a cache, which the system can
# reclaim
GROUPS = (
    (r"^0::(.*)$", "", "memory.max", "memory.current", "inactive_file"),
    (
        r"^\d+:memory:(.*)$",
        "memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
)


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


def keras_home():
    """Returns Keras's folder for files: $KERAS_HOME, or .keras in the home folder.

    As in Keras, `SHARED` is used if the home folder does not exist or cannot be written.
    """
    if os.environ.get("KERAS_HOME"):
        return pathlib.Path(os.environ["KERAS_HOME"]).expanduser()
    home = os.path.expanduser("~")
    return pathlib.Path(home if os.access(home, os.W_OK) else SHARED, ".keras")


def free_memory():
    """Returns how many bytes this process may still allocate, or None if that is unknown.

    These are the bytes of the first GPU or TPU if the backend computes there, else those of the
    machine or, if that is less, of the container.
    """
    import keras

    backend = keras.backend.backend()
    if not _accelerators():
        return free_host_memory()
    if backend == "torch":
        import torch

        return torch.cuda.mem_get_info()[0]
    if backend == "jax":
        import jax

        numbers = jax.local_devices()[0].memory_stats() or {}
        if "bytes_limit" in numbers:
            return numbers["bytes_limit"] - numbers["bytes_in_use"]
    return None  # TensorFlow does not report it


def free_host_memory(root="/"):
    """Returns how many bytes the machine and the container still have; `root` is for tests."""
    root = pathlib.Path(root)
    try:
        available = re.search(r"MemAvailable: *(\d+) kB", (root / "proc/meminfo").read_text())
        groups = (root / "proc/self/cgroup").read_text()
    except OSError:  # not Linux: the whole memory, if the system has this call
        names = getattr(os, "sysconf_names", ())
        known = "SC_PHYS_PAGES" in names and "SC_PAGE_SIZE" in names
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if known else None
    found = [1024 * int(available[1])] if available else []
    for line, kind, *files in GROUPS:
        if group := re.search(line, groups, re.MULTILINE):
            base = root / "sys/fs/cgroup" / kind
            inner = base / group[1].strip("/")
            found += [_group_memory(each, *files) for each in (inner, *inner.parents)]
    return min((number for number in found if number is not None), default=None)


def _group_memory(folder, limit, used, cached):
    """Returns the free bytes of a control group; None if it has no limit."""
    try:
        free = int((folder / limit).read_text()) - int((folder / used).read_text())
        cache = re.search(rf"^{cached} (\d+)$", (folder / "memory.stat").read_text(), re.MULTILINE)
        return max(0, free + int(cache[1]))
    except (OSError, ValueError, TypeError):  # no such file, "max", or no such line
        return None


def processor():
    """Returns the processor's name, or its architecture if the name is unknown."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def instructions():
    """Returns the names of the processor's instruction sets, or its name if they are unknown."""
    return _cpuinfo("flags") or _cpuinfo("Features") or processor()


def _cpuinfo(name):
    """Returns the first value of a field in Linux's description of the processor, or None."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    values = (line.split(":", 1)[1].strip() for line in lines if line.startswith(name))
    return next(values, None)


def check_installation():
    """Returns a message about a problem of the installation and how to repair it.

    On PyPI, keras-vit is another project whose module is `keras_vit` too. In one environment, the
    package installed last overwrites files of the other. The check looks for a folder of that
    project on `sys.path`, which takes about a millisecond.

    Returns:
        A message if the other project is installed beside this one, otherwise None.

    Example:
    >>> keras_vit.environment.check_installation()
    """
    for folder in sys.path:
        # An editable installation of this package under its old name lists no file of keras_vit.
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
