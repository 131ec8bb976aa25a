"""Builds models with published weights, and loads weights from files, all or nothing."""

import contextlib
import math
import os
from typing import NamedTuple

from keras_vit import arguments, backend, families, hybrid, resizing, resnet, vit
from keras_vit.ablations import positions
from keras_vit.checkpoints import catalogue, keras_file, transfer
from keras_vit.checkpoints.catalogue import hub
from keras_vit.checkpoints.catalogue.published import IMAGENET_CLASSES
from keras_vit.checkpoints.describe import class_names_beside, describe
from keras_vit.checkpoints.maps import matching
from keras_vit.checkpoints.maps.matching import HEAD, layer_of
from keras_vit.data.images import RESIZING
from keras_vit.io import download, files

KINDS = {
    "ViT": vit.ViT,
    **{kind.__name__: kind for kind in matching.DESCENDANTS},
    "HybridViT": hybrid.HybridViT,
    "SmallHybridViT": hybrid.SmallHybridViT,
    "ResNet": resnet.ResNet,
}
KERAS = ".keras"  # suffix of a model that was saved as a whole
MAX_PATCHES = 128 * 128  # 2,048 pixels in patches of 16


class Report(NamedTuple):
    """The result of loading; print it for a summary.

    Attributes:
        path: the file.
        source: the project whose naming scheme its tensors follow.
        loaded: number of tensors that were read.
        grids: (rows, columns) of the positions before and after resizing; None if they fit.
        method: how they were resized.
        fresh: paths of the model's weights that were left unchanged.
        ignored: names of the file's tensors that were not used.
        patches: (height, width) in pixels of the patches that the kernel was resized to, or None.
    """

    path: str
    source: str
    loaded: int
    grids: tuple | None
    method: str
    fresh: tuple
    ignored: tuple
    patches: tuple | None = None

    def __str__(self):
        sentences = [f"{self.path}: {self.loaded} tensors under the names of {self.source}."]
        if self.grids:
            old, new = (f"{rows} x {columns}" for rows, columns in self.grids)
            sentences.append(f"Positions resized from {old} to {new} patches, {self.method}.")
        if self.patches:
            height, width = self.patches
            sentences.append(f"Kernel resized for patches of {height} x {width} pixels.")
        if self.fresh:
            sentences.append(f"Not loaded: {', '.join(self.fresh)}.")
        if self.ignored:
            sentences.append(f"In the file, but not used: {', '.join(self.ignored)}.")
        return " ".join(sentences)


