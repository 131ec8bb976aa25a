"""DINOv3 (https://arxiv.org/abs/2508.10104): rotary positions in place of E_pos.

    z_0  = [x_class; r_1; ...; r_R; x_1 E; ...; x_N E]       Eq. 1 without E_pos
    q, k = rotate(q, angle), rotate(k, angle)                Eq. 5, then for each patch and head:
    angle = 2 pi [y w; x w; y w; x w],  w_j = theta^(-4 j / d),  j = 0 ... d / 4 - 1
    MLP  = (silu(z W_gate) * (z W_up)) W_down                in the sizes S+, H+ and 7B
    layer scale as in DINOv2, in the weights

y and x are the center of a patch, -1 to 1 from one edge of the image to the other. Attention
between two patches depends only on the difference of their positions, so a model takes images of
any size.
"""

import functools
import math

import keras
import numpy as np
from keras import ops

from keras_vit import arguments as check
from keras_vit.ablations.placement import UnplacedPatchEncoder
from keras_vit.descendants.dinov2 import GatedMLP, RegisterViT
from keras_vit.layers import MLP, SelfAttention, TransformerBlock

register = keras.saving.register_keras_serializable(package="keras_vit")


@register
class RotarySelfAttention(SelfAttention):
    """`SelfAttention` whose queries and keys are rotated by the place of their patch.

    Args:
        *args: arguments of `SelfAttention`.
        grid: (rows, columns) of patches.
        prefix_tokens: number of tokens before the patches, which are not rotated.
        theta: approximate ratio of the longest wavelength to the shortest.
        **kwargs: arguments of `SelfAttention`.

    Call arguments:
        x: tokens (batch, prefix_tokens + rows * columns, D).

    Returns:
        (batch, tokens, D).

    Raises:
        ValueError: D / num_heads is not divisible by 4.

    Example:
    >>> layer = keras_vit.descendants.dinov3.RotarySelfAttention(num_heads=3, grid=(2, 3))
    >>> tuple(layer(np.zeros((2, 7, 24))).shape)
    (2, 7, 24)

    Reference: Siméoni et al. 2025, https://arxiv.org/abs/2508.10104, section 3.2
    """

    def __init__(
        self,
        *args,
        grid: check.height_width,
        prefix_tokens: check.natural_number = 1,
        theta: check.positive_number = 100.0,
        **kwargs,
    ):
        super().__init__(*args, **kwargs)
        self.keep(locals())

    def build(self, input_shape):
        super().build(input_shape)
        dim = input_shape[-1] // self.num_heads
        if dim % 4:
            check.refuse("d, the width of a head, must be divisible by 4", {"d": dim})
        waves = self.theta ** -(np.arange(dim // 4) * 4 / dim)
        angles = np.tile((self.places()[..., None] * waves).reshape(-1, dim // 2), 2)  # (N, d)
        angles = np.pad(angles, ((self.prefix_tokens, 0), (0, 0))).astype("float32")[:, None]
        self.cosine, self.sine = np.cos(angles), np.sin(angles)  # (tokens, 1, d)

    def places(self):
        """Returns 2 pi (y, x) of the patches, (rows * columns, 2)."""
        indices = np.indices(self.grid).reshape(2, -1).T
        return 2 * math.pi * ((2 * indices + 1) / self.grid - 1)

    def heads(self, x):
        query, key, value = super().heads(x)
        return self.rotate(query), self.rotate(key), value

    def rotate(self, x):
        """Rotates vectors (batch, tokens, heads, d): pairs j and j + d / 2 by their angle."""
        first, second = ops.split(x, 2, axis=-1)
        turned = ops.concatenate([-second, first], axis=-1)
        return x * ops.cast(self.cosine, x.dtype) + turned * ops.cast(self.sine, x.dtype)


@register
class RotaryBlock(TransformerBlock):
    """`TransformerBlock` with `RotarySelfAttention`, and a `GatedMLP` if `gated`.

    Args:
        *args: arguments of `TransformerBlock`.
        grid: (rows, columns) of patches.
        prefix_tokens: number of tokens before the patches.
        theta: as in `RotarySelfAttention`.
        gated: whether the MLP is gated.
        **kwargs: arguments of `TransformerBlock`.

    Raises:
        ValueError: as in `RotarySelfAttention` and `TransformerBlock`.

    Example:
    >>> block = keras_vit.descendants.dinov3.RotaryBlock(num_heads=3, mlp_dim=64, grid=(2, 3))
    >>> tuple(block(np.zeros((2, 7, 24))).shape)
    (2, 7, 24)
    """

    def __init__(
        self,
        *args,
        grid: check.height_width,
        prefix_tokens: check.natural_number = 1,
        theta: check.positive_number = 100.0,
        gated: check.boolean = False,
        **kwargs,
    ):
        rotary = {"grid": grid, "prefix_tokens": prefix_tokens, "theta": theta}
        self.attention_layer = functools.partial(RotarySelfAttention, **rotary)
        self.mlp_layer = GatedMLP if gated else MLP
        super().__init__(*args, **kwargs)
        self.keep(locals())


@register
class DINOv3ViT(RegisterViT):
    """DINOv3: a `RegisterViT` with rotary positions, and gated MLPs in some sizes.

    Args:
        *args: arguments of `RegisterViT`.
        theta: as in `RotarySelfAttention`.
        **kwargs: arguments of `RegisterViT`; MLPs are `gated` in the sizes S+, H+ and 7B.

    Raises:
        ValueError: an argument is invalid.

    Example:
    >>> model = keras_vit.create("ViT-Ti/16", keras_vit.descendants.DINOv3ViT, image_size=(32, 48),
    ...                          num_layers=1, num_classes=None, pooling=None)
    >>> model.output_shape
    (None, 11, 192)

    Reference: Siméoni et al. 2025, https://arxiv.org/abs/2508.10104
    """

    encoder_layer = UnplacedPatchEncoder

    def __init__(self, *args, theta: check.positive_number = 100.0, **kwargs):
        self.keep(locals())
        super().__init__(*args, **kwargs)

    @property
    def block(self):
        """The function that creates a block for this model's grid."""
        rotary = {"grid": self.grid, "prefix_tokens": self.prefix_tokens, "theta": self.theta}
        return functools.partial(RotaryBlock, **rotary, gated=self.gated)
