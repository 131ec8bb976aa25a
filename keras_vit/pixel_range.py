"""The first layer of every model: it normalizes pixels, and warns if they look wrong."""

import contextvars
import functools
import operator
import sys

import keras
import numpy as np
from keras import layers, ops

from keras_vit import arguments as check
from keras_vit import backend, inner

SAMPLE = 8  # images of each batch to inspect
# Pixels 0 to 255 divided by 255 or 127.5, or standardized with ImageNet's mean, stay below this.
LARGEST_SCALED = 4.0
LARGEST = 260.0  # bicubic resizing overshoots 255 a little
# What was done to pixels that are not 0 to 255, and how to tell from their lowest and highest value
# and from whether they are whole numbers. The first match counts.
ODD = {
    "like 16-bit values (divide them by 257)": lambda low, high, whole: high > LARGEST,
    "as if a mean had been subtracted already": lambda low, high, whole: low < -LARGEST_SCALED,
    "like a mask, or divided by 255 and truncated to whole numbers": lambda low, high, whole: (
        whole & (low < high) & (high <= LARGEST_SCALED)
    ),
    "scaled already": lambda low, high, whole: (low < high) & (high <= LARGEST_SCALED),
}
USUAL = ((0, 1), (-1, 1), (0, 255), (0, 65535))  # common ranges of pixels
STEPS = ("train_step", "test_step", "predict_step")  # of `keras.Model`
# Within `check_batch`: a list that collects (layer, images) instead of warnings.
SEEN = contextvars.ContextVar("inputs of the normalizing layers", default=None)


@keras.saving.register_keras_serializable(package="keras_vit")
class Normalize(check.Checked, inner.Inner, layers.Layer):
    """Normalizes pixels: (pixels - mean) / deviation, in float32 by default.

    If the layer expects pixels 0 to 255, it inspects the first images of each batch and warns if
    they have been scaled, shifted or truncated, once for each kind of mistake. It also does so
    inside `fit`, `evaluate` and `predict` of any model that contains it, unless TensorFlow compiles
    the model with XLA: such a program cannot report anything.

    Args:
        normalize: (mean, deviation), one number each or one per channel; None changes nothing.

    Call arguments:
        images: (batch, height, width, channels), of any type.

    Returns:
        The same shape.

    Raises:
        ValueError: `normalize` is not a pair.

    Example:
    >>> x = keras_vit.pixel_range.Normalize(((50, 100), 10))(np.full((1, 1, 1, 2), 70))
    >>> keras.ops.convert_to_numpy(x)
    array([[[[ 2., -3.]]]], dtype=float32)
    """

    def __init__(self, normalize: check.optional(check.pair) = None, dtype="float32", **kwargs):
        super().__init__(dtype=dtype, **kwargs)
        self.keep(locals())
        self.named = set()  # kinds of odd pixels that it has warned about

    def call(self, images):
        self.look(images)
        images = ops.cast(images, self.compute_dtype)
        if self.normalize is None:
            return images
        mean, deviation = _by_channel(*self.normalize)
        scale = [1 / d for d in deviation]
        offset = [-m * s for m, s in zip(mean, scale, strict=True)]
        make = list if backend.is_compiling() else np.array  # Keras converts an array faster
        dtype = self.compute_dtype
        scale, offset = (ops.convert_to_tensor(make(x), dtype) for x in (scale, offset))
        return images * scale + offset  # (B, height, width, C)

    def look(self, images):
        """Warns about odd pixels: now, or when Keras runs the program that is being traced."""
        if backend.is_compiling():
            return
        if SEEN.get() is not None:
            SEEN.get().append((self, images))
            return
        if not takes_bytes(self.normalize) or 0 in images.shape:
            return
        model = _running()
        if getattr(model, "checks_pixels", False):
            return  # already checked by its `fit`, `evaluate` and `predict`
        values = backend.values(images, SAMPLE)
        if values is not None:
            self.warn(*figures(values))
        elif model is not None and backend.can_report(model):
            seen = figures(ops.cast(ops.stop_gradient(images[:SAMPLE]), "float32"), ops)
            odd = functools.reduce(operator.or_, (test(*seen) for test in ODD.values()))
            backend.report_if(odd, self.warn, seen)

    def warn(self, low, high, whole):
        """Warns about pixels with these figures, unless it has warned about their kind before."""
        looks = looks_odd(low, high, whole)
        if looks and looks not in self.named:
            self.named.add(looks)
            check.warn(message(low, high, looks, self.normalize))

    def check_before(self, images):
        """Warns if a layer in front of the model produces odd pixels from usual ones."""
        if takes_bytes(self.normalize):
            layer = next(filter(_is_scaling, _layers_before(images)), None)
            if layer is not None and layer.name not in self.named and _is_odd(layer):
                self.named.add(layer.name)
                mean, deviation = self.normalize
                check.warn(
                    f"The layer {layer.name!r} normalizes pixels, and so does the model after it: "
                    f"(pixels - {mean}) / {deviation}. Leave out the layer, or build the model "
                    "with normalize=None."
                )


def _by_channel(*values):
    """Returns lists of one length, 1 or the channels: plain numbers, which PyTorch compiles."""
    listed = [list(value) if hasattr(value, "__len__") else [value] for value in values]
    longest = max(map(len, listed))
    return [value if len(value) == longest else value * longest for value in listed]


def takes_bytes(normalize):
    """Returns whether this mean and deviation only make sense for pixels 0 to 255."""
    return normalize is not None and LARGEST_SCALED < np.max(np.abs(normalize[0])) < LARGEST


def figures(images, xp=np):
    """Returns the lowest and highest pixel, and whether the first image has whole numbers only."""
    first = images[:1]
    return xp.min(images), xp.max(images), xp.all(first == xp.floor(first))


def looks_odd(low, high, whole):
    """Returns a description of what was done to the pixels, or None if they look right."""
    return next((words for words, test in ODD.items() if test(low, high, whole)), None)


def message(low, high, looks, normalize):
    """Returns the warning about pixels in the wrong range."""
    mean, deviation = normalize
    return (
        f"Pixels from {float(low):.5g} to {float(high):.5g} look {looks}, but this model takes 0 "
        f"to 255 and normalizes them itself: (pixels - {mean}) / {deviation}. "
        "Pass pixels 0 to 255, or build it with normalize=None."
    )


def _running():
    """Returns the model whose step Keras is running or tracing, or None."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name in STEPS:
            model = frame.f_locals.get("self")
            return model if isinstance(model, keras.Model) else None
        frame = frame.f_back
    return None


def _layers_before(tensor):
    """Yields the layers that produced a symbolic tensor, the last one first."""
    layer, index, _ = tensor._keras_history
    while isinstance(layer, layers.Layer) and not layer.trainable_weights:
        yield from reversed(getattr(layer, "layers", [layer]))
        inputs = layer._inbound_nodes[index].input_tensors
        if len(inputs) != 1:
            return
        layer, index, _ = inputs[0]._keras_history


def _is_scaling(layer):
    return isinstance(layer, (layers.Rescaling, layers.Normalization))


def _is_odd(layer):
    """Returns whether a layer makes pixels 0 to 255 odd and maps no usual range to 0 to 255."""
    if isinstance(layer, layers.Normalization):
        return not layer.invert
    made = [np.multiply.outer(ends, layer.scale) + layer.offset for ends in np.array(USUAL)]
    right = any(np.abs(ends.T - (0, 255)).max() < 1.5 for ends in made)
    low, high = made[USUAL.index((0, 255))]
    return not right and looks_odd(np.min(low), np.max(high), False) is not None
