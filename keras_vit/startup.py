"""Imports everything at once or, in the command `keras-vit`, only when it is used.

`import keras_vit` imports Keras and registers every class that a saved model may contain, for
`keras.saving.load_model`. This takes seconds, and `keras-vit --help` or a mistyped option needs
none of it. In the process of the command, packages therefore postpone the imports in their
`__init__`. The first use of a public name makes all of them, those of `keras_vit` first. Only the
time of the imports changes, not their result.
"""

import importlib
import pathlib
import sys

_postponed = []


def is_command():
    """Returns whether this process runs `keras-vit` or `python -m keras_vit`.

    While Python locates the package for `-m`, `sys.argv[0]` is "-m".
    """
    program = sys.argv[0] if sys.argv else ""
    if program == "-m":
        return ["-m", "keras_vit"] in [sys.orig_argv[i : i + 2] for i in range(len(sys.orig_argv))]
    return pathlib.Path(program).name.lower() in ("keras-vit", "keras-vit.exe")


IN_COMMAND = is_command()  # `python -m` changes `sys.argv` once the package is located
_postpones = IN_COMMAND


def postpone(package):
    """Returns whether a package should postpone its imports; `load` then reloads it."""
    if not _postpones:
        return False
    module = sys.modules[package]

    def get_attribute(name):
        if name not in vars(module).get("__all__", ()):
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        _fill(package)
        return getattr(module, name)

    def list_names():
        _fill(package)
        return dir(module)

    module.__getattr__, module.__dir__ = get_attribute, list_names  # PEP 562
    _postponed.append(package)
    return True


def load():
    """Makes all postponed imports, those of `keras_vit` first."""
    global _postpones
    _postpones = False
    while _postponed:
        _fill(_postponed[0])


def _fill(package):
    if _postpones:
        load()
    if package in _postponed:
        _postponed.remove(package)
        module = sys.modules[package]
        del module.__getattr__, module.__dir__  # otherwise the imports below would call them
        importlib.reload(module)
