"""The base class of all models: pixels in, logits out."""

import keras
from keras import layers

from keras_vit import arguments, inner
from keras_vit.guards import Guarded
from keras_vit.guards.changes import apply, changes, settings

# Arguments of version 0.1 that are now classes or methods, with their default values.
FORMER = {
    "resnet_units": (None,),
    "position_embedding": ("1d",),
    "position_placement": ("stem",),
    "attention": (None, "full"),
    "head_bias": (0.0,),
}


def unique_name(word):
    """Returns a name that is unique in this session, as Keras names its layers."""
    count = keras.backend.get_uid(word)
    return word if count == 1 else f"{word}_{count - 1}"


class ImageModel(Guarded, arguments.Checked, inner.Graph, keras.Model):
    """A functional model of images that keeps its constructor arguments.

    It checks images and labels before `fit`, `evaluate` and `predict` begin, and a call that fails
    leaves the weights of the last completed step (see `keras_vit.guards`).

    `class_names`, names of the classes in the order of the logits, may be set at any time and are
    saved with the model; None if they are unknown. `fit` sets them if it trains on a dataset of
    `keras_vit.data.load`; set them yourself after training on other data.

    The `__init__` of a subclass calls `self.keep(locals())`, builds its graph, and then calls
    `super().__init__`.

    Args:
        images: the graph's input.
        outputs: the graph's output.
        **kwargs: `name`, `trainable`.

    Raises:
        ValueError: an argument or a name of a class cannot be used; images or labels do not fit.
    """

    def __new__(cls, *args, **kwargs):
        """Makes a model; from a graph that `clone_model` has copied, a plain `keras.Model`."""
        if args and keras.backend.is_keras_tensor(args[0]):
            return keras.Model(*args, **kwargs)
        return super().__new__(cls, *args, **kwargs)

    def __init__(self, images, outputs, **kwargs):
        super().__init__(inputs=images, outputs=outputs, **kwargs)
        self.dtype_policy = self.policy
        self.made = settings(self)

    def keep(self, values):
        """Checks the arguments in `values` and sets them as attributes."""
        super().keep(values)
        if "dtype" in values:  # a subclass with further arguments keeps these before the others
            self.policy = keras.dtype_policies.get(values["dtype"] or keras.config.dtype_policy())
        if values.get("normalize") is not None:
            pair, channels = self.normalize, self.num_channels
            self.normalize = arguments.mean_and_deviation(pair, channels)

    @property
    def class_names(self):
        """Names of the classes in the order of the logits; None if they are unknown."""
        return getattr(self, "_class_names", None)

    @class_names.setter
    def class_names(self, names):
        given, count = () if names is None else tuple(names), self.num_classes or 0
        is_text = not isinstance(names, str) and all(isinstance(name, str) for name in given)
        if given and (len(given) != count or not is_text):
            want = f"`class_names` must be a list with a name for each of {count} classes"
            received = {"type": type(names).__name__, "names": len(given), "first": given[:3]}
            arguments.refuse(want, received, "Pass them in the order of the logits.")
        self._class_names = tuple(map(str, given)) or None

    def get_config(self):
        """Returns the arguments and later changes; Keras would add the graph."""
        kept = {name: getattr(self, name) for name in self.argument_names}
        kept |= {"class_names": list(self.class_names)} if self.class_names else {}
        return {**layers.Layer.get_config(self), **kept, **changes(self, self.made)}

    @classmethod
    def from_config(cls, config):
        """Makes a model from the result of `get_config`, including that of version 0.1."""
        config = dict(config)
        changed = {name: config.pop(name) for name in ("frozen", "changed") if name in config}
        class_names = config.pop("class_names", None)
        for name, defaults in FORMER.items():
            if name in config and name not in cls.checks:
                value = config.pop(name)
                kept = name == "head_bias" and value is not None  # it is part of the weights
                if not kept and value not in defaults:
                    kind = arguments.with_article(cls.__name__)
                    want = f"{kind} has no argument `{name}` since version 0.2"
                    advice = "Build the model with the class for it (see CHANGELOG.md), then read "
                    advice += "the file's weights with model.load_weights(path)."
                    arguments.refuse(want, {name: value}, advice)
        model = cls(**config)
        apply(model, **changed)
        model.class_names = class_names
        return model

    def part(self, kind, *args, **kwargs):
        """Makes a layer that computes in the dtype of the model."""
        return kind(*args, dtype=self.policy, **kwargs)

    def __call__(self, images, *args, **kwargs):
        if hasattr(images, "shape"):
            arguments.images(images.shape, self.input_shape)
        if keras.backend.is_keras_tensor(images):
            self.get_layer("normalization").check_before(images)
        return super().__call__(images, *args, **kwargs)
