"""The recipes by name, and those that the published tables give for a model or a dataset."""

from keras_vit import arguments
from keras_vit.training.recipes import class_weights, paper_tables
from keras_vit.training.recipes.recipe import Recipe
from keras_vit.training.recipes.recipe_rows import FINE_TUNING, PRE_TRAINING, RECIPES
from keras_vit.variants import BiT, parse

FINE_TUNED = {
    f"paper-finetune-{name}": row
    for name, row in zip(
        "imagenet cifar100 cifar10 pets flowers vtab".split(),
        paper_tables.FINE_TUNING,
        strict=True,
    )
}
PRE_TRAINED = {
    "paper-imagenet": "ImageNet",
    "paper-imagenet21k": "ImageNet-21k",
    "paper-jft": "JFT-300M",
}
ALIASES = {
    "fine-tune": "finetune",
    "probe": "linear-probe",
    "cifar10": "cifar",
    "paper-pre-training": "paper-imagenet",
    "vit-s16": "plain-vit-s16",
}
PLOTTED = ("digits", "folder", "cifar", "cifar-gpu")  # their runs plot positions and patches
FIELDS = Recipe._fields[: Recipe._fields.index("source") + 1]  # those that may be overridden


def names():
    """Returns the names of all recipes."""
    return (*RECIPES, *PRE_TRAINED, "augreg", *FINE_TUNED)


def recipe(name, data=None, **overrides):
    """Returns how to train on `data`: the arguments of `model.compile` and `model.fit`.

    - "digits", "folder" and "cifar": small models from scratch on a laptop; "cifar-gpu": on a GPU
    - "finetune": published weights, own images; Table 4, shortened for small datasets
    - "linear-probe" and "dinov2-linear": only the head is trained; ours and arXiv 2304.07193
    - "lora": low-rank updates of the blocks, arXiv 2106.09685
    - "paper-imagenet", "paper-imagenet21k" and "paper-jft": pre-training by model, Table 3
    - "paper-finetune-pets", "-flowers", "-cifar10", "-cifar100", "-vtab", "-imagenet": Table 4
    - "beit-finetune" and "mae-finetune": with layer-wise decay, arXiv 2106.08254 and 2111.06377
    - "augreg": pre-training by model, arXiv 2106.10270
    - "deit", "deit3" and "plain-vit-s16": ImageNet from scratch, arXiv 2012.12877, 2204.07118 and
      2205.01580

    Aliases are "fine-tune", "probe", "cifar10", "paper-pre-training" and "vit-s16".
    Published numbers are scaled to the batches and images of `data` by the rules of `Recipe.scale`;
    `print(recipe)` shows the result. Call `keras_vit.training.freeze(model, recipe.adapt)` before
    `compile` to select the weights that are trained.

    Args:
        name: name of the recipe.
        data: a `keras_vit.data.ImageDataset`, or anything with its `counts`, `batch_size` and
            `steps_per_epoch`. With None, the numbers are as published.
        **overrides: fields of `Recipe`, such as `epochs`, `learning_rate`, `layer_decay`,
            `moving_average`, `accumulate`, `clip`, `loss` or `class_weights`; None leaves a field
            as it is. A learning rate that is given here is not scaled.

    Returns:
        A `Recipe`.

    Raises:
        ValueError: there is no such recipe or field, or a value is invalid.

    Example:
    >>> recipe = keras_vit.training.recipe("finetune", epochs=5)
    >>> recipe = recipe.scale(images=259, batch_size=32, steps_per_epoch=9)
    >>> sorted(recipe.compile_arguments)
    ['loss', 'metrics', 'optimizer']
    >>> recipe.fit_arguments["epochs"]
    5
    """
    given = {field: value for field, value in overrides.items() if value is not None}
    _check_name("recipe", name, (*names(), *ALIASES))
    for field in given:
        _check_name("setting", field, FIELDS)
    name = ALIASES.get(name, name)
    chosen = _row(name, given.get("model"))._replace(name=name, **given)
    if "learning_rate" in given and "reference_batch" not in given:
        chosen = chosen._replace(scaling="none")
    if "epochs" in given:
        chosen = chosen._replace(steps=None, min_updates=0)
    chosen.check(plotted=name in PLOTTED)
    if data is None:
        return chosen
    if not hasattr(data, "counts"):
        advice = "Load images with keras_vit.data.load, or call the recipe's `scale`."
        arguments.refuse("`data` must be an `ImageDataset`", {"data": type(data).__name__}, advice)
    if chosen.early_stopping and not data.counts["validation"]:
        want, received = "early stopping needs validation images", {"validation": 0}
        arguments.refuse(want, received, "Load the data with validation_share=0.1.")
    if chosen.class_weights is not None:
        weights = chosen.class_weights, data.class_names, data.labels("train")
        chosen = chosen._replace(class_weights=class_weights.resolve(*weights))
    return chosen.scale(data.counts["train"], data.batch_size, data.steps_per_epoch)


