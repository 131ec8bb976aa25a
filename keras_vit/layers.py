"""The layers of the Vision Transformer: section 3.1 and Appendix A of the paper.

    z_0  = [x_class; x_1 E; ...; x_N E] + E_pos                    Eq. 1    Patches, PatchEncoder
    z'_l = MSA(LN(z_l-1)) + z_l-1                                  Eq. 2    TransformerBlock
    z_l  = MLP(LN(z'_l)) + z'_l                                    Eq. 3    TransformerBlock
    y    = LN(z_L)^0                                               Eq. 4    LayerNorm, vit.ViT
    MSA: q, k, v from z U_qkv, softmax(q k^T / sqrt(d)) v, U_msa   Eq. 5-8  SelfAttention

Each line that changes a shape ends with the new shape. B is the batch, N the number of patches, P
the patch side, C the channels, D `hidden_dim`. https://arxiv.org/abs/2010.11929
"""

import keras
from keras import initializers, layers, ops

from keras_vit import arguments as check
from keras_vit import backend, inner

register = keras.saving.register_keras_serializable(package="keras_vit")


class Layer(check.Checked, inner.Inner, layers.Layer):
    """A layer that checks its arguments, keeps them as attributes and saves them."""

    def part(self, kind, *args, **kwargs):
        """Makes a layer inside this one, which computes in the same dtype and is frozen with it."""
        return kind(*args, dtype=self.dtype_policy, trainable=self.trainable, **kwargs)

    def dense(self, units, name, kernel="glorot_uniform", **kwargs):
        """Makes a dense layer inside this one; `kernel` initializes W."""
        return self.part(inner.Dense, units, kernel_initializer=kernel, name=name, **kwargs)


@register
class Patches(Layer):
    """Cuts images into patches and flattens each: x_p of Eq. 1.

    Patches come row by row, and within each the order is row, column, channel: that of a
    convolution kernel, so `Patches` followed by a `Dense` layer is a strided convolution.

    Args:
        patch_size: patch side P in pixels, or (height, width).

    Call arguments:
        images: (batch, height, width, channels).

    Returns:
        (batch, N, P * P * channels) with N = height * width / P^2.

    Raises:
        ValueError: the patch does not divide the image. No image is silently cropped.

    Example:
    >>> tuple(keras_vit.Patches(16)(np.zeros((2, 224, 224, 3))).shape)
    (2, 196, 768)
    """

    def __init__(self, patch_size: check.height_width, **kwargs):
        super().__init__(**kwargs)
        self.keep(locals())

    def build(self, input_shape):
        self.grid = check.whole_patches(input_shape, self.patch_size)

    def call(self, images):
        rows, columns = check.whole_patches(images.shape, self.patch_size)
        (p, q), channels = self.patch_size, images.shape[-1]
        x = backend.reshape(images, (-1, rows, p, columns, q, channels))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))  # (B, rows, columns, P, P, C)
        return backend.reshape(x, (-1, rows * columns, p * q * channels))  # (B, N, PPC)


