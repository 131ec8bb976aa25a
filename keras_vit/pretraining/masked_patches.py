"""Masked patch prediction: section 4.6 and Appendix B.1.2 of the paper."""

import math

import keras
from keras import layers, losses, ops

from keras_vit import arguments
from keras_vit.pretraining import patch_targets
from keras_vit.pretraining import vit_stages as stages
from keras_vit.pretraining.objective import Objective

# A patch is left unchanged, or corrupted in one of three ways.
LEFT, MASK_TOKEN, OTHER_PATCH, KEPT = range(4)
SHARES = {MASK_TOKEN: 0.8, OTHER_PATCH: 0.1, KEPT: 0.1}
# {target: (function of patches in pixels, number of predictions for each patch)}
COLORS = {
    "mean-color": (patch_targets.quantize_mean, 1),
    "downsized": (patch_targets.quantize_downsized, patch_targets.SIDE**2),
}


@keras.saving.register_keras_serializable(package="keras_vit")
class MaskedPatchPrediction(Objective):
    """Predicts the colors of corrupted patches, as BERT predicts words: Appendix B.1.2.

    The embeddings of half of the patches are replaced by a learned [mask] embedding (80 %), by the
    embedding of another patch of the image (10 %), or kept (10 %). A linear layer on the encoder's
    output predicts the color of each corrupted patch.

    Args:
        encoder: a `ViT`, whose weights are trained in place.
        target: "mean-color", the mean color with 3 bits per channel (512 classes for RGB);
            "downsized", the patch downsized to 4 x 4 such colors, 16 predictions in parallel;
            "pixels", all normalized pixels, with the squared error (L2).
        corrupt: fraction of the patches to corrupt; the paper also tried 0.15.
        seed: seed of the corruption.

    Returns:
        {"prediction": logits (batch, N, predictions, colors) or pixels (batch, N, P * P *
        channels), "mask": bool (batch, N), True for corrupted patches}.

    Raises:
        ValueError: the encoder is not a ViT on pixels, or an argument is invalid.

    Example:
    >>> encoder = keras_vit.create("ViT-Mini/8", image_size=32, num_classes=None)
    >>> model = keras_vit.pretraining.MaskedPatchPrediction(encoder)
    >>> model.compile("adam")
    >>> images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), "uint8")
    >>> history = model.fit(images, verbose=0)
    >>> classifier = keras_vit.pretraining.build_classifier(encoder, num_classes=10)

    Reference: section 4.6, Appendix B.1.2
    """

    def __init__(
        self,
        encoder,
        target: arguments.one_of(*COLORS, "pixels") = "mean-color",
        corrupt: stages.share = 0.5,
        seed=0,
        **kwargs,
    ):
        super().__init__(encoder, seed, **kwargs)
        self.keep(locals())
        self.number = stages.count_hidden("corrupt", corrupt, stages.count_patches(encoder))
        if target == "downsized":
            patch_targets.check_divisible_by_4(encoder.patch_size)
        if target == "pixels":
            self.answer = (stages.patch_length(encoder),)  # shape of the prediction for a patch
            self.error = losses.MeanSquaredError(reduction="mean_with_sample_weight")
        else:
            self.answer = COLORS[target][1], patch_targets.LEVELS**encoder.num_channels
            self.error = losses.SparseCategoricalCrossentropy(
                from_logits=True, reduction="mean_with_sample_weight"
            )
        self.head = layers.Dense(math.prod(self.answer), name="head", dtype="float32")
        self.build(self.input_shape)

    def call(self, images, training=None):  # noqa: D102
        x = stages.project(self.encoder, images)  # (B, N, D)
        fate, others = draw_corruption(self.random, ops.shape(x)[0], x.shape[1], self.number)
        x = corrupt_embeddings(x, fate, others, self.mask_token)
        x = self.head(stages.encode_patches(self.encoder, x))
        prediction = ops.reshape(x, (-1, x.shape[1], *self.answer))
        return {"prediction": prediction, "mask": fate != LEFT}

    def truth(self, images):
        """Returns the classes (batch, N, predictions) or normalized pixels (batch, N, PPC)."""
        if self.target == "pixels":
            return super().truth(images)
        classes, _ = COLORS[self.target]
        patches = stages.cut_patches(self.encoder, images)
        return classes(patches, self.encoder.patch_size, self.encoder.num_channels)

    def render(self, prediction, images):
        """Returns pixels of patches, (batch, N, PPC), with the most probable colors."""
        if self.target == "pixels":
            return super().render(prediction, images)
        classes = ops.convert_to_numpy(ops.argmax(prediction, axis=-1))  # (B, N, predictions)
        colors = patch_targets.to_color(classes, self.encoder.num_channels)
        return _enlarge(colors, self.encoder.patch_size)


def draw_corruption(random, batch, patches, number):
    """Draws the corruption of `number` patches of each image: Appendix B.1.2.

    Returns:
        (fate, others), integers (batch, N): `LEFT`, `MASK_TOKEN`, `OTHER_PATCH` or `KEPT`, and the
        number of a different patch of the image.
    """
    kind = keras.random.uniform((batch, patches), seed=random)
    replaced, swapped = SHARES[MASK_TOKEN], SHARES[MASK_TOKEN] + SHARES[OTHER_PATCH]
    fate = ops.where(kind < replaced, MASK_TOKEN, ops.where(kind < swapped, OTHER_PATCH, KEPT))
    fate = ops.where(stages.draw_mask(random, batch, patches, number), fate, LEFT)
    steps = keras.random.randint((batch, patches), 1, patches, seed=random)
    return fate, (ops.arange(patches) + steps) % patches


def corrupt_embeddings(embeddings, fate, others, mask_token):
    """Corrupts embeddings (batch, N, D) according to their `fate`."""
    swapped = (fate == OTHER_PATCH)[..., None]  # (B, N, 1)
    x = ops.where(swapped, stages.take(embeddings, others), embeddings)
    return stages.cover(x, fate == MASK_TOKEN, mask_token)


def _enlarge(colors, patch_size):
    """Enlarges 1 or 4 x 4 colors, (batch, N, 1 or 16, channels), to patches (batch, N, PPC)."""
    batch, patches, number, channels = colors.shape
    side = math.isqrt(number)
    x = colors.reshape(batch, patches, side, side, channels)
    x = x.repeat(patch_size[0] // side, axis=2).repeat(patch_size[1] // side, axis=3)
    return x.reshape(batch, patches, -1)  # (B, N, PPC)
