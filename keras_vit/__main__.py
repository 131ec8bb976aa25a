"""Lets `python -m keras_vit` do what the command `keras-vit` does."""

import sys

from keras_vit.cli import main

sys.exit(main())
