"""The command `keras-vit`: arguments in, calls of public functions, one line for each error."""

import argparse
import os
import sys

from keras_vit import checkpoints, training
from keras_vit.training import environment, reports
from keras_vit.variants import BiT, variants
from keras_vit.version import __version__

USAGE_ERROR, FAILURE, INTERRUPTED = 2, 1, 130


def main(arguments=None):
    """Runs the command.

    Args:
        arguments: list of words; None for those that the program was called with.

    Returns:
        Exit code: 0, 2 for arguments that cannot be used, 1 for other failures, 130 after Ctrl-C.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    options = parser().parse_args(arguments)
    if options.command is None:
        parser().print_help()
        return 0
    try:
        options.run(options)
    except KeyboardInterrupt:
        print("keras-vit: stopped; nothing more was written.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `keras-vit variants | head`: the reader has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except Exception as error:
        if options.debug:
            raise
        print(f"keras-vit: {_one_line(error)}", file=sys.stderr)
        return USAGE_ERROR if isinstance(error, (ValueError, FileNotFoundError)) else FAILURE
    return 0


def parser():
    """Returns the parser of all commands."""
    root = argparse.ArgumentParser(
        prog="keras-vit",
        description="Vision Transformers (arXiv 2010.11929) for Keras 3: train one, use it.",
        epilog="Begin with: keras-vit train",
    )
    root.add_argument("--version", action="version", version=f"keras-vit {__version__}")
    commands = root.add_subparsers(dest="command", metavar="COMMAND")
    _add_train(commands)
    _add_predict(commands)
    _add_variants(commands)
    _add_weights(commands)
    _add_convert(commands)
    return root


def _add(commands, name, run, summary, description=None):
    command = commands.add_parser(name, help=summary, description=description or summary)
    command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    command.set_defaults(run=run)
    return command


def _add_train(commands):
    command = _add(
        commands,
        "train",
        _train,
        "train a small model on handwritten digits, or on your own pictures",
        "Trains a small Vision Transformer, compares it with two baselines on the same pictures, "
        "and writes model, numbers and figures to a folder. Without DATA it trains on 1,797 "
        "handwritten digits that come with scikit-learn: no network, about a minute.",
    )
    add = command.add_argument
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


def _add_predict(commands):
    command = _add(
        commands,
        "predict",
        _predict,
        "name what is on pictures, with a trained model",
        "Names the three most probable classes of each picture.",
    )
    command.add_argument("folder", metavar="RUN", help="folder that `keras-vit train` wrote")
    command.add_argument("files", nargs="+", metavar="IMAGE", help="picture file of any kind")
    command.add_argument(
        "--invert", action="store_true", help="exchange dark and light: for dark ink on paper"
    )


def _add_variants(commands):
    _add(
        commands,
        "variants",
        _variants,
        "list the models by name",
        "Lists every named model; parameters count 224 x 224 pixels and 1,000 classes.",
    )


def _add_weights(commands):
    _add(
        commands,
        "weights",
        _weights,
        "list the published weights by name",
        "Lists the catalogue of published weights: names for `keras_vit.load_pretrained` and "
        "`keras-vit convert`. Nothing is downloaded.",
    )


def _add_convert(commands):
    command = _add(
        commands,
        "convert",
        _convert,
        "write weights under the names of another library",
        "Reads published weights and writes them as another library would: .npz for Google's code, "
        ".safetensors for timm or Hugging Face, .weights.h5 for KerasHub.",
    )
    command.add_argument(
        "source_file", metavar="IN", help="file of weights, or a name of `keras-vit weights`"
    )
    command.add_argument("target_file", metavar="OUT", help="file to write; it must not exist yet")
    command.add_argument(
        "--to",
        metavar="SOURCE",
        help="google, bit, timm, huggingface or kerashub; default: google for .npz (bit for a "
        "ResNet), timm for .safetensors, kerashub for .weights.h5",
    )


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


def _predict(options):
    print(environment.description())
    for found in training.predict(options.folder, options.files, invert=options.invert):
        listed = ", ".join(f"{name} {reports.percent(share)}" for name, share in found.classes)
        print(f"{found.file}: {listed}")
        if found.hint:
            print(f"  {found.hint}")


def _variants(options):
    columns = ("name", "layers", "D", "MLP", "heads", "ResNet units", "parameters")
    print(_row(*columns))
    for name, v in variants().items():
        if isinstance(v, BiT):
            print(_row(name, "", "", "", "", _units(v.units), f"{v.parameters:,}"))
        else:
            sizes = (v.num_layers, v.hidden_dim, v.mlp_dim, v.num_heads)
            print(_row(name, *sizes, _units(v.resnet_units), f"{v.parameters:,}"))


def _weights(options):
    print(checkpoints.catalogue.listing())


def _convert(options):
    if os.path.exists(options.target_file):
        raise ValueError(f"OUT must not exist yet. Received: {options.target_file!r}. Remove it.")
    model = checkpoints.load_pretrained(options.source_file)
    checkpoints.save_weights(model, options.target_file, options.to)
    print(f"Written: {options.target_file}, {model.count_params():,} parameters.")


def _row(name, layers, dim, mlp, heads, units, parameters):
    return f"{name:<13}{layers:>7}{dim:>6}{mlp:>7}{heads:>7}{units:>15}{parameters:>15}"


def _units(units):
    """The units of a ResNet's stages; a hybrid without stages has its root alone."""
    return "" if units is None else " ".join(map(str, units)) or "root alone"


def _one_line(error):
    """The message of an error on one line, with its kind where the kind is unexpected."""
    message = " ".join(str(error).split())
    known = (ValueError, OSError, ImportError, ArithmeticError)
    return message if isinstance(error, known) and message else f"{type(error).__name__}: {message}"
