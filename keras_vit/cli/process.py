"""Prepares a command's process before Keras is imported: quiet libraries, caches, huge pages.

Caches and huge pages are set by environment variables. A library call should not set them: they
belong to the user, and by then it is too late.
"""

import contextlib
import importlib.machinery
import os
import pathlib
import platform
import re
import signal
import sys
import tempfile
import zlib

from keras_vit import backend, environment

CACHE = "JAX_COMPILATION_CACHE_DIR"
LARGEST_CACHE = 2**30  # bytes; the least recently used programs are removed
TUNABLES, PAGES = "GLIBC_TUNABLES", "glibc.malloc.hugetlb"
SWITCH = "KERAS_VIT_HUGEPAGES"
OLDEST_GLIBC = 2, 35
TRANSPARENT = "/sys/kernel/mm/transparent_hugepage/enabled"
ACCELERATORS = ("jax_plugins", "libtpu")  # packages that give JAX a GPU or TPU
# Lines that TensorFlow's libraries print during import, regardless of all settings. Keras imports
# them on every backend, for example to save a model.
NOISE = re.compile(rb"WARNING: All log messages before absl::|[IW]\d{4} |To enable the following")


def escape_output():
    """Makes Python print characters that the encoding of its output lacks as escapes.

    Otherwise, if LANG is C, a file name with an accent would end the command.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a closed stream is None
            stream.reconfigure(errors="backslashreplace")


def end_on_sigterm():
    """Makes SIGTERM end the command as Ctrl-C does, so that no unfinished file is left behind."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def prepare(trains):
    """Sets the variables that libraries read on import; training restarts with huge pages."""
    sys.meta_path.insert(0, QuietFinder())
    backend.ensure_installed()
    if backend.find_name() != "jax":
        return
    if trains and (changed := add_huge_pages(os.environ)):
        print(f"Huge memory pages are used, for speed; {SWITCH}=0 turns them off.", flush=True)
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], changed)
    keep_programs(os.environ)


def add_huge_pages(environ):
    """Returns an environment in which glibc requests huge pages, or None if that would not help."""
    if environ.get(SWITCH) == "0" or PAGES in environ.get(TUNABLES, "") or not _has_huge_pages():
        return None
    if environ.get("JAX_PLATFORMS") != "cpu" and any(map(backend.is_installed, ACCELERATORS)):
        return None
    values = [environ[TUNABLES]] if environ.get(TUNABLES) else []
    return {**environ, TUNABLES: ":".join([*values, f"{PAGES}=1"])}


def _has_huge_pages():
    """Whether this is Linux with glibc, and programs may request huge pages."""
    name, version = platform.libc_ver()
    if name != "glibc" or tuple(map(int, version.split(".")[:2])) < OLDEST_GLIBC:
        return False
    try:
        return "[never]" not in pathlib.Path(TRANSPARENT).read_text()
    except OSError:
        return False


def keep_programs(environ):
    """Makes JAX cache compiled programs in Keras's folder, unless the user chose another one."""
    if CACHE in environ:
        return
    # A program uses the instructions of the processor that it was compiled for.
    key = zlib.crc32(environment.instructions().encode())
    home = environment.keras_home()
    folder = home / "keras_vit" / "jax" / f"{key:08x}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_oldest(folder)
        # Programs of another user must not run here.
        is_safe = str(home.parent) != environment.SHARED or folder.stat().st_uid == os.geteuid()
    except OSError:
        return
    if is_safe and os.access(folder, os.W_OK):
        environ[CACHE] = str(folder)
        # Hundreds of small programs take longer to compile than the large one.
        environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")


def remove_oldest(folder, largest=LARGEST_CACHE):
    """Removes the least recently read files until a folder has at most `largest` bytes."""
    files = [(path, path.stat()) for path in folder.iterdir()]
    total = sum(status.st_size for _, status in files)
    for path, status in sorted(files, key=lambda file: max(file[1].st_atime, file[1].st_mtime)):
        if total <= largest:
            break
        path.unlink(missing_ok=True)
        total -= status.st_size


class QuietFinder:
    """Finds TensorFlow as Python does, and makes its import `quiet`."""

    def find_spec(self, name, path=None, target=None):
        """Returns the specification of TensorFlow; None for other packages."""
        spec = name == "tensorflow" and importlib.machinery.PathFinder.find_spec(name)
        if spec and spec.loader:
            spec.loader.exec_module = quiet()(spec.loader.exec_module)
        return spec or None


@contextlib.contextmanager
def quiet():
    """Holds back all output to stderr, including that of C++; then prints all but `NOISE`.

    If an error was raised, everything is printed. Without a place for temporary files, nothing is
    held back.
    """
    try:
        file = tempfile.TemporaryFile()
    except OSError:
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    with file:
        os.dup2(file.fileno(), 2)
        is_noise = lambda line: False  # noqa: E731
        try:
            yield
            is_noise = NOISE.match
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            for line in file:
                if not is_noise(line):
                    os.write(2, line)
