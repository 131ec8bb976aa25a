"""The Perception Encoder (https://arxiv.org/abs/2504.13181): CLIP with rotary positions.

    z_0   = LN([x_class; x_1 E; ...; x_N E] + E_pos)    Eq. 1, E without a bias; size G: no x_class
    q, k  = rotate(q, angle), rotate(k, angle)          Eq. 5, then for each patch and head:
    angle = [x w; y w],  w_j = theta^(-4 j / d),  j = 0 ... d / 4 - 1
    y     = MAP(LN(z_L)), with 8 heads                  Eq. 4; the spatial models end with z_L

x and y are the column and the row of a patch as in EVA-02, counted from 1 if there is a class
token, whose place is then (0, 0).
"""

import functools

import keras
import numpy as np

from keras_vit import arguments as check
from keras_vit.descendants.eva import EVABlock, EVASelfAttention
from keras_vit.descendants.pooling import AttentionPooling
from keras_vit.layers import MLP, LayerNorm
from keras_vit.vit import ViT

register = keras.saving.register_keras_serializable(package="keras_vit")
POOLING_HEADS, POOLING_RATIO = 8, 4  # heads and MLP ratio of attention pooling, in every size


@register
class PESelfAttention(EVASelfAttention):
    """`EVASelfAttention` whose places are (column, row), from 1 on if there is a class token.

    Example:
    >>> layer = keras_vit.descendants.pe.PESelfAttention(num_heads=3, grid=(2, 3))
    >>> tuple(layer(np.zeros((2, 7, 24))).shape)
    (2, 7, 24)
    """

    def places(self):
        first = self.prefix_tokens * np.divide(self.reference, self.grid)
        return (super().places() + first)[:, ::-1]


@register
class PEBlock(EVABlock):
    """`EVABlock` with `PESelfAttention` and the paper's MLP; the arguments are the same.

    Example:
    >>> block = keras_vit.descendants.pe.PEBlock(num_heads=3, mlp_dim=64, grid=(2, 3))
    >>> tuple(block(np.zeros((2, 7, 24))).shape)
    (2, 7, 24)
    """

    rotary_layer, plain_mlp = PESelfAttention, MLP


@register
class PEViT(ViT):
    """The Perception Encoder: a `ViT` that also has rotary positions, and a norm before the blocks.

    Args:
        *args: arguments of `ViT`.
        reference: (rows, columns) of patches in pre-training; the default is that of three sizes.
        has_class_token: whether there is a class token if `pooling` is "map" or None; the size G
            has none.
        **kwargs: arguments of `ViT`. "map" pools the class token too.

    Raises:
        ValueError: an argument is invalid.

    Example:
    >>> model = keras_vit.create("ViT-Ti/16", keras_vit.descendants.PEViT, image_size=(32, 48),
    ...                          num_layers=1, num_classes=512, pooling="map")
    >>> model.output_shape, model.prefix_tokens
    ((None, 512), 1)

    Reference: Bolya et al. 2025, https://arxiv.org/abs/2504.13181, section 2
    """

    def __init__(
        self,
        *args,
        reference: check.height_width = 24,
        has_class_token: check.boolean = True,
        **kwargs,
    ):
        self.keep(locals())
        super().__init__(*args, **kwargs)

    @property
    def prefix_tokens(self):
        return int(self.has_class_token) if self.pooling in ("map", None) else super().prefix_tokens

    @property
    def block(self):
        """The function that creates a block for this model's grid."""
        rotary = {"grid": self.grid, "prefix_tokens": self.prefix_tokens}
        return functools.partial(PEBlock, **rotary, reference=self.reference)

    def embed(self, x):
        return self.part(LayerNorm, self.epsilon, name="embedding_norm")(super().embed(x))

    def pool(self, x):
        if self.pooling != "map":
            return super().pool(x)
        sizes = (POOLING_HEADS, POOLING_RATIO * self.hidden_dim, self.approximate, self.epsilon)
        return self.part(AttentionPooling, *sizes, name="pooling")(x)


@register
class PESpatialViT(PEViT):
    """`PEViT` that ends with z_L, without a normalization: PE's spatial and language models.

    The arguments are those of `PEViT`.

    Example:
    >>> model = keras_vit.create("ViT-Ti/16", keras_vit.descendants.PESpatialViT, image_size=32,
    ...                          num_layers=1, num_classes=None, pooling=None)
    >>> model.output_shape
    (None, 5, 192)
    """

    def norm(self, x):
        return x
