"""`keras-vit evaluate`."""

import json

from keras_vit.commands.parts import command
from keras_vit.training import environment, evaluation, evaluation_words, runs

FIGURES = ("confusion", "reliability", "classes")  # functions of training.evaluation_plots


def add(commands):
    """Adds the command."""
    parser = command(
        commands,
        "evaluate",
        _evaluate,
        "say how good a trained model is, and where it errs",
        "Measures a model on labelled pictures: accuracy with its 95 % interval, every class, the "
        "most confused classes, calibration, the surest mistakes. Without DATA these are the "
        "pictures that the run kept from training.",
    )
    add = parser.add_argument
    add("folder", metavar="RUN", help="folder that `keras-vit train` wrote")
    add(
        "data",
        nargs="?",
        metavar="DATA",
        help="folder of class folders, named as the classes of the run",
    )
    add(
        "--part",
        default="test",
        choices=("test", "validation"),
        help="of the run's own pictures; default: %(default)s",
    )
    add("--out", metavar="DIR", help="new or empty folder for evaluation.json and three figures")
    add("--json", action="store_true", help="print all numbers as JSON instead of a text")


def _evaluate(options):
    run = runs.load(options.folder)
    target = runs.new_folder(options.out, "evaluation") if options.out else None
    try:
        found = evaluation.of_run(run, options.data, options.part)
    except BaseException:
        if target:
            runs.remove_if_empty(target)
        raise
    numbers = json.dumps(evaluation_words.plain(found), indent=2)
    if target:
        _write(target, found, numbers)
    if options.json:
        print(numbers)
        return
    print(environment.description(), found, sep="\n")
    if target:
        names = ", ".join(f"{name}.png" for name in FIGURES)
        print(f"\nWritten to {target}: evaluation.json, {names}")


def _write(target, found, numbers):
    from keras_vit.training import evaluation_plots

    (target / "evaluation.json").write_text(numbers + "\n")
    for name in FIGURES:
        getattr(evaluation_plots, name)(found).savefig(target / f"{name}.png")
