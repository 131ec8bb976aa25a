"""Reads the shape of a model from a file of its weights: its class and its arguments."""

import re
from typing import NamedTuple

from keras_vit import arguments, descendants, hybrid
from keras_vit.checkpoints.catalogue import published
from keras_vit.checkpoints.configurations import configuration, preset
from keras_vit.checkpoints.maps import matching
from keras_vit.checkpoints.maps.matching import POSITIONS
from keras_vit.convolutions import HybridRoot, SmallRoot
from keras_vit.io import files
from keras_vit.variants import SIZES

CLASS_TOKEN, BIASES = "patch_encoder/class_token", "block_0/attention/bias_table"
HYBRIDS = {"timm": "TimmHybridViT"}
MINUS_ONE_TO_ONE = (127.5, 127.5)


class Description(NamedTuple):
    """The model that a weight file is for.

    Attributes:
        source: the project whose naming scheme its tensors follow.
        kind: the name of the model's class.
        arguments: arguments that build the model. `num_heads` is None if it is unknown.
        preprocessing: how its publisher resized images, {"resize": ..., "crop": ...,
            "resampling": ...}, if a JSON file beside it states this; "crop" only if it crops.
        assumed: names of arguments that no file specifies.
    """

    source: str
    kind: str
    arguments: dict
    preprocessing: dict
    assumed: tuple


def describe(path, image_size=None):
    """Returns which model a weight file is for, from its tensors and the JSON files beside it.

    Hugging Face's config.json has the number of heads, epsilon and the form of GELU, and its
    preprocessor_config.json the mean and standard deviation of pixels. timm's config.json has the
    mean and standard deviation; the other three follow from its `architecture` and `model_args`.

    Args:
        path: as in `load_weights`.
        image_size: (height, width) that the positions belong to if they do not form a square and
            no JSON file has the size.

    Returns:
        A `Description`.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is not a weight file of a known kind.

    Example:
    >>> path = keras_vit.checkpoints.entries()["ViT-Mini/4-keras-vit-cifar10"].shipped
    >>> keras_vit.checkpoints.describe(path).arguments["num_layers"]
    4
    """
    with files.open_tensors(path) as file:
        specs = file.specs
    table = matching.map_of_file(path, specs)
    if table.source == "timm":
        configuration.check_architecture(path, table)
    shapes = _Shapes(path, table, specs)
    for name, place in table.canonical(specs).items():
        ours, part = table.path_of(name) or (None, None)
        if part == 1 and ours == CLASS_TOKEN:
            shapes["second token"] = shape = matching.spec_at(specs, place).shape
            if 0 in shape:
                want = "a tensor of registers must hold at least one"
                arguments.refuse(want, {"path": str(path), place.name: shape}, "Leave it out.")
        if part == 0 and not ours.endswith("/scale"):
            rule, _ = table.rule_of(ours)
            shapes[ours] = rule.layout.flax_shape(matching.spec_at(specs, place).shape)
    if table.models == ("ResNet",):
        return _describe_resnet(table, shapes)
    return _describe_vit(table, shapes, image_size)


def class_names_beside(path, count):
    """Returns the names of `count` classes from the config.json beside the weights, or None."""
    config = configuration.read_beside(path, "config.json")
    found = config.get("id2label", config.get("label_names"))  # transformers, timm
    table = dict(enumerate(found)) if isinstance(found, list) else found
    if not isinstance(table, dict):
        return None
    table = {str(key): name for key, name in table.items()}
    names = [table.get(str(i)) for i in range(count)]
    if len(table) != count or not all(isinstance(name, str) for name in names):
        return None
    return None if names[0] == "LABEL_0" else names  # transformers writes it by default


class _Shapes(dict):
    """{path of our weight: shape in the file, in Flax's order}, from the first part of each."""

    def __init__(self, path, table, specs):
        super().__init__()
        self.path, self.table, self.specs = path, table, specs

    def __missing__(self, ours):
        rule, numbers = self.table.rule_of(ours)
        received = {"path": str(self.path), "missing": " or ".join(rule.names(numbers))}
        advice = "It may be the file of another model, or hold only some layers of one."
        advice = matching.unsupported(self.table, self.specs) or advice
        arguments.refuse("the file must hold a whole model", received, advice)


