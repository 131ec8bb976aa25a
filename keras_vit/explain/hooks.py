"""Looking into a model while it computes, without changing it.

Keras has no hooks. An attribute of the instance stands in front of the method `call` of its class
as long as the block of a `with` lasts, wherever in whichever model the layer is nested; nothing of
it remains afterwards, and no graph gets a node more.
"""

import contextlib
import functools


@contextlib.contextmanager
def replaced(calls):
    """Within it, layers compute something else.

    Args:
        calls: {layer: function}. Instead of `layer.call(x)`, `function(call, x)` is computed, where
            `call` is the layer's own. Its other arguments, such as `training`, are bound to it.

    Example:
    >>> layer = keras.layers.Rescaling(2)
    >>> with keras_vit.explain.hooks.replaced({layer: lambda call, x: call(x) + 1}):
    ...     print(float(layer(3)))
    7.0
    >>> float(layer(3))
    6.0
    """
    before = {layer: vars(layer)["call"] for layer in calls if "call" in vars(layer)}
    try:
        for layer, function in calls.items():
            layer.call = _instead(function, layer.call)
        yield
    finally:
        for layer in calls:
            vars(layer).pop("call", None)
        for layer, call in before.items():  # one `with` in another, around the same layer
            layer.call = call


@contextlib.contextmanager
def recorded(layers, what="output"):
    """Within it, tensors that pass through layers are kept.

    Args:
        layers: the layers to watch.
        what: "input" or "output" of each.

    Yields:
        {name of the layer: tensor}, filled as the model computes. A layer that is called more than
        once keeps its last one.
    """
    kept = {}

    def watch(layer):
        def keep(call, x):
            y = call(x)
            kept[layer.name] = x if what == "input" else y
            return y

        return keep

    with replaced({layer: watch(layer) for layer in layers}):
        yield kept


def _instead(function, call):
    @functools.wraps(call)
    def replacement(x, *args, **kwargs):
        return function(lambda x: call(x, *args, **kwargs), x)

    return replacement
