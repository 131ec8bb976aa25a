"""Training: from images to a folder with a model, its metrics and its figures.

`train` does the same as the command `keras-vit train`, and `resume` continues an interrupted run;
`load`, `predict_files` and `evaluate_run` use the result. `recipe`, `freeze` and `Checkpoint` are
for your own `model.fit`. `evaluate` and `few_shot` measure any model.
"""

from keras_vit import startup

if not startup.postpone(__name__):
    from keras_vit.training.adaptation import freeze, merge_lora
    from keras_vit.training.evaluation import evaluation_plots
    from keras_vit.training.evaluation.classifiers import (
        FewShot,
        FewShotResult,
        baselines,
        few_shot,
        linear_probe,
    )
    from keras_vit.training.evaluation.metrics import Evaluation, evaluate
    from keras_vit.training.evaluation.representation import Features, ImageFiles, features
    from keras_vit.training.recipes import losses, optimizers, schedules
    from keras_vit.training.recipes.recipe import Recipe
    from keras_vit.training.recipes.recipe_tables import RECIPES, recipe
    from keras_vit.training.resuming.checkpoint import Checkpoint
    from keras_vit.training.runs.execution import resume, train
    from keras_vit.training.runs.learning_rates import LearningRates, find_learning_rate
    from keras_vit.training.runs.messages import tensorboard
    from keras_vit.training.runs.prediction import Prediction, predict, predict_files
    from keras_vit.training.runs.saved_run import Run, evaluate_run, load, load_data

__all__ = [
    "RECIPES",
    "Checkpoint",
    "Evaluation",
    "Features",
    "FewShot",
    "FewShotResult",
    "ImageFiles",
    "LearningRates",
    "Prediction",
    "Recipe",
    "Run",
    "baselines",
    "evaluate",
    "evaluate_run",
    "evaluation_plots",
    "features",
    "few_shot",
    "find_learning_rate",
    "freeze",
    "linear_probe",
    "load",
    "load_data",
    "losses",
    "merge_lora",
    "optimizers",
    "predict",
    "predict_files",
    "recipe",
    "resume",
    "schedules",
    "tensorboard",
    "train",
]
