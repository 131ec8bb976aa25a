"""The recipes as rows: ours for small sets, and those made of the published tables."""

from keras_vit import arguments
from keras_vit.data.transforms.augmentation import Augmentation
from keras_vit.training import published
from keras_vit.training.settings import ALL, KERNELS, Settings, check, known
from keras_vit.variants import RESNETS, parse

# Tokens of pixels scaled to -1..1 start 50 times larger than their positions, N(0, 0.02), and a
# short training never comes to see the positions. Scaled like this, both start equally large.
SMALL_PIXELS = (75.0, 4000.0)


def _published(row, **more):
    """Takes from a published row the fields that it shares with `Settings`."""
    shared = {field: value for field, value in row.items() if field in Settings._fields}
    scaled = {"reference_batch": row["batch_size"], "scaling": "root"}
    return Settings(**{**scaled, **shared, **more})


_SMALL = Settings(
    epochs=50,
    learning_rate=2e-3,
    weight_decay=0.05,
    decayed=ALL,
    pooling="token",
    dropout=0.0,
    normalize=SMALL_PIXELS,
    source="ours: from scratch, a minute on a laptop",
)
_FINE_TUNING = Settings(
    epochs=10,
    min_updates=100,
    learning_rate=0.03,  # the official code's default; rows of Table 4 tried 0.001 to 0.06
    reference_batch=published.FINE_TUNING_BATCH,
    scaling="root",
    batch_size=32,
    optimizer="sgd",
    momentum=published.MOMENTUM,
    clip=published.CLIP,
    # Gentler than the paper's crop, for few images and epochs; nothing is squashed, as in the
    # models' pre-training.
    augmentation=Augmentation(crop=(0.25, 1.0), flip=True),
    resize="crop",
    source="arXiv 2010.11929, Table 4, made shorter for small sets",
)

RECIPES = {
    "digits": _SMALL._replace(
        model="ViT-Mini/2",
        image_size=8,
        num_channels=1,
        augmentation=Augmentation(10, 0.1, 0.06),
    ),
    "folder": _SMALL._replace(
        model="ViT-Mini/8",
        image_size=64,
        epochs=40,
        learning_rate=1e-3,
        augmentation=Augmentation(10, 0.2, 0.1, flip=True),
    ),
    "cifar": _SMALL._replace(
        model="ViT-Mini/4",
        image_size=32,
        epochs=10,
        batch_size=128,
        learning_rate=2e-3,
        decayed=KERNELS,
        clip=1.0,
        augmentation="cifar",
        source="ours: CIFAR's small images from scratch",
    ),
    "finetune": _FINE_TUNING,
    "linear-probe": _FINE_TUNING._replace(
        adapt="linear",
        dropout=0.0,
        stochastic_depth=0.0,
        source="ours: the head alone is trained, the features stay as they are",
    ),
    "lora": _FINE_TUNING._replace(
        adapt="lora",
        optimizer="adamw",
        scaling="none",
        reference_batch=None,
        learning_rate=1e-3,
        source="arXiv 2106.09685: low-rank changes of every dense layer of the blocks",
    ),
    # DeiT repeats each image three times and keeps its average beside the weights: not done here.
    "deit": _published(
        published.DEIT,
        model="ViT-S/16",
        scaling="linear",
        warmup_share=published.DEIT["warmup_epochs"] / published.DEIT["epochs"],
        dropout=0.0,
        augmentation="deit",
        resize="crop",
        source="arXiv 2012.12877, Table 9",
    ),
    "plain-vit-s16": _published(
        published.PLAIN_VIT_S16,
        representation=True,
        augmentation="light2",
        resize="crop",
        source="arXiv 2205.01580; its positions are fixed sines, here they are learned",
    ),
}
# Recipes whose settings depend on the model: name, and what makes them of its name
BY_MODEL = {
    "paper-imagenet": lambda model: pre_training("ImageNet", model),
    "paper-imagenet21k": lambda model: pre_training("ImageNet-21k", model),
    "paper-jft": lambda model: pre_training("JFT-300M", model),
    "augreg": lambda model: augreg(model),
}
ALIASES = {
    "fine-tune": "finetune",
    "probe": "linear-probe",
    "cifar10": "cifar",
    "paper-pre-training": "paper-imagenet",
    "vit-s16": "plain-vit-s16",
}
DRAWN = ("digits", "folder", "cifar")  # their runs draw positions and patches


def names():
    """Returns the names of all recipes.

    Example:
    >>> "deit" in keras_vit.training.rows.names()
    True
    """
    return (*RECIPES, *BY_MODEL, *FINE_TUNED)


