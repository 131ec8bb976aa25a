"""What a model is compiled with must read its logits as logits."""

import keras

from keras_vit import arguments
from keras_vit.guards import labels

# name or class of a metric: what is right for logits, and which settings make it wrong
METRICS = {
    "BinaryAccuracy": ("BinaryAccuracy(threshold=0.0)", {"threshold": 0.5}),
    "AUC": ("AUC(from_logits=True)", {"from_logits": False}),
    "Precision": ("Precision(thresholds=0.0)", {"thresholds": None}),
    "Recall": ("Recall(thresholds=0.0)", {"thresholds": None}),
    **{
        name: (f"{name}(from_logits=True)", {"from_logits": False})
        for name in (
            "BinaryCrossentropy", "CategoricalCrossentropy", "SparseCategoricalCrossentropy",
        )
    },
}  # fmt: skip
SHORT = {"auc": "AUC", "ce": "CategoricalCrossentropy", "bce": "BinaryCrossentropy"}


def check(model, loss, metrics=()):
    """Raises `ValueError` for a loss, and warns of metrics, that take logits for probabilities."""
    if not gives_logits(model):
        return
    name, settings = labels.named_loss(loss)
    kind = labels.kind_of(model, loss)
    if kind is not None:
        refuse_probabilities(name, settings)
    for metric in keras.tree.flatten(metrics):
        right = _misread(metric, kind)
        if right:
            arguments.warn(
                f"This model gives logits, but its metric {_name(metric)} takes them for "
                f"probabilities, so its value means nothing. Compile with keras.metrics.{right}."
            )


def refuse_probabilities(name, settings):
    """Raises `ValueError` unless a loss with these settings takes logits."""
    if not settings.get("from_logits"):
        write = f"loss=keras.losses.{labels.class_name(name)}(from_logits=True)"
        want = "the loss must take logits, which this model gives; this one takes probabilities, "
        want += "and its first step would make all weights NaN"
        arguments.refuse(want, {"loss": name}, f"Compile with {write}.")


def gives_logits(model):
    """Whether the last layer of a model is linear."""
    layers = getattr(model, "layers", None)
    return bool(layers) and getattr(layers[-1], "activation", 0) is keras.activations.linear


def _misread(metric, kind):
    """Returns what to write in place of a metric that misreads logits, or None."""
    if metric in ("accuracy", "acc"):
        return METRICS["BinaryAccuracy"][0] if kind == "each" else None
    right, wrong = METRICS.get(_class(metric), (None, {}))
    if right is None or isinstance(metric, str):
        return right
    config = metric.get_config()
    return right if all(config.get(name, value) == value for name, value in wrong.items()) else None


def _class(metric):
    if not isinstance(metric, str):
        return type(metric).__name__
    return SHORT.get(metric.lower(), labels.class_name(metric))


def _name(metric):
    return repr(metric) if isinstance(metric, str) else _class(metric)