def _describe_resnet(table, shapes):
    root = shapes["root/conv/kernel"]
    found = {
        "image_size": 224,
        "units": _count_units(shapes),
        "width": root[-1] // 64,
        "num_channels": root[2],
        "normalize": MINUS_ONE_TO_ONE,
        "num_classes": shapes.get("head/kernel", (None,))[-1],
    }
    return Description(table.source, "ResNet", found, {}, ())


def _describe_vit(table, shapes, image_size):
    hidden_dim = shapes["block_0/norm_1/gamma"][-1]
    mlp_dim = shapes["block_0/mlp/contract/kernel"][-2]
    *patch, channels, _ = _find_patch_kernel(shapes)
    if "root/conv/kernel" in shapes:
        kind, own, step = _describe_hybrid(table, shapes)
        patch, channels = [side * step for side in patch], shapes["root/conv/kernel"][2]
    else:
        kind, own = _describe_descendant(table, shapes, mlp_dim)
    found = {
        "patch_size": tuple(patch),
        "num_layers": sum(bool(re.fullmatch(r"block_\d+/norm_1/gamma", name)) for name in shapes),
        "hidden_dim": hidden_dim,
        "mlp_dim": mlp_dim,
        "num_heads": _find_heads(shapes, hidden_dim, mlp_dim),
        "num_channels": channels,
        "pooling": _find_pooling(table, shapes),
        "representation_size": shapes.get("pre_logits/bias", (None,))[-1],
        "num_classes": shapes.get("head/kernel", (None,))[-1],
        **own,
    }
    read = preset.read if table.source == "kerashub" else configuration.read
    facts, preprocessing = read(table, shapes.path, found)
    found = {**_assume(table, found["pooling"]), **table.defaults, **found, **facts}
    if channels != 3 and "normalize" not in facts:  # the default of a family is for three channels
        found["normalize"] = MINUS_ONE_TO_ONE
    if POSITIONS in shapes:
        found["image_size"] = _find_image_size(shapes, found, image_size)
    elif BIASES in shapes:
        found["image_size"] = _find_size_by_biases(shapes, found)
    if found.get("has_class_token") is not None and "reference" not in found:
        found["reference"] = arguments.grid(found["image_size"], found["patch_size"])
    assumed = () if table.source == "google" else ("normalize", "epsilon")
    if table.source in ("timm", "huggingface") and not facts and not found.get("gated"):
        assumed += ("quick_gelu" if kind == "CLIPViT" else "approximate",)
    assumed = tuple(name for name in assumed if name not in facts)
    return Description(table.source, kind, found, preprocessing, assumed)


def _find_patch_kernel(shapes):
    """Returns the shape of E as a convolution, (height, width, in, out)."""
    shape = shapes["patch_encoder/projection/kernel"]
    if len(shape) != 4:
        want = "the embedding of patches must be a convolution, with four axes"
        received = {"path": str(shapes.path), "shape": shape}
        advice = "SigLIP 2 NaFlex takes images of any shape; use its files for a fixed size."
        arguments.refuse(want, received, advice)
    return shape


def _assume(table, pooling):
    """Returns the arguments that no tensor shows."""
    return {
        "approximate": table.source == "google",
        "epsilon": 1e-12 if table.source == "huggingface" else 1e-6,
        "normalize": published.IMAGENET if pooling == "distilled" else MINUS_ONE_TO_ONE,
    }


def _describe_hybrid(table, shapes):
    """Returns a hybrid's class, its additional arguments, and the pixels between two positions."""
    units = _count_units(shapes)
    if shapes["root/conv/kernel"][0] == SmallRoot.kernel_size:
        kind, root = "SmallHybridViT", SmallRoot
    else:
        kind, root = HYBRIDS.get(table.source, "HybridViT"), HybridRoot
    return kind, {"resnet_units": units}, hybrid.step(units, root)


def _describe_descendant(table, shapes, mlp_dim):
    """Returns the class of a model without a ResNet, and the arguments that `ViT` lacks."""
    gated, _, name = table.models[0].rpartition(" ")
    gated = gated == "gated" or shapes["block_0/mlp/expand/bias"][-1] == 2 * mlp_dim
    if name == "RegisterViT" and "ViT" in table.models and "second token" not in shapes:
        name = "ViT"  # this family exists with and without registers
    if gated and name == "ViT":
        name = "RegisterViT"
    if not hasattr(descendants, name):
        return "ViT", {}
    found = {}
    if issubclass(getattr(descendants, name), descendants.RegisterViT):
        found = {"gated": gated, "num_registers": shapes.get("second token", (0, 0))[-2]}
    if BIASES in shapes:
        found["positions"] = POSITIONS in shapes
    if name.startswith("EVA"):
        norms = {"attention_norm": "attention/projection", "mlp_norm": "mlp/contract"}
        found |= {key: f"block_0/{layer}/norm/gamma" in shapes for key, layer in norms.items()}
    if name.startswith("PE"):
        found["has_class_token"] = CLASS_TOKEN in shapes
    if "projection/kernel" in shapes:
        found["projection_dim"] = shapes["projection/kernel"][-1]
    return name, found


