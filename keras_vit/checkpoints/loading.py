"""Models with published weights; weights from files into models, all or none."""

import collections
import contextlib
import itertools
import os
from typing import NamedTuple

import numpy as np

from keras_vit import arguments, backend, families, hybrid, resnet, vit
from keras_vit.ablations import positions
from keras_vit.checkpoints import catalogue, configuration, hub, matching
from keras_vit.checkpoints.describe import describe
from keras_vit.checkpoints.matching import HEAD, POSITIONS, layer_of
from keras_vit.descendants import beit
from keras_vit.io import download, files

KINDS = {
    "ViT": vit.ViT,
    **{kind.__name__: kind for kind in matching.DESCENDANTS},
    "HybridViT": hybrid.HybridViT,
    "ResNet": resnet.ResNet,
}


class Report(NamedTuple):
    """What loading did; print it for a summary.

    Attributes:
        path: the file.
        source: whose names its tensors have.
        loaded: number of tensors that were read.
        grids: (rows, columns) of the positions before and after resizing; None if they fitted.
        method: how they were resized.
        fresh: paths of the model's weights that were left unchanged.
        ignored: names of the file's tensors that were not used.
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
            sentences.append(f"Left unchanged: {', '.join(self.fresh)}.")
        if self.ignored:
            sentences.append(f"Not used: {', '.join(self.ignored)}.")
        return " ".join(sentences)


# --- Models --------------------------------------------------------------------------------------
def load_pretrained(name, *, method="bilinear", cache_dir=None, verbose=True, **overrides):
    """Builds a model with published weights, for your resolution and your classes.

    If `num_classes` differs from the file's, the new head starts at zero and the tanh layer before
    it is removed (section 3.1). If `image_size` differs, the positions are resized (section 3.2).

    Args:
        name: a name of `keras_vit.checkpoints.entries()`, a variant such as "ViT-S/16" for its
            recommended weights, the path of a local file or folder, or "hf://owner/name" or
            "hf://owner/name@revision" for a repository of the Hugging Face Hub. Named files are
            downloaded once.
        method: how positions are resized, see `load_weights`.
        cache_dir: folder for downloads; None for Keras's own, with hf:// for Hugging Face's.
        verbose: whether to print what was done.
        **overrides: arguments of the model that replace those of the file, such as num_classes,
            image_size, dropout, dtype.

    Returns:
        A `ViT`, `HybridViT` or `ResNet`.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the name is unknown, or the file is damaged or not of a known kind.
        ImportError: the name begins with hf:// and huggingface_hub is not installed.
        OSError: the download failed; the message says what to do.

    Example:
    >>> model = keras_vit.load_pretrained("ViT-Mini/4", num_classes=5, image_size=48, verbose=False)
    >>> model.output_shape
    (None, 5)
    """
    entry, path = _find(name, cache_dir)
    description = describe(path)
    known = _known_facts(entry, description.kind) if entry else {}
    wanted = {**description.arguments, **known}
    skip = ()
    if overrides.get("num_classes", wanted["num_classes"]) != wanted["num_classes"]:
        skip = HEAD if wanted.pop("representation_size", None) else ("head",)
        wanted.pop("projection_dim", None)  # CLIP's, in the place of a head
    if overrides.get("pooling", "") is None:  # tokens have no head
        wanted |= {"num_classes": None, "representation_size": None}
    wanted |= overrides
    wanted["name"] = wanted.get("name") or _graph_name(name)
    if wanted.get("num_heads", 1) is None:
        advice = "Put config.json beside the file, or pass num_heads=."
        received = {"name": str(name), "hidden_dim": wanted["hidden_dim"]}
        arguments.refuse("the number of attention heads must be known", received, advice)
    is_random = "pre_logits" in skip and wanted.get("representation_size")  # a new head is zero
    with contextlib.nullcontext() if is_random else backend.blank_weights():
        model = KINDS[description.kind](**wanted)
    grid = _grid(description.arguments)
    report = load_weights(model, path, skip=skip, method=method, grid=grid)
    if hub.is_address(name) or (entry and entry.shipped):
        report = report._replace(path=entry.name if entry else name)  # no path helps there
    if verbose:
        print(" ".join([str(report), *_remarks(description, known, skip, model)]))
    return model


def image_size(name, cache_dir=None):
    """Returns the resolution, (height, width), of the last training of published weights.

    `name` and `cache_dir` are those of `load_pretrained`.
    """
    entry, path = _find(name, cache_dir)
    known = (entry and entry.image_size) or describe(path).arguments.get("image_size") or 224
    return arguments.height_width("image_size", known)


def class_names(name, count):
    """Returns the names of the `count` classes of published weights, None if they are unknown."""
    entry, path = _find(name, None)
    known = entry.class_names if entry else configuration.class_names(path, count)
    return list(known) if known and len(known) == count else None


def _find(name, cache_dir):
    """Returns (entry of the catalog or None, path)."""
    if hub.is_address(name):
        return None, hub.fetch(name, cache_dir)
    if catalogue.is_path(name):
        return None, name
    entry = catalogue.find(name)
    return entry, download.fetch(entry, cache_dir)


def _grid(known):
    """Returns (rows, columns) of the positions in the file, None for a model without patches."""
    if "patch_size" not in known:
        return None
    sizes = (arguments.height_width(name, known[name]) for name in ("image_size", "patch_size"))
    return arguments.grid(*sizes)


def _known_facts(entry, kind):
    """Returns the arguments that the catalog knows better than the file."""
    fields = ("normalize", "approximate", "epsilon")
    if kind == "ResNet":  # its weights fit any resolution
        fields = ("normalize", "image_size")
    return {key: getattr(entry, key) for key in fields if getattr(entry, key) is not None}


def _graph_name(name):
    """Returns the name of the model: that of the entry, or of the file without its suffix."""
    base = str(name)
    if hub.is_address(name):
        base = hub.parse(name)[0].partition("/")[2]
    elif catalogue.is_path(name):
        base = os.path.basename(os.path.normpath(base))
    for suffix in catalogue.SUFFIXES:
        base = base.removesuffix(suffix)
    return families.graph_name(base)


def _remarks(description, known, skip, model):
    """Yields what to know about a model besides the `Report`."""
    if skip and model.num_classes:
        yield f"The head for {model.num_classes} classes is new and starts at zero."
    assumed = [name for name in description.assumed if name not in known]
    if assumed:
        values = ", ".join(f"{name}={getattr(model, name)}" for name in assumed)
        yield f"No JSON file beside it has these, so they were assumed: {values}."
    if description.preprocessing:
        values = ", ".join(f"{key} {value}" for key, value in description.preprocessing.items())
        yield f"Its publisher prepared images with: {values}."


# --- Weights -------------------------------------------------------------------------------------
def load_weights(model, path, source=None, skip=(), method="bilinear", grid=None):
    """Loads published weights into a model: every tensor fits, or nothing changes.

    Recognizes the names of Google's npz files (original, AugReg, SAM, big_vision, hybrids, BiT),
    safetensors of timm, Hugging Face and torchvision, and KerasHub's .weights.h5. Nothing is
    unpickled.

    Args:
        model: a `ViT` or `ResNet`.
        path: the file; for weights in several safetensors files, their index or folder.
        source: "google", "bit", "timm", "huggingface", "torchvision" or "kerashub"; None detects
            it.
        skip: layers that keep their weights, such as ("head", "pre_logits") for another task.
        method: how positions are resized for another image size: "bilinear" as in the official
            code, "bicubic" as in timm.
        grid: (rows, columns) of patches that the file's positions are for; None for a square.

    Returns:
        A `Report`.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is not a file of weights, or some do not fit; the message lists every
            missing, unexpected, misshapen, wrongly typed and non-finite tensor. The model is
            unchanged.

    Example:
    >>> model = keras_vit.create("ViT-Mini/4", image_size=64, num_classes=10)
    >>> path = keras_vit.checkpoints.entries()["ViT-Mini/4-keras-vit-cifar10"].shipped
    >>> keras_vit.load_weights(model, path).grids
    ((8, 8), (16, 16))
    """
    names = sorted({layer_of(weight.path) for weight in model.weights})
    skip = (skip,) if isinstance(skip, str) else tuple(skip)
    if not set(skip) <= {*names, *HEAD}:
        arguments.refuse("`skip` must name layers of the model", {"skip": skip}, f"It has {names}.")
    grid = None if grid is None else arguments.height_width("grid", grid)
    arguments.one_of(*positions.MATRICES)("method", method)
    with files.open_tensors(path) as file:
        table = matching.map_of_file(path, file.specs, source)
        matching.check_fit(path, table, model)
        plan = matching.match(table, model, file.specs, skip, grid)
        # Twice, so that no more than a few tensors are in memory beside the model: to check
        # everything before anything changes, and to assign.
        bad = {one: None for _, arrays in _read(file, table, model, plan)
               for one in _not_finite(arrays, plan)}  # fmt: skip
        problems = [*plan.problems, *bad]
        if problems:
            raise ValueError(matching.refusal(path, model, table, problems, file.specs))
        grids = None
        for weight, arrays in _read(file, table, model, plan):
            if weight.path == POSITIONS:
                grids = _resize_positions(arrays, plan, model, method, grid)
            elif matching.BIASES.fullmatch(weight.path):
                grids = _resize_biases(arrays, model, grid) or grids
            weight.assign(_join(table, weight, arrays))
    loaded = sum(part.place is not None for part in plan.parts.values())
    return Report(str(path), table.source, loaded, grids, method, plan.fresh, plan.ignored)


def _read(file, table, model, plan):
    """Yields (weight, {canonical name: array} of its parts) of what fits.

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
    # Axes of length 1 may be missing in the file, or more than we expect.
    resized = part.ours == POSITIONS or matching.BIASES.fullmatch(part.ours)
    return piece if resized else piece.reshape(part.shape)


