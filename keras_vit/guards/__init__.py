"""Guards around `fit`, `evaluate` and `predict`: mistakes are reported before the first step.

`ViT` and `ResNet` have them built in. `keeping_weights` is for other models.
"""

from keras_vit.guards.calls import Guarded
from keras_vit.guards.failures import keeping_weights
from keras_vit.guards.image_checks import check_batch

__all__ = ["Guarded", "check_batch", "keeping_weights"]
