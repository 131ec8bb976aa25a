"""The layers of the paper's ResNets: those of the hybrids (section 3.1) and of BiT (4.1).

                hybrid: ResNet v1                      BiT: ResNet v2, arXiv 1912.11370
    root        pool(relu(norm(conv(x))))              pool(conv(x))
    unit        relu(x + norm(conv(relu(norm(...)))))  x + conv(relu(norm(...)))
    conv        (w - mean) / (deviation + 1e-5)        (w - mean) / sqrt(variance + 1e-10)
    padding     as little as needed, more at the end   the same on both sides
    norm        32 groups, epsilon 1e-6                32 groups, epsilon 1e-5

The two differ in constants as well as in order, and published weights fit only the one that they
were trained with, so each layer has two versions, in `hybrid_layers.py` and `bit_layers.py`,
instead of a switch. `shared.py` contains the operations that both have in common.
"""

from keras_vit.convolutions.bit_layers import BiTConv, BiTRoot, BiTUnit
from keras_vit.convolutions.hybrid_layers import HybridConv, HybridRoot, HybridUnit, SmallRoot
from keras_vit.convolutions.shared import group_norm

__all__ = [
    "BiTConv",
    "BiTRoot",
    "BiTUnit",
    "HybridConv",
    "HybridRoot",
    "HybridUnit",
    "SmallRoot",
    "group_norm",
]
