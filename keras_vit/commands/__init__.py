"""The commands of `keras-vit`, one module each: its words in, calls of public functions."""
