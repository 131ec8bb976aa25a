"""SimMIM: Xie et al. 2021, https://arxiv.org/abs/2111.09886."""

import keras
from keras import layers, losses, ops

from keras_vit import arguments
from keras_vit.pretraining import vit_stages as stages
from keras_vit.pretraining.objective import Objective


@keras.saving.register_keras_serializable(package="keras_vit")
class SimMIM(Objective):
    """Predicts the pixels of masked squares with one linear layer and the absolute error (L1).

    The embeddings of masked patches are replaced by a learned mask token, the encoder sees all
    tokens, and a linear layer predicts normalized pixels.

    Args:
        encoder: a `ViT`, whose weights are trained in place.
        mask: fraction of the squares to mask.
        mask_unit: side of a masked square in patches, a divisor of the grid of patches. The article
            masks 32 x 32 pixels, 2 patches of 16: smaller squares are too easy to fill from their
            neighbors.
        seed: seed of the masks.

    Returns:
        {"prediction": (batch, N, P * P * channels), "mask": bool (batch, N), True for masked
        patches}.

    Raises:
        ValueError: the encoder is not a ViT on pixels, or an argument is invalid.

    Example:
    >>> encoder = keras_vit.create("ViT-Mini/8", image_size=32, num_classes=None)
    >>> model = keras_vit.pretraining.SimMIM(encoder)
    >>> model.compile("adam")
    >>> images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), "uint8")
    >>> history = model.fit(images, verbose=0)

    Reference: https://arxiv.org/abs/2111.09886
    """

    def __init__(
        self,
        encoder,
        mask: stages.share = 0.6,
        mask_unit: arguments.positive_integer = 2,
        seed=0,
        **kwargs,
    ):
        super().__init__(encoder, seed, **kwargs)
        self.keep(locals())
        rows, columns = stages.grid(encoder)
        if rows % mask_unit or columns % mask_unit:
            received = {"mask_unit": mask_unit, "grid": (rows, columns)}
            advice = "mask_unit=1 always divides it."
            arguments.refuse("`mask_unit` must divide the grid of patches", received, advice)
        self.units = rows // mask_unit, columns // mask_unit
        self.number = stages.count_hidden("mask", mask, self.units[0] * self.units[1])
        self.head = layers.Dense(stages.patch_length(encoder), name="head", dtype="float32")
        self.error = losses.MeanAbsoluteError(reduction="mean_with_sample_weight")
        self.build(self.input_shape)

    def call(self, images, training=None):  # noqa: D102
        x = stages.project(self.encoder, images)  # (B, N, D)
        mask = self.draw_mask(self.random, ops.shape(x)[0])  # (B, N)
        x = stages.encode_patches(self.encoder, stages.cover(x, mask, self.mask_token))
        return {"prediction": self.head(x), "mask": mask}

    def draw_mask(self, random, batch):
        """Draws a mask of squares, bool (batch, N)."""
        rows, columns = self.units
        mask = stages.draw_mask(random, batch, rows * columns, self.number)
        mask = ops.reshape(mask, (-1, rows, 1, columns, 1))
        mask = ops.tile(mask, (1, 1, self.mask_unit, 1, self.mask_unit))
        return ops.reshape(mask, (-1, stages.count_patches(self.encoder)))  # (B, N)
