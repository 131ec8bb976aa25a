"""Models that came after the paper: one module each, what its paper changed.

deit.py     DeiT's distillation token
dinov2.py   DINOv2: registers, layer scale, the classifier's two vectors
pooling.py  attention pooling, of "Scaling Vision Transformers" and SigLIP
"""

from keras_vit.descendants.deit import ClassAndDistillationToken
from keras_vit.descendants.dinov2 import ClassTokenAndMean, RegisterViT
from keras_vit.descendants.pooling import AttentionPooling

__all__ = ["AttentionPooling", "ClassAndDistillationToken", "ClassTokenAndMean", "RegisterViT"]
