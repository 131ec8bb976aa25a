"""Prediction of pixels with few colors, as in Image GPT: Chen et al., ICML 2020."""

import keras
import numpy as np
from keras import layers, losses, ops

from keras_vit import arguments
from keras_vit.layers import SelfAttention, TransformerBlock
from keras_vit.pretraining import vit_stages as stages
from keras_vit.pretraining.objective import Objective

SAMPLE = 20_000  # pixels that are clustered
ROUNDS = 20  # of k-means


def to_lists(name, value):
    """Returns a palette as lists of numbers, for the configuration."""
    return arguments.floats(name, value).tolist()


@keras.saving.register_keras_serializable(package="keras_vit")
class PixelPrediction(Objective):
    """Predicts pixels as a language model predicts words: the next one, or masked ones.

    Each pixel is a token (`patch_size=1`) with the nearest color of a palette. With order="next",
    every token sees the class token, if there is one, and the pixels before it, row by row; the
    loss is the cross-entropy of the next pixel's color. With order="masked", some tokens are
    hidden and all others visible, as in BERT.

    Differences from the article: tokens are embedded by the ViT's projection of their color, not
    by a table; and after order="next", the classifier attends in all directions, which it never did
    in training. The cost of a step grows with the square of the number of pixels: use images of 32
    pixels or less.

    Args:
        encoder: a `ViT` with `patch_size=1`, whose weights are trained in place.
        palette: (colors, channels), pixels 0 to 255, as returned by `find_palette`.
        order: "next" or "masked".
        mask: fraction of the pixels hidden with order="masked".
        seed: seed of the masks.

    Returns:
        {"prediction": logits (batch, N, colors), "mask": bool (batch, N), True for pixels that are
        predicted without being seen}.

    Raises:
        ValueError: the encoder's patches are not single pixels, its attention is not the paper's
            for order="next", or an argument is invalid.

    Example:
    >>> images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), "uint8")
    >>> encoder = keras_vit.create("ViT-Mini/1", image_size=8, num_classes=None, pooling="gap")
    >>> palette = keras_vit.pretraining.find_palette(images, colors=16)
    >>> model = keras_vit.pretraining.PixelPrediction(encoder, palette)
    >>> model.compile("adam")
    >>> history = model.fit(images, verbose=0)

    Reference: https://cdn.openai.com/papers/Generative_Pretraining_from_Pixels_V2.pdf
    """

    def __init__(
        self,
        encoder,
        palette: to_lists,
        order: arguments.one_of("next", "masked") = "next",
        mask: stages.share = 0.15,
        seed=0,
        **kwargs,
    ):
        super().__init__(encoder, seed, **kwargs)
        self.keep(locals())
        if encoder.patch_size != (1, 1):
            received = {"patch_size": encoder.patch_size}
            arguments.refuse("each patch must be one pixel", received, "Use patch_size=1.")
        shape, channels = np.shape(self.palette), encoder.num_channels
        if len(shape) != 2 or shape[0] < 2 or shape[1] != channels:
            advice = "keras_vit.pretraining.find_palette(images) finds one."
            want = f"`palette` must be an array (at least 2 colors, {channels} channels)"
            arguments.refuse(want, {"palette shape": shape}, advice)
        if order == "next":
            why = "a pixel must attend to all pixels before it for order='next'"
            stages.check_attention(encoder, why)
            _check_own_attention(encoder)
        self.has_mask_token = order == "masked"
        self.number = stages.count_hidden("mask", mask, stages.count_patches(encoder))
        self.head = layers.Dense(len(self.palette), name="head", dtype="float32")
        self.error = losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="mean_with_sample_weight"
        )
        self.build(self.input_shape)

    def call(self, images, training=None):  # noqa: D102
        x = stages.project(self.encoder, self.reduce_colors(images))  # (B, N, D)
        batch = ops.shape(x)[0]
        if self.order == "next":
            x = encode_causally(self.encoder, stages.add_positions(self.encoder, x))
            x, mask = self._shift(x), self._mask_followers(batch)
        else:
            mask = stages.draw_mask(self.random, batch, x.shape[1], self.number)
            x = stages.encode_patches(self.encoder, stages.cover(x, mask, self.mask_token))
        return {"prediction": self.head(x), "mask": mask}  # (B, N, colors), (B, N)

    def _shift(self, x):
        """Returns the token before each pixel, (B, N, D); the first may get itself."""
        before = self.encoder.prefix_tokens
        return x[:, before - 1 : -1] if before else ops.concatenate([x[:, :1], x[:, :-1]], axis=1)

    def _mask_followers(self, batch):
        """Returns True for each pixel with a token before it, (B, N)."""
        first = 0 if self.encoder.prefix_tokens else 1
        number = stages.count_patches(self.encoder)
        return ops.broadcast_to(ops.arange(number)[None] >= first, (batch, number))

    def truth(self, images):
        """Returns the number of the nearest color of each pixel, int32 (batch, N)."""
        patches = stages.cut_patches(self.encoder, images)  # (B, N, C)
        colors = ops.convert_to_tensor(self.palette, "float32")  # (colors, C)
        # |pixel - color|^2 without |pixel|^2, which is the same for all colors
        distances = ops.sum(colors**2, axis=1) - 2 * patches @ ops.transpose(colors)
        return ops.cast(ops.argmin(distances, axis=-1), "int32")

    def reduce_colors(self, images):
        """Returns images with the colors of the palette, float32."""
        colors = ops.take(ops.convert_to_tensor(self.palette, "float32"), self.truth(images), 0)
        return ops.reshape(colors, (-1, *self.input_shape[1:]))  # (B, height, width, C)

    def render(self, prediction, images):
        """Returns the most probable colors, (batch, N, channels)."""
        return self._colors(ops.argmax(prediction, axis=-1))

    def reconstruct(self, images, seed=0):
        """Fills hidden pixels as in `Objective`; with order="next" the lower half, pixel by pixel.

        Each pixel is sampled from the model's prediction, and the next pixel sees it. This takes
        one forward pass per pixel.
        """
        if self.order == "masked":
            return super().reconstruct(images, seed)
        images, rng = self._check_images(images), np.random.default_rng(seed)
        rows, columns = stages.grid(self.encoder)
        drawn = self._colors(self.truth(images))  # (B, N, C), a new array
        hidden = np.arange(rows * columns) >= rows // 2 * columns
        for pixel in np.flatnonzero(hidden):
            seen = drawn.reshape(images.shape)
            logits = self.predict_on_batch(seen)["prediction"][:, pixel]
            # The maximum of logits with Gumbel noise is a sample from their probabilities.
            drawn[:, pixel] = self._colors((logits + rng.gumbel(size=logits.shape)).argmax(-1))
        return self._assemble(images, np.broadcast_to(hidden, drawn.shape[:2]), drawn)

    def _colors(self, classes):
        return np.asarray(self.palette, "float32")[ops.convert_to_numpy(classes)]


