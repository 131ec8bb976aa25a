"""`keras-vit train`."""

from keras_vit import arguments, training
from keras_vit.commands.parts import command
from keras_vit.training import rows

DESCRIPTION = """Trains a Vision Transformer and writes model, numbers and figures to a folder.
Without DATA it trains a small one on 1,797 handwritten digits that come with scikit-learn: no
network, about a minute. With --weights it fine-tunes published weights. A run may be killed at any
moment: --resume goes on with it exactly where it was."""


def add(commands):
    """Adds the command."""
    parser = command(
        commands,
        "train",
        _train,
        "train on handwritten digits, or on your own pictures",
        DESCRIPTION,
    )
    add = parser.add_argument
    add(
        "data",
        nargs="?",
        metavar="DATA",
        help="folder with a folder of pictures for each class, .csv table, .npz file, or the name "
        "of a TensorFlow Datasets set; default: the digits",
    )
    _add_what(parser.add_argument_group("what is trained").add_argument)
    _add_how(parser.add_argument_group("how").add_argument)
    _add_where(parser.add_argument_group("where to").add_argument)


def _add_what(add):
    add("--weights", metavar="NAME", help="file, or name of `keras-vit weights`, to begin with")
    add(
        "--model",
        metavar="NAME",
        help="begin with fresh weights: a name of `keras-vit variants`, with any patch after the "
        f"size; {_default('model')}",
    )
    add(
        "--image-size",
        type=int,
        metavar="PIXELS",
        help="side to which pictures are resized, divisible by the patch; "
        f"{_default('image_size')}, with --weights theirs",
    )
    add(
        "--validation-share",
        type=float,
        metavar="SHARE",
        help="of the training pictures, shown while training; default: 0.1",
    )
    add(
        "--test-share",
        type=float,
        metavar="SHARE",
        help="of all pictures, tested once in the end; default: 0.2",
    )
    add("--split-seed", type=int, metavar="N", help="of these parts; default: 0")


def _add_how(add):
    add(
        "--recipe",
        metavar="NAME",
        help=f"{', '.join(rows.names())}; default: digits, with DATA folder, with --weights "
        "finetune",
    )
    add(
        "--adapt",
        choices=("full", "linear", "lora"),
        help="which weights are trained; default: what the recipe says, most often all",
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
        "--augment",
        metavar="NAME",
        help="how training pictures are varied: none, flip, "
        "inception, cifar, light1 ... strong2, deit, small; default: what the recipe says",
    )
    add(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="of the weights and the order of pictures; default: %(default)s",
    )


def _add_where(add):
    add(
        "--out",
        metavar="DIR",
        help="new or empty folder for the results; default: runs/<time>-<name>",
    )
    add("--tensorboard", action="store_true", help="also log for TensorBoard, in DIR/logs")
    add("--resume", metavar="RUN", help="go on with a run that was interrupted; no other argument")


def _default(field):
    """Says what a setting is where the user gives none."""
    values = {name: getattr(training.RECIPES[name], field) for name in ("digits", "folder")}
    listed = [str(values["digits"])]
    if values["folder"] != values["digits"]:
        listed.append(f"with DATA {values['folder']}")
    return f"default: {', '.join(listed)}"


def _train(options):
    values = {name: value for name, value in vars(options).items() if name not in APART}
    if options.resume is None:
        training.train(**values)
        return
    given = {name: value for name, value in values.items() if value not in (None, False, 0)}
    if given:
        advice = f"Write: keras-vit train --resume {options.resume}"
        arguments.refuse("a run goes on with its own settings alone", given, advice)
    training.resume(options.resume)


APART = ("command", "run", "debug", "resume")  # what is no argument of `training.train`
