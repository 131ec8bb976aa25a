"""One batch through any model that contains a `ViT`: are pixels, labels and loss what it takes?"""

import keras

from keras_vit import arguments, backend, pixel_range
from keras_vit.guards import compiling, image_checks
from keras_vit.guards.labels import Labels, as_numpy, kind_of_loss, named_loss

SHOWN = 8  # images that are computed
PROBABILITIES = ("softmax", "sigmoid")


def check_batch(model, images, labels=None):
    """Checks one batch against a model that contains a `ViT` or `ResNet` of this package.

    `fit` of such a model checks its own data. Inside a `keras.Sequential` or a functional model,
    Keras calls the model without its `fit`: this looks at what reaches it.

    Args:
        model: any Keras model: a `ViT`, or one that has a `ViT` as a layer.
        images: a batch as the model takes it, (batch, height, width, channels).
        labels: its labels, or None. They are checked against the last layer and the compiled loss.

    Returns:
        The number of models of this package that were found inside.

    Raises:
        ValueError: there is none; images have another shape; labels are not those of the loss or
            out of range; or the loss takes probabilities where the model gives logits, or logits
            where it gives probabilities.

    Pixels that look scaled, shifted or of 16 bits are warned of.

    Example:
    >>> vit = keras_vit.create("ViT-Mini/8", image_size=16, num_classes=None)
    >>> model = keras.Sequential([vit, keras.layers.Dense(3)])
    >>> model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> keras_vit.check_batch(model, np.full((2, 16, 16, 3), 200.0), labels=[0, 2])
    1
    """
    image_checks.check_kind(images)
    seen = _reaching(model, as_numpy(images[:SHOWN]))
    if not seen:
        want = "the model must contain a ViT or ResNet of this package"
        arguments.refuse(want, {"model": model.name}, "Give the model that has one as a layer.")
    for layer, x in seen:
        image_checks.check_pixels(as_numpy(x), layer.normalize)
    if labels is not None:
        _check_labels(model, images, labels)
    return len(seen)


def check_first(model, images):
    """Checks the first batch of a loop of ours, which calls any model without its `predict`."""
    if getattr(model, "checks_pixels", False):
        image_checks.expected(model).check(images)
    elif not backend.can_report(model) and _normalizes(model):
        check_batch(model, images)


def _normalizes(model):
    return any(isinstance(layer, pixel_range.Normalize) for layer in model._flatten_layers())


def _reaching(model, images):
    """Returns [(layer that normalises, the pixels that reach it)] of a model."""
    token = pixel_range.SEEN.set([])
    try:
        model(images, training=False)
        return pixel_range.SEEN.get()
    finally:
        pixel_range.SEEN.reset(token)


def _check_labels(model, images, labels):
    name, settings = named_loss(getattr(model, "loss", None))
    kind = kind_of_loss(name)
    if kind is None:
        return
    gives = _last_activation(model)
    if gives in PROBABILITIES and settings.get("from_logits"):
        want = f"the loss must take probabilities, which this model gives by its {gives}; it takes "
        arguments.refuse(want + "logits", {"loss": name}, "Compile it with from_logits=False.")
    if gives == "linear":
        compiling.refuse_probabilities(name, settings)
    found = Labels(kind, model.output_shape[-1], settings.get("ignore_class")).check(labels)
    if len(found) != len(images):
        want = "there must be one label for each image"
        arguments.refuse(want, {"images": len(images), "labels": len(found)})


def _last_activation(model):
    """Returns "linear", "softmax", ... of a model's last layer, also where that is a model."""
    last = model
    while getattr(last, "layers", None):
        last = last.layers[-1]
    if isinstance(last, keras.layers.Softmax):
        return "softmax"
    return getattr(getattr(last, "activation", None), "__name__", None)
