"""Converts numbers and names of a model for JSON, and refuses models."""

from keras_vit import arguments


def refuse(table, want, received, advice="Write a weight file, which needs no config.json."):
    """Raises `ValueError` for a model for which the library has no class."""
    arguments.refuse(f"in a folder for {table.source}, {want}", received, advice)


def shorten(value):
    """Returns one integer for a square, a list for another pair, anything else as it is."""
    if not isinstance(value, tuple):
        return value
    return value[0] if len(set(value)) == 1 else list(value)


def name_activation(model, tanh):
    """Returns the name of a model's activation; `tanh` is that of the approximate GELU."""
    if getattr(model, "gated", False):
        return "silu"
    if getattr(model, "quick_gelu", False):
        return "quick_gelu"
    return tanh if model.approximate else "gelu"


def scale_pixels(model):
    """Returns (mean, deviation) for pixels 0 to 1, a list with a number for each channel."""
    pair = model.normalize or (0.0, 1.0)
    return [
        [x / 255 for x in (value if isinstance(value, tuple) else [value] * model.num_channels)]
        for value in pair
    ]
