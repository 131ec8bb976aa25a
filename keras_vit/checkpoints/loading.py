"""Weights from files into models, and from models into files: all of them or none."""

import collections
import os
from typing import NamedTuple

import keras
import numpy as np

from keras_vit import arguments
from keras_vit.ablations import positions
from keras_vit.checkpoints import matching, rules, tables
from keras_vit.checkpoints.matching import HEAD, POSITIONS, layer_of
from keras_vit.io import files

WRITERS = {
    ".npz": files.write_npz,
    ".safetensors": files.write_safetensors,
    ".weights.h5": files.write_h5,
}
DEFAULT_SOURCE = {".npz": "google", ".safetensors": "timm", ".h5": "kerashub"}


class Report(NamedTuple):
    """What loading did.

    `loaded` counts the file's tensors that were taken; `grids` are those of the positions before
    and after resizing, None where they fitted; `fresh` are the weights of ours that were left as
    they were; `ignored` the tensors of the file that no weight asked for.
    """

    path: str
    source: str
    loaded: int
    grids: tuple | None
    method: str
    fresh: tuple
    ignored: tuple

    def __str__(self):
        sentences = [f"{self.path}: {self.loaded} tensors under the names of {self.source}."]
        if self.grids:
            old, new = (f"{rows} x {columns}" for rows, columns in self.grids)
            sentences.append(f"Positions resized from {old} to {new} patches, {self.method}.")
        if self.fresh:
            sentences.append(f"Left as they were: {', '.join(self.fresh)}.")
        if self.ignored:
            sentences.append(f"Not used: {', '.join(self.ignored)}.")
        return " ".join(sentences)


def load_weights(model, path, source=None, skip=(), method="bilinear", grid=None):
    """Loads published weights into a model: every tensor fits, or nothing changes.

    Names are told apart by themselves: Google's npz (original, AugReg, SAM, big_vision, hybrids,
    BiT), timm's and Hugging Face's safetensors, KerasHub's .weights.h5. Nothing is unpickled.

    Args:
        model: a `ViT` or `ResNet`.
        path: the file; for weights in several safetensors files their index or folder.
        source: "google", "bit", "timm", "huggingface" or "kerashub"; None finds out.
        skip: layers to leave as they are, such as ("head", "pre_logits") for another task.
        method: how positions for another image size are resized: "bilinear" as in the official
            code, "bicubic" as in timm.
        grid: (rows, columns) of patches that the file's positions are for; None for a square.

    Returns:
        A `Report`; print it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no file of weights, or some do not fit; the message lists every missing,
            unexpected, misshapen, wrongly typed and non-finite tensor. The model is unchanged.

    Example:
    >>> model = keras_vit.create("ViT-B/16", image_size=384)  # doctest: +SKIP
    >>> keras_vit.load_weights(model, "ViT-B_16.npz", skip=("head",))  # doctest: +SKIP
    """
    skip, grid = _check_skip(model, skip), _check_grid(grid)
    arguments.one_of(*positions.MATRICES)("method", method)
    with files.open_tensors(path) as file:
        table = tables.of_file(path, file.specs, source)
        tables.check_fit(path, table, model)
        plan = matching.match(table, model, file.specs, skip, grid)
        arrays = _read(file, plan)
        problems = [*plan.problems, *_not_finite(arrays, plan)]
        if problems:
            raise ValueError(matching.refusal(path, model, table, problems, file.specs))
    grids = _resize(arrays, plan, model, method, grid)
    loaded = len(arrays)
    values = _joined(table, model, plan, arrays)
    for weight in model.weights:
        if weight.path in values:
            weight.assign(values.pop(weight.path))
    fresh, ignored = tuple(plan.fresh), tuple(plan.ignored)
    return Report(str(path), table.source, loaded, grids, method, fresh, ignored)