@register
class PatchEncoder(Layer):
    """Makes the first tokens: z_0 = [x_class; x_1 E; x_2 E; ...; x_N E] + E_pos, Eq. 1.

    E is `projection`, x_class `class_token`, E_pos `position_embedding`: a vector per position.

    Args:
        hidden_dim: D, the length of a token.
        prefix_tokens: number of learned tokens before the patches: 1 is the paper's class token.
        dropout: rate after adding the positions (Appendix B.1).

    Call arguments:
        patches: (batch, N, patch length), as `Patches` makes them.

    Returns:
        (batch, prefix_tokens + N, D).

    Raises:
        ValueError: the input is not patches, or their number differs from that of the positions.

    Example:
    >>> patches = keras_vit.Patches(16)(np.zeros((2, 224, 224, 3)))
    >>> tuple(keras_vit.PatchEncoder(hidden_dim=192)(patches).shape)
    (2, 197, 192)
    """

    def __init__(
        self,
        hidden_dim: check.positive_integer,
        prefix_tokens: check.natural_number = 1,
        dropout: check.fraction = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.keep(locals())
        self.projection = self.dense(hidden_dim, "projection", "lecun_normal")
        self.drop = self.part(inner.Dropout, dropout, name="drop")

    def build(self, input_shape):
        self.num_patches = check.patches(input_shape)
        self.projection.build(input_shape)
        if self.prefix_tokens:
            shape = (1, self.prefix_tokens, self.hidden_dim)
            self.class_token = self.add_weight(shape, "zeros", name="class_token")
        self.build_positions((1, self.prefix_tokens + self.num_patches, self.hidden_dim))

    def build_positions(self, shape):
        """Makes E_pos."""
        normal = initializers.RandomNormal(stddev=0.02)
        self.position_embedding = self.add_weight(shape, normal, name="position_embedding")

    def call(self, patches):
        check.patches(patches.shape, self.num_patches)
        return self.assemble(self.projection(patches))  # (B, N + 1, D), Eq. 1

    def assemble(self, x):
        """Makes z_0 from embedded patches x_p E: (batch, N, D)."""
        if self.prefix_tokens:
            shape = (ops.shape(x)[0], self.prefix_tokens, self.hidden_dim)
            x_class = ops.cast(self.class_token, x.dtype)
            x = ops.concatenate([ops.broadcast_to(x_class, shape), x], axis=1)  # (B, N + 1, D)
        return self.drop(self.add_positions(x))

    def add_positions(self, x):
        """Adds E_pos to tokens."""
        return x + ops.cast(self.position_embedding, x.dtype)


@register
class LayerNorm(inner.LayerNormalization):
    """LN of Eq. 2-4: Keras's layer with the official epsilon.

    Raises:
        ValueError: `epsilon` is not a finite number above 0.

    Example:
    >>> tuple(keras_vit.LayerNorm()(np.ones((2, 5, 8))).shape)
    (2, 5, 8)
    """

    def __init__(self, epsilon=1e-6, **kwargs):
        super().__init__(epsilon=check.positive_number("epsilon", epsilon), **kwargs)


@register
class SelfAttention(Layer):
    """Multi-head self-attention: MSA of Appendix A, Eq. 5-8.

    U_qkv's columns are the queries of all heads, then keys, then values; d = D / `num_heads`.
    A subclass that overrides `scores` computes a different attention; everything else follows.

    Args:
        num_heads: number of heads; it divides D.
        dropout: rate after U_msa (Appendix B.1: after every dense layer but U_qkv).

    Call arguments:
        x: tokens (batch, tokens, D).

    Returns:
        (batch, tokens, D).

    Raises:
        ValueError: `num_heads` does not divide D.

    Example:
    >>> tuple(keras_vit.SelfAttention(num_heads=3)(np.zeros((2, 197, 192))).shape)
    (2, 197, 192)
    """

    def __init__(self, num_heads: check.positive_integer, dropout: check.fraction = 0.0, **kwargs):
        super().__init__(**kwargs)
        self.keep(locals())
        self.drop = self.part(inner.Dropout, dropout, name="drop")

    def build(self, input_shape):
        dim = check.tokens("SelfAttention", input_shape)
        check.divisible_heads(dim, self.num_heads)
        # Glorot's limit for each of the three D x D matrices is LeCun's for all of them.
        self.query_key_value = self.dense(3 * dim, "query_key_value", "lecun_uniform")
        self.projection = self.dense(dim, "projection")
        self.query_key_value.build(input_shape)
        self.projection.build(input_shape)

    def call(self, x):
        query, key, value = self.heads(x)
        if backend.has_attention_kernel(query) and type(self).scores is SelfAttention.scores:
            x_heads = backend.attention(query, key, value)  # Eq. 6 and 7 in one kernel
        else:
            x_heads = weighted_sum(self.scores(query, key), value)  # (B, tokens, heads, d)
        return self.drop(self.projection(backend.reshape(x_heads, ops.shape(x))))  # Eq. 8

    def heads(self, x):
        """Returns q, k and v of all heads, each (batch, tokens, heads, d)."""
        _, tokens, dim = ops.shape(x)
        shape = (-1, tokens, 3 * self.num_heads, dim // self.num_heads)
        return ops.split(backend.reshape(self.query_key_value(x), shape), 3, axis=2)  # Eq. 5

    def scores(self, query, key):
        """Returns A = softmax(q k^T / sqrt(d)): how much each token takes from every other.

        `query` and `key` are (batch, tokens, heads, d), A is (batch, heads, tokens, tokens).
        """
        return ops.softmax(logits(query, key))  # Eq. 6


def logits(query, key):
    """Returns q k^T / sqrt(d), the argument of the softmax in Eq. 6."""
    query = ops.transpose(query, (0, 2, 1, 3)) / query.shape[-1] ** 0.5  # (B, heads, tokens, d)
    return ops.matmul(query, ops.transpose(key, (0, 2, 3, 1)))  # (B, heads, tokens, tokens)


def weighted_sum(scores, value):
    """Returns A v, Eq. 7, (batch, tokens, heads, d); `value` has that shape, `scores` A's."""
    x_heads = ops.matmul(scores, ops.transpose(value, (0, 2, 1, 3)))  # Eq. 7
    return ops.transpose(x_heads, (0, 2, 1, 3))  # (B, tokens, heads, d)


@register
class MLP(Layer):
    """Two dense layers with a GELU between them: MLP of Eq. 3.

    Args:
        mlp_dim: width of the hidden layer.
        dropout: rate after each dense layer (Appendix B.1).
        approximate: GELU's tanh form, as in the official code; else x Phi(x), as in timm.

    Call arguments:
        x: tokens (batch, tokens, D).

    Returns:
        (batch, tokens, D).

    Raises:
        ValueError: an argument cannot be used, or the input is not tokens.

    Example:
    >>> tuple(keras_vit.MLP(mlp_dim=768)(np.zeros((2, 197, 192))).shape)
    (2, 197, 192)
    """

    def __init__(
        self,
        mlp_dim: check.positive_integer,
        dropout: check.fraction = 0.0,
        approximate: check.boolean = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.keep(locals())
        self.expand = self.dense(mlp_dim, "expand")
        self.drop_1 = self.part(inner.Dropout, dropout, name="drop_1")
        self.drop_2 = self.part(inner.Dropout, dropout, name="drop_2")

    def dense(self, units, name):
        return super().dense(units, name, bias_initializer=initializers.RandomNormal(stddev=1e-6))

    def build(self, input_shape):
        check.tokens("MLP", input_shape)
        self.contract = self.dense(input_shape[-1], "contract")
        self.expand.build(input_shape)
        self.contract.build((*input_shape[:-1], self.mlp_dim))

    def call(self, x):
        x = self.drop_1(backend.gelu(self.expand(x), self.approximate))  # (B, tokens, mlp_dim)
        return self.drop_2(self.contract(x))  # (B, tokens, D)


@register
class TransformerBlock(Layer):
    """One layer of the Transformer encoder: Eq. 2, Eq. 3 and Figure 1, right.

    A subclass may have another `attention_layer` or `mlp_layer` with the same arguments.

    Args:
        num_heads: number of attention heads; it divides D.
        mlp_dim: width of the MLP's hidden layer.
        dropout: rate after every dense layer but U_qkv (Appendix B.1).
        stochastic_depth: probability that an image skips a branch in training; not in the paper,
            its successor arXiv 2106.10270 uses 0.1.
        approximate: form of GELU, see `MLP`.
        epsilon: of the layer normalizations.

    Call arguments:
        x: tokens (batch, tokens, D).

    Returns:
        (batch, tokens, D).

    Raises:
        ValueError: the input is not a sequence of tokens, or `num_heads` does not divide D.

    Example:
    >>> tuple(keras_vit.TransformerBlock(num_heads=3, mlp_dim=768)(np.zeros((2, 197, 192))).shape)
    (2, 197, 192)
    """

    attention_layer, mlp_layer = SelfAttention, MLP
    dim = None  # D, once it is built

    def __init__(
        self,
        num_heads: check.positive_integer,
        mlp_dim: check.positive_integer,
        dropout: check.fraction = 0.0,
        stochastic_depth: check.fraction = 0.0,
        approximate: check.boolean = False,
        epsilon: check.positive_number = 1e-6,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.keep(locals())
        self.norm_1 = self.part(LayerNorm, epsilon, name="norm_1")
        self.attention = self.part(self.attention_layer, num_heads, dropout, name="attention")
        self.norm_2 = self.part(LayerNorm, epsilon, name="norm_2")
        self.mlp = self.part(self.mlp_layer, mlp_dim, dropout, approximate, name="mlp")
        # One mask value per image keeps or drops its whole branch.
        self.skip_1 = self.part(inner.Dropout, stochastic_depth, (None, 1, 1), name="skip_1")
        self.skip_2 = self.part(inner.Dropout, stochastic_depth, (None, 1, 1), name="skip_2")

    def build(self, input_shape):
        self.dim = check.tokens("TransformerBlock", input_shape)
        for layer in (self.norm_1, self.attention, self.norm_2, self.mlp):
            layer.build(input_shape)

    def call(self, x):
        x = x + self.skip_1(self.attention(self.norm_1(x)))  # Eq. 2
        x = x + self.skip_2(self.mlp(self.norm_2(x)))  # Eq. 3
        return x

    def compute_output_shape(self, input_shape):
        check.tokens("TransformerBlock", input_shape, self.dim)
        return input_shape  # stated here, so that Keras need not trace every block

    def attention_scores(self, x):
        """Returns A of this block for its input x, in float32: (batch, heads, tokens, tokens)."""
        query, key, _ = self.attention.heads(self.norm_1(x))
        return self.attention.scores(ops.cast(query, "float32"), ops.cast(key, "float32"))
