"""Moves the tensors of a file into a model: reads, checks, resizes and joins them."""

import collections
import itertools

import numpy as np

from keras_vit.ablations import positions
from keras_vit.checkpoints.maps import matching
from keras_vit.checkpoints.maps.matching import POSITIONS
from keras_vit.descendants import beit


def read(file, table, model, plan):
    """Yields (weight, {canonical name: array} of its parts) for every weight that fits.

    Weights that share a tensor, such as the blocks of big_vision, follow each other: it is read
    once for all of them.
    """
    names = collections.defaultdict(list)
    for name, part in plan.parts.items():
        names[part.ours].append(name)
    for weight in model.weights:
        scale = table.scale_of(weight.path)
        if names[weight.path] and scale in plan.parts:
            names[weight.path].append(scale)

    def stored(weight):
        places = (plan.parts[name].place for name in names[weight.path])
        return tuple(place.name for place in places if place)

    weights = sorted((weight for weight in model.weights if names[weight.path]), key=stored)
    for needed, group in itertools.groupby(weights, stored):
        tensors = {name: file.read(name) for name in needed}
        for weight in group:
            yield weight, {name: _cut(tensors, plan.parts[name]) for name in names[weight.path]}
        del tensors  # before those of the next group are read


def _cut(tensors, part):
    """Returns the array of a part from the tensors of the file."""
    if part.place is None:
        return np.zeros(part.shape, "float32")
    piece = part.place.cut(tensors[part.place.name])
    # The file may have fewer or more axes of length 1 than we expect.
    is_resized = part.ours == POSITIONS or matching.BIASES.fullmatch(part.ours)
    return piece if is_resized else piece.reshape(part.shape)


def not_finite(arrays, plan):
    """Yields a `Mismatch` for each array with NaN or infinity."""
    for name, array in arrays.items():
        count = array.size - int(np.isfinite(array).sum())
        if count:
            part = plan.parts[name]
            words = f"{count} of {array.size} values, {part.ours}"
            yield matching.Mismatch("not finite", part.place.name, words)


def resize(weight, arrays, model, method, grid):
    """Resizes positions or BEiT's biases to the model's grid; returns both grids if they differ."""
    is_positions = weight.path == POSITIONS
    if not is_positions and not matching.BIASES.fullmatch(weight.path):
        return None
    (name,), new = arrays, matching.model_grid(model)
    if is_positions:
        arrays[name], old = _resize_positions(arrays[name], model, method, grid, new)
    else:
        old = beit.grid_of_table(len(arrays[name]), grid, new)
        if old != new:
            arrays[name] = beit.resize_table(arrays[name], old, new)
    return (old, new) if old != new else None


def _resize_positions(array, model, method, grid, new):
    """Returns the positions for a model's grid, and their own grid."""
    table = np.asarray(array, "float32").reshape(1, *array.shape[-2:])
    before, *old = matching.grid_of(table.shape[1], matching.model_prefixes(model), grid, new)
    missing = model.prefix_tokens - before
    if missing:  # registers have no position; in some files the class token includes its own
        zeros = np.zeros((1, missing, table.shape[-1]), "float32")
        table = np.concatenate([table[:, :before], zeros, table[:, before:]], axis=1)
    if (old := tuple(old)) != new:
        table = positions.resize(table, old, new, method)
    return table, old


def join(table, weight, arrays):
    """Returns the value of one of our weights from its parts."""
    scale = arrays.pop(table.scale_of(weight.path), None)
    rule, _ = table.rule_of(weight.path)
    value = np.asarray(rule.join([*arrays.values()], tuple(weight.shape)), "float32")
    return value if scale is None else value * np.float32(scale)