def _count_units(shapes):
    """Returns the number of units in each stage, such as (3, 4, 9), from their names."""
    found = [re.match(r"stage_(\d+)_unit_(\d+)/", name) for name in shapes]
    pairs = {(int(match[1]), int(match[2])) for match in found if match}
    stages = range(1, max((stage for stage, _ in pairs), default=0) + 1)
    return tuple(max((u for s, u in pairs if s == stage), default=0) for stage in stages)


def _find_pooling(table, shapes):
    if table.models == ("distilled ViT",):
        return "distilled"
    if table.models == ("PEViT",):
        return "map"
    if table.models[0] in ("EVAMeanViT", "PESpatialViT"):
        return "patch mean" if CLASS_TOKEN in shapes else "gap"
    hidden_dim = shapes["block_0/norm_1/gamma"][-1]
    if shapes.get("head/kernel", (0,))[0] == 2 * hidden_dim:
        return "token and mean"
    if CLASS_TOKEN in shapes and table.models[0] in ("PooledNormViT", "BEiTViT"):
        return "patch mean"
    if CLASS_TOKEN in shapes:
        return "token"
    return "map" if "pooling/probe" in shapes else "gap"


def _find_heads(shapes, hidden_dim, mlp_dim):
    """Returns the number of heads from a tensor with an axis for them, otherwise from `SIZES`."""
    bias = shapes.get("block_0/attention/query_key_value/bias", ())
    if len(bias) == 2:
        return bias[0]
    if BIASES in shapes:
        return shapes[BIASES][-1]
    widths = {(d, mlp): heads for _, d, mlp, heads in SIZES.values()}
    return widths.get((hidden_dim, mlp_dim))


def _find_image_size(shapes, found, wanted):
    """Returns the image size that the positions belong to; a square or `wanted` if no file has it.

    For each number of tokens before the patches, a square comes first: published weights are
    resized to the size that is wanted.
    """
    tokens, patch = shapes[POSITIONS][-2], found["patch_size"]
    registers, has_class_token = found.get("num_registers", 0), found.get("has_class_token")
    prefixes = matching.prefixes(found["pooling"], registers, has_class_token)
    given, own = found.get("image_size"), None
    if wanted is not None:
        own = arguments.grid(arguments.height_width("image_size", wanted), patch)
    grid = matching.grid_of(tokens, prefixes, given and arguments.grid(given, patch), own)
    if grid is None and given:
        names = {"timm": "img_size", "kerashub": "image_shape"}
        field = names.get(shapes.table.source, "image_size")
        want = f"`{field}` of config.json must match the positions, {tokens} tokens"
        received = {"path": str(shapes.path), field: given, "patch_size": patch}
        arguments.refuse(want, received, "Use the config.json that came with the weights.")
    if grid is None:
        received = {"path": str(shapes.path), "tokens": tokens}
        advice = "Pass image_size=(height, width) of the file, then `keras_vit.resize` the model."
        want = "the positions must be those of a square of patches, or of `image_size`"
        arguments.refuse(want, received, advice)
    return given or tuple(count * side for count, side in zip(grid[1:], patch, strict=True))


def _find_size_by_biases(shapes, found):
    """Returns the image size that the table of biases belongs to, as `_find_image_size` does."""
    (length, _), patch = shapes[BIASES], found["patch_size"]
    given = found.get("image_size")
    grid = descendants.beit.grid_of_table(length, given and arguments.grid(given, patch))
    if grid is None:
        field = "img_size" if shapes.table.source == "timm" else "image_size"
        want = f"the {length} offsets of relative_position_bias_table must be those of a square of "
        want += f"patches, or of `{field}` in config.json"
        received = {"path": str(shapes.path), field: given, "patch_size": patch}
        arguments.refuse(want, received, "Use the config.json that came with the weights.")
    return given or tuple(count * side for count, side in zip(grid, patch, strict=True))