def save_weights(model, path, source=None):
    """Writes a model's weights as a source would: its names, its shapes, its kind of file.

    Args:
        model: a `ViT` or `ResNet`.
        path: file to write: .npz for Google and BiT, .safetensors for timm and Hugging Face,
            .weights.h5 for KerasHub. A file that is there is replaced once the new one is whole.
        source: "google", "bit", "timm", "huggingface" or "kerashub"; None chooses by `path`.

    Raises:
        ValueError: that source has no name for one of the weights, or writes another kind of file.

    Example:
    >>> keras_vit.save_weights(model, "vit.safetensors", source="huggingface")  # doctest: +SKIP
    """
    table = tables.of_model(model, source or _default_source(model, path))
    tables.warn_of_changes(model, table)
    if not str(path).endswith(table.suffix):
        advice = f"Call it {os.path.splitext(str(path))[0]}{table.suffix}, or name another source."
        want = f"the file of source={table.source!r} must end in {table.suffix}"
        arguments.refuse(want, {"path": str(path)}, advice)
    tensors = {}
    for weight, rule, numbers in matching.weights_and_rules(table, model):
        array = keras.ops.convert_to_numpy(weight)
        parts = rules.split(rule, array, matching.dimensions(model))
        names = rules.names_of(rule, numbers)
        tensors.update(zip(names, map(np.ascontiguousarray, parts), strict=True))
    WRITERS[table.suffix](path, tensors)


def _read(file, plan):
    """Reads what fits, each tensor of the file once: {canonical name: array}."""
    wanted = collections.defaultdict(list)
    for name, place in plan.places.items():
        wanted[place.name].append((name, place.slice))
    arrays = {}
    for stored, uses in wanted.items():
        array = file.read(stored)
        for name, index in uses:
            arrays[name] = array if index is None else array[index]
    return arrays


def _not_finite(arrays, plan):
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            count = int((~np.isfinite(array)).sum())
            words = f"{count} of {array.size} values, {plan.parts[name].ours}"
            yield matching.Mismatch("not finite", plan.places[name].name, words)


def _resize(arrays, plan, model, method, grid):
    """Brings the positions to the model's grid; returns both grids where they differ."""
    found = [name for name, part in plan.parts.items() if part.ours == POSITIONS]
    if not found:
        return None
    array = arrays[found[0]]
    table = np.asarray(array, "float32").reshape(1, *array.shape[-2:])
    before, *old = matching.grid_of(table.shape[1], model.pooling, grid, matching.model_grid(model))
    missing = model.prefix_tokens - before
    if missing:  # big_vision's class token has its position in it already
        table = np.pad(table, ((0, 0), (missing, 0), (0, 0)))
    old, new = tuple(old), matching.model_grid(model)
    if old != new:
        table = positions.resize(table, old, new, method)
    arrays[found[0]] = table.reshape(plan.parts[found[0]].shape)
    return (old, new) if old != new else None


def _joined(table, model, plan, arrays):
    """Returns {path: array} of our weights; the file's arrays are given up one by one."""
    names = collections.defaultdict(dict)
    for name, part in plan.parts.items():
        names[part.ours][part.number] = name
    shapes = {weight.path: tuple(weight.shape) for weight in model.weights}
    values = {}
    for path, numbered in names.items():
        rule, _ = rules.rule_of(table, path)
        parts = [arrays.pop(numbered[number]) for number in sorted(numbered)]
        values[path] = np.asarray(rules.join(rule, parts, shapes[path]), "float32")
    return values


def _check_skip(model, skip):
    names = sorted({layer_of(weight.path) for weight in model.weights})
    skip = (skip,) if isinstance(skip, str) else tuple(skip)
    if not set(skip) <= {*names, *HEAD}:
        advice = f"It has {names}."
        arguments.refuse("`skip` must name layers of the model", {"skip": skip}, advice)
    return skip


def _check_grid(grid):
    return None if grid is None else arguments.height_width("grid", grid)


def _default_source(model, path):
    source = DEFAULT_SOURCE.get(os.path.splitext(str(path))[1])
    if source is None:
        advice = "Call it .npz, .safetensors or .weights.h5."
        arguments.refuse("`path` must tell the kind of file", {"path": str(path)}, advice)
    return "bit" if source == "google" and not hasattr(model, "num_heads") else source
