"""Masked autoencoder, MAE: He et al. 2021, https://arxiv.org/abs/2111.06377."""

import keras
from keras import initializers, layers, losses, ops

from keras_vit import arguments
from keras_vit.ablations.positions import sincos
from keras_vit.arguments import positive_integer
from keras_vit.layers import LayerNorm, TransformerBlock
from keras_vit.pretraining import vit_stages as stages
from keras_vit.pretraining.objective import Objective
from keras_vit.pretraining.patch_targets import standardize


@keras.saving.register_keras_serializable(package="keras_vit")
class MAE(Objective):
    """Masked autoencoder: an encoder sees a quarter of the patches, a decoder predicts the others.

    The encoder gets only the visible patches, with their positions, so a step costs a fraction of a
    supervised step. The small decoder gets their tokens, a learned mask token for each hidden
    patch, and fixed sin-cos positions; a linear layer predicts pixels. The loss is the mean squared
    error over the hidden patches. After training, the decoder is discarded.

    Difference from the article: the encoder keeps its learned positions.

    Args:
        encoder: a `ViT`, whose weights are trained in place.
        decoder_layers: number of decoder blocks.
        decoder_dim: length of the decoder's tokens, divisible by 4; its MLPs are 4 times as wide.
        decoder_heads: number of the decoder's attention heads, a divisor of `decoder_dim`.
        mask: fraction of the patches to hide.
        normalize_targets: whether the pixels of each patch are scaled to mean 0 and deviation 1
            before they are predicted.
        seed: seed of the masks.

    Returns:
        {"prediction": (batch, N, P * P * channels), "mask": bool (batch, N), True for hidden
        patches}.

    Raises:
        ValueError: the encoder is not a ViT on pixels, or an argument is invalid.

    Example:
    >>> sizes = {"image_size": 32, "num_layers": 2, "num_classes": None}
    >>> encoder = keras_vit.create("ViT-Mini/8", **sizes)
    >>> model = keras_vit.pretraining.MAE(
    ...     encoder, decoder_layers=1, decoder_dim=32, decoder_heads=4
    ... )
    >>> model.compile("adam")
    >>> images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), "uint8")
    >>> history = model.fit(images, verbose=0)
    >>> model.reconstruct(images).mask.sum(axis=(1, 2))  # 12 of 16 patches of each image
    array([12, 12, 12, 12, 12, 12, 12, 12])

    Reference: https://arxiv.org/abs/2111.06377
    """

    def __init__(
        self,
        encoder,
        decoder_layers: positive_integer = 8,
        decoder_dim: positive_integer = 512,
        decoder_heads: positive_integer = 16,
        mask: stages.share = 0.75,
        normalize_targets: arguments.boolean = True,
        seed=0,
        **kwargs,
    ):
        super().__init__(encoder, seed, **kwargs)
        self.keep(locals())
        why = "the encoder of `MAE` must accept any subset of patches; axial attention needs whole "
        why += "rows, and rotary positions and biases of offsets all patches"
        stages.check_attention(encoder, why, any_subset=True)
        arguments.divisible_heads(decoder_dim, decoder_heads)
        if normalize_targets and stages.patch_length(encoder) == 1:
            want = "a patch must have two numbers or more, to be scaled to deviation 1"
            received = {"patch_size": encoder.patch_size, "num_channels": encoder.num_channels}
            arguments.refuse(want, received, "Use normalize_targets=False, or larger patches.")
        patches = stages.count_patches(encoder)
        self.visible = patches - stages.count_hidden("mask", mask, patches)
        self.positions = sincos(stages.grid(encoder), decoder_dim, encoder.prefix_tokens)
        dtype, mlp_dim = encoder.dtype_policy, 4 * decoder_dim
        self.decoder_embed = layers.Dense(decoder_dim, name="decoder_embed", dtype=dtype)
        self.decoder_blocks = [
            TransformerBlock(decoder_heads, mlp_dim, name=f"decoder_block_{i}", dtype=dtype)
            for i in range(decoder_layers)
        ]
        self.decoder_norm = LayerNorm(name="decoder_norm", dtype=dtype)
        self.head = layers.Dense(stages.patch_length(encoder), name="head", dtype="float32")
        self.error = losses.MeanSquaredError(reduction="mean_with_sample_weight")
        self.build(self.input_shape)

    def build(self, input_shape):  # noqa: D102
        shape = (None, None, self.decoder_dim)
        normal = initializers.RandomNormal(stddev=0.02)
        self.mask_token = self.add_weight((1, 1, self.decoder_dim), normal, name="mask_token")
        self.decoder_embed.build((None, None, self.encoder.hidden_dim))
        for block in self.decoder_blocks:
            block.build(shape)
        self.decoder_norm.build(shape)
        self.head.build(shape)

    def call(self, images, training=None):  # noqa: D102
        x = stages.embed(self.encoder, images)  # (B, N + 1, D)
        prefix, x = self._split(x)
        order, places = stages.shuffle(self.random, ops.shape(x)[0], x.shape[1])
        x = stages.take(x, order[:, : self.visible])  # (B, visible, D)
        x = stages.encode(self.encoder, ops.concatenate([prefix, x], axis=1))
        prediction = self.decode(x, places)  # (B, N, PPC)
        return {"prediction": prediction, "mask": places >= self.visible}

    def decode(self, tokens, places):
        """Decodes the encoder's tokens (batch, visible + 1, D) to pixels (batch, N, PPC).

        `places` (batch, N) are the positions of patches in the shuffled order, visible ones first.
        """
        x = ops.cast(self.decoder_embed(tokens), "float32")
        prefix, x = self._split(x)
        hidden = (ops.shape(x)[0], places.shape[1] - self.visible, self.decoder_dim)
        x = ops.concatenate([x, ops.broadcast_to(self.mask_token, hidden)], axis=1)
        x = stages.take(x, places)  # (B, N, decoder_dim), in the order of the image
        x = ops.concatenate([prefix, x], axis=1)
        x = x + ops.convert_to_tensor(self.positions)
        for block in self.decoder_blocks:
            x = block(x)
        _, x = self._split(self.decoder_norm(x))
        return self.head(x)  # (B, N, PPC)

    def truth(self, images):  # noqa: D102
        patches = super().truth(images)
        return standardize(patches)[0] if self.normalize_targets else patches

    def render(self, prediction, images):
        """Returns pixels of patches, (batch, N, PPC).

        If targets are normalized, the mean and deviation are taken from the original, not
        predicted.
        """
        if self.normalize_targets:
            _, mean, deviation = standardize(super().truth(images))
            prediction = ops.convert_to_tensor(prediction) * deviation + mean
        return super().render(prediction, images)

    def _split(self, x):
        """Returns the prefix tokens and the patches."""
        return x[:, : self.encoder.prefix_tokens], x[:, self.encoder.prefix_tokens :]
