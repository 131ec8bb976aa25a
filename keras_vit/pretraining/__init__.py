"""Learning without labels: masked patch prediction (section 4.6, Appendix B.1.2) and its relatives.

Each objective is a Keras model around a `ViT`. `compile(optimizer)` and `fit(images)` train the
ViT where it is; `classifier` makes of it a model with a head, which is fine-tuned like any other.
"""

from keras_vit.pretraining import plots
from keras_vit.pretraining.classifier import classifier
from keras_vit.pretraining.mae import MAE
from keras_vit.pretraining.masked_patches import MaskedPatchPrediction
from keras_vit.pretraining.objective import Objective, Reconstruction
from keras_vit.pretraining.palette import palette
from keras_vit.pretraining.pixels import PixelPrediction
from keras_vit.pretraining.simmim import SimMIM

__all__ = [
    "MAE",
    "MaskedPatchPrediction",
    "Objective",
    "PixelPrediction",
    "Reconstruction",
    "SimMIM",
    "classifier",
    "palette",
    "plots",
]
