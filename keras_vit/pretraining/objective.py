"""What all objectives share: a part of each image is hidden, predicted, and compared."""

import contextlib
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_vit import arguments
from keras_vit.guards import Guarded, keeping_weights
from keras_vit.guards.calls import named
from keras_vit.pretraining import encoder as parts
from keras_vit.pretraining import targets
from keras_vit.pretraining.ranges import check_range

GREY = 128.0  # of what is hidden, in the images


class Reconstruction(NamedTuple):
    """What a model made of images, all as arrays.

    `masked` are the images with what was hidden in grey, `predicted` those with the prediction
    in its place, both (batch, height, width, channels) with pixels 0 to 255 in float32; `mask` is
    True where a patch was hidden, bool (batch, rows, columns).
    """

    masked: np.ndarray
    predicted: np.ndarray
    mask: np.ndarray


class Objective(Guarded, keras.Model):
    """A model that trains an encoder without labels; the objectives are its subclasses.

    A subclass has `solve`, which hides and predicts; `truth`, what was hidden; `error`, a loss of
    Keras that compares them; and `shown`, which makes pixels of a prediction. The training loss
    is the mean of `error` over what was hidden.

    Args:
        encoder: a `ViT`, whose weights are trained where they are.
        seed: of what is hidden.
        **kwargs: `name`.
    """

    argument_names = ()  # of the subclass: its attributes and its saved configuration

    def __init__(self, encoder, seed=0, **kwargs):
        super().__init__(dtype="float32", **kwargs)  # pixels come whole; layers have their own
        self.encoder = parts.checked(encoder)
        self.seed = arguments.natural_number("seed", seed)
        self.random = keras.random.SeedGenerator(self.seed)

    @property
    def input_shape(self):
        """(None, height, width, channels), as the encoder's."""
        return self.encoder.input_shape

    @property
    def normalize(self):
        """How the encoder normalises pixels."""
        return self.encoder.normalize

    @property
    def num_classes(self):
        """None: labels are not looked at."""
        return None

    # Pooling and head get no gradient: an optimizer would warn of them, or let them decay.
    @property
    def trainable_variables(self):
        """As Keras has it, without the encoder's pooling and head."""
        return self._used(super().trainable_variables)

    @property
    def trainable_weights(self):
        """As Keras has it, without the encoder's pooling and head."""
        return self._used(super().trainable_weights)

    def _used(self, variables):
        unused = {id(weight) for weight in parts.unused(self.encoder)}
        return [variable for variable in variables if id(variable) not in unused]

    def __call__(self, images, *args, **kwargs):  # noqa: D102
        if hasattr(images, "shape"):
            arguments.images(images.shape, self.input_shape)
        return super().__call__(images, *args, **kwargs)

    def call(self, images, training=None):  # noqa: D102
        return self.solve(images, self.random)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Returns the mean of `error` over what was hidden; labels are ignored."""
        truth, prediction = self.truth(x), y_pred["prediction"]
        weights = ops.cast(y_pred["mask"], "float32")  # (B, N)
        if len(prediction.shape) == 4:  # several predictions for each patch
            weights = ops.repeat(weights[..., None], prediction.shape[2], axis=2)
        return self.error(truth, prediction, sample_weight=weights)

    def checked_call(self, name, args, kwargs):  # noqa: D102
        given = named(name, args, kwargs)
        if self.compiled and self.loss is not None:
            want = "a pre-training objective has its own loss"
            arguments.refuse(want, {"loss": self.loss}, "Use model.compile(optimizer) alone.")
        given["x"] = check_range(given.get("x"))
        return super().checked_call(name, (), given)

    def reconstruct(self, images, seed=0):
        """Hides a part of each image and fills it by the model's prediction.

        Args:
            images: array (batch, height, width, channels), pixels 0 to 255.
            seed: of what is hidden. Training's own generator is left where it is.

        Returns:
            A `Reconstruction`.

        Raises:
            ValueError: images have another shape than the model, or other pixels.
        """
        images = self._checked_images(images)
        with self.seeded(seed):
            found = self.predict_on_batch(images)
        predicted = ops.convert_to_numpy(self.shown(found["prediction"], images))
        return self._reconstruction(images, found["mask"], predicted)

    @contextlib.contextmanager
    def seeded(self, seed):
        """Within it, what is hidden follows `seed`; training's own generator is left as it was."""
        with keeping_weights(self):  # in the midst of `fit` on JAX, variables have no values
            state = np.array(ops.convert_to_numpy(self.random.state))
            self.random.state.assign(keras.random.SeedGenerator(seed).state)
            try:
                yield
            finally:
                self.random.state.assign(state)

    def _checked_images(self, images):
        images = np.asarray(images, "float32")
        arguments.images(images.shape, self.input_shape)
        return check_range(images)

    def _reconstruction(self, images, mask, predicted):
        """Puts `predicted`, pixels of patches (batch, N, PPC), into the images."""
        rows, columns = parts.grid(self.encoder)
        whole = ops.convert_to_numpy(parts.patches(self.encoder, images))  # (B, N, PPC)
        seen = [np.where(mask[..., None], shown, whole) for shown in (GREY, predicted)]
        masked, filled = (
            targets.to_images(x.astype("float32"), (rows, columns), self.encoder.patch_size)
            for x in seen
        )
        return Reconstruction(masked, filled, mask.reshape(-1, rows, columns))

    def get_config(self):  # noqa: D102
        encoder = keras.saving.serialize_keras_object(self.encoder)
        config = {"name": self.name, "encoder": encoder, "seed": self.seed}
        return {**config, **{name: getattr(self, name) for name in self.argument_names}}

    @classmethod
    def from_config(cls, config):
        """Makes the model and its encoder from what `get_config` returned."""
        encoder = keras.saving.deserialize_keras_object(config["encoder"])
        return cls(**{**config, "encoder": encoder})


def pixels(encoder, normalized):
    """Undoes the encoder's normalisation: patches (batch, N, PPC) in pixels 0 to 255."""
    normalized = ops.convert_to_numpy(normalized)
    if encoder.normalize is None:
        return normalized
    mean, deviation = encoder.normalize
    x = normalized.reshape(*normalized.shape[:2], -1, encoder.num_channels)
    return (x * np.asarray(deviation) + np.asarray(mean)).reshape(normalized.shape)
