"""Writes the weights of a model under the names of a source, and the JSON files beside them.

Loading multiplies layer scale into the weights and fills in what files leave out as zeros. Saving
undoes this with a file that computes the same: layer scale is written as ones, and what the format
cannot store is added to something that it can.

    E x + b + p = E x + (p + b)     a bias of patches that files do not have
    t + p = (t + p) + 0             a position of a token that files do not have
    softmax(q (k + b)) = softmax(q k)    a key bias, which adds q b to all scores of q
"""

import functools
import re

import keras
import numpy as np

from keras_vit import arguments, resizing
from keras_vit.checkpoints import catalogue, export
from keras_vit.checkpoints.catalogue.published import SOURCES
from keras_vit.checkpoints.maps import matching
from keras_vit.checkpoints.maps.matching import POSITIONS, layer_of
from keras_vit.checkpoints.maps.weight_map import join_fused
from keras_vit.guards import changes
from keras_vit.io import files, writing

WRITERS = {
    ".npz": files.write_npz,
    ".safetensors": files.write_safetensors,
    ".weights.h5": files.write_h5,
}
PATCH_BIAS, CLASS_TOKEN = "patch_encoder/projection/bias", "patch_encoder/class_token"
OUTPUTS = ("head", "projection")  # layers whose names have no prefix
UNSAVED = ("seed_generator", "lora_kernel")  # LoRA's product is in the kernel


def save_weights(model, path, source=None, resize="squash", interpolation="bilinear"):
    """Writes a model's weights as a source would: its names, its shapes, its file format.

    The outputs stay the same, but not every tensor: layer scale, which loading multiplies into the
    weights, is written as ones, and the updates of LoRA are added to their kernels.

    A folder gets config.json and, for Hugging Face, preprocessor_config.json beside
    model.safetensors, so that `transformers.AutoModel.from_pretrained(folder)` or
    `timm.create_model("local-dir:" + folder, pretrained=True)` builds the model. They hold
    `model.class_names` too, if these are known. For KerasHub, a folder is a preset.

    Args:
        model: a `ViT` or `ResNet`.
        path: file to write: .npz for Google and BiT, .weights.h5 for KerasHub, .safetensors for the
            others. Or, for timm, Hugging Face and KerasHub, a folder: one that exists or a path
            without a suffix. A file that exists is replaced once the new one is complete; other
            files in a folder are kept.
        source: "google", "bit", "timm", "huggingface", "torchvision" or "kerashub"; None chooses by
            `path`.
        resize: "squash" or "crop", how the library should resize images. Pass the `resize` of the
            images that the model was trained on. Only a folder has a place for it.
        interpolation: "bilinear" or "bicubic", likewise.

    Raises:
        ValueError: that source has no name for one of the weights, or uses another file format;
            for a folder, that library has no class that computes the same.

    Example:
    >>> import pathlib
    >>> model = keras_vit.load_pretrained("ViT-Mini/4", verbose=False)
    >>> keras_vit.save_weights(model, "vit.safetensors")    # timm's names
    >>> keras_vit.save_weights(model, "folder", source="huggingface")
    >>> sorted(file.name for file in pathlib.Path("folder").iterdir())
    ['config.json', 'model.safetensors', 'preprocessor_config.json']
    >>> transformers.AutoModelForImageClassification.from_pretrained("folder")  # doctest: +SKIP
    """
    arguments.one_of("squash", "crop")("resize", resize)
    arguments.one_of("bilinear", "bicubic")("interpolation", interpolation)
    chosen, is_folder = choose_source(model, path, source)
    table = find_map(model, chosen)
    if is_folder:
        _write_folder(model, path, table, resize, interpolation)
        return
    tensors = tensors_of(table, model)
    export.warn_of_changes(model, table)
    WRITERS[SOURCES[table.source]](path, tensors)


def choose_source(model, path, source=None):
    """Returns (source, whether `path` is a folder) as `catalogue.check_target`, for a model."""
    chosen, is_folder = catalogue.check_target(path, source)
    if source is None and chosen == "google" and not hasattr(model, "num_heads"):
        chosen = "bit"
    return chosen, is_folder


