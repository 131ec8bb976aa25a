"""Adapts a model's weights to other sizes of images and patches, or other classes (section 3.2).

`rebuild` builds a model again with other arguments. Weights that depend on the number of patches
are resized by a function that `RESIZED` lists.
"""

import contextlib
import re

import keras
import numpy as np
from keras import ops

from keras_vit import arguments, backend
from keras_vit.ablations import positions
from keras_vit.ablations.relative import resize_offsets
from keras_vit.descendants.beit import resize_table
from keras_vit.descendants.flexivit import resize_kernel
from keras_vit.descendants.zero_shot import ZeroShotClassifier
from keras_vit.guards import changes

# Arguments that may add layers with new random weights.
RANDOM = ("pooling", "representation_size", "projection_dim")
# Weights that may be new: the head, and those that depend on `pooling`
FRESH = ("head/", "pre_logits/", "projection/", "pooling/", "patch_encoder/class_token")


def resize(model, image_size=None, patch_size=None, num_classes=..., *, method="bilinear"):
    """Adapts your model to another size of images or patches, or to other classes.

    Everything else is kept: weights, normalization, form of GELU, epsilon, dtype, which layers are
    frozen, and the names of the classes if the head is kept. LoRA is merged into the weights.

    Args:
        model: a `ViT` or one of its relatives, or a `ResNet`; it is not changed.
        image_size: side of the images in pixels, or (height, width); None for the model's own. The
            positions are resized.
        patch_size: side of a patch in pixels, or (height, width); None for the model's own. The
            kernel of the patch embedding is resized as FlexiViT does it.
        num_classes: length of the logits, None for no head; `...` for the model's own head. If it
            differs, the new head starts at zero and the tanh layer before it is removed. The
            classes of a `ZeroShotClassifier` are kept.
        method: how positions and patches are resized, see `keras_vit.load_weights`.

    Returns:
        A model of the same class, not compiled.

    Raises:
        ValueError: the model has no such argument, or the patches do not divide the image.

    Example:
    >>> model = keras_vit.create("ViT-Mini/8", image_size=32, num_classes=10)
    >>> larger = keras_vit.resize(model, image_size=(48, 64), num_classes=3)
    >>> larger.grid, larger.output_shape
    ((6, 8), (None, 3))

    Reference: section 3.2; for patches https://arxiv.org/abs/2212.08013
    """
    wanted = {"image_size": image_size, "patch_size": patch_size}
    wanted = {name: value for name, value in wanted.items() if value is not None}
    if num_classes is not ...:
        wanted["num_classes"] = num_classes
    return rebuild(model, method, **wanted)


def rebuild(model, method="bilinear", forget=(), **overrides):
    """Returns a model with other arguments and the same weights, resized if necessary.

    Args:
        model: a model of this package.
        method: as in `resize`.
        forget: prefixes of the paths of weights that are always new, such as "head/".
        **overrides: arguments that change.

    Raises:
        ValueError: the model has no such argument, or it needs weights that the model lacks.
    """
    if isinstance(model, ZeroShotClassifier):
        return _rebuild_zero_shot(model, method, overrides)
    config = _check(model, method, overrides)
    new_head = overrides.get("num_classes", config["num_classes"]) != config["num_classes"]
    if new_head:
        overrides = without_old_head(config) | overrides
        config.pop("class_names", None)
    kept = {name: config.pop(name) for name in ("frozen", "changed") if name in config}
    is_random = any(overrides.get(name, config.get(name)) != config.get(name) for name in RANDOM)
    with contextlib.nullcontext() if is_random else backend.blank_weights():
        new = type(model).from_config(config | overrides)
    forget = (*forget, "head/") if new_head else forget
    old = read_weights(model)
    values = _fit(old, new, model, method, forget)
    paths = (*(weight.path for weight in new.weights), *old)
    if any(path not in values and not path.startswith(FRESH) for path in paths):
        advice = "Change sizes of images, patches and classes, pooling, dropout and the like, but "
        advice += "not the encoder's own sizes or kind of positions."
        arguments.refuse("the new model must have the layers of the old one", overrides, advice)
    for weight in new.weights:
        if weight.path in values:
            weight.assign(values[weight.path])
    return _apply_changes(new, kept, new_head)


def _rebuild_zero_shot(model, method, overrides):
    """Rebuilds the encoder of a `ZeroShotClassifier`; its head keeps its text embeddings."""
    own = {name: overrides.pop(name) for name in ("name", "trainable") if name in overrides}
    if overrides.pop("num_classes", model.num_classes) != model.num_classes:
        want = f"the number of classes must be that of the texts, {model.num_classes}"
        advice = "Make another classifier with keras_vit.zero_shot_head(encoder, texts)."
        arguments.refuse(want, {"model": type(model).__name__, **overrides}, advice)
    config, values = _check(model, method, own), read_weights(model)
    kept = {name: config.pop(name) for name in ("frozen", "changed") if name in config}
    encoder = keras.saving.deserialize_keras_object(config["encoder"])
    for weight in encoder.weights:
        weight.assign(values[weight.path])
    own |= {name: overrides[name] for name in ("dtype",) if name in overrides}
    own["encoder"] = rebuild(encoder, method, **overrides)
    new = type(model).from_config(config | own)
    new.get_layer("head").set_weights([values["head/kernel"], values["head/bias"]])
    return _apply_changes(new, kept)


