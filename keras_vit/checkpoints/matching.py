"""Compares a file with a model, tensor by tensor, before anything of the model is touched."""

import collections
import math
import re
from typing import NamedTuple

from keras_vit import arguments
from keras_vit.checkpoints import rules
from keras_vit.vit import ViT

POSITIONS = "patch_encoder/position_embedding"
HEAD = ("head", "pre_logits")  # what section 3.1 replaces for fine-tuning
FLOATS = ("float32", "float16", "bfloat16")


class Mismatch(NamedTuple):
    """Why a tensor cannot be loaded: its name in the file, and a few words."""

    kind: str
    name: str
    words: str


class Plan(NamedTuple):
    """What is to be read, {canonical name: Part} and {canonical name: Place}; what is left out;
    and what stands against it.
    """

    parts: dict
    places: dict
    fresh: list
    ignored: list
    problems: list


def match(table, model, specs, skip=(), grid=None):
    """Returns the `Plan` of loading a file with these `specs` into a model."""
    places = table.canonical(specs)
    plan = Plan({}, {}, [], [], [])
    wanted = {}
    for weight, rule, numbers in weights_and_rules(table, model, skip):
        wanted |= rules.parts(rule, weight.path, tuple(weight.shape), numbers, dimensions(model))
    for name, part in wanted.items():
        problem = _problem(model, part, name, places, specs, grid)
        if problem:
            plan.problems.append(problem)
        else:
            plan.parts[name], plan.places[name] = part, places[name]
    for name in sorted(places.keys() - wanted.keys()):
        if _is_left_out(table, model, name, skip):
            plan.ignored.append(places[name].name)
        else:
            words = str(spec_at(specs, places[name]).shape)
            plan.problems.append(Mismatch("unexpected", places[name].name, words))
    plan.fresh.extend(weight.path for weight in model.weights if layer_of(weight.path) in skip)
    return plan


def weights_and_rules(table, model, skip=()):
    """Returns every weight of a model with its rule and numbers.

    Raises:
        ValueError: the source has no name for some of them.
    """
    kept = [weight for weight in model.weights if layer_of(weight.path) not in skip]
    kept = [weight for weight in kept if "seed_generator" not in weight.path]
    found = {weight.path: rules.rule_of(table, weight.path) for weight in kept}
    nameless = [path for path, rule in found.items() if rule is None]
    if nameless:
        raise ValueError(
            f"The names of {table.source!r} must have a place for every weight of the model. "
            f"Received: {', '.join(nameless)}, which it has no names for. Use another source."
        )
    return [(weight, *found[weight.path]) for weight in kept]


def dimensions(model):
    """Returns what the layouts ask of a model."""
    if not hasattr(model, "num_heads"):
        return rules.Dimensions()
    return rules.Dimensions(model.get_layer("patches").patch_size, model.num_heads)


def grid_of(tokens, pooling, grid=None, own=None):
    """Returns (class tokens, rows, columns) of a table of positions; None if it is no grid.

    It is `grid` where that is given; else a square of patches, or the model's `own` grid.
    big_vision leaves the class token out.
    """
    for before in dict.fromkeys((ViT.poolings[pooling][0], 0)):
        patches = tokens - before
        side = math.isqrt(max(patches, 0))
        for rows, columns in filter(None, [grid] if grid else [(side, side), own]):
            if patches > 0 and rows * columns == patches:
                return before, rows, columns
    return None


def model_grid(model):
    """Returns (rows, columns) of a model's patches."""
    return arguments.grid(model.image_size, model.patch_size)


def refusal(path, model, table, problems, specs):
    """Returns one message with every problem, by the file's name and by ours."""
    counts = collections.Counter(problem.kind for problem in problems)
    summary = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items()))
    patterns = table.unsupported.items()
    lacking = {w for p, w in patterns if any(re.fullmatch(p, name) for name in specs)}
    advice = (
        "Build the model with keras_vit.load_pretrained(path), which reads the file's own shape, "
        'or leave layers out with skip=("head", ...).'
    )
    if lacking:
        advice = f"The file has {', '.join(sorted(lacking))}, which is not supported."
    return "\n".join(
        [
            f"{str(path)!r} must fit the model {model.name!r}, tensor by tensor. "
            f"Received: {summary}. Nothing was loaded. {advice}",
            *(f"  {kind}: {name!r} {words}" for kind, name, words in sorted(problems)),
        ]
    )


def layer_of(path):
    """Returns the layer that a weight belongs to: "head" of "head/kernel"."""
    return path.split("/")[0]


def _problem(model, part, name, places, specs, grid):
    """Returns why this part of a weight cannot be read, or None."""
    if name not in places:
        return Mismatch("missing", name, f"{part.shape}, for {part.ours}")
    spec, stored = spec_at(specs, places[name]), places[name].name
    if spec.dtype not in FLOATS:
        words = f"{spec.dtype}; float32 was expected, {part.ours}"
        return Mismatch("wrongly typed", stored, words)
    if part.ours == POSITIONS:
        return _problem_of_positions(model, part, stored, spec.shape, grid)
    if _squeezed(spec.shape) != _squeezed(part.shape):
        words = f"{spec.shape}; {part.shape} was expected, {part.ours}"
        return Mismatch("misshapen", stored, words)
    return None


def _problem_of_positions(model, part, stored, shape, grid):
    """Positions may be for another number of patches, as long as these are a grid."""
    if shape[-1:] != part.shape[-1:] or len(_squeezed(shape)) != 2:
        words = f"{shape}; {part.shape} or another number of tokens was expected, {part.ours}"
        return Mismatch("misshapen", stored, words)
    if grid_of(shape[-2], model.pooling, grid, model_grid(model)) is None:
        words = f"tokens are not grid={grid}" if grid else "tokens are no square of patches"
        words = f"{shape}: {shape[-2]} {words}; give grid=(rows, columns), {part.ours}"
        return Mismatch("misshapen", stored, words)
    return None


def _is_left_out(table, model, name, skip):
    """Whether a tensor that no weight asks for is left out on purpose."""
    ours = rules.path_of(table, name)
    layer = layer_of(ours[0]) if ours else None
    no_head = model.num_classes is None or "head" in skip
    lacks_it = not any(layer_of(weight.path) == layer for weight in model.weights)
    if layer in skip or (layer in HEAD and no_head and lacks_it):
        return True
    return any(re.fullmatch(pattern, name) for pattern in table.ignored)


def spec_at(specs, place):
    """Returns the spec of a tensor, or of the slice of it that belongs to one block."""
    spec = specs[place.name]
    return spec if place.slice is None else spec._replace(shape=spec.shape[1:])


def _squeezed(shape):
    """A shape without the axes of length 1 in front: (1, 1, 1, C) is (C,)."""
    while shape[:1] == (1,):
        shape = shape[1:]
    return tuple(shape)
