"""Guards around `fit`, `evaluate` and `predict`: mistakes are reported before the first step.

`ViT` and `ResNet` have them built in. `keeping_weights` is for other models.
"""

from keras_vit.guards.batches import check_batch
from keras_vit.guards.calls import Guarded
from keras_vit.guards.failures import keeping_weights

__all__ = ["Guarded", "check_batch", "keeping_weights"]
