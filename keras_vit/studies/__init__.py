"""The paper's tables and figures at a scale that runs on a laptop: `keras-vit study NAME`.

Each module has one or two studies: the computation of a run, its settings at each scale, a figure
and a conclusion. Code that all studies share is in `lab/`. `import keras_vit` does not import this
package.
"""

import importlib

from keras_vit import arguments

SCALES = ("tiny", "small", "gpu")
# name: module, title, question
# fmt: off
STUDIES = {
    "figure-2": ("few_labels", "Groups of tasks with few labels (VTAB-1k)",
        "Does pre-training help in natural, specialized and structured tasks alike?"),
    "figure-3": ("dataset_size", "Fine-tuning by size of the pre-training set",
        "Is a larger ViT better only after pre-training on many images?"),
    "figure-4": ("few_shot_size", "Few-shot accuracy by size of the pre-training set",
        "Does a ViT's representation gain more from more images than a ResNet's?"),
    "figure-5": ("compute", "Transfer by compute of pre-training",
        "Which transfers best for its compute: a ViT, a ResNet, or a hybrid of both?"),
    "figure-8": ("architecture", "The shape of the Transformer",
        "Does a ViT gain more from depth, from width, from a wider MLP, or from smaller patches?"),
    "figure-9": ("best_rates", "Class token or mean pooling",
        "Is mean pooling worse than a class token, or does it need another learning rate?"),
    "figure-10": ("position_kinds", "Positions by training recipe",
        "Does the pattern of the learned positions depend on rate, weight decay and epochs?"),
    "figure-11": ("attended_area", "Attended area by head and depth",
        "Do some heads look far in the lowest layers, and do heads look farther with depth?"),
    "figure-12": ("speed", "Speed and memory",
        "How do speed and memory change with the size of images, for ViTs and ResNets?"),
    "figure-13": ("architecture", "Axial attention",
        "Is attention in rows and columns as good as among all patches, for its compute?"),
    "table-5": ("dataset_size", "Transfer to several tasks by pre-training set",
        "Does a larger pre-training set help a ViT in every task?"),
    "table-6": ("compute", "Compute and accuracy of every pre-training",
        "Does compute order models by accuracy, within a family and over all families?"),
    "table-7": ("best_rates", "Adam or SGD for pre-training",
        "Does a ResNet transfer better when it is pre-trained with Adam, or with SGD?"),
    "table-8": ("position_kinds", "Kinds of position embedding",
        "How much does a ViT gain by knowing where patches are, and does the kind matter?"),
    "table-9": ("few_labels", "Nineteen tasks with few labels (VTAB-1k)",
        "What does pre-training gain with few labels, task by task, and is a ViT behind a ResNet?"),
}
# fmt: on


def __getattr__(name):
    """Imports a module of this package at its first use."""
    if name != "lab" and name not in {module for module, *_ in STUDIES.values()}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")


def names():
    """Returns the names of all studies, in the order of the paper.

    Example:
    >>> "figure-8" in keras_vit.studies.names()
    True
    """
    return tuple(STUDIES)


def summary(name):
    """Returns the title and the question of a study without importing its module.

    Example:
    >>> keras_vit.studies.summary("figure-9")[0]
    'Class token or mean pooling'
    """
    return STUDIES[check_name(name)][1:]


def check_name(name):
    """Returns a name as in `names`, or raises `ValueError` with similar names."""
    known = str(name).lower().replace("_", "-").replace(" ", "-")
    if known not in STUDIES:
        advice = f"{arguments.suggest(known, STUDIES, number=3)}Valid names: {', '.join(STUDIES)}."
        arguments.refuse("`name` must be the name of a study", {"name": name}, advice)
    return known


def load(name):
    """Returns a study.

    Args:
        name: one of `names()`; capitals and "_" for "-" are accepted.

    Returns:
        A `keras_vit.studies.lab.runner.Study` with `title`, `question`, `paper`, `runs(scale)`,
        `run(**settings)`, `plot(rows)` and `conclusion(rows)`.

    Raises:
        ValueError: the study does not exist; the message lists similar names.

    Example:
    >>> keras_vit.studies.load("figure-8").title
    'The shape of the Transformer'
    """
    name = check_name(name)
    module = importlib.import_module(f"{__name__}.{STUDIES[name][0]}")
    return getattr(module, name.title().replace("-", ""))()


def run(name, scale="tiny", folder="studies", plot_only=False):
    """Runs a study, or the rest of it, and draws its figure.

    Each finished run is written to `folder/NAME-SCALE.csv` at once and is not repeated: after an
    interruption the same call resumes the study. The figure is `folder/NAME-SCALE.png`.

    Args:
        name: one of `names()`.
        scale: "tiny" for minutes on a laptop's CPU, "small" for CIFAR-10 and hours, "gpu" for one
            GPU.
        folder: folder of the table and the figure, created if it does not exist.
        plot_only: whether to draw and conclude from the finished runs only.

    Returns:
        A `keras_vit.studies.lab.runner.Outcome`: rows, table, image, conclusion.

    Raises:
        ValueError: the study or the scale does not exist, or the file is a different table.

    Example:
    >>> outcome = keras_vit.studies.run("figure-8")  # doctest: +SKIP
    >>> print(outcome.conclusion)  # doctest: +SKIP
    """
    from keras_vit.studies.lab import runner

    study = load(name)
    arguments.one_of(*SCALES)("scale", scale)
    return runner.carry_out(study, scale, folder, plot_only)
