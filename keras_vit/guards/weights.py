"""A call of Keras that fails must leave a model that can be used, saved and trained on."""

import contextlib

import keras

# The parts of a model's state, in the order in which Keras on JAX hands them to a step.
PARTS = {
    "trainable_variables": lambda model: model.trainable_variables,
    "non_trainable_variables": lambda model: model.non_trainable_variables,
    "optimizer_variables": lambda model: model.optimizer.variables,
    "metrics_variables": lambda model: model.metrics_variables,
}


@contextlib.contextmanager
def keeping_weights(model):
    """Keeps the weights of a model through a failed `fit`, `evaluate` or `predict` on JAX.

    Keras on JAX takes the values out of a model's variables while its steps run. Where a call fails
    (an image that cannot be read, a wrong shape, Ctrl-C), it may not put them back, and all
    weights are lost. Inside this context every variable of the model, its optimizer and its metrics
    has a value again after any exception: that of the last step that was finished.

    `ViT` and `ResNet` do this by themselves. It is for other models, such as a `keras.Sequential`
    that has a ViT in it. TensorFlow and PyTorch leave weights where they are, so nothing is done
    there; TensorFlow may have counted the failed step (`optimizer.iterations`, seeds of dropout).

    Only a step that breaks off while the device computes it (out of memory) takes the weights with
    it: its inputs have been given away by then.

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
    model.jax_state_sync()  # a call in the middle of another one begins with its latest weights
    attributes = vars(model)
    outer = attributes.get("_get_jax_state")
    taken = _Taken(model)
    attributes["_get_jax_state"] = taken
    try:
        yield
    except BaseException:  # Ctrl-C too
        taken.put_back()
        raise
    finally:
        if outer is None:
            del attributes["_get_jax_state"]
        else:
            attributes["_get_jax_state"] = outer


class _Taken:
    """Stands in for the method by which Keras takes a model's values, and remembers them.

    They cost no memory: a step gives their buffers away, and what is left is an empty reference.
    """

    def __init__(self, model):
        self.model, self.take = model, model._get_jax_state
        self.parts, self.values = (), ()

    def __call__(self, **parts):
        self.values = self.take(**parts)
        self.parts = [name for name in PARTS if parts.get(name)]
        # What an earlier epoch or call has left there is older than these values.
        self.model._jax_state = None
        return self.values

    def put_back(self):
        """Gives each variable its newest value: of the last finished step, or from before it."""
        self.model.jax_state_sync()
        for name, values in zip(self.parts, self.values, strict=True):
            for variable, value in zip(PARTS[name](self.model), values, strict=False):
                if _is_lost(variable._value) and not _is_lost(value):
                    variable.assign(value)
        self.model._jax_state, self.model._jax_state_synced = None, True


def _is_lost(value):
    return value is None or (hasattr(value, "is_deleted") and value.is_deleted())
