"""`keras-vit variants`, `weights` and `convert`: models and weights by name, and their files."""

import os

from keras_vit import writable
from keras_vit.checkpoints.catalogue import check_source, listing
from keras_vit.checkpoints.published import SOURCES
from keras_vit.commands.parts import command
from keras_vit.variants import variants


def add(commands):
    """Adds the commands."""
    _add_variants(commands)
    _add_weights(commands)
    _add_convert(commands)


def _add_variants(commands):
    command(
        commands,
        "variants",
        _variants,
        None,
        "list the models by name",
        "Lists every named model, with its parameters at 224 x 224 pixels and 1,000 classes.",
    )


def _add_weights(commands):
    command(
        commands,
        "weights",
        _weights,
        None,
        "list the published weights by name",
        "Lists the published weights that `keras_vit.load_pretrained` and `keras-vit convert` "
        "take by name. Nothing is downloaded.",
    )


def _add_convert(commands):
    parser = command(
        commands,
        "convert",
        _start,
        _convert,
        "write weights under the names of another library",
        "Reads published weights and writes them as another library would: .npz for Google's code, "
        ".safetensors for timm or Hugging Face, .weights.h5 for KerasHub.",
    )
    parser.add_argument(
        "source_file", metavar="IN", help="file of weights, or a name of `keras-vit weights`"
    )
    parser.add_argument("target_file", metavar="OUT", help="new file to write")
    parser.add_argument(
        "--to",
        metavar="SOURCE",
        choices=SOURCES,
        help="google, bit, timm, huggingface or kerashub; default: google for .npz (bit for a "
        "ResNet), timm for .safetensors, kerashub for .weights.h5",
    )


def _variants(options):
    columns = ("name", "layers", "D", "MLP", "heads", "ResNet units", "parameters")
    print(_row(*columns))
    for name, v in variants().items():
        sizes = ("num_layers", "hidden_dim", "mlp_dim", "num_heads")
        units = getattr(v, "units", getattr(v, "resnet_units", None))
        count = getattr(v, "parameters", None)
        sizes = (getattr(v, size, "") for size in sizes)
        print(_row(name, *sizes, _units(units), f"{count:,}" if count else ""))


def _weights(options):
    print(listing())


def _start(options):
    if os.path.exists(options.target_file):
        raise ValueError(f"OUT must not exist yet. Received: {options.target_file!r}. Remove it.")
    writable.check_file(options.target_file, "Choose another OUT.")
    check_source(options.source_file)


def _convert(options):
    from keras_vit import load_pretrained, save_weights

    model = load_pretrained(options.source_file)
    save_weights(model, options.target_file, options.to)
    print(f"Written: {options.target_file}, {model.count_params():,} parameters.")


def _row(name, layers, dim, mlp, heads, units, parameters):
    return f"{name:<15}{layers:>7}{dim:>6}{mlp:>7}{heads:>7}{units:>15}{parameters:>15}"


def _units(units):
    """The units of a ResNet's stages; a hybrid without stages has only the root."""
    return "" if units is None else " ".join(map(str, units)) or "root alone"
