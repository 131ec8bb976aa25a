"""`fit`, `evaluate` and `predict` of a model that checks its data before the first step."""

import contextlib
import functools
import inspect
import math
import threading

import keras
import numpy as np

from keras_vit import arguments
from keras_vit.guards import image_checks, model_files, shares, streams
from keras_vit.guards import labels as label_checks
from keras_vit.guards.failures import keeping_weights, plain_errors

COUNTS = (
    "batch_size", "steps_per_epoch", "validation_steps", "validation_batch_size", "steps",
)  # fmt: skip
CHECKED = ("fit", "evaluate", "predict")
SETS_THE_RATE = (keras.callbacks.ReduceLROnPlateau, keras.callbacks.LearningRateScheduler)
SCHEDULE = keras.optimizers.schedules.LearningRateSchedule
KEPT = ("train_on_batch", "test_on_batch", "predict_on_batch")


def _around(name):
    """Returns Keras's method of this name, wrapped in the protection."""

    @functools.wraps(getattr(keras.Model, name))
    def method(self, *args, **kwargs):
        call = getattr(super(Guarded, self), name)
        with self.exclusive(name):
            if name in KEPT:
                with keeping_weights(self):
                    _check_batch(self, name, bind_arguments(name, args, kwargs))
                    return call(*args, **kwargs)
            with self.checked_call(name, args, kwargs) as given:
                return shares.run_divided(self, name, call, given)

    return method


class Guarded:
    """Makes a Keras model refuse mistakes before the first step and survive failures.

    A mixin for a subclass of `keras.Model` with `input_shape`, `normalize` and `num_classes`.

    - Images and labels are checked before `fit`, `evaluate` and `predict` begin, and the kind of
      images in a call.
    - If a call fails, the weights of the last finished step remain.
    - Calls from several threads wait for each other: on JAX, two at once would lose the weights.
    - `compile` refuses a loss that takes logits for probabilities, and warns about such metrics.
    - Frozen layers remain frozen in a saved file and in a copy.
    - A file is replaced once the new one is complete; weights are all loaded, or none.
    """

    checks_pixels = True  # so no layer checks them again

    @functools.wraps(keras.Model.__call__)
    def __call__(self, *args, **kwargs):
        if args:  # the backends would convert strings to numbers, or fail in words of their own
            image_checks.check_input(args[0])
        return super().__call__(*args, **kwargs)

    fit, evaluate, predict = (_around(name) for name in CHECKED)
    train_on_batch, test_on_batch, predict_on_batch = (_around(name) for name in KEPT)

    def checked_call(self, name, args, kwargs):
        """Returns a context that yields the checked arguments of a call."""
        return guarded(self, name, args, kwargs)

    def exclusive(self, name):
        """Returns a context in which no other thread computes with this model.

        `fit` excludes other threads only on JAX: elsewhere a generator's thread may predict.
        """
        if name in ("fit", "train_on_batch") and keras.backend.backend() != "jax":
            return contextlib.nullcontext()
        return vars(self).setdefault("_exclusive", threading.RLock())

    @functools.wraps(keras.Model.reset_metrics)
    def reset_metrics(self):
        if not vars(self).get("_keeps_metrics"):
            super().reset_metrics()

    @contextlib.contextmanager
    def keeping_metrics(self, keep):
        """If `keep`, the metrics add batches within this context to the earlier ones."""
        vars(self)["_keeps_metrics"] = keep
        try:
            yield
        finally:
            del vars(self)["_keeps_metrics"]

    @functools.wraps(keras.Model.compile)
    def compile(self, *args, **kwargs):
        given = inspect.signature(keras.Model.compile).bind(self, *args, **kwargs).arguments
        metrics = (given.get("metrics"), given.get("weighted_metrics"))
        label_checks.check_compiled(self, given.get("loss"), metrics)
        super().compile(*args, **kwargs)

    def compile_from_config(self, config):
        """Compiles a loaded model, or warns and leaves it uncompiled if it could not be trained."""
        try:
            self.compile(**keras.saving.deserialize_keras_object(config))
        except ValueError as error:
            arguments.warn(f"The model is loaded, but not compiled. {error}")
            return
        if self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)  # a file also contains its state

    @functools.wraps(keras.Model.save)
    def save(self, filepath, overwrite=True, zipped=None, **kwargs):
        model_files.check_path(filepath)
        kind = model_files.KERAS, overwrite, zipped is not False
        with model_files.replacing(self, filepath, *kind) as path:
            super().save(path, overwrite or path != filepath, zipped, **kwargs)

    @functools.wraps(keras.Model.save_weights)
    def save_weights(self, filepath, overwrite=True, max_shard_size=None):
        kind = model_files.WEIGHTS, overwrite, max_shard_size is None
        with model_files.replacing(self, filepath, *kind) as path:
            super().save_weights(path, overwrite or path != filepath, max_shard_size)

    @functools.wraps(keras.Model.load_weights)
    def load_weights(self, filepath, *args, **kwargs):
        with model_files.all_or_nothing(self, filepath):
            super().load_weights(filepath, *args, **kwargs)


