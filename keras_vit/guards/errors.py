"""Errors from inside an input pipeline, given back as they were raised."""

import contextlib
import os
import re

# An image reader's errors, which libraries hand on as text inside an error of their own.
RAISED = {"ValueError": ValueError, "FileNotFoundError": FileNotFoundError}
OURS = f"{os.sep}keras_vit{os.sep}"
FROM_TENSORFLOW = re.compile(r"(ValueError|FileNotFoundError): (.*?)\n+Traceback ", re.DOTALL)
FROM_TORCH = re.compile(r"\n(ValueError|FileNotFoundError): (.*)\s*\Z", re.DOTALL)


@contextlib.contextmanager
def plain_errors(watches=()):
    """Raises what a reader of this package or a `Watch` said, without the wrapping around it.

    Other errors pass unchanged.
    """
    try:
        yield
    except Exception as error:
        failures = [watch.failure for watch in watches if watch.failure is not None]
        plain = failures[0] if failures else unwrapped(error)
        if plain is None or plain is error:
            raise
        raise plain from None


def unwrapped(error):
    """Returns the reader's own error inside an error of TensorFlow or PyTorch, or None."""
    text = str(error)
    if OURS not in text:
        return None
    if type(error).__module__.startswith("tensorflow"):
        found = FROM_TENSORFLOW.search(text)
    elif type(error).__name__ in RAISED and text.startswith("Caught "):
        found = FROM_TORCH.search(text)
    else:
        return None
    return RAISED[found[1]](found[2].strip()) if found else None
