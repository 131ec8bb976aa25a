"""`keras-vit study`."""

from keras_vit import studies
from keras_vit.commands.parts import command


def add(commands):
    """Adds the command."""
    parser = command(
        commands,
        "study",
        _study,
        "run a table or figure of the paper at a small scale",
        "Asks a question of the paper again, with models and pictures that fit a laptop. Every "
        "finished run is kept at once: after Ctrl-C the same command goes on.",
    )
    add = parser.add_argument
    add("name", metavar="NAME", nargs="?", help="such as figure-8; without it all are listed")
    add(
        "--scale",
        default="tiny",
        choices=studies.SCALES,
        help="tiny: minutes of a processor; small: CIFAR-10, hours; gpu: one GPU; "
        "default: %(default)s",
    )
    add("--folder", default="studies", metavar="DIR", help="of tables and figures")
    add("--list", action="store_true", help="list all studies")
    add("--plot-only", action="store_true", help="draw from the runs that are done, run nothing")


def _study(options):
    if options.list or options.name is None:
        _list()
        return
    needs = getattr(studies.load(options.name), "NEEDS", {}).get(options.scale)
    if needs and not options.plot_only:
        print(f"The scale {options.scale} needs: {needs}", flush=True)
    studies.run(options.name, options.scale, options.folder, options.plot_only)


def _list():
    for name in studies.names():
        module = studies.load(name)
        print(f"{name:<12}{module.TITLE}\n{'':<12}{module.QUESTION}")
