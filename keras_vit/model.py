"""What every model here shares: pixels in at one end, logits out at the other."""

import functools

import keras
import numpy as np
from keras import initializers, layers

from keras_vit import arguments
from keras_vit.guards import guarded, keeping_weights


class PictureModel(keras.Model):
    """A functional model of pictures that keeps the arguments it was made with.

    Pictures and labels are checked before `fit`, `evaluate` and `predict` begin, and a call that
    fails leaves the weights of the last finished step (see `keras_vit.guards`).

    Args:
        images: the graph's input.
        outputs: the graph's output.
        config: the checked arguments of the model: its attributes and its saved configuration.
        policy: dtype policy of its layers.
    """

    def __init__(self, images, outputs, config, policy, **kwargs):
        super().__init__(inputs=images, outputs=outputs, **kwargs)
        self.dtype_policy = policy
        self.argument_names = tuple(config)
        for argument, value in config.items():
            setattr(self, argument, value)

    def __call__(self, images, *args, **kwargs):
        if hasattr(images, "shape"):
            arguments.images(images.shape, self.input_shape)
        return super().__call__(images, *args, **kwargs)

    @functools.wraps(keras.Model.fit)
    def fit(self, *args, **kwargs):
        with guarded(self, "fit", args, kwargs) as given:
            return super().fit(**given)

    @functools.wraps(keras.Model.evaluate)
    def evaluate(self, *args, **kwargs):
        with guarded(self, "evaluate", args, kwargs) as given:
            return super().evaluate(**given)

    @functools.wraps(keras.Model.predict)
    def predict(self, *args, **kwargs):
        with guarded(self, "predict", args, kwargs) as given:
            return super().predict(**given)

    @functools.wraps(keras.Model.train_on_batch)
    def train_on_batch(self, *args, **kwargs):
        with keeping_weights(self):
            return super().train_on_batch(*args, **kwargs)

    @functools.wraps(keras.Model.test_on_batch)
    def test_on_batch(self, *args, **kwargs):
        with keeping_weights(self):
            return super().test_on_batch(*args, **kwargs)

    @functools.wraps(keras.Model.predict_on_batch)
    def predict_on_batch(self, *args, **kwargs):
        with keeping_weights(self):
            return super().predict_on_batch(*args, **kwargs)

    def get_config(self):
        config = super().get_config()  # name, trainable, dtype
        return {**config, **{name: getattr(self, name) for name in self.argument_names}}


def checked(checks, values):
    """Returns `{name: value}` of a model's arguments, checked and in plain form."""
    config = arguments.checked(checks, values)
    if config["normalize"] is not None:
        pair, channels = config["normalize"], config["num_channels"]
        config["normalize"] = arguments.mean_and_deviation(pair, channels)
    return config


def dtype_policy(dtype):
    """Returns the policy that `dtype` names, Keras's global one for None."""
    return keras.dtype_policies.get(dtype or keras.config.dtype_policy())


def normalization(normalize):
    """(pixels - mean) / deviation in float32, whatever the model computes in, or nothing."""
    if normalize is None:
        return layers.Identity(name="normalization")
    mean, deviation = normalize
    # As (1, 1, C): a plain vector would follow Keras's global image format.
    scale = 1.0 / np.reshape(deviation, (1, 1, -1))
    offset = -np.reshape(mean, (1, 1, -1)) * scale
    return layers.Rescaling(scale.tolist(), offset.tolist(), name="normalization", dtype="float32")


def head(config, policy):
    """The linear layer of the logits, starting at zero: in a list, empty without classes."""
    if config["num_classes"] is None:
        return []
    logits = layers.Dense(
        config["num_classes"],
        kernel_initializer="zeros",
        use_bias=config["head_bias"] is not None,
        bias_initializer=initializers.Constant(config["head_bias"] or 0.0),
        name="head",
        dtype=keras.backend.result_type(policy.compute_dtype, "float32"),
    )
    return [logits]
