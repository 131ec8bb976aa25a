"""EVA-02 (https://arxiv.org/abs/2303.11331): rotary positions besides E_pos, gated MLP, sub-LN.

    q, k  = rotate(q, angle), rotate(k, angle)          Eq. 5, then for each patch and head:
    angle = [y w; x w],  w_j = theta^(-4 j / d),  j = 0 ... d / 4 - 1
    MSA   = LN([SA_1(z); ...; SA_k(z)]) U_msa           Eq. 8, LN in the CLIP towers only
    MLP   = LN(silu(z W_gate) * (z W_up)) W_down        LN in the sizes B and L only
    y     = LN(mean of z_L over the patches)            Eq. 4 of its classifiers

y and x are the row and the column of a patch; if the grid differs from that of pre-training, they
are scaled to its size. Entries 2 j and 2 j + 1 of a query or key are rotated as a pair.
"""

import functools

import keras
import numpy as np
from keras import ops

from keras_vit import arguments as check
from keras_vit import inner
from keras_vit.descendants.dinov3 import GatedMLP, RotarySelfAttention
from keras_vit.descendants.pooling import NormAfterPooling
from keras_vit.layers import LayerNorm, TransformerBlock
from keras_vit.vit import ViT

register = keras.saving.register_keras_serializable(package="keras_vit")


@register
class NormDense(inner.Dense):
    """A dense layer that normalizes its input first: LN(x) W + b, with an epsilon of 1e-6.

    Example:
    >>> tuple(keras_vit.descendants.eva.NormDense(3)(np.ones((2, 5, 8))).shape)
    (2, 5, 3)
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.norm = LayerNorm(dtype=self.dtype_policy, trainable=self.trainable, name="norm")

    def build(self, input_shape):
        self.norm.build(input_shape)
        super().build(input_shape)

    def call(self, x):
        return super().call(self.norm(x))

    def quantized_call(self, x, *args, **kwargs):
        return super().quantized_call(self.norm(x), *args, **kwargs)


@register
class EVASelfAttention(RotarySelfAttention):
    """`RotarySelfAttention` with other places and pairs, and a normalization before U_msa.

    Args:
        *args: arguments of `RotarySelfAttention`.
        reference: (rows, columns) of patches to which `grid` is scaled.
        sub_ln: whether a normalization comes before U_msa.
        **kwargs: arguments of `RotarySelfAttention`; the default of theta is 10,000.

    Raises:
        ValueError: as in `RotarySelfAttention`.

    Example:
    >>> layer = keras_vit.descendants.eva.EVASelfAttention(num_heads=3, grid=(2, 3))
    >>> tuple(layer(np.zeros((2, 7, 24))).shape)
    (2, 7, 24)

    Reference: Fang et al. 2023, https://arxiv.org/abs/2303.11331, section 2.2
    """

    def __init__(
        self, *args, reference: check.height_width = 16, sub_ln: check.boolean = False, **kwargs
    ):
        super().__init__(*args, **{"theta": 10000.0} | kwargs)
        self.keep(locals())

    def places(self):
        return np.indices(self.grid).reshape(2, -1).T * np.divide(self.reference, self.grid)

    def rotate(self, x):
        """Rotates vectors (batch, tokens, heads, d), and reorders their entries.

        The product of queries and keys does not depend on the order, which is the same in both.
        """
        return super().rotate(ops.concatenate([x[..., ::2], x[..., 1::2]], axis=-1))

    def dense(self, units, name, *args, **kwargs):
        if name == "projection" and self.sub_ln:
            return self.part(NormDense, units, name=name)
        return super().dense(units, name, *args, **kwargs)


@register
class NormGatedMLP(GatedMLP):
    """`GatedMLP` with a normalization before W_down.

    Example:
    >>> layer = keras_vit.descendants.eva.NormGatedMLP(mlp_dim=64)
    >>> tuple(layer(np.zeros((2, 7, 24))).shape)
    (2, 7, 24)
    """

    def dense(self, units, name):
        if name == "contract":
            return self.part(NormDense, units, name=name)
        return super().dense(units, name)


@register
class EVABlock(TransformerBlock):
    """`TransformerBlock` with `EVASelfAttention` and a gated MLP.

    Args:
        *args: arguments of `TransformerBlock`.
        grid: (rows, columns) of patches.
        prefix_tokens: number of tokens before the patches.
        reference: as in `EVASelfAttention`.
        attention_norm: whether a normalization comes before U_msa.
        mlp_norm: whether a normalization comes before W_down.
        **kwargs: arguments of `TransformerBlock`.

    Raises:
        ValueError: as in `EVASelfAttention` and `TransformerBlock`.

    Example:
    >>> block = keras_vit.descendants.eva.EVABlock(num_heads=3, mlp_dim=64, grid=(2, 3))
    >>> tuple(block(np.zeros((2, 7, 24))).shape)
    (2, 7, 24)
    """

    rotary_layer, plain_mlp = EVASelfAttention, GatedMLP

    def __init__(
        self,
        *args,
        grid: check.height_width,
        prefix_tokens: check.natural_number = 1,
        reference: check.height_width = 16,
        attention_norm: check.boolean = False,
        mlp_norm: check.boolean = False,
        **kwargs,
    ):
        rotary = {"grid": grid, "prefix_tokens": prefix_tokens, "reference": reference}
        self.attention_layer = functools.partial(self.rotary_layer, sub_ln=attention_norm, **rotary)
        self.mlp_layer = NormGatedMLP if mlp_norm else self.plain_mlp
        super().__init__(*args, **kwargs)
        self.keep(locals())


@register
class EVAViT(ViT):
    """EVA-02 and its CLIP towers: a `ViT` that also has rotary positions, with gated MLPs.

    Args:
        *args: arguments of `ViT`.
        reference: (rows, columns) of patches in pre-training.
        attention_norm: whether a normalization comes before U_msa, as in the CLIP towers.
        mlp_norm: whether a normalization comes before W_down, as in the sizes B and L.
        **kwargs: arguments of `ViT`.

    Raises:
        ValueError: an argument is invalid.

    Example:
    >>> model = keras_vit.create("ViT-Ti/16", keras_vit.descendants.EVAViT, image_size=(32, 48),
    ...                          mlp_dim=512, num_layers=1, num_classes=None, pooling=None)
    >>> model.output_shape
    (None, 7, 192)

    Reference: Fang et al. 2023, https://arxiv.org/abs/2303.11331
    """

    def __init__(
        self,
        *args,
        reference: check.height_width = 16,
        attention_norm: check.boolean = False,
        mlp_norm: check.boolean = False,
        **kwargs,
    ):
        self.keep(locals())
        super().__init__(*args, **kwargs)

    @property
    def block(self):
        """The function that creates a block for this model's grid."""
        names = ("grid", "prefix_tokens", "reference", "attention_norm", "mlp_norm")
        return functools.partial(EVABlock, **{name: getattr(self, name) for name in names})


@register
class EVAMeanViT(NormAfterPooling, EVAViT):
    """`EVAViT` whose last normalization comes after pooling, as in EVA-02's classifiers.

    The arguments are those of `EVAViT`. The published classifiers have `pooling="patch mean"`.

    Example:
    >>> model = keras_vit.create("ViT-Ti/16", keras_vit.descendants.EVAMeanViT, image_size=32,
    ...                          num_layers=1, num_classes=3, pooling="patch mean")
    >>> model.output_shape
    (None, 3)
    """
