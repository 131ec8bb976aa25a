"""`keras-vit predict`."""

from keras_vit.commands.parts import MODEL, check_model, command, load_model
from keras_vit.data.images import check_file


def add(commands):
    """Adds the command."""
    parser = command(
        commands,
        "predict",
        _start,
        _predict,
        "classify images with a trained model",
        "Prints the three most probable classes of each image.",
    )
    parser.add_argument("model", metavar="MODEL", help=MODEL)
    parser.add_argument("files", nargs="+", metavar="IMAGE", help="image file in any format")
    parser.add_argument(
        "--invert", action="store_true", help="invert the colors first: for dark ink on paper"
    )


def _start(options):
    check_model(options.model)
    for file in options.files:
        check_file(file)


def _predict(options):
    from keras_vit import training
    from keras_vit.training import environment, reports, runs

    print(environment.description())
    model, metrics = load_model(options.model)
    run = runs.Run(None, model, metrics or runs.stand_in(model))
    for found in training.predict(run, options.files, invert=options.invert):
        listed = ", ".join(f"{name} {reports.percent(share)}" for name, share in found.classes)
        print(f"{found.file}: {listed}")
        if found.hint:
            print(f"  {found.hint}")