def encode_causally(encoder, tokens):
    """Returns LN(z_L) of tokens that see only themselves and those before: (B, tokens, D)."""
    x = tokens
    for block in stages.blocks(encoder):
        x = x + block.skip_1(attend_causally(block.attention, block.norm_1(x)))  # Eq. 2
        x = x + block.skip_2(block.mlp(block.norm_2(x)))  # Eq. 3
    return stages.normalize(encoder, x)


def attend_causally(attention, x):
    """Computes a `SelfAttention` in which tokens do not see those after them."""
    heads = ops.dot_product_attention(*attention.heads(x), is_causal=True)
    return attention.drop(attention.projection(ops.reshape(heads, ops.shape(x))))


def _check_own_attention(encoder):
    """Raises `ValueError` for other kinds of attention, which have no causal form here."""
    for block in stages.blocks(encoder):
        for kind, plain, methods in (
            (type(block), TransformerBlock, ["call"]),
            (type(block.attention), SelfAttention, ["call", "scores"]),
        ):
            changed = [n for n in methods if getattr(kind, n, None) is not getattr(plain, n)]
            if changed:
                want = f"order='next' needs the attention of a plain {plain.__name__}, since it "
                want += "computes that with a causal mask"
                received = {kind.__name__: f"overrides {' and '.join(changed)}"}
                arguments.refuse(want, received, "Use order='masked', or a plain ViT.")


def find_palette(images, colors=512, seed=0):
    """Finds the colors that best approximate those of images, by k-means.

    Args:
        images: array (batch, height, width, channels), pixels 0 to 255. At most 20,000 pixels are
            used, drawn at random.
        colors: number of colors. Image GPT uses 512.
        seed: seed of the pixels and of the initial centers.

    Returns:
        float32 array (colors, channels), sorted, with fewer rows if the images have fewer colors.

    Raises:
        ValueError: `colors` is not a positive integer.

    Example:
    >>> images = np.zeros((1, 2, 2, 1))
    >>> images[0, 0, :, 0] = 100, 104
    >>> keras_vit.pretraining.find_palette(images, colors=2).tolist()
    [[0.0], [102.0]]

    Reference: Chen et al., Generative Pretraining from Pixels, ICML 2020, section 3
    """
    arguments.positive_integer("colors", colors)
    rng = np.random.default_rng(seed)
    pixels = np.reshape(images, (-1, np.shape(images)[-1]))
    count = min(SAMPLE, len(pixels))
    pixels = pixels[rng.choice(len(pixels), count, replace=False)].astype("float32")
    distinct = np.unique(pixels, axis=0)
    if len(distinct) <= colors:
        return distinct
    centers = distinct[rng.permutation(len(distinct))[:colors]]
    for _ in range(ROUNDS):
        groups = find_nearest(pixels, centers)
        counts = np.bincount(groups, minlength=colors)[:, None]
        sums = np.stack([np.bincount(groups, c, colors) for c in pixels.T], axis=1)
        # A center without pixels does not move.
        centers = np.where(counts > 0, sums / np.maximum(counts, 1), centers).astype("float32")
    return centers[np.lexsort(centers.T[::-1])]


def find_nearest(pixels, centers):
    """Returns the number of the nearest center of each pixel, integers (pixels,)."""
    # |pixel - center|^2 without |pixel|^2, which is the same for all centers
    return np.argmin((centers**2).sum(axis=1) - 2 * pixels @ centers.T, axis=1)
