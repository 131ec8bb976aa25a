"""SimMIM: Xie et al. 2021, https://arxiv.org/abs/2111.09886."""

import keras
from keras import initializers, layers, losses, ops

from keras_vit import arguments
from keras_vit.pretraining import encoder as parts
from keras_vit.pretraining import masks
from keras_vit.pretraining.objective import Objective, pixels


@keras.saving.register_keras_serializable(package="keras_vit")
class SimMIM(Objective):
    """Predicts the pixels of masked squares by one linear layer and the absolute error (L1).

    The embeddings of masked patches are replaced by a learned mask token, the encoder sees all
    tokens, and a linear layer predicts pixels as the encoder normalises them.

    Args:
        encoder: a `ViT`, whose weights are trained where they are.
        mask: share of the squares that is masked.
        mask_unit: side of a masked square in patches; it divides the grid of patches. The article
            masks 32 x 32 pixels: 2 patches of 16. Smaller masks are filled from their neighbours.
        seed: of the masks.

    Call arguments:
        images: (batch, height, width, channels), pixels 0 to 255.

    Returns:
        {"prediction": (batch, N, P * P * channels), "mask": bool (batch, N), True where a patch
        was masked}.

    Raises:
        ValueError: the encoder is no ViT of pixels, or an argument cannot be used.

    Example:
    >>> encoder = keras_vit.create("ViT-Mini/8", image_size=32, num_classes=None)
    >>> model = keras_vit.pretraining.SimMIM(encoder)
    >>> model.compile("adam")
    >>> images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), "uint8")
    >>> history = model.fit(images, verbose=0)

    Reference: https://arxiv.org/abs/2111.09886
    """

    argument_names = ("mask", "mask_unit")

    def __init__(self, encoder, mask=0.6, mask_unit=2, seed=0, **kwargs):
        super().__init__(encoder, seed, **kwargs)
        self.mask_unit = arguments.positive_integer("mask_unit", mask_unit)
        rows, columns = parts.grid(encoder)
        if rows % mask_unit or columns % mask_unit:
            received = {"mask_unit": mask_unit, "grid": (rows, columns)}
            advice = "mask_unit=1 always does."
            arguments.refuse("`mask_unit` must divide the grid of patches", received, advice)
        self.units = rows // mask_unit, columns // mask_unit
        self.mask = masks.share("mask", mask)
        self.number = masks.hidden("mask", mask, self.units[0] * self.units[1])
        self.head = layers.Dense(parts.patch_length(encoder), name="head", dtype="float32")
        self.error = losses.MeanAbsoluteError(reduction="mean_with_sample_weight")
        self.build(self.input_shape)

    def build(self, input_shape):  # noqa: D102
        dim = self.encoder.hidden_dim
        normal = initializers.RandomNormal(stddev=0.02)
        self.mask_token = self.add_weight((1, 1, dim), normal, name="mask_token")
        self.head.build((None, None, dim))

    def solve(self, images, random):
        """Returns what `call` does, masking by a `keras.random.SeedGenerator`."""
        x = parts.embedded(self.encoder, images)  # (B, N, D)
        mask = self.masked(random, ops.shape(x)[0])  # (B, N)
        x = masks.covered(x, mask, self.mask_token)
        x = parts.encoded(self.encoder, parts.placed(self.encoder, x))  # (B, N + 1, D)
        prediction = self.head(x[:, self.encoder.prefix_tokens :])
        return {"prediction": prediction, "mask": mask}

    def masked(self, random, batch):
        """Returns bool (batch, N), True in squares of `mask_unit` patches."""
        rows, columns = self.units
        mask = masks.random_mask(random, batch, rows * columns, self.number)
        mask = ops.reshape(mask, (-1, rows, 1, columns, 1))
        mask = ops.tile(mask, (1, 1, self.mask_unit, 1, self.mask_unit))
        return ops.reshape(mask, (-1, parts.count(self.encoder)))  # (B, N)

    def truth(self, images):
        """Returns normalised pixels of patches, (batch, N, PPC)."""
        return parts.normalized_patches(self.encoder, images)

    def shown(self, prediction, images):
        """Returns pixels of patches, (batch, N, PPC)."""
        return pixels(self.encoder, prediction)
