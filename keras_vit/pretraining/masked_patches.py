"""Masked patch prediction: section 4.6 and Appendix B.1.2 of the paper."""

import math

import keras
from keras import initializers, layers, losses, ops

from keras_vit import arguments
from keras_vit.pretraining import encoder as parts
from keras_vit.pretraining import masks, targets
from keras_vit.pretraining.objective import Objective, pixels

# What becomes of a patch: it is left alone, or corrupted in one of three ways
LEFT, MASK_TOKEN, OTHER_PATCH, KEPT = range(4)
SHARES = {MASK_TOKEN: 0.8, OTHER_PATCH: 0.1, KEPT: 0.1}
# target: function of patches in pixels, predictions for each patch
COLORS = {"mean-color": (targets.mean_color, 1), "downsized": (targets.downsized, targets.SIDE**2)}


@keras.saving.register_keras_serializable(package="keras_vit")
class MaskedPatchPrediction(Objective):
    """Predicts the colours of corrupted patches, as BERT does words: Appendix B.1.2.

    Of half of the patches the embeddings are replaced by a learned [mask] embedding (80 % of
    them), by that of another patch of the image (10 %), or kept (10 %). From the encoder's
    output a linear layer predicts the colour of each corrupted patch.

    Args:
        encoder: a `ViT`, whose weights are trained where they are.
        target: "mean-color", the mean colour with 3 bits for each channel (512 classes of RGB);
            "downsized", the patch made 4 x 4 with such colours, 16 predictions in parallel;
            "pixels", all pixels as the encoder normalises them, by squared error (L2).
        corrupt: share of the patches that are corrupted; the paper also tried 0.15.
        seed: of the corruption.

    Call arguments:
        images: (batch, height, width, channels), pixels 0 to 255.

    Returns:
        {"prediction": logits (batch, N, predictions, colours) or pixels (batch, N, P * P *
        channels), "mask": bool (batch, N), True where a patch was corrupted}.

    Raises:
        ValueError: the encoder is no ViT of pixels, or an argument cannot be used.

    Example:
    >>> encoder = keras_vit.create("ViT-Mini/8", image_size=32, num_classes=None)
    >>> model = keras_vit.pretraining.MaskedPatchPrediction(encoder)
    >>> model.compile("adam")
    >>> images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), "uint8")
    >>> history = model.fit(images, verbose=0)
    >>> classifier = keras_vit.pretraining.classifier(encoder, num_classes=10)

    Reference: section 4.6, Appendix B.1.2
    """

    argument_names = ("target", "corrupt")

    def __init__(self, encoder, target="mean-color", corrupt=0.5, seed=0, **kwargs):
        super().__init__(encoder, seed, **kwargs)
        self.target = arguments.one_of(*COLORS, "pixels")("target", target)
        self.corrupt = masks.share("corrupt", corrupt)
        self.number = masks.hidden("corrupt", corrupt, parts.count(encoder))
        if target == "downsized":
            targets.divisible_by_4(encoder.patch_size)
        self.head = layers.Dense(math.prod(self._answer), name="head", dtype="float32")
        self.error = error(target)
        self.build(self.input_shape)

    @property
    def _answer(self):
        """Shape of the prediction for one patch."""
        if self.target == "pixels":
            return (parts.patch_length(self.encoder),)
        return COLORS[self.target][1], targets.colors(self.encoder.num_channels)

    def build(self, input_shape):  # noqa: D102
        dim = self.encoder.hidden_dim
        normal = initializers.RandomNormal(stddev=0.02)
        self.mask_token = self.add_weight((1, 1, dim), normal, name="mask_token")
        self.head.build((None, None, dim))

    def solve(self, images, random):
        """Returns what `call` does, corrupting by a `keras.random.SeedGenerator`."""
        x = parts.embedded(self.encoder, images)  # (B, N, D)
        fate, others = corruption(random, ops.shape(x)[0], x.shape[1], self.number)
        x = corrupted(x, fate, others, self.mask_token)
        x = parts.encoded(self.encoder, parts.placed(self.encoder, x))  # (B, N + 1, D)
        x = self.head(x[:, self.encoder.prefix_tokens :])
        prediction = ops.reshape(x, (-1, x.shape[1], *self._answer))
        return {"prediction": prediction, "mask": fate != LEFT}

    def truth(self, images):
        """Returns the classes (batch, N, predictions) or normalised pixels (batch, N, PPC)."""
        if self.target == "pixels":
            return parts.normalized_patches(self.encoder, images)
        classes, _ = COLORS[self.target]
        patches = parts.patches(self.encoder, images)
        return classes(patches, self.encoder.patch_size, self.encoder.num_channels)

    def shown(self, prediction, images):
        """Returns pixels of patches, (batch, N, PPC): of colours the most probable ones."""
        if self.target == "pixels":
            return pixels(self.encoder, prediction)
        classes = ops.convert_to_numpy(ops.argmax(prediction, axis=-1))  # (B, N, predictions)
        colors = targets.color_of(classes, self.encoder.num_channels)
        return enlarged(colors, self.encoder.patch_size)


def corruption(random, batch, patches, number):
    """Draws what becomes of each patch: Appendix B.1.2.

    Args:
        random: a `keras.random.SeedGenerator`.
        batch: number of images.
        patches: N.
        number: how many patches of each image are corrupted.

    Returns:
        (fate, others), integers (batch, N): `LEFT`, `MASK_TOKEN`, `OTHER_PATCH` or `KEPT`, and the
        number of another patch of the image, any but itself.
    """
    kind = keras.random.uniform((batch, patches), seed=random)
    replaced, swapped = SHARES[MASK_TOKEN], SHARES[MASK_TOKEN] + SHARES[OTHER_PATCH]
    fate = ops.where(kind < replaced, MASK_TOKEN, ops.where(kind < swapped, OTHER_PATCH, KEPT))
    fate = ops.where(masks.random_mask(random, batch, patches, number), fate, LEFT)
    steps = keras.random.randint((batch, patches), 1, patches, seed=random)
    return fate, (ops.arange(patches) + steps) % patches


def corrupted(embeddings, fate, others, mask_token):
    """Returns embeddings (batch, N, D) after their `fate`."""
    swapped = (fate == OTHER_PATCH)[..., None]  # (B, N, 1)
    x = ops.where(swapped, masks.taken(embeddings, others), embeddings)
    return masks.covered(x, fate == MASK_TOKEN, mask_token)


def error(target):
    """Returns the loss of a target, averaged over what is weighted with 1."""
    if target == "pixels":
        return losses.MeanSquaredError(reduction="mean_with_sample_weight")
    return losses.SparseCategoricalCrossentropy(
        from_logits=True, reduction="mean_with_sample_weight"
    )


def enlarged(colors, patch_size):
    """Returns patches (batch, N, PPC) of 1 or 4 x 4 colours each, (batch, N, 1 or 16, channels)."""
    batch, patches, number, channels = colors.shape
    side = math.isqrt(number)
    x = colors.reshape(batch, patches, side, side, channels)
    x = x.repeat(patch_size[0] // side, axis=2).repeat(patch_size[1] // side, axis=3)
    return x.reshape(batch, patches, -1)  # (B, N, PPC)
