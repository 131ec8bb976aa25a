"""What all objectives share: some patches of each image are hidden, predicted and compared."""

import contextlib
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_vit import arguments
from keras_vit.guards import Guarded, image_checks, keeping_weights, streams
from keras_vit.guards.calls import bind_arguments
from keras_vit.guards.labels import as_numpy
from keras_vit.pixel_range import LARGEST_SCALED
from keras_vit.pretraining import patch_targets
from keras_vit.pretraining import vit_stages as stages

GREY = 128.0  # pixels of hidden patches


class Reconstruction(NamedTuple):
    """What a model reconstructs of images, as arrays.

    Attributes:
        masked: the images with hidden patches in gray, float32 (batch, height, width, channels),
            pixels 0 to 255.
        predicted: the images with predictions in the hidden patches, like `masked`.
        mask: bool (batch, rows, columns), True for hidden patches.
    """

    masked: np.ndarray
    predicted: np.ndarray
    mask: np.ndarray


class Objective(Guarded, keras.Model):
    """A model that trains an encoder without labels; base class of the objectives.

    A subclass implements `solve`, which hides and predicts; `truth`, the targets; `error`, a Keras
    loss that compares them; and `render`, which converts predictions to pixels. The training loss
    is the mean of `error` over the hidden patches.

    Args:
        encoder: a `ViT`, whose weights are trained in place.
        seed: seed of what is hidden.
        **kwargs: `name`.
    """

    argument_names = ()  # arguments of the subclass, saved in its configuration

    def __init__(self, encoder, seed=0, **kwargs):
        super().__init__(dtype="float32", **kwargs)  # for the pixels; layers have their own dtype
        self.encoder = stages.check(encoder)
        self.seed = arguments.natural_number("seed", seed)
        self.random = keras.random.SeedGenerator(self.seed)

    @property
    def input_shape(self):
        """The encoder's input shape, (None, height, width, channels)."""
        return self.encoder.input_shape

    @property
    def normalize(self):
        """The encoder's normalization of pixels."""
        return self.encoder.normalize

    @property
    def num_classes(self):
        """None, because labels are not used."""
        return None

    # Pooling and head get no gradient: an optimizer would warn about them, or decay them.
    @property
    def trainable_variables(self):
        """The trainable variables, without the encoder's pooling and head."""
        return self._select_used(super().trainable_variables)

    @property
    def trainable_weights(self):
        """The trainable weights, without the encoder's pooling and head."""
        return self._select_used(super().trainable_weights)

    def _select_used(self, variables):
        unused = {id(weight) for weight in stages.find_unused_weights(self.encoder)}
        return [variable for variable in variables if id(variable) not in unused]

    def __call__(self, images, *args, **kwargs):  # noqa: D102
        if hasattr(images, "shape"):
            arguments.images(images.shape, self.input_shape)
        return super().__call__(images, *args, **kwargs)

    def call(self, images, training=None):  # noqa: D102
        return self.solve(images, self.random)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Returns the mean of `error` over hidden patches; labels are ignored."""
        truth, prediction = self.truth(x), y_pred["prediction"]
        weights = ops.cast(y_pred["mask"], "float32")  # (B, N)
        if len(prediction.shape) == 4:  # several predictions for each patch
            weights = ops.repeat(weights[..., None], prediction.shape[2], axis=2)
        return self.error(truth, prediction, sample_weight=weights)

    def checked_call(self, name, args, kwargs):  # noqa: D102
        given = bind_arguments(name, args, kwargs)
        if self.compiled and self.loss is not None:
            want = "`loss` must be left out: a pre-training objective has its own"
            arguments.refuse(want, {"loss": self.loss}, "Call model.compile(optimizer).")
        given["x"] = check_range(given.get("x"))
        return super().checked_call(name, (), given)

    def reconstruct(self, images, seed=0):
        """Hides patches of each image and fills them with the model's prediction.

        Args:
            images: array (batch, height, width, channels), pixels 0 to 255.
            seed: seed of what is hidden. The generator used in training is not changed.

        Returns:
            A `Reconstruction`.

        Raises:
            ValueError: the images do not have the model's input shape, or pixels are not 0 to 255.
        """
        images = self._check_images(images)
        with self.fix_seed(seed):
            outputs = self.predict_on_batch(images)
        predicted = ops.convert_to_numpy(self.render(outputs["prediction"], images))
        return self._assemble(images, outputs["mask"], predicted)

    @contextlib.contextmanager
    def fix_seed(self, seed):
        """Fixes the seed of what is hidden within the `with` block; training is not affected."""
        with keeping_weights(self):  # during `fit` on JAX, variables have no values
            state = np.array(ops.convert_to_numpy(self.random.state))
            self.random.state.assign(keras.random.SeedGenerator(seed).state)
            try:
                yield
            finally:
                self.random.state.assign(state)

    def _check_images(self, images):
        images = np.asarray(images, "float32")
        arguments.images(images.shape, self.input_shape)
        return check_range(images)

    def _assemble(self, images, mask, predicted):
        """Inserts `predicted`, pixels of patches (batch, N, PPC), into the images."""
        rows, columns = stages.grid(self.encoder)
        whole = ops.convert_to_numpy(stages.cut_patches(self.encoder, images))  # (B, N, PPC)
        patches = [np.where(mask[..., None], fill, whole) for fill in (GREY, predicted)]
        masked, filled = (
            patch_targets.to_images(x.astype("float32"), (rows, columns), self.encoder.patch_size)
            for x in patches
        )
        return Reconstruction(masked, filled, mask.reshape(-1, rows, columns))

    def get_config(self):  # noqa: D102
        encoder = keras.saving.serialize_keras_object(self.encoder)
        config = {"name": self.name, "encoder": encoder, "seed": self.seed}
        return {**config, **{name: getattr(self, name) for name in self.argument_names}}

    @classmethod
    def from_config(cls, config):
        """Creates the model and its encoder from the result of `get_config`."""
        encoder = keras.saving.deserialize_keras_object(config["encoder"])
        return cls(**{**config, "encoder": encoder})


def denormalize(encoder, normalized):
    """Reverts the encoder's normalization: patches (batch, N, PPC) in pixels 0 to 255."""
    normalized = ops.convert_to_numpy(normalized)
    if encoder.normalize is None:
        return normalized
    mean, deviation = encoder.normalize
    x = normalized.reshape(*normalized.shape[:2], -1, encoder.num_channels)
    return (x * np.asarray(deviation) + np.asarray(mean)).reshape(normalized.shape)


def check_range(x):
    """Checks the first images of `x`, the input of `fit`, and returns `x`.

    Raises:
        ValueError: pixels are outside 0 to 255, or seem to be scaled already: the model would learn
            wrong colors without an error.
    """
    if streams.kind(x) is None:
        images = image_checks.get_single(x) if x is not None else None
    elif hasattr(x, "sampler"):  # of `keras_vit.data`, always 0 to 255; reading would advance it
        images = None
    else:
        first, x = streams.first_batch(x)
        images = None if first is None else streams.unpack(first)[0]
    if hasattr(images, "shape") and len(images):
        _check_pixels(as_numpy(images[: image_checks.SAMPLE]))
    return x


def _check_pixels(pixels):
    low, high = float(pixels.min()), float(pixels.max())
    scaled = pixels.dtype.kind == "f" and low < high <= LARGEST_SCALED
    if low < 0 or high > 255 or scaled:
        received = {"lowest": round(low, 4), "highest": round(high, 4)}
        advice = "Undo the scaling: 255 * images for 0 to 1, 127.5 * (images + 1) for -1 to 1."
        arguments.refuse("pixels must be 0 to 255 for pre-training", received, advice)
