"""The paper's tables and figures at a scale that runs on a laptop: `keras-vit study NAME`.

Each study is a module: a question, its runs, what a run computes, a figure, a conclusion.

design.py         the settings of the runs at each scale
running.py        one run after another, the figure, the conclusion
ledger.py         the table of finished runs, a CSV file
tasks.py          the images: digits at random positions, CIFAR-10
little_vtab.py    eight small tasks in VTAB's three groups
trials.py         training for a fixed number of steps; accuracy, few-shot accuracy
transfer.py       pre-training on half of the classes, transfer to the others
measuring.py      images per second, and the largest batch
paired.py         times functions in alternation
seeds.py          means and spreads over seeds
paper_numbers.py  the paper's results

`import keras_vit` does not import this package.
"""

import ast
import importlib
import pathlib

from keras_vit import arguments
from keras_vit.studies.design import SCALES

# Modules are imported at their first use.
NAMES = (
    "figure-2",
    "figure-3",
    "figure-4",
    "figure-5",
    "figure-8",
    "figure-9",
    "figure-10",
    "figure-11",
    "figure-12",
    "figure-13",
    "table-5",
    "table-6",
    "table-7",
    "table-8",
    "table-9",
)


def __getattr__(name):
    """Imports a module of this package at its first use: `keras_vit.studies.seeds`."""
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":  # a package that the module needs
            raise
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from error


def names():
    """Returns the names of all studies, in the order of the paper.

    Example:
    >>> "figure-8" in keras_vit.studies.names()
    True
    """
    return NAMES


def summary(name):
    """Returns the title and the question of a study, read from its file without importing it.

    Args:
        name: as in `load`.

    Example:
    >>> keras_vit.studies.summary("figure-9")[0]
    'Class token or mean pooling'
    """
    path = pathlib.Path(__file__).with_name(f"{_module_name(name)}.py")
    constants = {
        statement.targets[0].id: statement.value
        for statement in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
    }
    return tuple(ast.literal_eval(constants[field]) for field in ("TITLE", "QUESTION"))


def check_name(name):
    """Returns a name as in `names`, or raises `ValueError` with similar names."""
    known = str(name).lower().replace("_", "-").replace(" ", "-")
    if known not in NAMES:
        advice = f"{arguments.suggest(known, NAMES, number=3)}Names are {', '.join(NAMES)}."
        arguments.refuse("`name` must be the name of a study", {"name": name}, advice)
    return known


def _module_name(name):
    return check_name(name).replace("-", "_")


def load(name):
    """Returns the module of a study.

    Args:
        name: one of `names()`; capitals and "_" for "-" are accepted.

    Returns:
        A module with `TITLE`, `QUESTION`, `PAPER`, `runs(scale)`, `run(**settings)`,
        `plot(rows)` and `conclusion(rows)`.

    Raises:
        ValueError: the study does not exist; the message lists similar names.

    Example:
    >>> keras_vit.studies.load("figure-8").TITLE
    'The shape of the Transformer'
    """
    return importlib.import_module(f"keras_vit.studies.{_module_name(name)}")


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
        A `keras_vit.studies.running.Outcome`: rows, table, image, conclusion.

    Raises:
        ValueError: the study or the scale does not exist, or the file is a different table.

    Example:
    >>> outcome = keras_vit.studies.run("figure-8")  # doctest: +SKIP
    >>> print(outcome.conclusion)  # doctest: +SKIP
    """
    from keras_vit.studies import running

    module = load(name)
    arguments.one_of(*SCALES)("scale", scale)
    return running.carry_out(module, scale, folder, plot_only)
