"""Models that came after the paper: one module each, what its paper changed.

deit.py     DeiT's distillation token
dinov2.py   DINOv2: registers, layer scale, the classifier's two vectors
dinov3.py   DINOv3: rotary positions, gated MLP
clip.py     CLIP: a norm before the blocks, a quick GELU, a projection
pooling.py  attention pooling, of "Scaling Vision Transformers" and SigLIP
flexivit.py FlexiViT: the kernel of the patch embedding for patches of another size
zero_shot.py CLIP's and SigLIP's classifier, whose classes are texts
"""

from keras_vit.descendants.clip import CLIPViT
from keras_vit.descendants.deit import ClassAndDistillationToken
from keras_vit.descendants.dinov2 import ClassTokenAndMean, PatchMean, RegisterViT
from keras_vit.descendants.dinov3 import DINOv3ViT
from keras_vit.descendants.pooling import AttentionPooling
from keras_vit.descendants.zero_shot import ZeroShotClassifier

__all__ = [
    "AttentionPooling",
    "CLIPViT",
    "ClassAndDistillationToken",
    "ClassTokenAndMean",
    "DINOv3ViT",
    "PatchMean",
    "RegisterViT",
    "ZeroShotClassifier",
]
