"""The command `keras-vit`: it reads arguments, calls public functions and prints the results.

A command has two functions, see `common.command`. Keras is imported between them, so that invalid
arguments are reported at once. The modules of this package import Keras, and modules that need it,
only within functions.
"""

import argparse
import errno
import os
import sys
import warnings

from keras_vit import startup
from keras_vit.cli import process
from keras_vit.cli.commands import (
    check_data,
    explain_command,
    models,
    page,
    predict,
    study,
    train,
    use,
)
from keras_vit.environment import __version__

USAGE_ERROR, FAILURE, INTERRUPTED = 2, 1, 130
# Errors of the system for a path that the user must have mistyped.
WRONG_PATHS = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.ENAMETOOLONG)


def main(arguments=None):
    """Runs the command.

    Args:
        arguments: list of strings; None for `sys.argv`.

    Returns:
        Exit code: 0, 2 if an argument is invalid, 1 for other failures, 130 after Ctrl-C.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # errors are also raised
    options = parser().parse_args(arguments)
    if options.command is None:
        parser().print_help()
        return 0
    try:
        code = carry_out(options)
        print(end="", flush=True)  # a full disk or a closed pipe behind the last lines
        return code
    except KeyboardInterrupt:
        print("keras-vit: stopped.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # as in `keras-vit variants | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except Exception as error:
        if options.debug:
            raise
        print(f"keras-vit: {_one_line(error)}", file=sys.stderr)
        is_usage = isinstance(error, (ValueError, FileNotFoundError))
        return USAGE_ERROR if is_usage or _number(error) in WRONG_PATHS else FAILURE


def carry_out(options):
    """Runs a command and returns its exit code; imports Keras only after checking arguments."""
    code = options.start(options)
    if code is None and options.run is not None:
        if startup.IN_COMMAND:
            warnings.formatwarning = lambda message, *_, **__: f"keras-vit: {message}\n"
            process.prepare(trains=options.command == "train")
        startup.load()
        code = options.run(options)
    return code or 0


def parser():
    """Returns the parser of all commands."""
    root = argparse.ArgumentParser(
        prog="keras-vit",
        description="Vision Transformers (arXiv 2010.11929) for Keras 3: train and use them.",
        epilog="To start: keras-vit train",
    )
    root.add_argument("--version", action="version", version=f"keras-vit {__version__}")
    commands = root.add_subparsers(dest="command", metavar="COMMAND")
    train.add(commands)
    predict.add(commands)
    use.add_evaluate(commands)
    explain_command.add(commands)
    use.add_few_shot(commands)
    check_data.add(commands)
    models.add_lists(commands)
    models.add_convert(commands)
    page.add(commands)
    page.add_explorer(commands)
    models.add_cost(commands)
    study.add(commands)
    return root


def _one_line(error):
    """Returns the message of an error on one line, with its type if it is unexpected."""
    message = " ".join(str(error).split())
    if _number(error) is not None:  # without "[Errno 28]"
        place = "" if error.filename is None else f": {os.fspath(error.filename)!r}"
        message = " ".join(f"{error.strerror}{place}".split())
    known = (ValueError, OSError, ImportError, ArithmeticError)
    return message if isinstance(error, known) and message else f"{type(error).__name__}: {message}"


def _number(error):
    """Returns the number of an error of the operating system, None for other errors."""
    return error.errno if isinstance(error, OSError) else None
