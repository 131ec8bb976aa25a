"""Changes to a model after it was built are kept in a saved file and in a copy."""

from keras_vit import arguments

# Layer settings that users change in place; all others follow from the model's arguments.
SETTINGS = ("activation", "rate", "kernel_regularizer", "bias_regularizer", "kernel_constraint")


def settings(model):
    """Returns {path of a layer: {name: value}} of all layers."""
    return {
        path: {name: getattr(layer, name) for name in SETTINGS if hasattr(layer, name)}
        for path, layer in walk(model)
    }


def changes(model, made):
    """Returns how a model differs from when it was built; empty entries are left out.

    Args:
        model: a model.
        made: the model's `settings` when it was built.

    Returns:
        A dictionary: "frozen" are the paths of the outermost frozen layers, such as `["block_0",
        "block_1/mlp"]`, unless the whole model is frozen; "changed" is `{path: {setting: value}}`.
    """
    frozen, changed = [], {}
    for path, layer in walk(model):
        if model.trainable and not layer.trainable and not _is_inside(path, frozen):
            frozen.append(path)
        before = made.get(path, {})
        names = [name for name in before if getattr(layer, name) != before[name]]
        if names:
            changed[path] = {name: layer.get_config()[name] for name in names}
    return {**({"frozen": frozen} if frozen else {}), **({"changed": changed} if changed else {})}


def apply(model, frozen=(), changed=None):
    """Applies the changes that `changes` returned.

    Raises:
        ValueError: the model has no such layer.
    """
    layers = dict(walk(model))
    for path in (*frozen, *(changed or {})):
        if path not in layers:
            arguments.refuse("a changed layer must be one of the model's", {"layer": path})
    for path in frozen:
        layers[path].trainable = False
    for path, values in (changed or {}).items():
        like = type(layers[path]).from_config({**layers[path].get_config(), **values})
        for name in values:
            setattr(layers[path], name, getattr(like, name))


def check_not_quantized(model, received, advice):
    """Raises `ValueError` if Keras has quantized a layer of a model."""
    if any(getattr(layer, "quantization_mode", None) for _, layer in walk(model)):
        arguments.refuse("the weights must not be quantized", received, advice)


def walk(model, prefix=""):
    """Yields (path, layer) of all layers, each before those inside it."""
    for layer in model._flatten_layers(include_self=False, recursive=False):
        yield f"{prefix}{layer.name}", layer
        yield from walk(layer, f"{prefix}{layer.name}/")


def _is_inside(path, outer):
    return any(path.startswith(f"{one}/") for one in outer)
