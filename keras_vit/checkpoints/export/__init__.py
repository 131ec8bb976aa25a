"""The JSON files beside weights, from which another library builds the model.

This is the inverse of `configurations`: arguments of the model become fields.

for_timm.py           config.json of timm
for_hugging_face.py   config.json of transformers
for_kerashub.py       a preset of KerasHub
json_values.py        values of a model in the form that JSON needs
"""

from keras_vit import arguments
from keras_vit.checkpoints.export import for_hugging_face, for_kerashub, for_timm
from keras_vit.checkpoints.export.json_values import refuse
from keras_vit.descendants import TimmHybridViT
from keras_vit.descendants.pooling import NormAfterPooling
from keras_vit.io import files

# Modules with the classes of published models.
PUBLISHED = tuple(f"keras_vit.{name}" for name in ("vit", "hybrid", "resnet", "descendants"))
# Attributes of a model that a subclass may override.
COMPUTES = ("block", "encoder_layer", "stem", "embed", "encode", "norm", "pool", "head", "unit")
MAKERS = {
    "timm": for_timm.make,
    "huggingface": for_hugging_face.make,
    "kerashub": for_kerashub.make,
}


def make(model, table, tensors, resize, interpolation):
    """Returns {name of a JSON file: its content}.

    Args:
        model: a model.
        table: its weight map.
        tensors: {name: array} to be written.
        resize: "squash" or "crop", as in `keras_vit.save_weights`.
        interpolation: "bilinear" or "bicubic", as there.

    Raises:
        ValueError: the library has no class that computes the same.
    """
    names = find_changes(model, table)
    if "pooling" in names and isinstance(model, NormAfterPooling) and model.pooling is None:
        want = "tokens must be normalized; this model normalizes after pooling"
        advice = "Save the model with its pooling; there, these tokens come before the pooling."
        refuse(table, want, {"pooling": None}, advice)
    if names:
        received = {name: getattr(model, name) for name in names if name == "pooling"}
        refuse(table, "the model must be one of its own", received or {"changed": names})
    has_tanh = table.source == ("kerashub" if model.num_classes else "huggingface")
    if getattr(model, "representation_size", None) and not has_tanh:
        advice = "Load it with another `num_classes`, or write a weight file."
        received = {"representation_size": model.representation_size}
        refuse(table, "there must be no tanh layer before the head", received, advice)
    return MAKERS[table.source](model, table, tensors, resize, interpolation)


def split(table, tensors):
    """Returns {name of a weight file in a folder: its tensors}."""
    return for_kerashub.split(tensors) if table.source == "kerashub" else {files.WHOLE: tensors}


def find_changes(model, table):
    """Returns the names of the parts that a model computes differently from a source's models."""
    plain = next(kind for kind in type(model).__mro__ if kind.__module__.startswith(PUBLISHED))
    names = [
        name for name in COMPUTES if getattr(type(model), name, 0) is not getattr(plain, name, 0)
    ]
    if isinstance(model, TimmHybridViT) and table.source != "timm":
        names.append("stem")
    return names if table.export.fits(model) else [*names, "pooling"]


def warn_of_changes(model, table):
    """Warns if a program that reads a model's weights by these names computes something else."""
    names = find_changes(model, table)
    if names:
        arguments.warn(
            f"{type(model).__name__} has its own {', '.join(names)}. A program that reads these "
            f"weights by the names of {table.source!r} computes something else."
        )
