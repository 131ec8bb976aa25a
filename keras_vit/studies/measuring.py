"""Measures the speed of a model, relative to a matrix product, and its largest batch."""

import keras
import numpy as np

from keras_vit import accounting
from keras_vit.studies import paired

REFUSALS = ("resource_exhausted", "resource exhausted", "out of memory")
PER_WEIGHT = 16  # bytes: a weight, its gradient and Adam's two moments, in float32
MOST = 2**16  # images in the largest batch to try


def measure_speed(model, batch_sizes, rounds, matrix):
    """Times `predict_on_batch` in alternation with a product of two square matrices.

    Args:
        model: a Keras model of square images.
        batch_sizes: several numbers of images; the fastest counts.
        rounds: number of timed rounds.
        matrix: side of the matrices, which have the model's dtype.

    Returns:
        {"images_per_second": at the median time, "lower_quartile", "upper_quartile",
        "images_per_product": median of the rounds' ratios, "best_batch"}; zeros if no batch fits
        into the device's memory.
    """
    product = _product(matrix, model.compute_dtype)
    found = [_rates(model, batch, rounds, product) for batch in batch_sizes]
    found = [rates for rates in found if rates] or [_rates_of(0, [1.0], [1.0])]
    return max(found, key=lambda rates: rates["images_per_second"])


def estimate_batch(name, image_size, gib):
    """Estimates the largest batch of a training step in a memory of `gib` GiB.

    Weights, gradients and Adam's moments are float32, and everything that the backward pass reads
    is kept, see `keras_vit.accounting.activation_memory`.

    Args:
        name: name of a model, such as "ViT-B/16".
        image_size: side of the images.
        gib: memory of the device.

    Example:
    >>> keras_vit.studies.measuring.estimate_batch("ViT-B/16", 224, gib=16)
    113
    """
    weights = PER_WEIGHT * accounting.count(name, image_size).parameters
    image = accounting.activation_memory(name, 1, image_size)
    return max(0, int((gib * 2**30 - weights) // image))


def find_batch(model):
    """Finds the largest batch, a power of two, of a training step on this device.

    Returns:
        The number of images: 0 if not even one fits, 65,536 if all batches that are tried fit.
    """
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-6), loss)
    batch = 1
    while batch <= MOST and catch_refusal(lambda: _step(model, batch)):  # noqa: B023
        batch *= 2
    return batch // 2


def catch_refusal(function):
    """Returns the result of a function; None if the device runs out of memory."""
    try:
        return function()
    except Exception as error:  # each backend has its own class of error
        if isinstance(error, MemoryError) or any(r in str(error).lower() for r in REFUSALS):
            return None
        raise


def _rates(model, batch, rounds, product):
    images = np.random.default_rng(0).integers(
        0, 256, (batch, *model.input_shape[1:]), dtype="uint8"
    )
    turns = {"model": lambda: model.predict_on_batch(images), "product": product}
    seconds = catch_refusal(lambda: paired.measure(turns, rounds))
    return seconds and _rates_of(batch, seconds["model"], seconds["product"])


def _rates_of(batch, seconds, product_seconds):
    fast, slow = paired.quartiles(seconds)
    return {
        "images_per_second": paired.rate(seconds, batch),
        "lower_quartile": batch / slow,
        "upper_quartile": batch / fast,
        "images_per_product": batch * paired.speedup(seconds, product_seconds)[0],
        "best_batch": batch,
    }


def _product(matrix, dtype):
    """Returns a function that multiplies two matrices and waits for the result."""
    factor = keras.ops.full((matrix, matrix), 0.5, dtype)
    return lambda: keras.ops.convert_to_numpy(keras.ops.matmul(factor, factor)[0, 0])


def _step(model, batch):
    images = np.zeros((batch, *model.input_shape[1:]), "uint8")
    model.train_on_batch(images, np.zeros(batch, "int32"))
    return True
