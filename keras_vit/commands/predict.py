"""`keras-vit predict`."""

from keras_vit import training
from keras_vit.commands.parts import MODEL, command, load_model
from keras_vit.training import environment, reports, runs


def add(commands):
    """Adds the command."""
    parser = command(
        commands,
        "predict",
        _predict,
        "name what is on pictures, with a trained model",
        "Names the three most probable classes of each picture.",
    )
    parser.add_argument("model", metavar="MODEL", help=MODEL)
    parser.add_argument("files", nargs="+", metavar="IMAGE", help="picture file of any kind")
    parser.add_argument(
        "--invert", action="store_true", help="exchange dark and light: for dark ink on paper"
    )


def _predict(options):
    print(environment.description())
    model, metrics = load_model(options.model)
    run = runs.Run(None, model, metrics or runs.stand_in(model))
    for found in training.predict(run, options.files, invert=options.invert):
        listed = ", ".join(f"{name} {reports.percent(share)}" for name, share in found.classes)
        print(f"{found.file}: {listed}")
        if found.hint:
            print(f"  {found.hint}")
