"""Pixel prediction on few colours, after Image GPT: Chen et al., ICML 2020."""

import keras
import numpy as np
from keras import initializers, layers, losses, ops

from keras_vit import arguments
from keras_vit.layers import SelfAttention, TransformerBlock
from keras_vit.pretraining import encoder as parts
from keras_vit.pretraining import masks
from keras_vit.pretraining.objective import Objective


@keras.saving.register_keras_serializable(package="keras_vit")
class PixelPrediction(Objective):
    """Predicts pixels as a language model does words: the next one, or masked ones.

    Each pixel is a token (`patch_size=1`) and takes the nearest colour of a palette. In the order
    "next" every token sees those before it, row by row, and the class token where there is one;
    the loss is the cross-entropy of the next pixel's colour. In the order "masked" some tokens are
    hidden and all others seen, as BERT has it.

    Differs from the article: tokens are embedded by the ViT's own projection of their colour, not
    by a table; and after the order "next" the classifier's attention looks in all directions,
    which this training never did. A step costs the square of the number of pixels: use images of
    32 pixels or less.

    Args:
        encoder: a `ViT` with `patch_size=1`, whose weights are trained where they are.
        palette: (colours, channels), pixels 0 to 255, such as `palette` finds them.
        order: "next" or "masked".
        mask: share of the pixels that the order "masked" hides.
        seed: of the masks.

    Call arguments:
        images: (batch, height, width, channels), pixels 0 to 255.

    Returns:
        {"prediction": logits (batch, N, colours), "mask": bool (batch, N), True where a pixel was
        predicted without being seen}.

    Raises:
        ValueError: the encoder's patches are not single pixels, its attention is not the paper's
            in the order "next", or an argument cannot be used.

    Example:
    >>> images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), "uint8")
    >>> encoder = keras_vit.create("ViT-Mini/1", image_size=8, num_classes=None, pooling="gap")
    >>> palette = keras_vit.pretraining.palette(images, colors=16)
    >>> model = keras_vit.pretraining.PixelPrediction(encoder, palette)
    >>> model.compile("adam")
    >>> history = model.fit(images, verbose=0)

    Reference: https://cdn.openai.com/papers/Generative_Pretraining_from_Pixels_V2.pdf
    """

    argument_names = ("palette", "order", "mask")

    def __init__(self, encoder, palette, order="next", mask=0.15, seed=0, **kwargs):
        super().__init__(encoder, seed, **kwargs)
        if encoder.patch_size != (1, 1):
            received = {"patch_size": encoder.patch_size}
            arguments.refuse("each patch must be one pixel", received, "Use patch_size=1.")
        self.palette = _checked(palette, encoder.num_channels)
        self.order = arguments.one_of("next", "masked")("order", order)
        if order == "next":
            why = "a pixel must be able to attend to all before it, for order='next'"
            parts.check_attention(encoder, why)
            _check_own_attention(encoder)
        self.mask = masks.share("mask", mask)
        self.number = masks.hidden("mask", mask, parts.count(encoder))
        self.head = layers.Dense(len(self.palette), name="head", dtype="float32")
        self.error = losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="mean_with_sample_weight"
        )
        self.build(self.input_shape)

    def build(self, input_shape):  # noqa: D102
        dim = self.encoder.hidden_dim
        normal = initializers.RandomNormal(stddev=0.02)
        if self.order == "masked":
            self.mask_token = self.add_weight((1, 1, dim), normal, name="mask_token")
        self.head.build((None, None, dim))

    def solve(self, images, random):
        """Returns what `call` does, masking by a `keras.random.SeedGenerator`."""
        x = parts.embedded(self.encoder, self.reduced(images))  # (B, N, D)
        batch, number = ops.shape(x)[0], x.shape[1]
        if self.order == "next":
            x = causally_encoded(self.encoder, parts.placed(self.encoder, x))
            x, mask = self._next(x), self._followers(batch)
        else:
            mask = masks.random_mask(random, batch, number, self.number)
            x = masks.covered(x, mask, self.mask_token)
            x = parts.encoded(self.encoder, parts.placed(self.encoder, x))
            x = x[:, self.encoder.prefix_tokens :]
        return {"prediction": self.head(x), "mask": mask}  # (B, N, colours), (B, N)

    def _next(self, x):
        """The token before each pixel, (B, N, D); the first one may have but itself."""
        before = self.encoder.prefix_tokens
        return x[:, before - 1 : -1] if before else ops.concatenate([x[:, :1], x[:, :-1]], axis=1)

    def _followers(self, batch):
        """True for each pixel that has a token before it, (B, N)."""
        first = 0 if self.encoder.prefix_tokens else 1
        number = parts.count(self.encoder)
        return ops.broadcast_to(ops.arange(number)[None] >= first, (batch, number))

    def truth(self, images):
        """Returns which colour of the palette is nearest to each pixel, int32 (batch, N)."""
        patches = parts.patches(self.encoder, images)  # (B, N, C)
        colors = ops.convert_to_tensor(self.palette, "float32")  # (colours, C)
        # |pixel - colour|^2 without |pixel|^2, which is the same for all colours
        distances = ops.sum(colors**2, axis=1) - 2 * patches @ ops.transpose(colors)
        return ops.cast(ops.argmin(distances, axis=-1), "int32")

    def reduced(self, images):
        """Returns images in the palette's colours, float32."""
        colors = ops.take(ops.convert_to_tensor(self.palette, "float32"), self.truth(images), 0)
        return ops.reshape(colors, (-1, *self.input_shape[1:]))  # (B, height, width, C)

    def shown(self, prediction, images):
        """Returns the most probable colours, (batch, N, channels)."""
        return self._colors(ops.argmax(prediction, axis=-1))

    def reconstruct(self, images, seed=0):
        """Fills hidden pixels; in the order "next" the lower half, pixel by pixel.

        Each of these is drawn from what the model gives for it, and the next one sees it. That
        takes as many passes through the encoder as there are pixels.

        Args:
            images: array (batch, height, width, channels), pixels 0 to 255.
            seed: of what is hidden or drawn. Training's own generator is left where it is.

        Returns:
            A `Reconstruction`.

        Raises:
            ValueError: images have another shape than the model, or other pixels.
        """
        if self.order == "masked":
            return super().reconstruct(images, seed)
        images, rng = self._checked_images(images), np.random.default_rng(seed)
        rows, columns = parts.grid(self.encoder)
        drawn = self._colors(self.truth(images))  # (B, N, C), a new array
        hidden = np.arange(rows * columns) >= rows // 2 * columns
        for pixel in np.flatnonzero(hidden):
            seen = drawn.reshape(images.shape)
            logits = self.predict_on_batch(seen)["prediction"][:, pixel]
            # Gumbel's noise makes of the largest logit a draw by their probabilities.
            drawn[:, pixel] = self._colors((logits + rng.gumbel(size=logits.shape)).argmax(-1))
        return self._reconstruction(images, np.broadcast_to(hidden, drawn.shape[:2]), drawn)

    def _colors(self, classes):
        return np.asarray(self.palette, "float32")[ops.convert_to_numpy(classes)]


