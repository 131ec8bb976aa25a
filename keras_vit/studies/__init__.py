"""The paper's tables and figures at a scale that a laptop can run: `keras-vit study NAME`.

Each study is one module: a question, a table of runs, what one run does, a figure, a conclusion.

ledger.py       the table of finished runs: a CSV that loses nothing and is gone on with
running.py      one run after another, the figure, the conclusion
tasks.py        the images: digits that stand anywhere, CIFAR-10
trials.py      training a small model for a number of steps; accuracy, few-shot accuracy
transfer.py     pre-training on half of the classes, transfer to the others
little_vtab.py  eight small tasks in VTAB's three groups
measuring.py    images per second, and the largest batch
seeds.py        means and spreads over seeds
paper.py        the paper's own numbers
"""

import ast
import importlib
import pathlib

from keras_vit import arguments
from keras_vit.studies.design import SCALES

# Modules are imported when they are asked for.
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
    """Returns the title and the question of a study, read from its file: importing it is slow.

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
    """Returns a name as `names` has it, or raises `ValueError` with similar ones."""
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
        name: one of `names()`; capitals and "_" for "-" are taken too.

    Returns:
        A module with `TITLE`, `QUESTION`, `PAPER`, `runs(scale)`, `run(**settings)`,
        `plot(rows)` and `conclusion(rows)`.

    Raises:
        ValueError: there is no such study; the message lists similar names.

    Example:
    >>> keras_vit.studies.load("figure-8").TITLE
    'The shape of the Transformer'
    """
    return importlib.import_module(f"keras_vit.studies.{_module_name(name)}")


def run(name, scale="tiny", folder="studies", plot_only=False):
    """Runs a study, or what is left of it, and draws its figure.

    Each finished run is a row of `folder/NAME-SCALE.csv` at once, and is not run again: after an
    interruption the same call goes on. The figure is `folder/NAME-SCALE.png`.

    Args:
        name: one of `names()`.
        scale: "tiny" for minutes of a laptop's processor, "small" for CIFAR-10 and hours, "gpu"
            for one GPU.
        folder: where table and figure are kept; it is made where it is not there.
        plot_only: draw and conclude from the rows that are there, run nothing.

    Returns:
        A `keras_vit.studies.running.Outcome`: rows, table, image, conclusion.

    Raises:
        ValueError: there is no such study or scale, or the table there is another one.

    Example:
    >>> outcome = keras_vit.studies.run("figure-8")  # doctest: +SKIP
    >>> print(outcome.conclusion)  # doctest: +SKIP
    """
    from keras_vit.studies import running

    module = load(name)
    arguments.one_of(*SCALES)("scale", scale)
    return running.carry_out(module, scale, folder, plot_only)
