"""All tables, and which of them a file and a model ask for."""

import re

from keras_vit import arguments
from keras_vit.checkpoints import google, kerashub, pytorch
from keras_vit.checkpoints.published import SOURCES
from keras_vit.hybrid import HybridViT
from keras_vit.resnet import ResNet
from keras_vit.vit import ViT

# What a subclass may replace
COMPUTES = ("block", "encoder_layer", "stem", "embed", "encode", "pool", "head", "unit")
# In the order in which a file is asked: the rarer names first.
TABLES = (
    pytorch.TIMM_DISTILLED,
    pytorch.TIMM_ROOT,
    pytorch.TIMM,
    pytorch.HUGGING_FACE_DISTILLED,
    pytorch.HUGGING_FACE,
    google.VIT,
    kerashub.KERAS_HUB,
    google.BIT,
    pytorch.TIMM_BIT,
)


def of_file(path, specs, source=None):
    """Returns the table whose names a file holds.

    Raises:
        ValueError: the file holds other names than those of any source, or than those of `source`.
    """
    if source is not None:
        arguments.one_of(*SOURCES)("source", source)
    found = [table for table in TABLES if _holds(specs, table.signature)]
    found = [table for table in found if source in (None, table.source)]
    if found:
        return found[0]
    some = ", ".join(map(repr, list(specs)[:3])) or "no tensors"
    known = f"the names of {source}" if source else f"the names of one of {', '.join(SOURCES)}"
    raise ValueError(
        f"{str(path)!r} must hold {known}. Received: {len(specs)} tensors: {some} ... "
        "Give the file of a Vision Transformer, a hybrid or a BiT ResNet."
    )


def of_model(model, source):
    """Returns the table by which a model is written under the names of `source`.

    Raises:
        ValueError: that source has no such models.
    """
    arguments.one_of(*SOURCES)("source", source)
    fitting = [table for table in TABLES if kind_of(model) in table.kinds]
    for table in fitting:
        if table.source == source:
            return table
    possible = ", ".join(sorted({repr(table.source) for table in fitting}))
    advice = f"Use {possible}." if possible else "No source has: use Keras's model.save_weights."
    raise ValueError(
        f"`source` must have names for a {kind_of(model)}. Received: source={source!r}. {advice}"
    )


def check_fit(path, table, model):
    """Raises `ValueError` unless a file of this table is of the kind of model that `model` is."""
    if kind_of(model) not in table.kinds:
        raise ValueError(
            f"{str(path)!r} holds the weights of a {' or '.join(table.kinds)}. Received: the model "
            f"{model.name!r}, a {kind_of(model)}. Build the model with "
            "keras_vit.load_pretrained(path), which reads its shape."
        )


def kind_of(model):
    """Returns what a model is to the tables."""
    if type(model) is ResNet:
        return "ResNet"
    if type(model) is HybridViT:
        return "ViT" if model.resnet_units else "root hybrid"
    if not isinstance(model, ViT) or type(model).embed is not ViT.embed:
        return type(model).__name__
    return "distilled ViT" if model.pooling == "distilled" else "ViT"


def warn_of_changes(model, table):
    """Warns if whoever reads a model's weights by these names would compute something else."""
    plain = next(kind for kind in (HybridViT, ViT, ResNet) if isinstance(model, kind))
    names = [
        name for name in COMPUTES if getattr(type(model), name, 0) is not getattr(plain, name, 0)
    ]
    if getattr(model, "pooling", "token") not in ("token", "gap", "map", "distilled"):
        names.append("pooling")
    if names:
        arguments.warn(
            f"{type(model).__name__} computes by its own {', '.join(names)}. A program that reads "
            f"these weights by the names of {table.source!r} computes a plain {plain.__name__}."
        )


def _holds(specs, signature):
    return any(re.fullmatch(signature, name) for name in specs)
