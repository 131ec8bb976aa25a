"""`keras-vit evaluate`."""

import json

from keras_vit.commands.parts import command
from keras_vit.data.opening import check_source
from keras_vit.training import run_folder

FIGURES = ("confusion", "reliability", "classes")  # functions of training.evaluation_plots


def add(commands):
    """Adds the command."""
    parser = command(
        commands,
        "evaluate",
        _start,
        _evaluate,
        "measure how accurate a trained model is, and where it errs",
        "Evaluates a model on labeled images: accuracy with its 95 % interval, every class, the "
        "most confused classes, calibration, and the most confident mistakes. Without DATA these "
        "are the images that the run held out from training.",
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
        help="split of the run's own images; default: %(default)s",
    )
    add("--out", metavar="DIR", help="new or empty folder for evaluation.json and three figures")
    add("--json", action="store_true", help="print all numbers as JSON instead of a text")


def _start(options):
    run_folder.find(options.folder)
    if options.data is not None:
        check_source(options.data)
    if options.out is not None:
        run_folder.check_out(options.out)


def _evaluate(options):
    from keras_vit import training
    from keras_vit.training import environment, evaluation_words

    run = training.load(options.folder)
    target = run_folder.new_folder(options.out, "evaluation") if options.out else None
    try:
        found = training.of_run(run, options.data, options.part)
    except BaseException:
        if target:
            run_folder.remove_if_empty(target)
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
