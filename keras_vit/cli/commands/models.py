"""`keras-vit variants`, `weights`, `convert` and `cost`: models and weights by name."""

import os

from keras_vit import arguments
from keras_vit.checkpoints.catalogue import check_target, listing
from keras_vit.checkpoints.catalogue.published import SOURCES
from keras_vit.cli.common import DEFAULT, MODEL, adder, check_model, command, load_model
from keras_vit.io import writing
from keras_vit.variants import list_variants, parse

SHARE = 0.35  # fraction of a core's peak; the paper's runs reached 0.25 to 0.43
COST_COLUMNS = ("parameters", "GMAC", "GFLOPs", "activations, M", "backward, MiB")


def add_lists(commands):
    """Adds `keras-vit variants` and `keras-vit weights`."""
    command(
        commands,
        "variants",
        _variants,
        None,
        "list the models by name",
        "Lists every named model, with its parameters at 224 x 224 pixels and 1,000 classes.",
    )
    command(
        commands,
        "weights",
        lambda options: print(listing()),
        None,
        "list the published weights by name",
        "Lists the published weights that `keras_vit.load_pretrained` and `keras-vit convert` "
        "take by name. Nothing is downloaded.",
    )


def add_convert(commands):
    """Adds `keras-vit convert`."""
    parser = command(
        commands,
        "convert",
        _check_convert,
        _convert,
        "write weights under the names of another library",
        "Reads published weights and writes them as another library would: .npz for Google's code, "
        ".safetensors for timm, Hugging Face or torchvision, .weights.h5 for KerasHub. OUT without "
        "a suffix is a folder for timm, Hugging Face or KerasHub, with the config.json that they "
        "build the model from.",
    )
    add = adder(parser)
    add("source_file IN", MODEL)
    add("target_file OUT", "new file or folder to write")
    add(
        "--to SOURCE",
        "google, bit, timm, huggingface, torchvision or kerashub; default: google for .npz (bit "
        "for a ResNet), timm for .safetensors, kerashub for .weights.h5",
        choices=SOURCES,
    )


def add_cost(commands):
    """Adds `keras-vit cost`."""
    parser = command(
        commands,
        "cost",
        _check_cost,
        _cost,
        "count multiply-adds, memory and exaFLOPs of models",
        "Counts a forward pass (1 GMAC is 10^9 multiply-adds, or 2 GFLOPs), the activations that "
        "its products write, and the memory that a training step keeps for the backward pass in "
        "float32. Models are built without values, which takes seconds for each name.",
    )
    add = adder(parser)
    add("names NAME", "models; default: those of Table 6 of the paper", nargs="*")
    add("--image-size PIXELS", "side of the images; default: 224", int)
    add("--batch-size N", f"images; {DEFAULT}", int, default=1)
    add(
        "--training",
        "also print the exaFLOPs of a training run, and its days on one TPU v3 core at "
        f"{100 * SHARE:.0f} %% of its peak",
        int,
        nargs=2,
        metavar=("IMAGES", "EPOCHS"),
    )
    add("--paper", "print Tables 6 and 2 beside these counts")


def _variants(options):
    row = "{:<15}{:>7}{:>6}{:>7}{:>7}{:>15}{:>15}".format
    print(row("name", "layers", "D", "MLP", "heads", "ResNet units", "parameters"))
    for name, variant in list_variants().items():
        fields = ("num_layers", "hidden_dim", "mlp_dim", "num_heads")
        sizes = (getattr(variant, field, "") for field in fields)
        units = getattr(variant, "units", getattr(variant, "resnet_units", None))
        # A hybrid without stages has only the root.
        shown = "" if units is None else " ".join(map(str, units)) or "root alone"
        count = getattr(variant, "parameters", None)
        print(row(name, *sizes, shown, f"{count:,}" if count else ""))
    print('A ViT may have any patch size: "ViT-Mini/4"')


def _check_new(path):
    if os.path.exists(path):
        raise ValueError(f"OUT must not exist yet. Received: {path!r}. Remove it.")


