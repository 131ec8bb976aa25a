"""The hybrids of timm: the paper's, computed with other epsilons.

conv   (w - mean) / sqrt(variance + 1e-8)     in place of (w - mean) / (deviation + 1e-5)
norm   32 groups, epsilon 1e-5                in place of 1e-6

timm's files hold the weights of the official code unchanged, or were fine-tuned with these values.
"""

import keras
from keras import ops

from keras_vit.convolutions import HybridConv, HybridRoot, HybridUnit
from keras_vit.convolutions.shared import center_kernel
from keras_vit.hybrid import HybridViT

register = keras.saving.register_keras_serializable(package="keras_vit")


@register
class TimmConv(HybridConv):
    """`HybridConv` with timm's epsilon.

    Example:
    >>> conv = keras_vit.descendants.timm_hybrid.TimmConv(filters=64, kernel_size=7, strides=2)
    >>> tuple(conv(np.zeros((2, 15, 16, 3))).shape)
    (2, 8, 8, 64)

    Reference: `_resnetv2` of https://github.com/huggingface/pytorch-image-models
    """

    def standardize(self, kernel):
        kernel, variance = center_kernel(kernel)
        return kernel / ops.sqrt(variance + 1e-8)


@register
class TimmRoot(HybridRoot):
    """`HybridRoot` with timm's epsilons.

    Example:
    >>> root = keras_vit.descendants.timm_hybrid.TimmRoot(filters=64)
    >>> tuple(root(np.zeros((2, 64, 96, 3))).shape)
    (2, 16, 24, 64)
    """

    conv_layer, epsilon = TimmConv, 1e-5


@register
class TimmUnit(HybridUnit):
    """`HybridUnit` with timm's epsilons.

    Example:
    >>> unit = keras_vit.descendants.timm_hybrid.TimmUnit(filters=64, strides=2)
    >>> tuple(unit(np.zeros((2, 16, 24, 64))).shape)
    (2, 8, 12, 256)
    """

    conv_layer, epsilon = TimmConv, 1e-5


@register
class TimmHybridViT(HybridViT):
    """A `HybridViT` with timm's epsilons; the arguments are the same.

    Example:
    >>> model = keras_vit.descendants.TimmHybridViT(
    ...     64, 16, num_layers=1, hidden_dim=32, mlp_dim=64, num_heads=2, resnet_units=(1, 1))
    >>> model.output_shape
    (None, 1000)
    """

    root, unit = TimmRoot, TimmUnit
