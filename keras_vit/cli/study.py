"""`keras-vit study`."""

from keras_vit.cli.common import command
from keras_vit.io import writing
from keras_vit.studies import SCALES, check_name, names, summary


def add(commands):
    """Adds the command."""
    parser = command(
        commands,
        "study",
        _check_study,
        _study,
        "run a table or figure of the paper at a small scale",
        "Repeats an experiment of the paper with models and images that fit a laptop. Every "
        "finished run is saved at once: after Ctrl-C the same command resumes the study.",
    )
    add = parser.add_argument
    add("name", metavar="NAME", nargs="?", help="such as figure-8; without it all are listed")
    add(
        "--scale",
        default="tiny",
        choices=SCALES,
        help="tiny: minutes of a processor; small: CIFAR-10, hours; gpu: one GPU; "
        "default: %(default)s",
    )
    add(
        "--folder",
        default="studies",
        metavar="DIR",
        help="folder of the tables and figures; default: %(default)s",
    )
    add("--list", action="store_true", help="list all studies")
    add("--plot-only", action="store_true", help="plot the finished runs, run nothing")


def _check_study(options):
    if options.list or options.name is None:
        _list()
        return 0
    check_name(options.name)
    writing.check_folder(options.folder, "Choose another one: --folder DIR.")


def _study(options):
    from keras_vit import studies

    needs = studies.load(options.name).needs.get(options.scale)
    if needs and not options.plot_only:
        print(f"The scale {options.scale} needs: {needs}", flush=True)
    studies.run(options.name, options.scale, options.folder, options.plot_only)


def _list():
    for name in names():
        title, question = summary(name)
        print(f"{name:<12}{title}\n{'':<12}{question}")