def _check_convert(options):
    _check_new(options.target_file)
    writing.check_file(options.target_file, "Choose another OUT.")
    check_target(options.target_file, options.to)
    check_model(options.source_file)


def _convert(options):
    from keras_vit import save_weights
    from keras_vit.checkpoints.saving import choose_source
    from keras_vit.data.transforms.image_transforms import find_resizing

    model, metrics = load_model(options.source_file)
    with writing.excluding_others(os.path.dirname(os.path.abspath(options.target_file))):
        _check_new(options.target_file)  # another process may have written it by now
        save_weights(model, options.target_file, options.to, **find_resizing(metrics))
    source, _ = choose_source(model, options.target_file, options.to)
    count = f"{model.count_params():,} parameters"
    print(f"Written: {options.target_file}, {count} with the names of {source}.")


def _check_cost(options):
    if options.paper and options.names:
        want = "--paper prints the models of the paper's tables"
        arguments.refuse(want, {"names": options.names}, "Leave out the names, or --paper.")
    sizes = {"--image-size": options.image_size, "--training": options.training}
    sizes["--batch-size"] = None if options.batch_size == 1 else options.batch_size
    given = {name: value for name, value in sizes.items() if value is not None}
    if options.paper and given:
        want = "--paper counts with the paper's sizes and epochs"
        arguments.refuse(want, given, "Leave them out, or --paper.")
    for name in options.names:
        parse(name)
    arguments.positive_integer("batch_size", options.batch_size)
    if options.image_size is not None:
        arguments.positive_integer("image_size", options.image_size)
    for number in options.training or ():
        arguments.positive_integer("training", number)


def _cost(options):
    if options.paper:
        _print_paper()
        return
    from keras_vit import accounting

    names = options.names or list(dict.fromkeys(row[0] for row in accounting.paper_costs.TABLE_6))
    more = ("exaFLOPs", "core-days") if options.training else ()
    for number, name in enumerate(names):
        line = _line(name, options)  # an error comes before any line
        if number == 0:
            print(_columns("name", *COST_COLUMNS, *more))
        print(line, flush=True)


def _line(name, options):
    from keras_vit import accounting

    cost = accounting.count(name, options.image_size, options.batch_size)
    size = options.image_size
    memory = accounting.activation_memory(name, options.batch_size, size) / 2**20
    numbers = [f"{cost.parameters:,}", f"{cost.multiply_adds / 1e9:,.2f}"]
    numbers += [f"{cost.flops / 1e9:,.2f}", f"{cost.activations / 1e6:,.1f}", f"{memory:,.0f}"]
    if options.training:
        exaflops = accounting.training(name, *options.training, size)
        numbers += [f"{exaflops:,.3g}", f"{accounting.core_days(exaflops, SHARE):,.3g}"]
    return _columns(name, *numbers)


def _columns(name, *numbers):
    return f"{name:<17}" + "".join(f"{number:>15}" for number in numbers)


def _print_paper():
    from keras_vit import accounting

    print("Table 6: JFT-300M at 224 pixels; exaFLOPs of the paper and counted here")
    print(_columns("name", "epochs", "paper", "here", "ratio", "no padding", "ratio"))
    for row in accounting.table_6():
        inside = row.without_padding
        numbers = (row.published, f"{row.exaflops:.1f}", f"{row.ratio:.3f}")
        more = (f"{inside:.1f}", f"{inside / row.published:.3f}")
        print(_columns(row.name, row.epochs, *numbers, *more))
    print("\nTable 2: the share of the cores' peak that the paper's core-days imply")
    print(_columns("name", "images", "epochs", "core-days", "exaFLOPs", "share"))
    for row in accounting.table_2():
        numbers = (f"{row.images:,}", row.epochs, f"{row.core_days:,}", f"{row.exaflops:,.0f}")
        print(_columns(row.name, *numbers, f"{row.utilization:.0%}"))
