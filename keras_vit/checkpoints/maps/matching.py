"""Chooses the weight map for a file or a model, and compares the two tensor by tensor."""

import collections
import math
import re
from typing import NamedTuple

import numpy as np

from keras_vit import arguments, descendants
from keras_vit.checkpoints.catalogue.published import SOURCES
from keras_vit.checkpoints.configurations import configuration
from keras_vit.checkpoints.maps import (
    contrastive,
    google,
    hugging_face,
    kerashub,
    pytorch,
    timm_eva,
    torchvision,
)
from keras_vit.checkpoints.maps.weight_map import Dimensions, Place
from keras_vit.descendants import DINOv3ViT, PEViT, RegisterViT, TimmHybridViT, beit
from keras_vit.hybrid import HybridViT, SmallHybridViT
from keras_vit.resnet import ResNet
from keras_vit.vit import ViT

DESCENDANTS = [getattr(descendants, name) for name in descendants.__all__ if name.endswith("ViT")]
DESCENDANTS.sort(key=lambda kind: -len(kind.mro()))  # subclasses before their bases
# A file is compared with them in this order, the rarer names first.
WEIGHT_MAPS = (
    pytorch.TIMM_DISTILLED,
    pytorch.TIMM_ROOT,
    pytorch.TIMM_BIASED,
    pytorch.TIMM_BEIT,
    timm_eva.TIMM_EVA,
    timm_eva.TIMM_EVA_MEAN,
    pytorch.TIMM_SIGLIP,
    timm_eva.TIMM_PE,
    timm_eva.TIMM_PE_SPATIAL,
    pytorch.TIMM_DINOV3_GATED,
    pytorch.TIMM_DINOV3,
    pytorch.TIMM_CLIP,
    pytorch.TIMM_POOLED_NORM,
    hugging_face.TIPSV2_GATED,
    hugging_face.TIPSV2,
    pytorch.TIMM_UNNORMALIZED,
    pytorch.TIMM_REGISTERS,
    pytorch.TIMM,
    pytorch.TIMM_GATED,
    contrastive.SIGLIP,
    contrastive.CLIP,
    hugging_face.DINOV3_GATED,
    hugging_face.DINOV3,
    hugging_face.BIASED,
    hugging_face.BEIT,
    hugging_face.DINOV2_REGISTERS,
    hugging_face.DINOV2,
    hugging_face.HUGGING_FACE_DISTILLED,
    hugging_face.IJEPA,
    hugging_face.HUGGING_FACE_ONE_HEAD,
    hugging_face.HUGGING_FACE,
    torchvision.TORCHVISION,
    google.VIT,
    kerashub.DEIT,
    kerashub.SIGLIP,
    kerashub.DINOV2,
    kerashub.DINOV3_GATED,
    kerashub.DINOV3,
    kerashub.KERAS_HUB_TANH,
    kerashub.KERAS_HUB,
    google.BIT,
    pytorch.TIMM_BIT,
)
POSITIONS = "patch_encoder/position_embedding"
BIASES = re.compile(r"block_\d+/attention/bias_table")
HEAD = ("head", "pre_logits")  # replaced for fine-tuning (section 3.1)
AFTER_TOKENS = (*HEAD, "pooling", "projection", "encoder_norm")  # layers that may follow z_L
FLOATS = ("float32", "float16", "bfloat16")


# --- The weight map ------------------------------------------------------------------------------
def map_of_file(path, specs, source=None):
    """Returns the weight map whose names a file holds.

    Raises:
        ValueError: the names in the file are not those of any source, or not those of `source`;
            or the file belongs to a family that is refused by name.
    """
    if source is not None:
        arguments.one_of(*SOURCES)("source", source)
    configuration.check_family(path, specs)
    for table in WEIGHT_MAPS:
        if source in (None, table.source) and table.is_for(specs):
            return table
    some = ", ".join(map(repr, list(specs)[:3])) or "no tensors"
    known = f"the names of {source}" if source else f"the names of one of {', '.join(SOURCES)}"
    raise ValueError(
        f"{str(path)!r} must hold {known}. Received: {len(specs)} tensors: {some} ... "
        "Pass the file of a Vision Transformer, a hybrid or a BiT ResNet."
    )


def check_fit(path, table, model):
    """Raises `ValueError` unless a file with this weight map is for models of this kind."""
    kind = kind_of(model)
    if kind not in table.models:
        fitting = arguments.with_article(" or ".join(table.models))
        raise ValueError(
            f"{str(path)!r} holds the weights of {fitting}. Received: the model {model.name!r}, "
            f"{arguments.with_article(kind)}. Build the model with "
            "keras_vit.load_pretrained(path), which reads its shape."
        )


