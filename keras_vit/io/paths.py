"""Paths as arguments, and what is at them in the words of an error message."""

import os
import pathlib

from keras_vit import arguments


def describe(path):
    """Returns what is at a path at which something else was expected.

    Example:
    >>> from keras_vit.io import paths
    >>> paths.describe("/dev/null"), paths.describe("nowhere")
    ('which is not an ordinary file', 'which does not exist')
    """
    if os.path.isdir(path):
        return "which is a folder"
    if os.path.isfile(path):
        return "which is a file"
    if os.path.exists(path):
        return "which is not an ordinary file"
    return "which is a broken link" if os.path.islink(path) else "which does not exist"


def check(name, value, advice=""):
    """Returns a path as a `pathlib.Path`; raises `ValueError` unless it is a string or a path."""
    if not isinstance(value, (str, os.PathLike)) or not os.fspath(value):
        received = value if isinstance(value, str) else type(value).__name__
        arguments.refuse(f"`{name}` must be the path of a file or folder", {name: received}, advice)
    return pathlib.Path(value)