def _apply_changes(model, kept, new_head=False):
    """Applies the changes that `get_config` of a model returned, to layers that are the same."""
    layers = {path for path, _ in changes.walk(model) if not (new_head and path == "head")}
    frozen = [path for path in kept.get("frozen", ()) if path in layers]
    changed = {path: values for path, values in kept.get("changed", {}).items() if path in layers}
    changes.apply(model, frozen, changed)
    return model


def without_old_head(known):
    """Returns the arguments that change with the number of classes (section 3.1).

    The tanh layer before the head is removed, as is CLIP's projection, which takes its place.
    """
    return {name: None for name in ("representation_size", "projection_dim") if name in known}


def read_weights(model):
    """Returns {path: array} of a model's weights, including the updates of LoRA."""
    values = {weight.path: ops.convert_to_numpy(weight) for weight in model.weights}
    for _, layer in changes.walk(model):
        if getattr(layer, "lora_enabled", False):
            a, b = (values.pop(w.path) for w in (layer.lora_kernel_a, layer.lora_kernel_b))
            product = np.matmul(a, b) * layer.lora_alpha / layer.lora_rank
            values[f"{layer.path}/kernel"] = values[f"{layer.path}/kernel"] + product
    return values


# --- Checks --------------------------------------------------------------------------------------
def check_model(model, **overrides):
    """Raises `ValueError` unless a model is one of this package; returns the received values."""
    received = {"model": type(model).__name__, **overrides}
    if not hasattr(model, "argument_names"):
        want = "the model must be a ViT, a relative of it or a ResNet of this package"
        arguments.refuse(want, received, "Pass the model inside yours: model.get_layer(...).")
    return received


def _check(model, method, overrides):
    """Returns the configuration of a model, which must have every argument that changes."""
    arguments.one_of(*positions.MATRICES)("method", method)
    received = check_model(model, **overrides)
    known = (*model.argument_names, "dtype", "name", "trainable")
    lacking = [name for name in overrides if name not in known]
    if lacking:
        kind = arguments.with_article(type(model).__name__)
        want = f"{kind} has no argument {', '.join(lacking)}"
        arguments.refuse(want, received, f"It has {', '.join(model.argument_names)}.")
    changes.check_not_quantized(model, received, "Resize the model before you quantize it.")
    return model.get_config()


def _fit(values, new, old, method, forget):
    """Returns the old values that the new model needs, resized."""
    wanted = {weight.path: ops.convert_to_numpy(weight) for weight in new.weights}
    fitting = {}
    for path, value in values.items():
        if path in wanted and not path.startswith(forget):
            if _sizes(old) != _sizes(new) and value.shape[-1] == wanted[path].shape[-1]:
                value = _resizing(path)(value, wanted[path], old, new, method)
            if value.shape == wanted[path].shape:
                fitting[path] = value
    return fitting


def _sizes(model):
    return [getattr(model, name, None) for name in ("image_size", "patch_size", "prefix_tokens")]


# --- Weights that depend on the number or the size of patches ------------------------------------
# Functions of (old value, new value that would be random, old model, new model, method)
def _positions(value, fresh, old, new, method):
    """Resizes E_pos; prefix tokens keep theirs."""
    if old.grid != new.grid:
        value = positions.resize(value, old.grid, new.grid, method)
    first = _prefix(value, fresh, old, new, method)
    return np.concatenate([first, value[:, old.prefix_tokens :]], axis=1)


def _prefix(value, fresh, old, new, method):
    """Keeps the registers if the new model has as many, and so the class tokens before them."""
    (last, before), (new_last, after) = map(_count_prefix, (old, new))
    first = value[:, :before] if before == after else fresh[:, :after]
    source, start = (value, before) if last == new_last else (fresh, after)
    return np.concatenate([first, source[:, start : start + new_last]], axis=1)


def _count_prefix(model):
    """Returns the numbers of registers and of the class tokens before them."""
    registers = getattr(model, "num_registers", 0)
    return registers, model.prefix_tokens - registers


def _kernel(value, fresh, old, new, method):
    """Resizes E for another patch, which a hybrid cuts from its feature map."""
    sizes = (model.get_layer("patches").patch_size for model in (old, new))
    return resize_kernel(value, *sizes, method)


def _axis(value, fresh, old, new, method):
    """Resizes one vector for each row, or for each column."""
    return positions.resize(value, (1, value.shape[1]), (1, fresh.shape[1]), method)


def _offsets(value, fresh, old, new, method):
    """Resizes relative positions: those of a map are along one of its axes."""
    if hasattr(old, "grid"):
        return resize_offsets(value, old.grid, new.grid, method)
    sides = ((1, (len(table) + 1) // 2) for table in (value, fresh))
    return resize_offsets(value, *sides, method)


def _biases(value, fresh, old, new, method):
    """Resizes BEiT's biases, in its own way."""
    return resize_table(value, old.grid, new.grid)


RESIZED = {  # path of a weight: function that resizes it
    r"patch_encoder/class_token": _prefix,
    r"patch_encoder/position_embedding|positions(_\d+)?/embedding": _positions,
    r"patch_encoder/projection/kernel": _kernel,
    r"positions(_\d+)?/[xy]_embedding": _axis,
    r".*/offset_embedding": _offsets,
    r".*/bias_table": _biases,
}


def _resizing(path):
    """Returns the function of `RESIZED` for a weight, or one that returns the value as it is."""
    found = (function for pattern, function in RESIZED.items() if re.fullmatch(pattern, path))
    return next(found, lambda value, *_: value)
