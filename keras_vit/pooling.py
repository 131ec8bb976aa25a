"""From tokens to one vector: Eq. 4, Appendix D.3, and the pooling of the paper's successors."""

import keras
from keras import layers, ops

from keras_vit import arguments
from keras_vit.layers import MLP, LayerNorm

register = keras.saving.register_keras_serializable(package="keras_vit")

CLASS_TOKENS = {"token": 1, "gap": 0, "map": 0, "distilled": 2}  # by pooling


@register
class ClassToken(layers.Layer):
    """Takes the class token: z_L^0 of Eq. 4.

    Args:
        class_tokens: how many tokens to take, side by side: 1 as in the paper, 2 with DeiT's
            distillation token.

    Call arguments:
        x: tokens (batch, N + class_tokens, D), these first.

    Returns:
        (batch, class_tokens * D).

    Example:
    >>> tuple(keras_vit.pooling.ClassToken()(np.zeros((2, 197, 192))).shape)
    (2, 192)
    """

    def __init__(self, class_tokens=1, **kwargs):
        super().__init__(**kwargs)
        self.class_tokens = arguments.one_of(1, 2)("class_tokens", class_tokens)

    def build(self, input_shape):
        arguments.tokens("ClassToken", input_shape)

    def call(self, x):
        first = x[:, : self.class_tokens]
        return ops.reshape(first, (-1, self.class_tokens * x.shape[-1]))  # (B, class_tokens D)

    def get_config(self):
        return {**super().get_config(), "class_tokens": self.class_tokens}


@register
class AttentionPooling(layers.Layer):
    """Pools tokens with one learned query, "MAP": attention from a probe, then a residual MLP.

    Not in the paper: the head of its successor "Scaling Vision Transformers" (arXiv 2106.04560).

    Args:
        num_heads: number of attention heads; it divides D.
        mlp_dim: width of the MLP's hidden layer.
        approximate: form of GELU, see `MLP`.
        epsilon: of the layer normalisation.

    Call arguments:
        x: tokens (batch, tokens, D).

    Returns:
        (batch, D).

    Raises:
        ValueError: D is not divisible by `num_heads`.

    Example:
    >>> pool = keras_vit.pooling.AttentionPooling(num_heads=3, mlp_dim=768)
    >>> tuple(pool(np.zeros((2, 196, 192))).shape)
    (2, 192)
    """

    def __init__(self, num_heads, mlp_dim, approximate=False, epsilon=1e-6, **kwargs):
        super().__init__(**kwargs)
        self.num_heads = arguments.positive_integer("num_heads", num_heads)
        self.mlp_dim = arguments.positive_integer("mlp_dim", mlp_dim)
        self.approximate = arguments.boolean("approximate", approximate)
        self.epsilon = arguments.positive_number("epsilon", epsilon)
        self.norm = LayerNorm(epsilon, name="norm", dtype=self.dtype_policy)
        self.mlp = MLP(mlp_dim, approximate=approximate, name="mlp", dtype=self.dtype_policy)

    def build(self, input_shape):
        arguments.tokens("AttentionPooling", input_shape)
        hidden_dim = input_shape[-1]
        arguments.divisible_heads(hidden_dim, self.num_heads)
        probe_shape = (1, 1, hidden_dim)
        self.probe = self.add_weight(shape=probe_shape, initializer="glorot_uniform", name="probe")
        self.attention = layers.MultiHeadAttention(
            self.num_heads, hidden_dim // self.num_heads, name="attention", dtype=self.dtype_policy
        )
        self.attention.build(probe_shape, input_shape)
        self.norm.build(probe_shape)
        self.mlp.build(probe_shape)

    def call(self, x, training=None):
        probe = ops.broadcast_to(self.probe, (ops.shape(x)[0], 1, x.shape[-1]))  # (B, 1, D)
        x = self.attention(probe, x)  # (B, 1, D)
        x = x + self.mlp(self.norm(x))
        return x[:, 0]  # (B, D)

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "mlp_dim": self.mlp_dim,
            "approximate": self.approximate,
            "epsilon": self.epsilon,
        }