@contextlib.contextmanager
def guarded(model, call, args, kwargs):
    """Yields the checked arguments of "fit", "evaluate" or "predict", and guards the call."""
    given = bind_arguments(call, args, kwargs)
    watches = []
    with plain_errors(watches), keeping_weights(model):
        if not given.get("_use_cached_eval_dataset"):  # `fit` has checked what it evaluates
            for name in COUNTS:  # Keras accepts meaningless counts
                if given.get(name) is not None:
                    arguments.positive_integer(name, given[name])
            for name in ("epochs", "initial_epoch"):
                arguments.natural_number(name, given.get(name, 0))
            if call == "predict":
                given["x"] = _checked_data(model, given["x"], watches)
            else:
                _check_compiled(model)
                checked_training(model, given, watches, training=call == "fit")
        yield given


def bind_arguments(call, args, kwargs):
    """Returns `{name: value}` of a call's arguments, with the names of Keras's signature."""
    signature = inspect.signature(getattr(keras.Model, call))
    given = dict(signature.bind(None, *args, **kwargs).arguments)
    given.pop("self")
    more = given.pop("kwargs", {})
    return {**given, **more}


def checked_training(model, given, watches, training):
    """Checks the arguments of `fit` or `evaluate`, and replaces data by watched data in `given`."""
    label_checks.check_compiled(model, model.loss)
    expects = label_checks.expected(model)
    x = given.get("x")
    if training:
        arguments.fraction("validation_split", given.get("validation_split") or 0.0)
        shares.check_fit(given)
        _check_learning_rate(model)
        for callback in keras.tree.flatten(given.get("callbacks")):
            _check_callback(model, callback)
        # The data have their own order; Keras would shuffle the batches of a plain `PyDataset`.
        ordered = streams.kind(x) not in (None, "keras") or _sampler(x) is not None
        if "shuffle" not in given and ordered:
            given["shuffle"] = False  # otherwise Keras warns that it ignores it
        validation = given.get("validation_data")
        if validation is not None:
            given["validation_data"] = _checked_validation(model, validation, watches, expects)
    given["x"] = _checked_data(model, given.get("x"), watches, expects, given.get("y"), training)
    weights = dict(given)
    if streams.kind(given["x"]) is not None:
        weights.pop("sample_weight", None)  # Keras refuses them
    label_checks.check_weights(weights, x, expects.num_classes)
    if training:
        _take_class_names(model, x)
    if keras.backend.backend() == "tensorflow":
        _create_variables(model, expects, training)


def _take_class_names(model, data):
    """Takes the class names from data of `keras_vit.data`; old names may belong to other data."""
    names = getattr(_sampler(data), "class_names", None)
    if names and len(names) == model.num_classes and hasattr(model, "class_names"):
        model.class_names = names


def _create_variables(model, expects, training):
    """Creates the variables of the optimizer and the metrics; Keras resets metrics before a step.

    TensorFlow traces a step twice if it creates variables, and tracing is most of the first step.
    """
    if model.distribute_strategy.num_replicas_in_sync > 1:
        return  # Keras creates them
    with model.distribute_strategy.scope():  # Keras, too, creates them there
        if training and model.optimizer is not None and not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        # The shape of the labels decides which metric "accuracy" is.
        if expects.kind in ("number", "shares", "each") and expects.num_classes:
            logits = np.zeros((1, expects.num_classes), "float32")
            labels = np.zeros(1, "int32") if expects.kind == "number" else logits
            with contextlib.suppress(Exception):  # the step will raise the error again
                model.compute_metrics(None, labels, logits)


def _check_compiled(model):
    if not model.compiled:
        advice = "Call model.compile first, with an optimizer and, for labels, a loss."
        arguments.refuse("the model must be compiled", {"compiled": False}, advice)


