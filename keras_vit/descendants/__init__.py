"""Models published after the paper: each module shows what one family changed.

deit.py         DeiT's distillation token
dinov2.py       DINOv2: registers, layer scale, gated MLP, the classifier's two vectors
dinov3.py       DINOv3: rotary positions
beit.py         BEiT: a bias for the offset of two patches
clip.py         CLIP: a norm before the blocks, a quick GELU, a projection
eva.py          EVA-02: rotary positions besides E_pos, gated MLP, more normalizations
pe.py           the Perception Encoder: CLIP with rotary positions and attention pooling
pooling.py      attention pooling, of "Scaling Vision Transformers" and SigLIP;
                fine-tuned MAE and sbb: the last norm after pooling; RADIO: no last norm
timm_hybrid.py  hybrids with timm's epsilons
flexivit.py     FlexiViT: the kernel of the patch embedding for patches of another size
zero_shot.py    CLIP's and SigLIP's classifier, whose classes are texts
"""

from keras_vit.descendants.beit import BEiTViT, BiasedViT
from keras_vit.descendants.clip import CLIPViT
from keras_vit.descendants.deit import ClassAndDistillationToken
from keras_vit.descendants.dinov2 import ClassTokenAndMean, PatchMean, RegisterViT
from keras_vit.descendants.dinov3 import DINOv3ViT
from keras_vit.descendants.eva import EVAMeanViT, EVAViT
from keras_vit.descendants.pe import PESpatialViT, PEViT
from keras_vit.descendants.pooling import AttentionPooling, PooledNormViT, UnnormalizedViT
from keras_vit.descendants.timm_hybrid import TimmHybridViT
from keras_vit.descendants.zero_shot import ZeroShotClassifier

__all__ = [
    "AttentionPooling",
    "BEiTViT",
    "BiasedViT",
    "CLIPViT",
    "ClassAndDistillationToken",
    "ClassTokenAndMean",
    "DINOv3ViT",
    "EVAMeanViT",
    "EVAViT",
    "PESpatialViT",
    "PEViT",
    "PatchMean",
    "PooledNormViT",
    "RegisterViT",
    "TimmHybridViT",
    "UnnormalizedViT",
    "ZeroShotClassifier",
]
