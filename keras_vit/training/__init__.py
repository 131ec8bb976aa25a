"""Training from the first picture to a folder with a model, its numbers and its figures.

`train` does what the command `keras-vit train` does; `load` and `predict` use what it left.
"""

from keras_vit.training.baselines import baselines
from keras_vit.training.fitting import fit, train
from keras_vit.training.recipes import RECIPES, Recipe, recipe
from keras_vit.training.runs import Prediction, Run, load, predict

__all__ = [
    "RECIPES",
    "Prediction",
    "Recipe",
    "Run",
    "baselines",
    "fit",
    "load",
    "predict",
    "recipe",
    "train",
]
