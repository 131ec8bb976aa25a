"""`keras-vit train`."""

from keras_vit import training
from keras_vit.commands.parts import command


def add(commands):
    """Adds the command."""
    parser = command(
        commands,
        "train",
        _train,
        "train a small model on handwritten digits, or on your own pictures",
        "Trains a small Vision Transformer, compares it with two baselines on the same pictures, "
        "and writes model, numbers and figures to a folder. Without DATA it trains on 1,797 "
        "handwritten digits that come with scikit-learn: no network, about a minute.",
    )
    add = parser.add_argument
    add(
        "data",
        nargs="?",
        metavar="DATA",
        help="folder with a folder of JPEG or PNG pictures for each class; default: the digits",
    )
    add(
        "--model",
        metavar="NAME",
        help=f"a name of `keras-vit variants`, with any patch after the size; {_default('model')}",
    )
    add(
        "--image-size",
        type=int,
        metavar="PIXELS",
        help="side to which pictures of a folder are "
        f"resized, divisible by the patch; {_default('image_size')}",
    )
    add("--epochs", type=int, metavar="N", help=f"passes over the pictures; {_default('epochs')}")
    add("--batch-size", type=int, metavar="N", help=f"pictures in a step; {_default('batch_size')}")
    add(
        "--learning-rate",
        type=float,
        metavar="RATE",
        help=f"highest of the schedule; {_default('learning_rate')}",
    )
    add(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="of the split, the weights and the order of pictures; default: %(default)s",
    )
    add(
        "--out",
        metavar="DIR",
        help="new or empty folder for the results; default: runs/<time>-<name>",
    )


def _default(field):
    """Says what a setting is where the user gives none."""
    digits, folder = (getattr(training.RECIPES[name], field) for name in ("digits", "folder"))
    return f"default: {digits}" if digits == folder else f"default: {digits}, with DATA {folder}"


def _train(options):
    training.train(
        data=options.data,
        model=options.model,
        image_size=options.image_size,
        epochs=options.epochs,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        seed=options.seed,
        out=options.out,
    )