def kind_of(model):
    """Returns the kind of a model as weight maps name it, or the name of its class."""
    if type(model) is ResNet:
        return "ResNet"
    if type(model) is SmallHybridViT:
        return "small hybrid"
    if type(model) in (HybridViT, TimmHybridViT):
        return "ViT" if model.resnet_units else "root hybrid"
    if isinstance(model, DINOv3ViT):
        return "gated DINOv3ViT" if model.gated else "DINOv3ViT"
    if type(model) is RegisterViT and not model.num_registers:
        return "gated ViT" if model.gated else "ViT"
    for kind in DESCENDANTS:
        if isinstance(model, kind):
            return kind.__name__
    if not isinstance(model, ViT) or type(model).embed is not ViT.embed:
        return type(model).__name__
    return "distilled ViT" if model.pooling == "distilled" else "ViT"


# --- Tensor by tensor ----------------------------------------------------------------------------
class Part(NamedTuple):
    """A tensor that a file must hold: its place, and the weight `ours` that it is or is part of."""

    ours: str
    shape: tuple
    place: Place | None = None


class Mismatch(NamedTuple):
    """Why a tensor cannot be loaded: its name in the file, and a description."""

    kind: str
    name: str
    words: str


class Plan(NamedTuple):
    """The tensors to read from a file.

    Attributes:
        parts: {canonical name: `Part`} of the tensors that fit, the parts of each weight in their
            order.
        fresh: paths of our weights that are not loaded.
        ignored: names of tensors in the file that are not needed.
        problems: a list of `Mismatch`.
    """

    parts: dict
    fresh: tuple
    ignored: tuple
    problems: list


def match(table, model, specs, skip=(), grid=None):
    """Returns the `Plan` of loading a file with these `specs` into a model."""
    places = table.canonical(specs)
    fresh = [weight.path for weight in model.weights if layer_of(weight.path) in skip]
    wanted, fitting, ignored, problems = {}, {}, [], []
    sorts = {_sort(table, name) for name in places}  # the same in all blocks
    has_scale = any(table.scale_of(weight.path) in places for weight in model.weights)
    for weight, rule, numbers in weights_and_rules(table, model, skip):
        blank = np.broadcast_to(np.float32(0), tuple(weight.shape))  # takes no memory
        shapes = [array.shape for array in rule.split(blank, dimensions(model))]
        parts = dict(zip(rule.names(numbers), shapes, strict=True))
        parts = {name: shape for name, shape in parts.items() if 0 not in shape}
        scale = table.scale_of(weight.path)
        if scale and has_scale:
            parts[scale] = tuple(weight.shape[-1:])
        for name, shape in parts.items():
            ours = weight.path if name != scale else f"layer scale of {layer_of(weight.path)}"
            wanted[name] = Part(ours, shape, places.get(name))
            may_lack = _sort(table, name) not in sorts and re.fullmatch(table.zeros, name)
            problem = None if may_lack else _problem(model, name, wanted[name], specs, grid)
            if problem:
                problems.append(problem)
            else:
                fitting[name] = wanted[name]
    for name in sorted(places.keys() - wanted.keys()):
        stored = places[name].name
        if _is_left_out(table, model, name, skip):
            ignored.append(stored)
        else:
            words = str(spec_at(specs, places[name]).shape)
            problems.append(Mismatch("unexpected", stored, words))
    return Plan(fitting, tuple(fresh), tuple(ignored), problems)


def _sort(table, name):
    """Returns the role of a tensor in any block: the path of our weight, and the part of it."""
    ours, part = table.path_of(name) or (name, 0)
    return re.sub(r"\d+", "#", ours), part


def weights_and_rules(table, model, skip=(), without=("seed_generator",)):
    """Returns (weight, rule, numbers) of every weight of a model.

    Raises:
        ValueError: the source has no name for some of them.
    """
    kept = [weight for weight in model.weights if layer_of(weight.path) not in skip]
    kept = [weight for weight in kept if not any(word in weight.path for word in without)]
    found = {weight.path: table.rule_of(weight.path) for weight in kept}
    nameless = [path for path, rule in found.items() if rule is None]
    if nameless:
        raise ValueError(
            f"The names of {table.source!r} must cover every weight of the model. Received: "
            f"{', '.join(nameless)}, which it has no names for. Use another source."
        )
    return [(weight, *found[weight.path]) for weight in kept]


def dimensions(model):
    """Returns the `Dimensions` of a model."""
    if not hasattr(model, "num_heads"):
        return Dimensions()
    registers = getattr(model, "num_registers", 0)
    return Dimensions(model.get_layer("patches").patch_size, model.num_heads, registers)


def grid_of(tokens, prefixes, grid=None, own=None):
    """Returns (prefix tokens, rows, columns) of a position table, or None if it is not a grid.

    The grid is `grid` if that is given, otherwise a square of patches, or the model's `own` grid.
    """
    for before in prefixes:
        patches = tokens - before
        side = math.isqrt(max(patches, 0))
        for rows, columns in filter(None, [grid] if grid else [(side, side), own]):
            if patches > 0 and rows * columns == patches:
                return before, rows, columns
    return None


