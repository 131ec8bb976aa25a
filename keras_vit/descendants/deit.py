"""DeiT's distillation token (https://arxiv.org/abs/2012.12877).

    z_0 = [x_class; x_distill; x_1 E; ...; x_N E] + E_pos      Eq. 1 with two prefix tokens
    y   = [LN(z_L)^0; LN(z_L)^1]                               Eq. 4 takes both, side by side

The published models have a linear head for each token and average their logits. This equals one
head on the two vectors side by side, with half of each kernel.
"""

import keras
from keras import ops

from keras_vit.vit import ClassToken, ViT


@keras.saving.register_keras_serializable(package="keras_vit")
class ClassAndDistillationToken(ClassToken):
    """Takes the class token and the distillation token, the first two, side by side.

    Call arguments:
        x: tokens (batch, tokens, D).

    Returns:
        (batch, 2 D).

    Example:
    >>> tuple(keras_vit.descendants.deit.ClassAndDistillationToken()(np.zeros((2, 198, 192))).shape)
    (2, 384)
    """

    def call(self, x):
        return ops.reshape(x[:, :2], (-1, 2 * x.shape[-1]))  # (B, 2 D)


ViT.poolings["distilled"] = (2, lambda vit, **options: ClassAndDistillationToken(**options))
