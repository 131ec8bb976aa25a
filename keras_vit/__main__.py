"""The command `keras-vit`, also called by `python -m keras_vit`."""

import sys

import keras_vit
from keras_vit.environment import check_installation


def main():
    """Runs the command, unless another project has replaced files of this package."""
    replaced = not hasattr(keras_vit, "startup")  # `keras_vit/__init__.py` is not ours
    if replaced and (message := check_installation()):
        print(f"keras-vit: {message}", file=sys.stderr)
        return 1
    try:
        from keras_vit import cli
    except KeyboardInterrupt:  # the command has not begun
        return 130
    cli.process.escape_output()
    cli.process.end_on_sigterm()
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