def find_map(model, source):
    """Returns the weight map by which `source` names the weights of a model.

    Raises:
        ValueError: that source has no such models.
    """
    arguments.one_of(*SOURCES)("source", source)
    kind = matching.kind_of(model)
    received = resizing.check_model(model)
    advice = "Save it before you quantize it, or use model.save_weights."
    changes.check_not_quantized(model, received, advice)
    written = [table for table in matching.WEIGHT_MAPS if table.export and kind in table.models]
    fitting = [table for table in written if table.source == source]
    if not fitting:
        possible = ", ".join(map(repr, sorted({table.source for table in written})))
        possible = possible or "Keras's model.save_weights"
        want = f"`source` must have names for {arguments.with_article(kind)}"
        arguments.refuse(want, {"source": source}, f"Use {possible}.")
    return next((table for table in fitting if table.export.fits(model)), fitting[-1])


def _write_folder(model, folder, table, resize, interpolation):
    """Writes the weights and the files that the library needs to build the model."""
    tensors = tensors_of(table, model)
    writers = {
        name: functools.partial(WRITERS[SOURCES[table.source]], tensors=part)
        for name, part in export.split(table, tensors).items()
    }
    found = export.make(model, table, tensors, resize, interpolation)
    for name, content in found.items():
        writers[name] = lambda path, content=content: writing.write_json(path, content)
    writing.write_folder(folder, writers)


def tensors_of(table, model):
    """Returns {name in the file: array} of a model's weights."""
    named = matching.weights_and_rules(table, model, without=UNSAVED)
    values = _values(model, [weight for weight, _, _ in named])
    _fold(values, model, table)
    tensors, outputs = {}, set()
    is_idle = re.compile(table.export.idle).fullmatch
    for weight, rule, numbers in named:
        parts = rule.split(values[weight.path], matching.dimensions(model))
        found = zip(rule.names(numbers), map(np.ascontiguousarray, parts), strict=True)
        found = {name: part for name, part in found if part.size and not is_idle(name)}
        if tensors.keys() & found.keys():
            want = f"the names of {table.source!r} must be different for every weight"
            arguments.refuse(want, {"twice": sorted(found)}, "Use another source.")
        tensors |= found
        outputs |= found.keys() if layer_of(weight.path) in OUTPUTS else set()
        scale = table.scale_of(weight.path)
        if scale and table.export.layer_scale:
            tensors[scale] = np.ones(weight.shape[-1], "float32")
    tensors = _without_zeros(tensors, table)
    for name, shape in table.export.zeros(model).items():
        tensors[name] = np.zeros(shape, "float32")
    tensors = join_fused(table.fused, tensors)
    prefix = table.export.prefix if outputs else ""
    tensors = {_rename(name, prefix, outputs, model, table): x for name, x in tensors.items()}
    return table.export.number(tensors)


def _rename(name, prefix, outputs, model, table):
    """Returns the name in the file of a canonical name."""
    for plain, gated in table.export.gated if getattr(model, "gated", False) else ():
        name = name.replace(plain, gated)
    return name if name in outputs else prefix + name


def _values(model, weights):
    """Returns {path: array}, with the updates of LoRA in the kernels."""
    values = {weight.path: keras.ops.convert_to_numpy(weight) for weight in weights}
    for layer in model._flatten_layers():
        if getattr(layer, "lora_enabled", False):
            values[f"{layer.path}/kernel"] = keras.ops.convert_to_numpy(layer.kernel)
    return values


def _fold(values, model, table):
    """Adds what the format cannot store to weights that it can store, in `values`."""
    if POSITIONS not in values:
        return
    rows, before, placed = values[POSITIONS], model.prefix_tokens, table.export.placed
    rule, numbers = table.rule_of(PATCH_BIAS)
    if re.fullmatch(table.export.left_out, *rule.names(numbers)):
        bias = values[PATCH_BIAS]
        rows = np.concatenate([rows[:, :before], rows[:, before:] + bias], axis=1)
        values[PATCH_BIAS] = np.zeros_like(bias)
    if placed is not None:
        tokens = values[CLASS_TOKEN].copy()
        tokens[:, placed:] += rows[:, placed:before]
        values[CLASS_TOKEN] = tokens
        rows = np.delete(rows, slice(placed, before), axis=1)
    values[POSITIONS] = rows


def _without_zeros(tensors, table):
    """Removes tensors that may be left out if they are zero in all blocks."""
    found = ((name, re.fullmatch(table.export.left_out, name)) for name in tensors)
    groups = {name: match.groups() for name, match in found if match}
    needed = {group for name, group in groups.items() if tensors[name].any()}
    return {name: x for name, x in tensors.items() if groups.get(name, 0) in {*needed, 0}}
