"""One batch through any model that contains a `ViT`: its pixels, its labels and the loss."""

import keras

from keras_vit import arguments, backend, pixel_range
from keras_vit.guards import image_checks
from keras_vit.guards import labels as label_checks

SHOWN = 8  # number of images to compute
PROBABILITIES = ("softmax", "sigmoid")


def check_batch(model, images, labels=None):
    """Checks one batch against a model that contains a `ViT` or `ResNet` of this package.

    `fit` of a `ViT` or `ResNet` checks its data itself. If the model is a layer of another one,
    such as a `keras.Sequential`, Keras does not call its `fit`. This function then checks the data
    that reach it. It warns about pixels that look scaled, shifted or 16-bit.

    Args:
        model: any Keras model: a `ViT`, or one that has a `ViT` as a layer.
        images: a batch as the model takes it, (batch, height, width, channels).
        labels: its labels, or None. They are checked against the last layer and the compiled loss.

    Returns:
        The number of models of this package in `model`.

    Raises:
        ValueError: `model` contains no such model, images have the wrong shape, labels do not fit
            the loss or are out of range, or the loss expects probabilities and the model returns
            logits, or vice versa.

    Example:
    >>> vit = keras_vit.create("ViT-Mini/8", image_size=16, num_classes=None)
    >>> model = keras.Sequential([vit, keras.layers.Dense(3)])
    >>> model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> keras_vit.check_batch(model, np.full((2, 16, 16, 3), 200.0), labels=[0, 2])
    1
    """
    if not isinstance(model, keras.Model):
        received = {"model": type(model).__name__}
        arguments.refuse("the model must be a Keras model", received, "Pass (model, images).")
    image_checks.check_input(images)
    token = pixel_range.SEEN.set([])
    try:
        model(label_checks.as_numpy(images[:SHOWN]), training=False)
        seen = pixel_range.SEEN.get()  # (layer that normalizes, the pixels that reach it)
    finally:
        pixel_range.SEEN.reset(token)
    if not seen:
        want = "the model must contain a ViT or ResNet of this package"
        arguments.refuse(
            want, {"model": model.name}, "Pass the model that contains one as a layer."
        )
    for layer, x in seen:
        image_checks.check_pixels(label_checks.as_numpy(x), layer.normalize)
    if labels is not None:
        _check_labels(model, images, labels)
    return len(seen)


def check_first(model, images):
    """Checks the first batch of a loop that calls a model without its `predict`."""
    if getattr(model, "checks_pixels", False):
        image_checks.expected(model).check(images)
    elif not backend.can_report(model):
        if any(isinstance(layer, pixel_range.Normalize) for layer in model._flatten_layers()):
            check_batch(model, images)


def _check_labels(model, images, labels):
    name, settings = label_checks.identify_loss(getattr(model, "loss", None))
    kind = label_checks.find_kind(name)
    if kind is None:
        return
    activation = _last_activation(model)
    if activation in PROBABILITIES and settings.get("from_logits"):
        want = "the loss must take probabilities, which this model returns by its "
        want += f"{activation}; it takes logits"
        advice = f"Remove the {activation}, or use a loss of Keras with from_logits=False."
        arguments.refuse(want, {"loss": name}, advice)
    if activation == "linear":
        label_checks.refuse_probabilities(name, settings)
    expected = label_checks.Labels(kind, model.output_shape[-1], settings.get("ignore_class"))
    image_checks.check_count(images, expected.check(labels))


def _last_activation(model):
    """Returns "linear", "softmax", ... of a model's last layer, which may be a model itself."""
    last = model
    while getattr(last, "layers", None):
        last = last.layers[-1]
    if isinstance(last, keras.layers.Softmax):
        return "softmax"
    return getattr(getattr(last, "activation", None), "__name__", None)
