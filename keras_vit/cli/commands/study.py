"""`keras-vit study`."""

from keras_vit.cli.common import DEFAULT, adder, command
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
    add = adder(parser)
    add("name NAME", "such as figure-8; without it all are listed", nargs="?")
    scales = "tiny: minutes on a CPU; small: CIFAR-10, hours; gpu: one GPU; "
    add("--scale", scales + DEFAULT, default="tiny", choices=SCALES)
    add("--folder DIR", f"folder of the tables and figures; {DEFAULT}", default="studies")
    add("--list", "list all studies")
    add("--plot-only", "plot the finished runs, run nothing")


def _check_study(options):
    if options.list or options.name is None:
        for name in names():
            title, question = summary(name)
            print(f"{name:<12}{title}\n{'':<12}{question}")
        print("To run one, in minutes: keras-vit study table-8")
        return 0
    check_name(options.name)
    writing.check_folder(options.folder, "Choose another one: --folder DIR.")


def _study(options):
    from keras_vit import studies

    needs = studies.load(options.name).needs.get(options.scale)
    if needs and not options.plot_only:
        print(f"The scale {options.scale} needs: {needs}", flush=True)
    studies.run(options.name, options.scale, options.folder, options.plot_only)
