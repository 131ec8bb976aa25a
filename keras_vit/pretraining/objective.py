"""Base class of all objectives: some patches of each image are hidden, predicted and compared."""

import contextlib
from typing import NamedTuple

import keras
import numpy as np
from keras import initializers, ops

from keras_vit import arguments, figures, resizing
from keras_vit.guards import Guarded, image_checks, keeping_weights, streams
from keras_vit.guards.calls import bind_arguments
from keras_vit.guards.labels import as_numpy
from keras_vit.pixel_range import LARGEST_SCALED
from keras_vit.pretraining import patch_targets
from keras_vit.pretraining import vit_stages as stages

GREY = 128.0  # pixels of hidden patches
MOST = 8  # images side by side in a plot


class Reconstruction(NamedTuple):
    """A model's reconstruction of images, as arrays.

    `masked` has the images with hidden patches in gray, float32 (batch, height, width, channels),
    pixels 0 to 255; `predicted` has the predictions in their place; `mask` is True for hidden
    patches, bool (batch, rows, columns).
    """

    masked: np.ndarray
    predicted: np.ndarray
    mask: np.ndarray


class Objective(Guarded, arguments.Checked, keras.Model):
    """A model that trains an encoder without labels; base class of the objectives.

    A subclass implements `call`, which hides and predicts; `head`, its last layer; `error`, a
    Keras loss; and, unless it predicts normalized pixels, `truth`, the targets, and `render`, which
    converts predictions to pixels. The training loss is the mean of `error` over hidden patches,
    plus regularization and other losses of the layers.

    Args:
        encoder: a `ViT`, whose weights are trained in place.
        seed: seed of the choice of hidden patches.
        **kwargs: `name`.

    Call arguments:
        images: (batch, height, width, channels), pixels 0 to 255.

    Returns:
        {"prediction": (batch, N, ...), "mask": bool (batch, N), True for hidden patches}.

    Raises:
        ValueError: the encoder is not such a `ViT`, `seed` is negative, or images do not fit.
    """

    num_classes = None  # labels are not used
    has_mask_token = True  # learned, in place of the embeddings of hidden patches

    def __init__(self, encoder, seed=0, **kwargs):
        super().__init__(dtype="float32", **kwargs)  # the dtype of pixels; layers have their own
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
    def trainable_variables(self):
        """All of them except pooling and head, which an optimizer would warn about or decay."""
        return self._select_used(super().trainable_variables)

    @property
    def trainable_weights(self):
        """See `trainable_variables`."""
        return self._select_used(super().trainable_weights)

    def _select_used(self, variables):
        unused = {id(weight) for weight in stages.find_unused_weights(self.encoder)}
        return [variable for variable in variables if id(variable) not in unused]

    def build(self, input_shape):  # noqa: D102
        dim = self.encoder.hidden_dim
        if self.has_mask_token:
            normal = initializers.RandomNormal(stddev=0.02)
            self.mask_token = self.add_weight((1, 1, dim), normal, name="mask_token")
        self.head.build((None, None, dim))

    def __call__(self, images, *args, **kwargs):  # noqa: D102
        if hasattr(images, "shape"):
            arguments.images(images.shape, self.input_shape)
        return super().__call__(images, *args, **kwargs)

    def truth(self, images):
        """Returns the targets, by default normalized pixels of patches (batch, N, PPC)."""
        return stages.cut_normalized_patches(self.encoder, images)

    def render(self, prediction, images):
        """Returns pixels of patches, (batch, N, PPC), of a prediction."""
        prediction = ops.convert_to_numpy(prediction)
        if self.normalize is None:
            return prediction
        mean, deviation = self.normalize
        x = prediction.reshape(*prediction.shape[:2], -1, self.encoder.num_channels)
        return (x * np.asarray(deviation) + np.asarray(mean)).reshape(prediction.shape)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Returns the mean of `error` over hidden patches, plus what layers and weights add to it.

        Labels are ignored.
        """
        prediction = y_pred["prediction"]
        weights = ops.cast(y_pred["mask"], "float32")  # (B, N)
        if len(prediction.shape) == 4:  # several predictions for each patch
            weights = ops.repeat(weights[..., None], prediction.shape[2], axis=2)
        loss = self.error(self.truth(x), prediction, sample_weight=weights)
        return sum((ops.sum(ops.cast(more, loss.dtype)) for more in self.losses), loss)

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
            seed: seed of the choice of hidden patches. The generator used in training is not
                changed.

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
        """Fixes the seed of hidden patches within the `with` block; training is not affected."""
        with keeping_weights(self):  # during `fit` on JAX, variables have no values
            state = np.array(ops.convert_to_numpy(self.random.state))
            fixed = ops.convert_to_numpy(keras.random.SeedGenerator(seed).state)
            self.random.state.assign(fixed)  # a copy: JAX variables would share an array
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
        grid, patch_size = stages.grid(self.encoder), self.encoder.patch_size
        whole = ops.convert_to_numpy(stages.cut_patches(self.encoder, images))  # (B, N, PPC)
        masked, filled = (
            np.where(mask[..., None], pixels, whole).astype("float32")
            for pixels in (GREY, predicted)
        )
        return Reconstruction(
            patch_targets.to_images(masked, grid, patch_size),
            patch_targets.to_images(filled, grid, patch_size),
            mask.reshape(-1, *grid),
        )

    def get_config(self):  # noqa: D102
        encoder = keras.saving.serialize_keras_object(self.encoder)
        config = {"name": self.name, "encoder": encoder, "seed": self.seed}
        return {**config, **{name: getattr(self, name) for name in self.argument_names}}

    @classmethod
    def from_config(cls, config):
        """Creates the model and its encoder from the result of `get_config`."""
        encoder = keras.saving.deserialize_keras_object(config["encoder"])
        return cls(**{**config, "encoder": encoder})


def plot_reconstruction(images, found, names=None):
    """Plots images, the images with hidden patches, and the prediction, in three rows.

    Args:
        images: (batch, height, width, channels), pixels 0 to 255; the first 8 are plotted.
        found: the `Reconstruction` that an objective's `reconstruct` returns for the images.
        names: titles of the images.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: the reconstruction is not of these images.

    Example:
    >>> encoder = keras_vit.create("ViT-Mini/8", image_size=32, num_classes=None)
    >>> model = keras_vit.pretraining.SimMIM(encoder)
    >>> images = np.full((2, 32, 32, 3), 99.0)
    >>> figure = keras_vit.pretraining.plot_reconstruction(images, model.reconstruct(images))
    """
    images = np.asarray(images)
    if images.shape != found.masked.shape:
        received = {"images shape": images.shape, "reconstruction shape": found.masked.shape}
        arguments.refuse("there must be a reconstruction for each image", received)
    count = min(len(images), MOST)
    cell = 6 / max(count, 4)
    height = 0.3 + 3 * cell * images.shape[1] / images.shape[2]
    figure = figures.figure(0.3 + count * cell, height, dpi=140)
    cells = figure.subplots(3, count, squeeze=False)
    rows = {"original": images, "hidden": found.masked, "predicted": found.predicted}
    for axes_row, (title, shown) in zip(cells, rows.items(), strict=True):
        axes_row[0].set_ylabel(title, fontsize=8)
        for axes, image in zip(axes_row, shown, strict=False):
            figures.show(axes, image)
    for axes, name in zip(cells[0], names or (), strict=False):
        axes.set_title(figures.short_name(str(name), 12), fontsize=8)
    return figure


def check_range(x):
    """Checks the first images of `x`, the input of `fit`, and returns `x`.

    Raises:
        ValueError: pixels are outside 0 to 255, or seem to be scaled already: the model would learn
            wrong colors without an error.
    """
    if streams.kind(x) is None:
        images = image_checks.get_single(x) if x is not None else None
    elif hasattr(x, "sampler"):  # `keras_vit.data` is always 0 to 255; reading would advance it
        images = None
    else:
        first, x = streams.first_batch(x)
        images = None if first is None else streams.unpack(first)[0]
    if not hasattr(images, "shape") or not len(images):
        return x
    pixels = as_numpy(images[: image_checks.SAMPLE])
    low, high = float(pixels.min()), float(pixels.max())
    scaled = pixels.dtype.kind == "f" and low < high <= LARGEST_SCALED
    if low < 0 or high > 255 or scaled:
        received = {"lowest": round(low, 4), "highest": round(high, 4)}
        advice = "Undo the scaling: 255 * images for 0 to 1, 127.5 * (images + 1) for -1 to 1."
        arguments.refuse("pixels must be 0 to 255 for pre-training", received, advice)
    return x


# --- After pre-training ---------------------------------------------------------------------------


def build_classifier(encoder, num_classes, **overrides):
    """Builds a new ViT with an encoder's weights and a head of zeros, to be fine-tuned.

    If the size of images or patches changes, the weights are resized as `keras_vit.resize` does.

    Args:
        encoder: a `ViT`, which is not changed.
        num_classes: length of the logits; None for no head.
        **overrides: arguments of `ViT` that change: `image_size`, `pooling`, `dropout`,
            `stochastic_depth`, ...

    Returns:
        A model of the encoder's class.

    Raises:
        ValueError: an argument needs weights that the encoder does not have.

    Example:
    >>> encoder = keras_vit.create("ViT-Mini/8", image_size=32, num_classes=None)
    >>> model = keras_vit.pretraining.build_classifier(encoder, num_classes=10, image_size=48)
    >>> tuple(model(np.zeros((2, 48, 48, 3))).shape)
    (2, 10)

    Reference: section 3.2
    """
    new = {"num_classes": num_classes, "representation_size": None, **overrides}
    return resizing.rebuild(stages.check(encoder), forget=("head/",), **new)