# --- Models --------------------------------------------------------------------------------------
def load_pretrained(name, *, method=None, cache_dir=None, verbose=True, **overrides):
    """Builds a model with published weights, for your resolution and your classes.

    If `num_classes` differs from the file's, the new head starts at zero (section 3.2) and the tanh
    layer before it is removed (section 3.1). If `image_size` differs, the positions are resized
    (section 3.2); if `patch_size` differs, so is the kernel of the patch embedding, as in FlexiViT.

    Args:
        name: a name of `keras_vit.checkpoints.entries()`, a variant such as "ViT-S/16" for its
            recommended weights, the path of a local file or folder of weights, or of a model that
            was saved as `.keras`, or "hf://owner/name" or "hf://owner/name@revision" for a
            repository of the Hugging Face Hub. Named files are downloaded once.
        method: how positions and patches are resized, see `load_weights`.
        cache_dir: folder for downloads; None for Keras's own, or Hugging Face's for hf:// names.
        verbose: whether to print a summary.
        **overrides: arguments of the model that replace those of the file, such as num_classes,
            image_size, dropout, dtype.

    Returns:
        A `ViT`, the subclass of it that the file needs, or a `ResNet`. A saved model keeps
        its class. `class_names` of the model are the names of its classes, if they are known.

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
    if str(name).endswith(KERAS) and not hub.is_address(name):
        return _load_saved(name, method, verbose, overrides)
    entry, path = _find(name, cache_dir)
    description = describe(path, overrides.get("image_size"))
    known = _list_known_facts(entry, description.kind) if entry else {}
    wanted = {**description.arguments, **known}
    skip = ()
    if overrides.get("num_classes", wanted["num_classes"]) != wanted["num_classes"]:
        skip = HEAD if wanted.get("representation_size") else ("head",)
        wanted |= resizing.without_old_head(wanted)
    if overrides.get("pooling", "") is None:  # tokens have no head
        wanted |= {"num_classes": None, "representation_size": None}
    wanted |= overrides
    wanted["name"] = wanted.get("name") or _make_name(name)
    grid = _find_grid(description.arguments)
    _check(name, wanted, () if "image_size" in overrides else grid)
    new_sizes = _find_new_patches(description.arguments, wanted)
    if new_sizes:  # first build the model as it is in the file
        wanted |= {name: description.arguments[name] for name in new_sizes}
    is_random = "pre_logits" in skip and wanted.get("representation_size")  # a new head is zero
    with contextlib.nullcontext() if is_random else backend.blank_weights():
        model = KINDS[description.kind](**wanted)
    report = load_weights(model, path, skip=skip, method=method, grid=grid)
    if hub.is_address(name) or (entry and entry.shipped):
        report = report._replace(path=entry.name if entry else name)  # not the path in the cache
    if new_sizes:
        old, model = model, resizing.rebuild(model, report.method, **new_sizes)
        grids = (old.grid, model.grid) if old.grid != model.grid else None
        report = report._replace(grids=grids, patches=model.patch_size)
    if not skip and model.num_classes:
        model.class_names = _class_names(entry, path, model.num_classes)
    if verbose:
        print(" ".join([str(report), *_make_remarks(description, known, skip, model)]))
    return model


def find_image_size(name):
    """Returns the (height, width) that published weights were last trained with."""
    entry, path = _find(name, None)
    if str(path).endswith(KERAS):
        return keras_file.load(path).input_shape[1:3]
    known = (entry and entry.image_size) or describe(path).arguments.get("image_size") or 224
    return arguments.height_width("image_size", known)


def find_resizing(name, image_size=None):
    """Returns how images are resized by a JSON file beside published weights, like `RESIZING`."""
    entry, path = _find(name, None)
    stated = {} if entry is not None else describe(path, image_size).preprocessing
    found = {"resize": "crop"} if "crop" in stated else {}
    if stated.get("resampling") == "bicubic":
        found["interpolation"] = "bicubic"
    return RESIZING | found


def class_names(name, count=IMAGENET_CLASSES):
    """Returns the names of the classes of published weights, in the order of the logits.

    Named weights are not downloaded for this.

    Args:
        name: that of `load_pretrained`.
        count: number of classes of the model.

    Returns:
        A list of `count` names, or None if they are unknown: a local file has names only if there
        is a config.json beside it.

    Raises:
        ValueError: the name is unknown, or the file is damaged.

    Example:
    >>> keras_vit.checkpoints.class_names("ViT-Mini/4", 10)[3]
    'cat'
    """
    is_local = hub.is_address(name) or catalogue.is_path(name)
    entry, path = _find(name, None) if is_local else (catalogue.find(name), None)
    return _class_names(entry, path, count)


def _class_names(entry, path, count):
    known = entry.class_names if entry else class_names_beside(path, count)
    return list(known) if known and len(known) == count else None


def _find(name, cache_dir):
    """Returns (entry of the catalog or None, path)."""
    if hub.is_address(name):
        return None, hub.fetch(name, cache_dir)
    if catalogue.is_path(name):
        return None, name
    entry = catalogue.find(name)
    return entry, download.fetch(entry, cache_dir)


def _load_saved(path, method, verbose, overrides):
    """Does the work of `load_pretrained` for a model that was saved as a whole."""
    catalogue.check_source(path)
    old = keras_file.load(path)
    model = resizing.rebuild(old, method or "bilinear", **overrides)
    if verbose:
        sizes = (f"{one.input_shape[1:]} to {one.output_shape[1:]}" for one in (old, model))
        kind = arguments.with_article(type(model).__name__)
        print(f"{path}: {kind}, {' resized to '.join(dict.fromkeys(sizes))}.")
    return model


def _check(name, wanted, grid):
    """Refuses to build a model with an unknown number of heads, or with too many patches."""
    if wanted.get("num_heads", 1) is None:
        advice = "Put config.json beside the file, or pass num_heads=."
        received = {"name": str(name), "hidden_dim": wanted["hidden_dim"]}
        arguments.refuse("the number of attention heads must be known", received, advice)
    if grid and math.prod(grid) > MAX_PATCHES:
        want = f"images must have at most {MAX_PATCHES:,} patches, unless you ask for more"
        received = {"name": str(name), "image_size": wanted["image_size"], "patches": grid}
        advice = "Attention compares all pairs. Pass image_size=, which resizes the positions."
        arguments.refuse(want, received, advice)


def _find_new_patches(own, wanted):
    """Returns the sizes of images and patches if the patch size changes, otherwise {}."""
    names = ("image_size", "patch_size")
    if not all(name in own for name in names):
        return {}
    sizes = {name: arguments.height_width(name, wanted[name]) for name in names}
    arguments.divisible_image(*sizes.values())
    changed = sizes["patch_size"] != arguments.height_width("patch_size", own["patch_size"])
    return sizes if changed else {}


def _find_grid(known):
    """Returns (rows, columns) of the positions in the file, None for a model without patches."""
    if "patch_size" not in known:
        return None
    sizes = (arguments.height_width(name, known[name]) for name in ("image_size", "patch_size"))
    return arguments.grid(*sizes)


def _list_known_facts(entry, kind):
    """Returns the arguments for which the catalog overrides the file."""
    fields = ("normalize", "approximate", "epsilon")
    if kind == "ResNet":  # its weights fit any resolution
        fields = ("normalize", "image_size")
    return {key: getattr(entry, key) for key in fields if getattr(entry, key) is not None}


def _make_name(name):
    """Returns the name of the model: that of the entry, or of the file without its suffix."""
    base = str(name)
    if hub.is_address(name):
        base = hub.parse(name)[0].partition("/")[2]
    elif catalogue.is_path(name):
        base = os.path.basename(os.path.normpath(base))
    for suffix in catalogue.SUFFIXES:
        base = base.removesuffix(suffix)
    return families.graph_name(base)


def _make_remarks(description, known, skip, model):
    """Yields further notes about a model, besides the `Report`."""
    if skip and model.num_classes:
        yield f"The head for {model.num_classes} classes is new and starts at zero."
    assumed = [name for name in description.assumed if name not in known]
    if assumed:
        values = ", ".join(f"{name}={getattr(model, name)}" for name in assumed)
        yield f"No JSON file beside it has these, so they were assumed: {values}."
    if description.preprocessing:
        values = ", ".join(f"{key} {value}" for key, value in description.preprocessing.items())
        yield f"Its publisher prepared images with: {values}."
    if "crop" in description.preprocessing:
        yield 'Read yours with resize="crop", as the commands of keras-vit do.'


# --- Weights -------------------------------------------------------------------------------------
def load_weights(model, path, source=None, skip=(), method=None, grid=None):
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
        method: how positions are resized for another image size, one of
            `ablations.positions.resize`. None for the method of the code that the file comes from,
            such as "bilinear" for Google's files and "bicubic" for timm's (docs/weights.md).
        grid: (rows, columns) of patches that the file's positions are for; None for a square.

    Returns:
        A `Report`.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is not a weight file, or some weights do not fit; the message lists every
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
    arguments.one_of(None, *positions.MATRICES)("method", method)
    with files.open_tensors(path) as file:
        table = matching.map_of_file(path, file.specs, source)
        method = method or table.method
        matching.check_fit(path, table, model)
        plan = matching.match(table, model, file.specs, skip, grid)
        # The file is read twice, to check everything before anything changes and to assign, so that
        # only a few tensors are in memory beside the model.
        read = transfer.read(file, table, model, plan)
        bad = dict.fromkeys(one for _, x in read for one in transfer.not_finite(x, plan))
        problems = [*plan.problems, *bad]
        if problems:
            raise ValueError(matching.refusal(path, model, table, problems, file.specs))
        grids = None
        for weight, arrays in transfer.read(file, table, model, plan):
            grids = transfer.resize(weight, arrays, model, method, grid) or grids
            weight.assign(transfer.join(table, weight, arrays))
    loaded = sum(part.place is not None for part in plan.parts.values())
    return Report(str(path), table.source, loaded, grids, method, plan.fresh, plan.ignored)
