"""Recovery from a failed call of Keras: the model keeps its weights, and the error is clear."""

import contextlib
import os
import re

import keras

from keras_vit import arguments

# The parts of a model's state, in the order in which Keras passes them to a step on JAX.
PARTS = {
    "trainable_variables": lambda model: model.trainable_variables,
    "non_trainable_variables": lambda model: model.non_trainable_variables,
    "optimizer_variables": lambda model: model.optimizer.variables,
    "metrics_variables": lambda model: model.metrics_variables,
}


@contextlib.contextmanager
def keeping_weights(model):
    """Keeps the weights of a model if `fit`, `evaluate` or `predict` fails on JAX.

    On JAX, Keras takes the values out of a model's variables while its steps run. If a call fails
    (because of an unreadable image, a wrong shape or Ctrl-C), they may not be put back, and all
    weights are lost. After any exception inside this context, the variables of the model, its
    optimizer and its metrics have the values of the last finished step.

    `ViT` and `ResNet` do this themselves. Use it for other models, such as a `keras.Sequential`
    with a ViT. On TensorFlow and PyTorch weights are not lost, so it does nothing; TensorFlow may
    have counted the failed step (`optimizer.iterations`, seeds of dropout).

    Weights can still be lost if the device runs out of memory in a step, which consumes its inputs.

    Args:
        model: a `keras.Model`.

    Example:
    >>> vit = keras_vit.create("ViT-Mini/8", image_size=16, num_classes=2)
    >>> model = keras.Sequential([vit, keras.layers.Softmax()])
    >>> with keras_vit.guards.keeping_weights(model):
    ...     probabilities = model.predict(np.zeros((1, 16, 16, 3)), verbose=0)
    """
    if keras.backend.backend() != "jax" or not hasattr(model, "_get_jax_state"):
        yield
        return
    model.jax_state_sync()  # a call within another one begins with its latest weights
    _check_present(model)
    attributes = vars(model)
    outer = attributes.get("_get_jax_state")
    attributes["_get_jax_state"] = taken = _Taken(model)
    try:
        yield
    except BaseException:  # Ctrl-C too
        taken.put_back()
        raise
    finally:
        del attributes["_get_jax_state"]
        if outer is not None:
            attributes["_get_jax_state"] = outer


def _check_present(model):
    """Raises `ValueError` if a step of another model has consumed values of this model's variables.

    On JAX, `variable.assign(other)` makes two variables share an array, which a step consumes.
    """
    lost = [v.path for v in model.variables if v._value is not None and _is_lost(v._value)]
    if lost:
        advice = "Load them again. To copy weights, write model.set_weights(other.get_weights()), "
        advice += "not variable.assign(other_variable)."
        want = "the weights must be the model's own; training another model has used them up"
        arguments.refuse(want, {"lost": lost[:3]}, advice)


class _Taken:
    """Replaces the method with which Keras takes a model's values, and remembers them.

    This needs no memory: a step consumes the buffers, and only an empty reference remains.
    """

    def __init__(self, model):
        self.model, self.take = model, model._get_jax_state
        self.parts, self.values = (), ()

    def __call__(self, **parts):
        self.values = self.take(**parts)
        self.parts = [name for name in PARTS if parts.get(name)]
        self.model._jax_state = None  # the state of an earlier epoch or call
        return self.values

    def put_back(self):
        """Gives each variable its newest value, from the last finished step or from before it."""
        self.model.jax_state_sync()
        for name, values in zip(self.parts, self.values, strict=True):
            for variable, value in zip(PARTS[name](self.model), values, strict=False):
                if _is_lost(variable._value) and not _is_lost(value):
                    variable.assign(value)
        self.model._jax_state, self.model._jax_state_synced = None, True


def _is_lost(value):
    return value is None or (hasattr(value, "is_deleted") and value.is_deleted())


# --- Errors --------------------------------------------------------------------------------------

# Errors of an image reader, which libraries pass on as text inside their own errors.
RAISED = {"ValueError": ValueError, "FileNotFoundError": FileNotFoundError}
OURS = f"{os.sep}keras_vit{os.sep}"
FROM_TENSORFLOW = re.compile(r"(ValueError|FileNotFoundError): (.*?)\n+Traceback ", re.DOTALL)
FROM_TORCH = re.compile(r"\n(ValueError|FileNotFoundError): (.*)\s*\Z", re.DOTALL)


@contextlib.contextmanager
def plain_errors(watches=()):
    """Raises an error of this package's readers or of a `Watch` without the errors around it.

    Other errors pass unchanged.
    """
    try:
        yield
    except Exception as error:
        failures = [watch.failure for watch in watches if watch.failure is not None]
        plain = failures[0] if failures else _unwrap(error)
        if plain is None or plain is error:
            raise
        raise plain from None


def _unwrap(error):
    """Returns the reader's own error inside an error of TensorFlow or PyTorch, or None."""
    text, found = str(error), None
    if type(error).__module__.startswith("tensorflow"):
        found = FROM_TENSORFLOW.search(text)
    elif type(error).__name__ in RAISED and text.startswith("Caught "):
        found = FROM_TORCH.search(text)
    return RAISED[found[1]](found[2].strip()) if found and OURS in text else None
