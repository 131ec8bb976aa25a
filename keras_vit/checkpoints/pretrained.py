"""Models with published weights: by name from the catalogue, or from a file."""

import contextlib
import os

from keras_vit import arguments, backend, families, hybrid, resnet, vit
from keras_vit.checkpoints import catalogue
from keras_vit.checkpoints.describe import describe
from keras_vit.checkpoints.loading import load_weights
from keras_vit.checkpoints.matching import HEAD
from keras_vit.io import download

KINDS = {"ViT": vit.ViT, "HybridViT": hybrid.HybridViT, "ResNet": resnet.ResNet}


def load_pretrained(name, *, method="bilinear", cache_dir=None, verbose=True, **overrides):
    """Builds a model with published weights, for your resolution and your classes.

    With another `num_classes` than the file's, the head starts anew at zero and the tanh layer
    before it goes, as in section 3.1. With another `image_size` the positions are resized (3.2).

    Args:
        name: a name of `keras_vit.checkpoints.entries()`, a variant such as "ViT-S/16" for its
            recommended weights, or the path of a file that you have. Names are downloaded once.
        method: how positions are resized, see `load_weights`.
        cache_dir: folder for downloads; None for Keras's own.
        verbose: whether to print what was done.
        **overrides: arguments of the model that shall differ from the file's, such as
            num_classes, image_size, dropout, dtype.

    Returns:
        A `ViT`, `HybridViT` or `ResNet`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: there is no such name, or the file is damaged or of something else.
        OSError: the download failed; the message says what to do.

    Example:
    >>> model = keras_vit.load_pretrained(
    ...     "ViT-S/16", num_classes=37, image_size=384
    ... )  # doctest: +SKIP
    """
    entry, path = _find(name, cache_dir)
    description = describe(path)
    told = _of_entry(entry, description.kind) if entry else {}
    found = {**description.arguments, **told}
    skip = _skipped(found, overrides)
    if skip and "representation_size" not in overrides:
        found.pop("representation_size", None)
    if overrides.get("pooling", "") is None:  # tokens have no head
        found |= {"num_classes": None, "representation_size": None}
    wanted = {**found, **overrides}
    wanted["name"] = wanted.get("name") or _graph_name(name)
    if wanted.get("num_heads", 1) is None:
        advice = "Put config.json beside the file, or give num_heads=."
        received = {"name": str(name), "hidden_dim": wanted["hidden_dim"]}
        arguments.refuse("the number of attention heads must be known", received, advice)
    with contextlib.nullcontext() if skip else backend.blank_weights():
        model = KINDS[description.kind](**wanted)
    report = load_weights(model, path, skip=skip, method=method)
    if entry and entry.shipped:
        report = report._replace(path=entry.name)  # where it is installed helps nobody
    if verbose:
        print(_words(report, description, told, skip, model))
    return model


def image_size(name, cache_dir=None):
    """Returns the resolution, (height, width), that published weights were trained for last.

    Args:
        name: as in `load_pretrained`.
        cache_dir: likewise.
    """
    entry, path = _find(name, cache_dir)
    known = (entry and entry.image_size) or describe(path).arguments.get("image_size") or 224
    return arguments.height_width("image_size", known)


def _graph_name(name):
    """A file's name without its folder and its kind, or the name of an entry, for the model."""
    base = os.path.basename(os.path.normpath(str(name))) if catalogue.is_path(name) else str(name)
    for suffix in catalogue.SUFFIXES:
        base = base.removesuffix(suffix)
    return families.graph_name(base)


def _find(name, cache_dir):
    """Returns (entry of the catalogue or None, path)."""
    if catalogue.is_path(name):
        return None, name
    entry = catalogue.find(name)
    return entry, download.fetch(entry, cache_dir)


def _of_entry(entry, kind):
    """What the catalogue knows better than the file; a ResNet's file tells no resolution."""
    fields = ("normalize", "image_size")
    if kind != "ResNet":
        fields = ("normalize", "approximate", "epsilon")
    return {key: getattr(entry, key) for key in fields if getattr(entry, key) is not None}


def _skipped(found, overrides):
    """The layers that start anew: the head of another task."""
    if overrides.get("num_classes", found["num_classes"]) == found["num_classes"]:
        return ()
    return tuple(name for name in HEAD if name == "head" or found.get("representation_size"))


def _words(report, description, told, skip, model):
    words = [str(report)]
    if skip and model.num_classes:
        words.append(f"The head for {model.num_classes} classes is new and starts at zero.")
    assumed = [name for name in description.assumed if name not in told]
    if assumed:
        values = ", ".join(f"{name}={getattr(model, name)}" for name in assumed)
        words.append(f"No JSON file beside it tells these, so assumed: {values}.")
    if description.preprocessing:
        values = ", ".join(f"{key} {value}" for key, value in description.preprocessing.items())
        words.append(f"Its publisher prepared images by: {values}.")
    return " ".join(words)