def _check_callback(model, callback):
    """Refuses a callback that would fail after an epoch, or hours later."""
    if callback is not None and not isinstance(callback, keras.callbacks.Callback):
        advice = "Write keras.callbacks.EarlyStopping(), for example, with parentheses."
        received = {"callback": getattr(callback, "__name__", callback)}
        want = "callbacks must be instances of keras.callbacks.Callback"
        arguments.refuse(want, received, advice)
    is_checkpoint = isinstance(callback, keras.callbacks.ModelCheckpoint)
    if is_checkpoint and not callback.save_weights_only:
        model_files.check_path(callback.filepath)
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    rate = getattr(optimizer, "_learning_rate", None)
    if isinstance(callback, SETS_THE_RATE) and isinstance(rate, SCHEDULE):
        name, schedule = type(callback).__name__, type(rate).__name__
        want = "a callback that sets the learning rate needs an optimizer whose rate is a number"
        received = {"callback": name, "learning_rate": schedule}
        advice = f"Leave {name} out, or compile the model with learning_rate=0.001, for example."
        arguments.refuse(want, received, advice)


def _checked_validation(model, data, watches, expects):
    """Returns checked validation data: arrays, or data whose first batch is checked."""
    if isinstance(data, (tuple, list)):
        if not 1 <= len(data) <= 3:
            want = "`validation_data` must be (images, labels) or (images, labels, sample_weight)"
            arguments.refuse(want, {"validation_data": f"a {type(data).__name__} of {len(data)}"})
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        label_checks.check_weights({"sample_weight": weights}, x, expects.num_classes)
        return (_checked_data(model, x, watches, expects, y), *data[1:])
    if streams.kind(data) is not None and not _sampler(data):
        if streams.length(data) == 0:
            image_checks.refuse_nothing()
        batch, data = streams.first_batch(data)
        streams.Watch(image_checks.expected(model), expects).look(batch)
    return _checked_data(model, data, watches, expects)


def _checked_data(model, x, watches, expects=None, y=None, training=False):
    """Returns `x`, checked if it is known in advance, otherwise watched by a new `Watch`.

    `expects` are the `Labels` that the model takes, None for prediction.
    """
    spec = image_checks.expected(model)
    if streams.kind(x) is None:
        _check_arrays(spec, x, expects, y, training)
        return x
    if streams.length(x) == 0:
        image_checks.refuse_nothing()
    images, labels = streams.shapes(x)
    if images is not None:
        spec.check_shape(images)
    if expects is not None and labels is not None:
        expects.check_shape(labels)
    if _sampler(x):
        _check_known(x, spec, expects)
        return x
    watches.append(streams.Watch(spec, expects))
    if streams.kind(x) in streams.UNORDERED:
        watches[-1].look(streams.first_batch(x)[0])
    return streams.attach(x, watches[-1])


def _check_known(data, spec, expects):
    """Checks data of `keras_vit.data` without taking a batch, which would advance them."""
    if expects:
        numbers = expects._replace(kind=expects.kind and "number", ignored=None)
        label_checks.warn_of_one_class(numbers.check(_sampler(data).labels), numbers)
    images = getattr(getattr(data, "batches", None), "images", None)
    if hasattr(images, "shape"):
        spec.check(images)


def _check_batch(model, name, given):
    """Checks the arguments of `train_on_batch`, `test_on_batch` or `predict_on_batch`."""
    expects = None
    if name != "predict_on_batch":
        _check_compiled(model)
        expects = label_checks.expected(model)
        label_checks.check_weights(given, given["x"], expects.num_classes)
    spec = image_checks.expected(model)._replace(normalize=None)  # otherwise each batch warns
    _check_arrays(spec, given["x"], expects, given.get("y"), False)


def _check_arrays(spec, x, expects, y, training):
    """Raises `ValueError` unless images and labels in memory fit the model and each other."""
    image_checks.check_kind(x)
    images = image_checks.get_single(x)
    if not hasattr(images, "shape"):
        return  # Keras reports the kinds of data that it takes
    spec.check(images)
    if expects is None or expects.kind is None:
        return
    if y is None:
        advice = "Write model.fit(images, labels), model.evaluate(images, labels)."
        arguments.refuse("labels are needed with the images", {"labels": None}, advice)
    label_checks.check_list("labels", y)
    labels = expects.check(y)
    image_checks.check_count(images, labels)
    if training:
        label_checks.warn_of_one_class(labels, expects.of_shape(labels.shape))


def _check_learning_rate(model):
    rate = getattr(model.optimizer, "learning_rate", 0.0)
    rate = float(keras.ops.convert_to_numpy(rate))
    if not 0 <= rate < math.inf:
        want = "the optimizer's learning rate must be a finite number of at least 0"
        arguments.refuse(want, {"learning_rate": rate}, "Compile with another optimizer.")


def _sampler(data):
    """Returns the sampler of data of `keras_vit.data`, or None; it knows all labels."""
    sampler = getattr(data, "sampler", None)
    return sampler if hasattr(sampler, "labels") else None
