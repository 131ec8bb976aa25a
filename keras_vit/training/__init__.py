"""Training, from the first image to a folder with a model, its numbers and its figures.

`train` does what the command `keras-vit train` does, `resume` goes on with it; `load` and `predict`
use what it left. `recipe`, `freeze` and `Checkpoint` serve your own `model.fit`; `evaluate` and
`few_shot` say what came of it.
"""

from keras_vit import startup

if not startup.postpone(__name__):
    from keras_vit.training import evaluation_plots
    from keras_vit.training.adaptation import freeze, merge_lora
    from keras_vit.training.baselines import baselines
    from keras_vit.training.checkpoint import Checkpoint
    from keras_vit.training.evaluation import Evaluation, evaluate, of_run
    from keras_vit.training.features import Features, ImageFiles, features
    from keras_vit.training.fewshot import FewShot, FewShotResult, few_shot, linear_probe
    from keras_vit.training.fitting import fit, resume, train
    from keras_vit.training.recipes import RECIPES, Recipe, recipe
    from keras_vit.training.runs import Prediction, Run, load, predict
    from keras_vit.training.settings import Settings
    from keras_vit.training.tensorboard import tensorboard

__all__ = [
    "RECIPES",
    "Checkpoint",
    "Evaluation",
    "Features",
    "FewShot",
    "FewShotResult",
    "ImageFiles",
    "Prediction",
    "Recipe",
    "Run",
    "Settings",
    "baselines",
    "evaluate",
    "evaluation_plots",
    "features",
    "few_shot",
    "fit",
    "freeze",
    "linear_probe",
    "load",
    "merge_lora",
    "of_run",
    "predict",
    "recipe",
    "resume",
    "tensorboard",
    "train",
]
