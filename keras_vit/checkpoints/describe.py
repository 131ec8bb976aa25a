"""Reads the shape of a model from a file of its weights: its class and its arguments."""

import os
import re
from typing import NamedTuple

from keras_vit import arguments, descendants, hybrid
from keras_vit.checkpoints import matching, published
from keras_vit.checkpoints.matching import POSITIONS
from keras_vit.io import files
from keras_vit.variants import SIZES

TANH = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast")
CLASS_TOKEN = "patch_encoder/class_token"
MINUS_ONE_TO_ONE = (127.5, 127.5)
RESAMPLING = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}


class Description(NamedTuple):
    """What a file of weights is for.

    Attributes:
        source: whose names its tensors have.
        kind: the name of the model's class.
        arguments: what builds the model. `num_heads` is None if it is unknown.
        preprocessing: how its publisher resized images, {"resize": ..., "resampling": ...}, if a
            JSON file beside it has this.
        assumed: names of arguments that no file has.
    """

    source: str
    kind: str
    arguments: dict
    preprocessing: dict
    assumed: tuple


def describe(path):
    """Returns which model a file of weights is for, from its tensors and the JSON files beside it.

    Hugging Face's config.json has the number of heads, epsilon and the form of GELU, its
    preprocessor_config.json the mean and standard deviation of pixels; so has timm's config.json.

    Args:
        path: as in `load_weights`.

    Returns:
        A `Description`.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is not a file of weights of a known kind.

    Example:
    >>> path = keras_vit.checkpoints.entries()["ViT-Mini/4-keras-vit-cifar10"].shipped
    >>> keras_vit.checkpoints.describe(path).arguments["num_layers"]
    4
    """
    with files.open_tensors(path) as file:
        specs = file.specs
    table = matching.map_of_file(path, specs)
    shapes = _Shapes(path=path)
    for name, place in table.canonical(specs).items():
        ours, part = table.path_of(name) or (None, None)
        if part == 1 and ours == CLASS_TOKEN:
            shapes["second token"] = matching.spec_at(specs, place).shape
        if part == 0 and not ours.endswith("/scale"):
            rule, _ = table.rule_of(ours)
            shapes[ours] = rule.layout.flax_shape(matching.spec_at(specs, place).shape)
    describe_kind = _describe_resnet if table.models == ("ResNet",) else _describe_vit
    return describe_kind(table, shapes)