def pre_training(dataset, model=None):
    """Returns the `Settings` of Table 3 for a model on "ImageNet", "ImageNet-21k" or "JFT-300M".

    Raises:
        ValueError: the paper did not train this model on it.

    Example:
    >>> keras_vit.training.rows.pre_training("ImageNet-21k", "ViT-L/16").weight_decay
    0.03
    """
    model = model or "ViT-B/16"
    rows = [row for row in published.PRE_TRAINING if row.dataset == dataset]
    found = [row for row in rows if model in row.models or row.models == ("ViT-*",)]
    if not found:
        models = ", ".join(name for row in rows for name in row.models)
        advice = f"Table 3 has {models}. Take one of these and override what differs."
        arguments.refuse(f"`model` must be one of Table 3 on {dataset}", {"model": model}, advice)
    row = found[0]
    is_imagenet, is_resnet = dataset == "ImageNet", isinstance(parse(model), RESNETS)
    return Settings(
        model=model,
        image_size=published.PRE_TRAINING_SIZE,
        epochs=max(row.epochs),
        batch_size=published.PRE_TRAINING_BATCH,
        reference_batch=published.PRE_TRAINING_BATCH,
        scaling="root",
        learning_rate=row.learning_rate,
        warmup_steps=published.PRE_TRAINING_WARMUP,
        decay=row.decay,
        end=0.0 if row.decay == "cosine" else published.LINEAR_END,
        weight_decay=row.weight_decay,
        dropout=None if is_resnet else row.dropout,
        clip=published.CLIP_ON_IMAGENET if is_imagenet else None,
        # The sigmoid and the bias of -10 are known for ImageNet-21k, and assumed for JFT-300M.
        loss="softmax" if is_imagenet else "sigmoid",
        head_bias=None if is_imagenet else published.HEAD_BIAS_21K,
        representation=not is_resnet,
        augmentation="inception",
        source=f"arXiv 2010.11929, Table 3, {model} on {dataset}",
    )


def augreg(model=None):
    """Returns the `Settings` of AugReg as its authors recommend them for a model."""
    model = model or "ViT-S/16"
    known("model", model, published.AUGREG_RECOMMENDED)
    level, weight_decay, dropout, depth, _ = published.AUGREG_RECOMMENDED[model]
    return _published(  # big_vision trains with a sigmoid, here it is the softmax
        published.AUGREG,
        model=model,
        weight_decay=weight_decay,
        dropout=dropout,
        stochastic_depth=depth,
        augmentation="inception" if level == "none" else level,
        resize="crop",
        source=f"arXiv 2106.10270, {model} with {level}",
    )


def fine_tuning(row):
    """Returns the `Settings` of a row of Table 4, with the rate 0.01 that every row has."""
    return _FINE_TUNING._replace(
        epochs=None,
        steps=row.steps,
        min_updates=0,
        learning_rate=0.01,
        scaling="linear",
        batch_size=published.FINE_TUNING_BATCH,
        image_size=published.FINE_TUNING_SIZE,
        warmup_steps=published.FINE_TUNING_WARMUP,
        augmentation="inception",  # AugReg's 384 random pixels of 448 cannot be expressed
        resize="squash",
        source=f"arXiv 2010.11929, Table 4, {row.dataset}",
    )


FINE_TUNED = {
    f"paper-finetune-{name}": fine_tuning(row)
    for name, row in zip(
        ("imagenet", "cifar100", "cifar10", "pets", "flowers", "vtab"),
        published.FINE_TUNING,
        strict=True,
    )
}


def row(name, model):
    """Returns the `Settings` of a recipe for a model, None for the recipe's own."""
    known("recipe", name, (*names(), *ALIASES))
    name = ALIASES.get(name, name)
    if name in BY_MODEL:
        return BY_MODEL[name](model)
    return {**RECIPES, **FINE_TUNED}[name]


def settings(name, overrides):
    """Returns the `Settings` of a recipe with some fields overridden, checked.

    Args:
        name: of the recipe.
        overrides: {field of `Settings`: value}; None leaves a field as it is. A learning rate is
            taken as it is given, not scaled with the batch.

    Raises:
        ValueError: there is no such recipe or field, or a value cannot be used.

    Example:
    >>> keras_vit.training.rows.settings("cifar", {"epochs": 5}).epochs
    5
    """
    given = {field: value for field, value in overrides.items() if value is not None}
    for field in given:
        known("setting", field, Settings._fields)
    chosen = row(name, given.get("model"))._replace(**given)
    if "learning_rate" in given and "reference_batch" not in given:
        chosen = chosen._replace(scaling="none")
    if "epochs" in given:
        chosen = chosen._replace(steps=None, min_updates=0)
    check(chosen, drawn=ALIASES.get(name, name) in DRAWN)
    return chosen
