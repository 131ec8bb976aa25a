"""Hooks: watch or replace what a layer computes, without changing the model.

Keras has no hooks. Within a `with` block, an attribute of the layer shadows the method `call` of
its class (`quantized_call` if the layer is quantized), however deeply the layer is nested in
models. Afterwards the attribute is removed, and no graph has gained a node.
"""

import contextlib
import functools


@contextlib.contextmanager
def replace(calls):
    """Replaces what layers compute within the `with` block.

    Args:
        calls: {layer: function}. `function(call, x)` is computed instead of `layer.call(x)`; `call`
            is the layer's own, with its other arguments, such as `training`, already bound.

    Example:
    >>> layer = keras.layers.Rescaling(2)
    >>> with keras_vit.hooks.replace({layer: lambda call, x: call(x) + 1}):
    ...     print(float(layer(3)))
    7.0
    >>> float(layer(3))
    6.0
    """
    names = {layer: _name_method(layer) for layer in calls}
    before = {layer: vars(layer)[name] for layer, name in names.items() if name in vars(layer)}
    try:
        for layer, name in names.items():
            setattr(layer, name, _wrap(calls[layer], getattr(layer, name)))
        yield
    finally:
        for layer, name in names.items():
            vars(layer).pop(name, None)
        for layer, call in before.items():  # nested blocks around the same layer
            setattr(layer, names[layer], call)


@contextlib.contextmanager
def record(layers, what="output"):
    """Records the tensors that pass through layers within the `with` block.

    Args:
        layers: the layers to watch.
        what: "input" or "output" of each layer.

    Yields:
        {name of the layer: tensor}, filled as the model computes. If a layer is called more than
        once, its last tensor is kept.

    Example:
    >>> layer = keras.layers.Rescaling(2, name="double")
    >>> with keras_vit.hooks.record([layer]) as outputs:
    ...     y = layer(3)
    >>> float(outputs["double"])
    6.0
    """
    tensors = {}

    def watch(layer):
        def keep(call, x):
            y = call(x)
            tensors[layer.name] = x if what == "input" else y
            return y

        return keep

    with replace({layer: watch(layer) for layer in layers}):
        yield tensors


def _name_method(layer):
    """Returns the name of the method by which Keras computes a layer."""
    return "quantized_call" if getattr(layer, "quantization_mode", None) else "call"


def _wrap(function, call):
    @functools.wraps(call)
    def replacement(x, *args, **kwargs):
        return function(lambda x: call(x, *args, **kwargs), x)

    return replacement
