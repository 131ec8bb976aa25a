"""Attention pooling, "MAP", from the paper's successor, arXiv 2106.04560; no LN before pooling.

y = u + MLP(LN(u)),  u = MSA with the learned query q_probe and the tokens as keys and values
y = LN(mean of z_L over the patches)   BEiT, EVA-02, timm's sbb,
                                       fine-tuned MAE (https://arxiv.org/abs/2111.06377)
y = z_L^0                              RADIO (https://arxiv.org/abs/2312.06709), InternViT

Registers and gated MLPs are those of `RegisterViT`; by default a model here has none.
"""

import keras
from keras import layers, ops

from keras_vit import arguments as check
from keras_vit.descendants.dinov2 import RegisterViT
from keras_vit.layers import MLP, Layer, LayerNorm
from keras_vit.vit import ViT

register = keras.saving.register_keras_serializable(package="keras_vit")


@register
class AttentionPooling(Layer):
    """Pools tokens with one learned query: attention from a probe, then a residual MLP.

    `ViT(pooling="map")` has it. Source: "Scaling Vision Transformers", arXiv 2106.04560.

    Args:
        num_heads: number of attention heads; it divides D.
        mlp_dim: width of the MLP's hidden layer.
        approximate: form of GELU, see `MLP`.
        epsilon: of the layer normalization.

    Call arguments:
        x: tokens (batch, tokens, D).

    Returns:
        (batch, D).

    Raises:
        ValueError: D is not divisible by `num_heads`.

    Example:
    >>> pool = keras_vit.descendants.pooling.AttentionPooling(num_heads=3, mlp_dim=768)
    >>> tuple(pool(np.zeros((2, 196, 192))).shape)
    (2, 192)
    """

    def __init__(
        self,
        num_heads: check.positive_integer,
        mlp_dim: check.positive_integer,
        approximate: check.boolean = False,
        epsilon: check.positive_number = 1e-6,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.keep(locals())
        self.norm = self.part(LayerNorm, epsilon, name="norm")
        self.mlp = self.part(MLP, mlp_dim, approximate=approximate, name="mlp")

    def build(self, input_shape):
        check.tokens("AttentionPooling", input_shape)
        hidden_dim = input_shape[-1]
        check.divisible_heads(hidden_dim, self.num_heads)
        probe_shape = (1, 1, hidden_dim)
        self.probe = self.add_weight(shape=probe_shape, initializer="glorot_uniform", name="probe")
        heads = (self.num_heads, hidden_dim // self.num_heads)
        self.attention = self.part(layers.MultiHeadAttention, *heads, name="attention")
        self.attention.build(probe_shape, input_shape)
        self.norm.build(probe_shape)
        self.mlp.build(probe_shape)

    def call(self, x):
        probe = ops.broadcast_to(self.probe, (ops.shape(x)[0], 1, x.shape[-1]))  # (B, 1, D)
        x = self.attention(probe, x)  # (B, 1, D)
        x = x + self.mlp(self.norm(x))
        return x[:, 0]  # (B, D)

    def attention_scores(self, x):
        """Returns how much the probe attends to each token, in float32: (batch, heads, tokens)."""
        probe = ops.broadcast_to(self.probe, (ops.shape(x)[0], 1, x.shape[-1]))
        scores = self.attention(probe, x, return_attention_scores=True)[1]  # (B, heads, 1, tokens)
        return ops.cast(scores[:, :, 0], "float32")


def _pooling(vit, **options):
    shape = (vit.num_heads, vit.mlp_dim, vit.approximate, vit.epsilon)
    return AttentionPooling(*shape, **options)


ViT.poolings["map"] = (0, _pooling)


class NormAfterPooling:
    """A mixin for `ViT`, whose last normalization then comes after pooling.

    The order matters for a mean, but not for the class token. With `pooling=None` the
    tokens are those after the last block, without a normalization.
    """

    def norm(self, x):
        return x

    def pool(self, x):
        return super().norm(super().pool(x))


@register
class PooledNormViT(NormAfterPooling, RegisterViT):
    """A model that normalizes after pooling: fine-tuned MAE, "sbb" and others of timm.

    With `pooling=None` the tokens are those after the last block, without a normalization.

    Args:
        *args: arguments of `RegisterViT`.
        num_registers: number of registers; sbb has 1 or 4.
        **kwargs: arguments of `RegisterViT`. `pooling` is "patch mean" in fine-tuned MAE, and "gap"
            in models without a class token.

    Raises:
        ValueError: an argument cannot be used, as in `RegisterViT`.

    Example:
    >>> model = keras_vit.create("ViT-Ti/16", keras_vit.descendants.PooledNormViT, image_size=32,
    ...                          num_layers=1, pooling="gap", num_registers=4, num_classes=10)
    >>> model.output_shape, model.prefix_tokens
    ((None, 10), 4)

    Reference: He et al. 2021, https://arxiv.org/abs/2111.06377, Appendix A.1
    """

    def __init__(self, *args, num_registers: check.natural_number = 0, **kwargs):
        super().__init__(*args, num_registers=num_registers, **kwargs)


@register
class UnnormalizedViT(RegisterViT):
    """A model without a normalization after the last block: RADIO, InternViT.

    Args:
        *args: arguments of `RegisterViT`.
        num_registers: number of registers; RADIO has several, InternViT none.
        **kwargs: arguments of `RegisterViT`.

    Raises:
        ValueError: an argument cannot be used, as in `RegisterViT`.

    Example:
    >>> model = keras_vit.create("ViT-Ti/16", keras_vit.descendants.UnnormalizedViT, image_size=32,
    ...                          num_layers=1, num_classes=None)
    >>> [layer.name for layer in model.layers][-2:]
    ['block_0', 'pooling']

    Reference: Ranzinger et al. 2023, https://arxiv.org/abs/2312.06709
    """

    def __init__(self, *args, num_registers: check.natural_number = 0, **kwargs):
        super().__init__(*args, num_registers=num_registers, **kwargs)

    def norm(self, x):
        return x
