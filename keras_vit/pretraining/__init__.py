"""Learning without labels: masked patch prediction (section 4.6, Appendix B.1.2) and relatives.

Each objective is a Keras model around a `ViT`. `compile(optimizer)` and `fit(images)` train the
ViT in place; `build_classifier` builds a model with a head from it, to be fine-tuned.

objective.py       base class of all objectives: hide, predict, compare, plot; `build_classifier`
masked_patches.py  masked patch prediction, the paper's objective
mae.py             masked autoencoder
simmim.py          SimMIM
pixels.py          prediction of pixels, as in Image GPT
vit_stages.py      the stages of a ViT, and masks that hide patches between them
patch_targets.py   the targets that are predicted for a patch
"""

from keras_vit.pretraining.mae import MAE
from keras_vit.pretraining.masked_patches import MaskedPatchPrediction
from keras_vit.pretraining.objective import (
    Objective,
    Reconstruction,
    build_classifier,
    plot_reconstruction,
)
from keras_vit.pretraining.pixels import PixelPrediction, find_palette
from keras_vit.pretraining.simmim import SimMIM

__all__ = [
    "MAE",
    "MaskedPatchPrediction",
    "Objective",
    "PixelPrediction",
    "Reconstruction",
    "SimMIM",
    "build_classifier",
    "find_palette",
    "plot_reconstruction",
]