def _row(name, model):
    """Returns a recipe for a model; None for the recipe's own model."""
    if name in PRE_TRAINED:
        return _pre_training(PRE_TRAINED[name], model or "ViT-B/16")
    if name == "augreg":
        return _augreg(model or "ViT-S/16")
    return RECIPES[name] if name in RECIPES else _fine_tuning(FINE_TUNED[name])


def _check_name(kind, name, names):
    """Raises `ValueError` unless `name` is one of `names`; suggests the nearest."""
    if name not in names:
        advice = f"{arguments.suggest(name, names)}Valid names: {', '.join(names)}."
        arguments.refuse(f"the name of a {kind} was expected", {kind: name}, advice)


def _pre_training(dataset, model):
    """Returns the recipe of Table 3, or raises `ValueError` if it has no such model."""
    rows = [row for row in paper_tables.PRE_TRAINING if row.dataset == dataset]
    matches = [row for row in rows if model in row.models or row.models == ("ViT-*",)]
    if not matches:
        models = ", ".join(name for row in rows for name in row.models)
        advice = f"Table 3 has {models}. Use one of these and override what differs."
        arguments.refuse(f"`model` must be one of Table 3 on {dataset}", {"model": model}, advice)
    row = matches[0]
    is_imagenet, is_resnet = dataset == "ImageNet", isinstance(parse(model), BiT)
    return PRE_TRAINING._replace(
        model=model,
        epochs=max(row.epochs),
        learning_rate=row.learning_rate,
        decay=row.decay,
        end=0.0 if row.decay == "cosine" else paper_tables.LINEAR_END,
        weight_decay=row.weight_decay,
        dropout=None if is_resnet else row.dropout,
        clip=paper_tables.CLIP_ON_IMAGENET if is_imagenet else None,
        # The sigmoid and the bias of -10 are published for ImageNet-21k and assumed for JFT-300M.
        loss="softmax" if is_imagenet else "sigmoid",
        head_bias=None if is_imagenet else paper_tables.HEAD_BIAS_21K,
        representation=not is_resnet,
        augmentation="inception",
        source=f"arXiv 2010.11929, Table 3, {model} on {dataset}",
    )


def _augreg(model):
    """Returns the recipe that the authors of AugReg recommend for a model."""
    _check_name("model", model, paper_tables.AUGREG_RECOMMENDED)
    level, weight_decay, dropout, depth, _ = paper_tables.AUGREG_RECOMMENDED[model]
    return PRE_TRAINING._replace(  # big_vision trains with a sigmoid, we with the softmax
        model=model,
        weight_decay=weight_decay,
        clip=1.0,
        dropout=dropout,
        stochastic_depth=depth,
        augmentation="inception" if level == "none" else level,
        resize="crop",
        source=f"arXiv 2106.10270, {model} with {level}",
    )


def _fine_tuning(row):
    """Returns the recipe of a row of Table 4, with the rate 0.01 that all rows share."""
    return FINE_TUNING._replace(
        epochs=None,
        steps=row.steps,
        min_updates=0,
        learning_rate=0.01,
        scaling="linear",
        batch_size=paper_tables.FINE_TUNING_BATCH,
        image_size=paper_tables.FINE_TUNING_SIZE,
        warmup_steps=paper_tables.FINE_TUNING_WARMUP,
        augmentation="inception",  # AugReg's random crop of 384 from 448 pixels is not available
        resize="squash",
        source=f"arXiv 2010.11929, Table 4, {row.dataset}",
    )
