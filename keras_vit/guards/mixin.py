"""What protects a model: around each call of Keras, one lock, one place for checks."""

import contextlib
import functools
import inspect
import threading

import keras

from keras_vit import arguments
from keras_vit.guards import changes, compiling, shares
from keras_vit.guards.calls import guarded
from keras_vit.guards.weights import keeping_weights

CHECKED = ("fit", "evaluate", "predict")
KEPT = ("train_on_batch", "test_on_batch", "predict_on_batch")


def _around(name):
    """Returns Keras's method of this name with the protection around it."""

    @functools.wraps(getattr(keras.Model, name))
    def method(self, *args, **kwargs):
        call = getattr(super(Guarded, self), name)
        with self.exclusive(name):
            if name in KEPT:
                with keeping_weights(self):
                    return call(*args, **kwargs)
            with self.checked_call(name, args, kwargs) as given:
                return shares.divided(self, name, call, given)

    return method


class Guarded:
    """What makes a Keras model refuse mistakes before the first step and survive failures.

    A mixin for a subclass of `keras.Model` with `input_shape`, `normalize` and `num_classes`.

    - Images and labels are checked before `fit`, `evaluate` and `predict` begin.
    - A call that fails leaves the weights of the last finished step.
    - Calls from several threads wait for each other: on JAX, two at once would lose the weights.
    - `compile` refuses a loss that takes logits for probabilities, and warns of such metrics.
    - What is frozen stays so in a saved file and in a copy.
    """

    checks_pixels = True  # so that no layer looks at them again
    fit, evaluate, predict = (_around(name) for name in CHECKED)
    train_on_batch, test_on_batch, predict_on_batch = (_around(name) for name in KEPT)

    def checked_call(self, name, args, kwargs):
        """Returns a context that gives the checked arguments of a call."""
        return guarded(self, name, args, kwargs)

    def exclusive(self, name):
        """Returns a context in which no other thread computes with this model.

        Only on JAX does `fit` itself lock others out: elsewhere a generator's thread may predict.
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
        """Within it, a batch is added to what the metrics have counted before, if `keep`."""
        vars(self)["_keeps_metrics"] = keep
        try:
            yield
        finally:
            del vars(self)["_keeps_metrics"]

    @functools.wraps(keras.Model.compile)
    def compile(self, *args, **kwargs):
        given = inspect.signature(keras.Model.compile).bind(self, *args, **kwargs).arguments
        metrics = (given.get("metrics"), given.get("weighted_metrics"))
        compiling.check(self, given.get("loss"), metrics)
        super().compile(*args, **kwargs)

    def compile_from_config(self, config):
        """Compiles a loaded model; one that could not be trained is loaded without."""
        try:
            self.compile(**keras.saving.deserialize_keras_object(config))
        except ValueError as error:
            arguments.warn(f"The model is loaded, but not compiled. {error}")
            return
        if self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)  # a file has its state too

    @functools.wraps(keras.Model.save)
    def save(self, filepath, *args, **kwargs):
        changes.check_path(filepath)
        super().save(filepath, *args, **kwargs)
