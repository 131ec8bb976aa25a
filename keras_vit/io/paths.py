"""What is at a path, in the words of an error message."""

import os


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
