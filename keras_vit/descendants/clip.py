"""CLIP's image encoder (https://arxiv.org/abs/2103.00020).

z_0    = LN([x_class; x_1 E; ...; x_N E] + E_pos)        Eq. 1, E without a bias
GELU   = x sigmoid(1.702 x)                              in OpenAI's models, not in OpenCLIP's
logits = y W_projection                                  the embedding that is compared with text
"""

import functools

import keras
from keras import layers, ops

from keras_vit import arguments as check
from keras_vit.layers import MLP, LayerNorm, TransformerBlock
from keras_vit.vit import ViT

register = keras.saving.register_keras_serializable(package="keras_vit")


@register
class QuickMLP(MLP):
    """`MLP` with x sigmoid(1.702 x) between its two layers, an approximation of GELU.

    Example:
    >>> tuple(keras_vit.descendants.clip.QuickMLP(mlp_dim=768)(np.zeros((2, 197, 192))).shape)
    (2, 197, 192)
    """

    def call(self, x):
        x = self.expand(x)
        x = self.drop_1(x * ops.sigmoid(1.702 * x))  # (B, tokens, mlp_dim)
        return self.drop_2(self.contract(x))  # (B, tokens, D)


@register
class QuickBlock(TransformerBlock):
    """`TransformerBlock` with a `QuickMLP`.

    Example:
    >>> block = keras_vit.descendants.clip.QuickBlock(num_heads=3, mlp_dim=768)
    >>> tuple(block(np.zeros((2, 197, 192))).shape)
    (2, 197, 192)
    """

    mlp_layer = QuickMLP


@register
class CLIPViT(ViT):
    """CLIP's image encoder: a `ViT` that normalizes tokens before the first block.

    Args:
        *args: arguments of `ViT`.
        quick_gelu: whether blocks have a `QuickMLP`, as in OpenAI's models.
        projection_dim: length of the embedding in the space that images and texts share, which
            replaces y before the head; None for no projection.
        **kwargs: arguments of `ViT`.

    Raises:
        ValueError: an argument is invalid.

    Example:
    >>> model = keras_vit.create("ViT-Ti/16", keras_vit.descendants.CLIPViT, image_size=32,
    ...                          num_layers=1, num_classes=None, projection_dim=512)
    >>> model.output_shape
    (None, 512)

    Reference: Radford et al. 2021, https://arxiv.org/abs/2103.00020, section 2.4
    """

    def __init__(
        self,
        *args,
        quick_gelu: check.boolean = True,
        projection_dim: check.optional(check.positive_integer) = None,
        **kwargs,
    ):
        self.keep(locals())
        super().__init__(*args, **kwargs)

    @property
    def block(self):
        """The class of the blocks."""
        return QuickBlock if self.quick_gelu else TransformerBlock

    def embed(self, x):
        return self.part(LayerNorm, self.epsilon, name="embedding_norm")(super().embed(x))

    def head(self, x):
        if self.projection_dim is not None:
            dense = functools.partial(layers.Dense, self.projection_dim, use_bias=False)
            x = self.part(dense, name="projection")(x)  # (B, projection_dim)
        return super().head(x)
