"""Guards around `fit`, `evaluate` and `predict`: mistakes are told before the first step.

`ViT` and `ResNet` have them built in. `keeping_weights` is for models of your own.
"""

from keras_vit.guards.batches import check_batch
from keras_vit.guards.mixin import Guarded
from keras_vit.guards.weights import keeping_weights

__all__ = ["Guarded", "check_batch", "keeping_weights"]
