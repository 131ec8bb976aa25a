"""What `fit`, `evaluate` and `predict` are given, checked before the first step."""

import contextlib
import functools
import inspect
import math

import keras

from keras_vit import arguments
from keras_vit.guards import changes, compiling, image_checks, shares, streams
from keras_vit.guards import labels as label_checks
from keras_vit.guards.errors import plain_errors
from keras_vit.guards.weights import keeping_weights

COUNTS = (
    "batch_size", "steps_per_epoch", "validation_steps", "validation_batch_size", "steps",
)  # fmt: skip


@contextlib.contextmanager
def guarded(model, call, args, kwargs):
    """Gives the checked arguments of a call of Keras, and guards what is run with them.

    Args:
        model: a `Guarded` one.
        call: "fit", "evaluate" or "predict".
        args: the call's arguments by position.
        kwargs: the call's arguments by name.
    """
    given = named(call, args, kwargs)
    watches = []
    with plain_errors(watches), keeping_weights(model):
        if not given.get("_use_cached_eval_dataset"):  # `fit` has checked what it evaluates
            check_counts(given)
            if call == "predict":
                given["x"] = checked_data(model, given["x"], watches)
            elif model.compiled:
                checked_training(model, given, watches, training=call == "fit")
        yield given


def named(call, args, kwargs):
    """Returns `{name: value}` of a call's arguments, as Keras's signature has them."""
    given = dict(_signature(call).bind(None, *args, **kwargs).arguments)
    given.pop("self")
    more = given.pop("kwargs", {})
    return {**given, **more}


@functools.cache
def _signature(call):
    return inspect.signature(getattr(keras.Model, call))


def check_counts(given):
    """Raises `ValueError` for counts that Keras takes in silence and that mean nothing."""
    for name in COUNTS:
        if given.get(name) is not None:
            arguments.positive_integer(name, given[name])
    for name in ("epochs", "initial_epoch"):
        arguments.natural_number(name, given.get(name, 0))


def checked_training(model, given, watches, training):
    """Checks all that `fit` or `evaluate` is given, and puts watched data in its place."""
    compiling.check(model, model.loss)
    expects = label_checks.expected(model)
    if training:
        shares.check_fit(given)
        check_learning_rate(model)
        check_callbacks(given.get("callbacks"))
        if "shuffle" not in given and _has_order(given.get("x")):
            given["shuffle"] = False  # else Keras says that it was asked to, and does not
        validation = given.get("validation_data")
        if validation is not None:
            given["validation_data"] = checked_validation(model, validation, watches, expects)
    given["x"] = checked_data(model, given.get("x"), watches, expects, given.get("y"), training)


def checked_validation(model, data, watches, expects):
    """Returns validation data that are checked: arrays, or data whose first batch is looked at."""
    if isinstance(data, (tuple, list)):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        x = checked_data(model, x, watches, expects, y)
        return (x, *data[1:])
    if streams.kind(data) is not None and not _position(data):
        batch, data = streams.first_batch(data)
        streams.Watch(image_checks.expected(model), expects).look(batch)
    return checked_data(model, data, watches, expects)


def checked_data(model, x, watches, expects=None, y=None, training=False):
    """Returns `x`, checked where it is known, watched where it flows.

    Args:
        model: a `Guarded` one.
        x: what Keras takes as `x`.
        watches: list that a new `Watch` is added to.
        expects: the `Labels` that the model takes, None for prediction.
        y: labels where `x` are arrays.
        training: whether labels of one class alone are worth a warning.
    """
    spec = image_checks.expected(model)
    if streams.kind(x) is None:
        check_arrays(spec, x, expects, y, training)
        return x
    if streams.length(x) == 0:
        image_checks.refuse_nothing()
    check_shapes(x, spec, expects)
    if _position(x):
        check_known(x, spec, expects)
        return x
    watches.append(streams.Watch(spec, expects))
    if streams.kind(x) in streams.UNORDERED:
        watches[-1].look(streams.first_batch(x)[0])
    return streams.watched(x, watches[-1])


def check_known(data, spec, expects):
    """Checks data of `keras_vit.data` by what they know; taking a batch would move their place."""
    if expects:
        numbers = expects._replace(kind=expects.kind and "number", ignored=None)
        label_checks.warn_of_one_class(numbers.check(_position(data).labels), numbers)
    images = getattr(getattr(data, "batches", None), "images", None)
    if images is not None:
        spec.check(images)


def check_arrays(spec, x, expects, y, training):
    """Raises `ValueError` unless images and labels in memory fit the model and each other."""
    image_checks.check_kind(x)
    images = image_checks.only(x)
    if not hasattr(images, "shape"):
        return  # Keras says which kinds of data it takes
    spec.check(images)
    if expects is None or expects.kind is None:
        return
    if y is None:
        advice = "Write model.fit(images, labels), model.evaluate(images, labels)."
        arguments.refuse("labels are needed with the images", {"labels": None}, advice)
    labels = expects.check(y)
    if len(labels) != len(images):
        want = "there must be one label for each image"
        arguments.refuse(want, {"images": len(images), "labels": len(labels)})
    if training:
        label_checks.warn_of_one_class(labels, expects)


def check_shapes(data, spec, expects):
    """Raises `ValueError` unless batches have shapes that fit the model, where data tell them."""
    images, labels = streams.shapes(data)
    if images is not None:
        spec.check_shape(images)
    if expects is not None and labels is not None:
        expects.check_shape(labels)


def check_callbacks(callbacks):
    """Raises `ValueError` for a callback that would fail, or write what cannot be loaded."""
    for callback in keras.tree.flatten(callbacks):
        if isinstance(callback, keras.callbacks.ModelCheckpoint) and not callback.save_weights_only:
            changes.check_path(callback.filepath)


def check_learning_rate(model):
    """Raises `ValueError` for a learning rate that no training survives."""
    rate = getattr(model.optimizer, "learning_rate", None)
    if rate is None:
        return
    rate = float(keras.ops.convert_to_numpy(rate))
    if not 0 <= rate < math.inf:
        want = "the optimizer's learning rate must be a finite number of at least 0"
        arguments.refuse(want, {"learning_rate": rate}, "Compile with another optimizer.")


def _has_order(x):
    """Whether data come in an order of their own; Keras shuffles batches of a plain PyDataset."""
    return streams.kind(x) not in (None, "keras") or _position(x) is not None


def _position(data):
    """Returns where training stands in data of `keras_vit.data`, which know all their labels."""
    sampler = getattr(data, "sampler", None)
    return sampler if hasattr(sampler, "labels") else None
