"""Models that came after the paper: one module each, what its paper changed.

deit.py     DeiT's distillation token
dinov2.py   DINOv2: registers, layer scale, the classifier's two vectors
dinov3.py   DINOv3: rotary positions, gated MLP
clip.py     CLIP: a norm before the blocks, a quick GELU, a projection
eva.py      EVA-02: rotary positions besides E_pos, gated MLP, more normalizations
pe.py       the Perception Encoder: CLIP with rotary positions and attention pooling
pooling.py  attention pooling, of "Scaling Vision Transformers" and SigLIP
"""

from keras_vit.descendants.clip import CLIPViT
from keras_vit.descendants.deit import ClassAndDistillationToken
from keras_vit.descendants.dinov2 import ClassTokenAndMean, PatchMean, RegisterViT
from keras_vit.descendants.dinov3 import DINOv3ViT
from keras_vit.descendants.eva import EVAMeanViT, EVAViT
from keras_vit.descendants.pe import PESpatialViT, PEViT
from keras_vit.descendants.pooling import AttentionPooling

__all__ = [
    "AttentionPooling",
    "CLIPViT",
    "ClassAndDistillationToken",
    "ClassTokenAndMean",
    "DINOv3ViT",
    "EVAMeanViT",
    "EVAViT",
    "PESpatialViT",
    "PEViT",
    "PatchMean",
    "RegisterViT",
]
