"""What every model here shares: pixels in at one end, logits out at the other."""

import functools

import keras
from keras import layers

from keras_vit import arguments
from keras_vit.guards import guarded, keeping_weights

# Arguments of version 0.1 that are classes or methods now, and the values that meant the default.
FORMER = {
    "resnet_units": (None,),
    "position_embedding": ("1d",),
    "position_placement": ("stem",),
    "attention": (None, "full"),
    "head_bias": (0.0,),
}


class ImageModel(arguments.Checked, keras.Model):
    """A functional model of images that keeps the arguments it was made with.

    Images and labels are checked before `fit`, `evaluate` and `predict` begin, and a call that
    fails leaves the weights of the last finished step (see `keras_vit.guards`).

    A subclass first calls `self.keep(locals())` in its `__init__`, then builds its graph, then
    calls `super().__init__`.

    Args:
        images: the graph's input.
        outputs: the graph's output.
        **kwargs: `name`, `trainable`.
    """

    def __new__(cls, *args, **kwargs):
        """Makes a model; a plain one of a graph that `keras.models.clone_model` has copied."""
        if args and keras.backend.is_keras_tensor(args[0]):
            return keras.Model(*args, **kwargs)
        return super().__new__(cls, *args, **kwargs)

    def __init__(self, images, outputs, **kwargs):
        super().__init__(inputs=images, outputs=outputs, **kwargs)
        self.dtype_policy = self.policy

    def keep(self, values):
        """Checks the arguments that are in `values`, and sets them as attributes."""
        super().keep(values)
        if "dtype" in values:  # a subclass with further arguments keeps these before the others
            self.policy = keras.dtype_policies.get(values["dtype"] or keras.config.dtype_policy())
        if values.get("normalize") is not None:
            pair, channels = self.normalize, self.num_channels
            self.normalize = arguments.mean_and_deviation(pair, channels)

    def get_config(self):
        """Returns the arguments alone; Keras would add the graph where `__init__` has `*args`."""
        kept = {name: getattr(self, name) for name in self.argument_names}
        return {**layers.Layer.get_config(self), **kept}

    @classmethod
    def from_config(cls, config):
        """Makes a model of what `get_config` returned, in version 0.1 too."""
        config = dict(config)
        for name, defaults in FORMER.items():
            if name in config and name not in cls.checks:
                value = config.pop(name)
                changed = name != "head_bias" or value is None  # its value is in the weights
                if changed and value not in defaults:
                    want = f"a {cls.__name__} has no argument `{name}` since version 0.2"
                    advice = "Build the model with the class for it (see CHANGELOG.md), then read "
                    advice += "the file's weights with model.load_weights(path)."
                    arguments.refuse(want, {name: value}, advice)
        return cls(**config)

    def part(self, kind, *args, **kwargs):
        """Makes a layer of the model, which computes in the model's dtype."""
        return kind(*args, dtype=self.policy, **kwargs)

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
