"""Notices the other project that is called keras-vit.

On PyPI that name belongs to a package whose module is `keras_vit` too. In one environment, the
package installed last overwrites files of the other.
"""

import pathlib
import sys
import warnings

_warned = False


def check_installation():
    """Returns what is wrong with the installation and how to repair it, in words.

    It looks for a folder's name on `sys.path`, which takes about a millisecond.

    Returns:
        A message if the other project is installed beside this one, else None.

    Example:
    >>> keras_vit.installation.check_installation()
    """
    for folder in sys.path:
        # An editable installation of ours that still has the old name lists no file of keras_vit.
        for record in pathlib.Path(folder).glob("keras_vit-*.dist-info/RECORD"):
            if "\nkeras_vit/" in "\n" + record.read_text(encoding="utf-8"):
                return _message(record.parents[1])
    return None


def warn_of_namesake():
    """Warns, once in a process, if `check_installation` finds the other project."""
    global _warned
    if not _warned and (message := check_installation()):
        _warned = True
        warnings.warn(message, stacklevel=3)


def _message(folder):
    return (
        "keras_vit must come from keras-vision-transformers alone. Received: keras-vit too, which "
        f"is another project, in {str(folder)!r}; its files can replace this package's. Run: "
        "pip uninstall keras-vit; then install keras-vision-transformers again, with "
        "pip install --force-reinstall, because the two share the names of some files."
    )