def prefixes(pooling, registers=0, has_class_token=None):
    """Returns the possible numbers of positions in a file for tokens before the patches.

    big_vision has no position for its class token, and most files have none for registers.
    """
    before = ViT.poolings[pooling][0] if has_class_token is None else int(has_class_token)
    return tuple(dict.fromkeys((before, 0, before + registers)))


def model_prefixes(model):
    """Returns `prefixes` of a model."""
    has_class_token = model.prefix_tokens if isinstance(model, PEViT) else None
    return prefixes(model.pooling, getattr(model, "num_registers", 0), has_class_token)


def model_grid(model):
    """Returns (rows, columns) of a model's patches."""
    return arguments.grid(model.image_size, model.patch_size)


def layer_of(path):
    """Returns the layer that a weight belongs to: "head" of "head/kernel"."""
    return path.split("/")[0]


def spec_at(specs, place):
    """Returns the spec of a tensor, or of the slice of it that belongs to one block."""
    spec = specs[place.name]
    return spec._replace(shape=place.shape(spec.shape))


def refusal(path, model, table, problems, specs):
    """Returns one message with every problem, under the file's name and under ours."""
    counts = collections.Counter(problem.kind for problem in problems)
    summary = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items()))
    advice = (
        "Build the model with keras_vit.load_pretrained(path), which reads the file's own shape, "
        'or leave layers out with skip=("head", ...).'
    )
    if getattr(model, "pooling", None) == "gap" and any(POSITIONS in p.words for p in problems):
        advice = "A model with pooling='gap' has no class token. If the file has one, "
        advice += "pooling='patch mean' takes the mean of its patches."
    advice = unsupported(table, specs) or advice
    return "\n".join(
        [
            f"{str(path)!r} must fit the model {model.name!r}, tensor by tensor. "
            f"Received: {summary}. Nothing was loaded. {advice}",
            *(f"  {kind}: {name!r} {words}" for kind, name, words in sorted(problems)),
        ]
    )


def unsupported(table, specs):
    """Returns a sentence on the tensors that no layer here has, "" if there are none."""
    patterns = table.unsupported.items()
    lacking = {w for p, w in patterns if any(re.fullmatch(p, name) for name in specs)}
    words = ", ".join(sorted(lacking))
    return f"The file has {words}, which is not supported." if lacking else ""


def _problem(model, name, part, specs, grid):
    """Returns the reason why a part of a weight cannot be read, or None."""
    if part.place is None:
        return Mismatch("missing", name, f"{part.shape}, for {part.ours}")
    (shape, dtype), stored = spec_at(specs, part.place), part.place.name
    if dtype not in FLOATS:
        return Mismatch("wrongly typed", stored, f"{dtype}; float32 was expected, {part.ours}")
    words = f"{shape}; {part.shape} was expected, {part.ours}"
    fits = _squeeze(shape) == _squeeze(part.shape)
    if part.ours == POSITIONS:  # may be for another number of patches if they form a grid
        fits = shape[-1:] == part.shape[-1:] and len(shape) > 1 and math.prod(shape[:-2]) == 1
        words = words.replace(" was", " or another number of tokens was", 1)
        if fits and grid_of(shape[-2], model_prefixes(model), grid, model_grid(model)) is None:
            given = f"not grid={grid}" if grid else "not a square of patches"
            words = f"{shape}: {shape[-2]} tokens are {given}; pass grid=(rows, columns), "
            fits, words = False, words + part.ours
    if BIASES.fullmatch(part.ours):  # may be for another number of patches too
        grid = beit.grid_of_table(shape[0], grid, model_grid(model))
        fits = grid is not None and shape[1:] == part.shape[1:]
    return None if fits else Mismatch("misshapen", stored, words)


def _is_left_out(table, model, name, skip):
    """Returns whether a tensor that no weight needs is left out on purpose."""
    ours = table.path_of(name)
    layer = layer_of(ours[0]) if ours else None
    no_head = model.num_classes is None or "head" in skip
    lacks_it = not any(layer_of(weight.path) == layer for weight in model.weights)
    if layer in skip or (layer in (*HEAD, "projection") and no_head and lacks_it):
        return True
    if layer in AFTER_TOKENS and lacks_it and getattr(model, "pooling", "") is None:
        return True
    return any(re.fullmatch(pattern, name) for pattern in table.ignored)


def _squeeze(shape):
    """Returns a shape without leading axes of length 1: (1, 1, 1, C) is (C,)."""
    while shape[:1] == (1,):
        shape = shape[1:]
    return tuple(shape)
