"""Reads the shape of a model from a file of its weights: its class and its arguments."""

import os
import re
from typing import NamedTuple

from keras_vit import arguments, hybrid
from keras_vit.checkpoints import matching, published, rules, tables
from keras_vit.checkpoints.matching import POSITIONS
from keras_vit.io import files
from keras_vit.variants import SIZES

TANH = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast")
MINUS_ONE_TO_ONE = (127.5, 127.5)
RESAMPLING = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}


class Description(NamedTuple):
    """What a file is: `kind` is "ViT", "HybridViT" or "ResNet", `arguments` builds it.

    `preprocessing` says how its publisher resized images, if files beside it tell:
    {"resize": ..., "resampling": ...}. `assumed` names what no file told. The arguments'
    `num_heads` is None where neither tensors nor files tell it.
    """

    source: str
    kind: str
    arguments: dict
    preprocessing: dict
    assumed: tuple


def describe(path):
    """Tells which model a file of weights is for, from its tensors and the JSON files beside it.

    Of Hugging Face's files config.json gives the heads, epsilon and the form of GELU,
    preprocessor_config.json the pixels' mean and standard deviation; timm's config.json the latter.

    Args:
        path: as in `load_weights`.

    Returns:
        A `Description`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no file of weights of a kind that is known.

    Example:
    >>> keras_vit.checkpoints.describe("ViT-B_16.npz").arguments["num_layers"]  # doctest: +SKIP
    12
    """
    with files.open_tensors(path) as file:
        specs = file.specs
    table = tables.of_file(path, specs)
    shapes = _shapes(table, specs)
    if table.kinds == ("ResNet",):
        return _describe_resnet(path, table, shapes)
    return _describe_vit(path, table, shapes)


def _shapes(table, specs):
    """{path of ours: shape in the file} of the first part of every weight, in Flax's order."""
    shapes = {}
    for name, place in table.canonical(specs).items():
        found = rules.path_of(table, name)
        if found and found[1] == 0:
            rule, _ = rules.rule_of(table, found[0])
            shape = matching.spec_at(specs, place).shape
            shapes[found[0]] = rules.flax_order(rule.layout, shape)
    return shapes


def _describe_vit(path, table, shapes):
    beside = _beside(path)
    hidden_dim = _last(path, shapes, "encoder_norm/gamma")
    mlp_dim = _last(path, shapes, "block_0/mlp/expand/bias")
    *patch, channels, _ = _shape(path, shapes, "patch_encoder/projection/kernel")
    units = _units(shapes) if "root/conv/kernel" in shapes else None
    if units is not None:
        patch, channels = (
            [side * hybrid.step(units) for side in patch],
            shapes["root/conv/kernel"][2],
        )
    pooling = _pooling(table, shapes)
    told, preprocessing = _told(table, beside)
    found = {
        "patch_size": tuple(patch),
        "num_layers": len(
            [name for name in shapes if re.fullmatch(r"block_\d+/norm_1/gamma", name)]
        ),
        "hidden_dim": hidden_dim,
        "mlp_dim": mlp_dim,
        "num_heads": _heads(shapes, hidden_dim, mlp_dim),
        "num_channels": channels,
        "pooling": pooling,
        "representation_size": shapes.get("pre_logits/bias", (None,))[-1],
        **_head(shapes),
        "approximate": table.source == "google",
        "epsilon": 1e-12 if table.source == "huggingface" else 1e-6,
        "normalize": published.IMAGENET if table.kinds == ("distilled ViT",) else MINUS_ONE_TO_ONE,
        **told,
    }
    if units is not None:
        found["resnet_units"] = units
    if "image_size" not in found:
        found["image_size"] = _image_size(path, shapes, pooling, patch)
    assumed = () if table.source in ("google", "kerashub") else tuple(
        name for name in ("normalize", "epsilon") if name not in told
    )  # fmt: skip
    kind = "ViT" if units is None else "HybridViT"
    return Description(table.source, kind, found, preprocessing, assumed)


def _describe_resnet(path, table, shapes):
    root = _shape(path, shapes, "root/conv/kernel")
    found = {
        "image_size": 224,
        "units": _units(shapes),
        "width": root[-1] // 64,
        "num_channels": root[2],
        "normalize": MINUS_ONE_TO_ONE,
        **_head(shapes),
    }
    return Description(table.source, "ResNet", found, {}, ())


