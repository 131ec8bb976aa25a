"""What was changed in a model after it was made stays so in a saved file and in a copy."""

import os

from keras_vit import arguments

# Settings of a layer that users change in place; the rest follows from the model's arguments.
SETTINGS = ("activation", "rate", "kernel_regularizer", "bias_regularizer", "kernel_constraint")


def settings(model):
    """Returns {path of a layer: {name: value}} of all layers that have some."""
    return {
        path: {name: getattr(layer, name) for name in SETTINGS if hasattr(layer, name)}
        for path, layer in _layers(model)
    }


def changes(model, made):
    """Returns what differs from the model as it was made: {"frozen": ..., "changed": ...}.

    Args:
        model: a model.
        made: its `settings` when it was made.

    Returns:
        "frozen" are the paths of the outermost frozen layers, `["block_0", "block_1/mlp"]`, unless
        the whole model is; "changed" is `{path: {setting: value}}`. What is empty is left out.
    """
    frozen = list(_frozen(model)) if model.trainable else []
    changed = {}
    for path, layer in _layers(model):
        before = made.get(path, {})
        names = [name for name in before if getattr(layer, name) != before[name]]
        if names:
            changed[path] = {name: layer.get_config()[name] for name in names}
    return {**({"frozen": frozen} if frozen else {}), **({"changed": changed} if changed else {})}


def apply(model, frozen=(), changed=None):
    """Makes the changes that `changes` has returned.

    Raises:
        ValueError: the model has no such layer.
    """
    layers = dict(_layers(model))
    for path in (*frozen, *(changed or {})):
        if path not in layers:
            arguments.refuse("a changed layer must be one of the model's", {"layer": path})
    for path in frozen:
        layers[path].trainable = False
    for path, values in (changed or {}).items():
        like = type(layers[path]).from_config({**layers[path].get_config(), **values})
        for name in values:
            setattr(layers[path], name, getattr(like, name))


def check_path(path):
    """Raises `ValueError` for a file of Keras 2, from which no such model can be loaded."""
    if str(path).endswith((".h5", ".hdf5")):
        advice = f"Call it {os.path.splitext(str(path))[0]}.keras, or save the weights alone: "
        advice += "model.save_weights('model.weights.h5')."
        want = "a whole model is saved as .keras; from .h5 it could not be loaded again"
        arguments.refuse(want, {"path": str(path)}, advice)


def _layers(model, prefix=""):
    """Yields (path, layer) of all layers, each before those inside it."""
    for layer in model._flatten_layers(include_self=False, recursive=False):
        yield f"{prefix}{layer.name}", layer
        yield from _layers(layer, f"{prefix}{layer.name}/")


def _frozen(model, prefix=""):
    """Yields the paths of layers that are frozen, without those inside them."""
    for layer in model._flatten_layers(include_self=False, recursive=False):
        if layer.trainable:
            yield from _frozen(layer, f"{prefix}{layer.name}/")
        else:
            yield f"{prefix}{layer.name}"