def causally_encoded(encoder, tokens):
    """Returns LN(z_L) of tokens that each see but themselves and those before: (B, tokens, D)."""
    x = tokens
    for block in parts.blocks(encoder):
        x = x + block.skip_1(causal_attention(block.attention, block.norm_1(x)))  # Eq. 2
        x = x + block.skip_2(block.mlp(block.norm_2(x)))  # Eq. 3
    return encoder.get_layer("encoder_norm")(x)


def causal_attention(attention, x):
    """Returns what a `SelfAttention` would, if tokens saw no token after them."""
    heads = ops.dot_product_attention(*attention.heads(x), is_causal=True)
    return attention.drop(attention.projection(ops.reshape(heads, ops.shape(x))))


def _check_own_attention(encoder):
    """Raises `ValueError` for attention of another kind, which has no causal form here."""
    for block in parts.blocks(encoder):
        kinds = {type(block): TransformerBlock, type(block.attention): SelfAttention}
        for kind, plain in kinds.items():
            changed = [name for name in ("call", "scores") if _differs(name, kind, plain)]
            if changed:
                want = f"order='next' needs the attention of a plain {plain.__name__}, since it "
                want += "computes that with a causal mask"
                received = {kind.__name__: f"overrides {' and '.join(changed)}"}
                arguments.refuse(want, received, "Use order='masked', or a plain ViT.")


def _differs(name, kind, plain):
    return getattr(kind, name, None) is not getattr(plain, name, None)


def _checked(palette, channels):
    colors = np.asarray(palette, "float32")
    if colors.ndim != 2 or len(colors) < 2 or colors.shape[1] != channels:
        advice = "keras_vit.pretraining.palette(images) finds one."
        want = f"`palette` must be an array (2 colours or more, {channels} channels)"
        arguments.refuse(want, {"palette shape": colors.shape}, advice)
    return colors.tolist()