class _Shapes(dict):
    """{path of our weight: shape in the file, in Flax's order} of the first part of each weight."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def __missing__(self, name):
        received = {"path": str(self.path), "missing": name}
        advice = "It may be truncated, or hold only some layers of the model."
        arguments.refuse("the file must hold a whole model", received, advice)


def _describe_resnet(table, shapes):
    root = shapes["root/conv/kernel"]
    found = {
        "image_size": 224,
        "units": _units(shapes),
        "width": root[-1] // 64,
        "num_channels": root[2],
        "normalize": MINUS_ONE_TO_ONE,
        "num_classes": shapes.get("head/kernel", (None,))[-1],
    }
    return Description(table.source, "ResNet", found, {}, ())


def _describe_vit(table, shapes):
    hidden_dim, mlp_dim = shapes["encoder_norm/gamma"][-1], shapes["block_0/mlp/expand/bias"][-1]
    *patch, channels, _ = shapes["patch_encoder/projection/kernel"]
    stem, kind = {}, "ViT"
    if "root/conv/kernel" in shapes:
        kind, stem = "HybridViT", {"resnet_units": _units(shapes)}
        patch = [side * hybrid.step(stem["resnet_units"]) for side in patch]
        channels = shapes["root/conv/kernel"][2]
    gated, _, name = table.models[0].rpartition(" ")
    if hasattr(descendants, name):
        kind, stem = name, _describe_descendant(shapes, gated == "gated")
    pooling = _pooling(table, shapes)
    published_facts, preprocessing = _published_facts(table, shapes.path)
    found = {
        "patch_size": tuple(patch),
        "num_layers": sum(bool(re.fullmatch(r"block_\d+/norm_1/gamma", name)) for name in shapes),
        "hidden_dim": hidden_dim,
        "mlp_dim": mlp_dim,
        "num_heads": _heads(shapes, hidden_dim, mlp_dim),
        "num_channels": channels,
        "pooling": pooling,
        "representation_size": shapes.get("pre_logits/bias", (None,))[-1],
        "num_classes": shapes.get("head/kernel", (None,))[-1],
        "approximate": table.source == "google",
        "epsilon": 1e-12 if table.source == "huggingface" else 1e-6,
        "normalize": published.IMAGENET if pooling == "distilled" else MINUS_ONE_TO_ONE,
        **table.defaults,
        **published_facts,
        **stem,
    }
    if "image_size" not in found:
        found["image_size"] = _image_size(shapes, pooling, patch)
    assumed = () if table.source in ("google", "kerashub") else ("normalize", "epsilon")
    assumed = tuple(name for name in assumed if name not in published_facts)
    return Description(table.source, kind, found, preprocessing, assumed)


def _describe_descendant(shapes, gated):
    """Returns the arguments that only a class of `descendants` has."""
    found = {"gated": True} if gated else {}
    if "second token" in shapes:
        found["num_registers"] = shapes["second token"][-2]
    if "projection/kernel" in shapes:
        found["projection_dim"] = shapes["projection/kernel"][-1]
    return found


def _units(shapes):
    """Returns (3, 4, 9) from the names of the units."""
    found = [re.match(r"stage_(\d+)_unit_(\d+)/", name) for name in shapes]
    pairs = {(int(match[1]), int(match[2])) for match in found if match}
    stages = range(1, max((stage for stage, _ in pairs), default=0) + 1)
    return tuple(max((u for s, u in pairs if s == stage), default=0) for stage in stages)


def _pooling(table, shapes):
    if table.models == ("distilled ViT",):
        return "distilled"
    hidden_dim = shapes["encoder_norm/gamma"][-1]
    if shapes.get("head/kernel", (0,))[0] == 2 * hidden_dim:
        return "token and mean"
    if CLASS_TOKEN in shapes:
        return "token"
    return "map" if "pooling/probe" in shapes else "gap"


def _heads(shapes, hidden_dim, mlp_dim):
    """Returns the number of heads from a tensor that separates them, else from `SIZES`."""
    bias = shapes.get("block_0/attention/query_key_value/bias", ())
    if len(bias) == 2:
        return bias[0]
    widths = {(d, mlp): heads for _, d, mlp, heads in SIZES.values()}
    return widths.get((hidden_dim, mlp_dim))


def _image_size(shapes, pooling, patch):
    """Returns the size of the square image whose patches the positions are for."""
    tokens = shapes[POSITIONS][-2]
    grid = matching.grid_of(tokens, pooling)
    if grid is None:
        received = {"path": str(shapes.path), "tokens": tokens}
        advice = "Build the model with keras_vit.ViT(...), then load_weights(..., grid=(rows, "
        advice += "columns))."
        want = "the positions must be those of a square of patches"
        arguments.refuse(want, received, advice)
    return tuple(count * side for count, side in zip(grid[1:], patch, strict=True))


def _published_facts(table, path):
    """Returns (arguments, preprocessing) from the JSON files beside the weights."""
    config = _read_beside(path, "config.json")
    if table.source == "timm":
        facts = _select(config.get("model_args", {}), num_heads="num_heads", image_size="img_size")
        if table.models == ("CLIPViT",):
            facts["quick_gelu"] = "quickgelu" in config.get("architecture", "")
        config = config.get("pretrained_cfg", config)
        if "image_size" in table.defaults and "input_size" in config:
            facts.setdefault("image_size", tuple(config["input_size"][1:]))
        facts |= _pixels(config.get("mean"), config.get("std"), 255)
        return facts, _select(config, resize="input_size", resampling="interpolation")
    if table.source != "huggingface":
        return {}, {}
    config = config.get("vision_config", config)
    facts = _select(
        config, num_heads="num_attention_heads", epsilon="layer_norm_eps",
        image_size="image_size", theta="rope_theta",
    )  # fmt: skip
    if "hidden_act" in config:
        facts |= _activation(config["hidden_act"], table, path)
    images = _read_beside(path, "preprocessor_config.json")
    if images.get("do_normalize", True):
        scale = 1 / images.get("rescale_factor", 1 / 255)
        facts |= _pixels(images.get("image_mean"), images.get("image_std"), scale)
    preprocessing = {
        "resize": images.get("size"),
        "resampling": RESAMPLING.get(images.get("resample")),
    }
    return facts, {key: value for key, value in preprocessing.items() if value is not None}


def _activation(name, table, path):
    """Returns the arguments for an activation of Hugging Face, which the model must have."""
    known = {"gelu": {"approximate": False}, **dict.fromkeys(TANH, {"approximate": True})}
    if table.models == ("CLIPViT",):
        known = {key: facts | {"quick_gelu": False} for key, facts in known.items()}
        known["quick_gelu"] = {"quick_gelu": True}
    if table.models[0].startswith("gated"):
        known = {"silu": {}}
    if name not in known:
        want = f"the activation must be one of {', '.join(known)}"
        arguments.refuse(want, {"path": str(path), "hidden_act": name}, "No layer here has it.")
    return known[name]


def _read_beside(path, name):
    """Returns the content of a JSON file in the folder of the weights, {} if there is none."""
    path = os.fspath(path)
    path = os.path.join(path if os.path.isdir(path) else os.path.dirname(path), name)
    content = files.read_json(path) if os.path.isfile(path) else {}
    return content if isinstance(content, dict) else {}


def _select(config, **names):
    """Returns {our name: value} of the names that are in a configuration."""
    return {ours: config[theirs] for ours, theirs in names.items() if theirs in config}


def _pixels(mean, deviation, scale):
    """Returns {"normalize": (mean, deviation)} for pixels 0 to 255, from numbers for 0 to 1."""
    if mean is None or deviation is None:
        return {}
    pair = [tuple(round(float(x) * scale, 6) for x in values) for values in (mean, deviation)]
    return {"normalize": tuple(values[0] if len(set(values)) == 1 else values for values in pair)}
