"""Checks, before any work is done, that its results can be written."""

import contextlib
import os
import pathlib
import tempfile

OUT = "Choose another one: --out DIR, in Python `out`."


def check_folder(folder, advice=OUT):
    """Raises `ValueError` unless files can be written to a folder, which may not exist yet.

    A temporary file is created in the nearest folder that exists and removed at once: permissions
    alone do not tell, since root may write anywhere but on a read-only disk.

    Args:
        folder: path.
        advice: what to do if it cannot be written, a sentence.

    Example:
    >>> from keras_vit import writable
    >>> writable.check_folder("/dev/null/results")
    Traceback (most recent call last):
    ...
    ValueError: A folder that can be written was expected. Received: '/dev/null/results' (Not a
    directory). Choose another one: --out DIR, in Python `out`.
    """
    whole = pathlib.Path(folder).absolute()
    nearest = next(path for path in (whole, *whole.parents) if os.path.lexists(path))
    with _refusing(folder, advice), tempfile.TemporaryFile(dir=nearest):
        pass


def make_folder(folder, advice=OUT):
    """Makes a folder and those above it, or raises `ValueError` unless it can be written."""
    check_folder(folder, advice)
    with _refusing(folder, advice):
        os.makedirs(folder, exist_ok=True)


def check_file(path, advice):
    """Raises `ValueError` unless a file can be written to a folder that exists.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: the folder cannot be written, or `path` is a folder.
    """
    folder = pathlib.Path(path).absolute().parent
    if not folder.is_dir():
        raise FileNotFoundError(
            f"A file in a folder that exists was expected. Received: {str(path)!r}. "
            f"Make {str(folder)!r} first."
        )
    if os.path.isdir(path):
        raise ValueError(f"A file was expected. Received: the folder {str(path)!r}. {advice}")
    check_folder(folder, advice)


@contextlib.contextmanager
def _refusing(folder, advice):
    try:
        yield
    except OSError as error:
        raise ValueError(
            f"A folder that can be written was expected. Received: {str(folder)!r} "
            f"({error.strerror}). {advice}"
        ) from error