def _units(shapes):
    """(3, 4, 9) from the names of the units."""
    found = [re.match(r"stage_(\d+)_unit_(\d+)/", name) for name in shapes]
    pairs = {(int(match[1]), int(match[2])) for match in found if match}
    stages = max((stage for stage, _ in pairs), default=0)
    return tuple(
        max((u for s, u in pairs if s == stage), default=0) for stage in range(1, stages + 1)
    )


def _pooling(table, shapes):
    if table.kinds == ("distilled ViT",):
        return "distilled"
    if "patch_encoder/class_token" in shapes:
        return "token"
    return "map" if "pooling/probe" in shapes else "gap"


def _head(shapes):
    return {"num_classes": shapes.get("head/kernel", (None,))[-1]}


def _heads(shapes, hidden_dim, mlp_dim):
    """From a tensor that keeps heads apart, else from the variant of this width."""
    bias = shapes.get("block_0/attention/query_key_value/bias", ())
    if len(bias) == 2:
        return bias[0]
    return next(
        (heads for _, d, mlp, heads in SIZES.values() if (d, mlp) == (hidden_dim, mlp_dim)), None
    )


def _image_size(path, shapes, pooling, patch):
    """The image whose patches fill the table of positions, a square one."""
    tokens = _shape(path, shapes, POSITIONS)[-2]
    grid = matching.grid_of(tokens, pooling)
    if grid:
        return tuple(count * side for count, side in zip(grid[1:], patch, strict=True))
    received = {"path": str(path), "tokens": tokens}
    advice = (
        "Build the model with keras_vit.ViT(...), then load_weights(..., grid=(rows, columns))."
    )
    return arguments.refuse("the positions must be those of a square of patches", received, advice)


def _beside(path):
    """The JSON files that publishers put beside their weights: {name: content}."""
    path = os.fspath(path)
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    found = {}
    for name in ("config.json", "preprocessor_config.json"):
        full = os.path.join(folder, name)
        content = files.read_json(full) if os.path.isfile(full) else {}
        found[name] = content if isinstance(content, dict) else {}
    return found


def _told(table, beside):
    """What those files say: (arguments, preprocessing)."""
    config, images = beside["config.json"], beside["preprocessor_config.json"]
    if table.source == "timm":
        told = config.get("pretrained_cfg", config)
        return _pixels(told.get("mean"), told.get("std"), 255), {
            ours: told[theirs]
            for ours, theirs in (("resize", "input_size"), ("resampling", "interpolation"))
            if theirs in told
        }
    if table.source != "huggingface":
        return {}, {}
    told = {
        ours: config[theirs]
        for ours, theirs in (
            ("num_heads", "num_attention_heads"),
            ("epsilon", "layer_norm_eps"),
            ("image_size", "image_size"),
        )
        if theirs in config
    }
    if "hidden_act" in config:
        told["approximate"] = config["hidden_act"] in TANH
    scale = 1 / images.get("rescale_factor", 1 / 255)
    if images.get("do_normalize", True):
        told |= _pixels(images.get("image_mean"), images.get("image_std"), scale)
    preprocessing = {
        "resize": images.get("size"),
        "resampling": RESAMPLING.get(images.get("resample")),
    }
    return told, {key: value for key, value in preprocessing.items() if value is not None}


def _pixels(mean, deviation, scale):
    """{"normalize": (mean, deviation)} in pixels 0 to 255, of numbers in 0 to 1."""
    if mean is None or deviation is None:
        return {}
    pair = [
        tuple(round(float(value) * scale, 6) for value in values) for values in (mean, deviation)
    ]
    return {"normalize": tuple(values[0] if len(set(values)) == 1 else values for values in pair)}


def _shape(path, shapes, name):
    if name not in shapes:
        advice = "It may be cut, or hold only a part of the model."
        arguments.refuse(
            "the file must hold a whole model", {"path": str(path), "missing": name}, advice
        )
    return shapes[name]


def _last(path, shapes, name):
    return _shape(path, shapes, name)[-1]
