"""The commands of `keras-vit`: their arguments, the checks of these, and the calls."""