def _not_finite(arrays, plan):
    """Yields a `Mismatch` for each array with NaN or infinity."""
    for name, array in arrays.items():
        count = array.size - int(np.isfinite(array).sum())
        if count:
            part = plan.parts[name]
            words = f"{count} of {array.size} values, {part.ours}"
            yield matching.Mismatch("not finite", part.place.name, words)


def _resize_positions(arrays, plan, model, method, grid):
    """Resizes the positions to the model's grid; returns both grids if they differ."""
    (name,) = arrays
    table = np.asarray(arrays[name], "float32").reshape(1, *arrays[name].shape[-2:])
    new = matching.model_grid(model)
    before, *old = matching.grid_of(table.shape[1], matching.model_prefixes(model), grid, new)
    missing = model.prefix_tokens - before
    if missing:  # registers have no position; in some files the class token includes its own
        zeros = np.zeros((1, missing, table.shape[-1]), "float32")
        table = np.concatenate([table[:, :before], zeros, table[:, before:]], axis=1)
    if (old := tuple(old)) != new:
        table = positions.resize(table, old, new, method)
    arrays[name] = table.reshape(plan.parts[name].shape)
    return (old, new) if old != new else None


def _resize_biases(arrays, model, grid):
    """Resizes one of BEiT's tables of biases to the model's grid; returns both if they differ."""
    ((name, table),) = arrays.items()
    new = matching.model_grid(model)
    old = beit.grid_of_table(len(table), grid, new)
    if old == new:
        return None
    arrays[name] = beit.resize_table(table, old, new)
    return old, new


def _join(table, weight, arrays):
    """Returns the value of a weight of ours from its parts."""
    scale = arrays.pop(table.scale_of(weight.path), None)
    rule, _ = table.rule_of(weight.path)
    value = np.asarray(rule.join([*arrays.values()], tuple(weight.shape)), "float32")
    return value if scale is None else value * np.float32(scale)
