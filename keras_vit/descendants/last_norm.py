"""The last normalization moved after the pooling, or left out.

y = LN(mean of z_L over the patches)   fine-tuned MAE (https://arxiv.org/abs/2111.06377), timm's sbb
y = z_L^0                              RADIO (https://arxiv.org/abs/2312.06709), InternViT

Registers and gated MLPs are those of `RegisterViT`; by default a model here has none.
"""

import keras

from keras_vit import arguments as check
from keras_vit.descendants.dinov2 import RegisterViT
from keras_vit.descendants.pooling import NormAfterPooling

register = keras.saving.register_keras_serializable(package="keras_vit")


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
