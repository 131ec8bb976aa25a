"""DINOv2 and registers (https://arxiv.org/abs/2304.07193, https://arxiv.org/abs/2309.16588).

    z_0  = [x_class + p_0; r_1; ...; r_R; x_1 E + p_1; ...]         Eq. 1 with R registers
    z'_l = gamma_1 * MSA(LN(z_l-1)) + z_l-1                         Eq. 2 with layer scale
    z_l  = gamma_2 * MLP(LN(z'_l)) + z'_l                           Eq. 3 with layer scale
    MLP  = (silu(z W_gate) * (z W_up)) W_down                       in the size g
    y    = [LN(z_L)^0; mean of LN(z_L) over the patches]            Eq. 4 of its classifiers

A vector gamma multiplies the output of a dense layer, so it can be part of the weights:
(x W + b) gamma = x (W gamma) + b gamma. Loading a file multiplies it in; no layer here has a gamma.
Registers are tokens whose rows of E_pos are zero. Without registers, the sizes S, B and L are plain
`ViT`s. TIPSv2 (https://arxiv.org/abs/2604.12012) is the same model with one register.
"""

import keras
from keras import ops

from keras_vit import arguments as check
from keras_vit.layers import MLP, Layer, TransformerBlock
from keras_vit.vit import ViT

register = keras.saving.register_keras_serializable(package="keras_vit")


@register
class GatedMLP(MLP):
    """SwiGLU: the first dense layer makes gates and values, `mlp_dim` each.

    Example:
    >>> tuple(keras_vit.descendants.dinov2.GatedMLP(mlp_dim=64)(np.zeros((2, 7, 24))).shape)
    (2, 7, 24)

    Reference: https://arxiv.org/abs/2002.05202
    """

    def dense(self, units, name):
        return super().dense(2 * units if name == "expand" else units, name)

    def call(self, x):
        gate, x = ops.split(self.expand(x), 2, axis=-1)  # (B, tokens, mlp_dim) each
        return self.drop_2(self.contract(self.drop_1(ops.silu(gate) * x)))  # (B, tokens, D)


@register
class GatedBlock(TransformerBlock):
    """`TransformerBlock` with a `GatedMLP`.

    Example:
    >>> block = keras_vit.descendants.dinov2.GatedBlock(num_heads=3, mlp_dim=64)
    >>> tuple(block(np.zeros((2, 7, 24))).shape)
    (2, 7, 24)
    """

    mlp_layer = GatedMLP


@register
class RegisterViT(ViT):
    """A `ViT` with registers: learned tokens between the class token and the patches.

    If `pooling` has no class token, "gap" or "map", the registers come first, and only the patches
    are pooled.

    Args:
        *args: arguments of `ViT`.
        num_registers: R, the number of registers; 4 or 0 in DINOv2.
        gated: whether blocks have a `GatedMLP`, as in the size g.
        **kwargs: arguments of `ViT`.

    Raises:
        ValueError: an argument is invalid.

    Example:
    >>> model = keras_vit.create("ViT-Ti/16", keras_vit.descendants.RegisterViT, image_size=32,
    ...                          num_layers=1, num_classes=None, pooling=None)
    >>> model.output_shape, model.prefix_tokens
    ((None, 9, 192), 5)

    Reference: Darcet et al. 2023, https://arxiv.org/abs/2309.16588, section 2.2
    """

    def __init__(
        self,
        *args,
        num_registers: check.natural_number = 4,
        gated: check.boolean = False,
        **kwargs,
    ):
        self.keep(locals())
        super().__init__(*args, **kwargs)

    @property
    def block(self):
        """The class of the blocks."""
        return GatedBlock if self.gated else TransformerBlock

    @property
    def prefix_tokens(self):
        return super().prefix_tokens + self.num_registers

    def pool(self, x):
        has_class_token = super().prefix_tokens > 0
        return super().pool(x if has_class_token else x[:, self.num_registers :])  # (B, N, D)


@register
class PatchMean(Layer):
    """Takes the mean of the patches' tokens, in a model that has a class token too.

    Args:
        prefix_tokens: number of tokens before the patches, which the mean leaves out.

    Call arguments:
        x: tokens (batch, tokens, D).

    Returns:
        (batch, D).

    Raises:
        ValueError: `prefix_tokens` is not a positive integer, or the input is not tokens.

    Example:
    >>> layer = keras_vit.descendants.PatchMean(prefix_tokens=5)
    >>> tuple(layer(np.zeros((2, 201, 192))).shape)
    (2, 192)
    """

    def __init__(self, prefix_tokens: check.positive_integer = 1, **kwargs):
        super().__init__(**kwargs)
        self.keep(locals())

    def build(self, input_shape):
        check.tokens(type(self).__name__, input_shape)

    def call(self, x):
        return ops.mean(x[:, self.prefix_tokens :], axis=1)  # (B, D)


@register
class ClassTokenAndMean(PatchMean):
    """Takes the class token and the mean of the patches' tokens, side by side: (batch, 2 D).

    The arguments are those of `PatchMean`.

    Example:
    >>> layer = keras_vit.descendants.ClassTokenAndMean(prefix_tokens=5)
    >>> tuple(layer(np.zeros((2, 201, 192))).shape)
    (2, 384)
    """

    def call(self, x):
        return ops.concatenate([x[:, 0], super().call(x)], axis=-1)  # (B, 2 D)


ViT.poolings["patch mean"] = (1, lambda vit, **o: PatchMean(vit.prefix_tokens, **o))
ViT.poolings["token and mean"] = (1, lambda vit, **o: ClassTokenAndMean(vit.prefix_tokens, **o))
