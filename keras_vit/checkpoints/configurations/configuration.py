"""Reads the JSON files beside weights: each field is either applied or refused by name."""

import functools
import os
import re

from keras_vit import arguments as check
from keras_vit.checkpoints.configurations.fields import (
    ARCHITECTURES,
    DINOV3_DEFAULTS,
    FAMILIES,
    HUGGING_FACE_ACTIVATIONS,
    HUGGING_FACE_DEFAULTS,
    HUGGING_FACE_FIELDS,
    HUGGING_FACE_ONLY,
    HUGGING_FACE_SHAPES,
    OTHER_BLOCKS,
    RESAMPLING,
    TIMM_ACTIVATIONS,
    TIMM_FIELDS,
    TIMM_ONLY,
    TIMM_SHAPES,
    TIMM_VISIBLE,
    WITHOUT_LAST_NORM,
)
from keras_vit.io import files


def read(table, path, found):
    """Returns (arguments, preprocessing) that the JSON files beside weights state.

    Args:
        table: the weight map of the file.
        path: as in `load_weights`.
        found: the arguments that the tensors show, which a configuration must not contradict.

    Raises:
        ValueError: a field has a value that no model here has, or contradicts the tensors.
    """
    reader = {"timm": _timm, "huggingface": _hugging_face}.get(table.source)
    return ({}, {}) if reader is None else reader(table, path, found)


def _hugging_face(table, path, found):
    whole = read_beside(path, "config.json")
    config = read_object(path, whole, "vision_config")
    if "model_type" in whole:
        name = table.models[0]
        config = (DINOV3_DEFAULTS if "DINOv3" in name else HUGGING_FACE_DEFAULTS) | config
    only = functools.partial(refuse_others, path, fields=HUGGING_FACE_ONLY)
    only(config=config)
    only(config=whole)
    shapes = dict(HUGGING_FACE_SHAPES)
    if "mlp_ratio" in config:  # DINOv2, which ignores `intermediate_size`
        del shapes["intermediate_size"]
    refuse_contradictions(path, config, shapes, {"gated": False} | found)
    if table.models == ("BEiTViT",):
        refuse_others(path, config, {"use_mean_pooling": (True,)})
    facts = read_facts(path, config, HUGGING_FACE_FIELDS | _rotary(table, "rope_theta"), found)
    rows, columns = facts.get("image_size", (0, 0))
    if "positions" in found and rows != columns:
        want = "`image_size` of BEiT must be a square: transformers mixes up the offsets otherwise"
        received = {"path": str(path), "image_size": config["image_size"]}
        check.refuse(want, received, "Use a square, or timm's file.")
    if not config.get("use_swiglu_ffn"):  # the other field is ignored there
        facts |= read_activation(path, table, config, found, "hidden_act", HUGGING_FACE_ACTIVATIONS)
    images = read_beside(path, "preprocessor_config.json")
    facts |= _hugging_face_pixels(path, images, found)
    return facts, _resizing(images)


def _resizing(images):
    """Returns how images are resized, according to preprocessor_config.json."""
    found, number = _select(images, resize="size"), images.get("resample")
    if images.get("do_center_crop"):
        found |= _select(images, crop="crop_size")
    if number in range(len(RESAMPLING)):
        found["resampling"] = RESAMPLING[number]
    return found


def _hugging_face_pixels(path, images, found):
    """Returns {"normalize": ...}, or {} if a file does not say how pixels are prepared."""
    refuse_others(path, images, {"rescale_offset": (False,)})
    scale = 1.0
    if images.get("do_rescale", True):
        factor = images.get("rescale_factor", 1 / 255)
        scale = 1 / check.positive_number("rescale_factor", factor)
    if images.get("do_normalize", True):
        return read_pixels(path, images, ("image_mean", "image_std"), scale, found)
    return {"normalize": None if scale == 1 else (0.0, round(scale, 6))}


def _timm(table, path, found):
    whole = read_beside(path, "config.json")
    config, inner = (
        read_object(path, whole, "model_args", {}),
        read_object(path, whole, "pretrained_cfg"),
    )
    architecture = _text(path, whole, "architecture")
    fields = TIMM_FIELDS | _rotary(table, "rope_temperature") | table.fields
    known = {*TIMM_VISIBLE, *TIMM_SHAPES, *fields, "rope_temperature"}
    only = dict.fromkeys(config.keys() - known, ()) | TIMM_ONLY | table.only
    if config.get("ref_feat_shape", "") is None:  # places that are not scaled
        only["ref_feat_shape"] = ()
    refuse_others(path, config, only)
    _check_places(path, architecture, config, found)
    on_map = {"patch_size": "on the map of a ResNet"} if "resnet_units" in found else {}
    refuse_contradictions(path, config, TIMM_SHAPES | on_map, found)
    _check_last_norm(path, table, architecture, config)
    facts = _architecture(path, table, architecture, config, found)
    facts |= read_facts(path, config, fields, found)
    if "image_size" not in facts and "image_size" in table.defaults and "input_size" in inner:
        facts["image_size"] = _input_size(path, inner["input_size"])
    facts |= _global_pool(path, table, {**whole, **config}, found)
    facts |= read_pixels(path, inner, ("mean", "std"), 255, found)
    crop = {} if inner.get("crop_mode") == "squash" else {"crop": "crop_pct"}
    return facts, _select(inner, resize="input_size", **crop, resampling="interpolation")


def check_architecture(path, table):
    """Refuses timm models that compute something else with tensors of the same names."""
    name = _text(path, read_beside(path, "config.json"), "architecture")
    own = table.architectures
    if name and not re.fullmatch(own, name) if own else re.fullmatch(OTHER_BLOCKS, name):
        want = "the architecture must be one whose blocks are known"
        check.refuse(want, {"path": str(path), "architecture": name}, "No layer here has them.")


def _check_last_norm(path, table, name, config):
    """Refuses a file without the last normalization if its configuration does not say so."""
    lacks_it = config.get("final_norm") is False or re.fullmatch(WITHOUT_LAST_NORM, name)
    if table.models[0] == "UnnormalizedViT" and not lacks_it:
        received = {"path": str(path), "missing": "norm.weight"}
        advice = "A model without a last normalization needs its config.json, with `final_norm` or "
        advice += "its architecture."
        check.refuse("the file must hold a whole model", received, advice)


def _check_places(path, name, config, found):
    """Refuses a Perception Encoder that counts places from an unexpected number."""
    offset = config.get("rope_grid_offset", 0 if "gigantic" in name else 1)
    if name and offset != found.get("has_class_token", offset):
        want = "places must be counted from 1 with a class token, and from 0 without one"
        received = {"path": str(path), "architecture": name, "rope_grid_offset": offset}
        check.refuse(want, received, "No layer here counts differently.")


def _architecture(path, table, name, config, found):
    """Returns the arguments that the name of an architecture implies, or their replacement."""
    facts = {"epsilon": 1e-6} if name else {}
    for pattern, row in ARCHITECTURES.items():
        facts |= row if re.fullmatch(pattern, name) else {}
    if _text(path, config, "norm_layer", None):
        facts["epsilon"] = 1e-6
    if facts.pop("quick_gelu", False) and config.get("act_layer") is None:
        if table.models != ("CLIPViT",):
            want = "an architecture with a quick GELU must have a normalization before its blocks"
            check.refuse(want, {"path": str(path), "architecture": name}, "Its blocks differ.")
        return facts | {"quick_gelu": True}
    return facts | read_activation(path, table, config, found, "act_layer", TIMM_ACTIVATIONS)


def _global_pool(path, table, config, found):
    """Returns {"pooling": ...} for timm's `global_pool`."""
    name = _text(path, config, "global_pool", None)
    own, kind = found["pooling"], table.models[0]
    has_token = own in ("token", "distilled", "patch mean")
    known = {"map": own} if own == "map" else {}
    if has_token:
        known["token"] = own if own == "distilled" else "token"
    if own != "distilled" and kind != "PEViT":
        known["avg"] = "patch mean" if has_token else "gap"
        is_after = kind in ("EVAMeanViT", "PooledNormViT", "BEiTViT")
        if found["num_classes"] is None and not is_after:
            known[""] = None
    if name is None:
        return {}
    if name not in known:
        want = f"the pooling of these tensors must be one of {', '.join(map(repr, known))}"
        check.refuse(want, {"path": str(path), "global_pool": name}, "No layer here has it.")
    return {"pooling": known[name]}


# --- Both -----------------------------------------------------------------------------------------
def _rotary(table, name):
    """Returns the field of `theta`, the base of rotary wavelengths, if the model has it."""
    has_it = table.models[0].endswith("DINOv3ViT")
    return {name: ("theta", check.positive_number)} if has_it else {}


def read_facts(path, config, fields, found):
    """Returns {our name: checked value} of the fields that are in a configuration."""
    facts = {}
    for theirs, (ours, check_value) in fields.items():
        if config.get(theirs) is not None:
            facts[ours] = check_value(theirs, config[theirs])
            if ours == "num_heads" and found["hidden_dim"] % facts[ours]:
                want = f"`{theirs}` must divide the width of a token"
                received = {"path": str(path), theirs: facts[ours], "width": found["hidden_dim"]}
                check.refuse(want, received, "Use the config.json that came with the weights.")
    return facts


def refuse_others(path, config, fields):
    """Refuses fields with a value that no model here has."""
    for name, values in fields.items():
        if name in config and config[name] not in values:
            known = " or ".join(map(repr, values)) or "absent"
            received = {"path": str(path), name: config[name]}
            check.refuse(f"`{name}` must be {known}", received, "No model here has it.")


def refuse_contradictions(path, config, fields, found):
    """Refuses fields that contradict the tensors."""
    for theirs, ours in fields.items():
        given, seen = config.get(theirs), found.get(ours, config.get(theirs))
        pair = tuple(given) if isinstance(given, list) else given
        if pair is not None and pair not in (seen, None) and (pair, pair) != seen:
            want = f"`{theirs}` must be that of the weights, {seen!r}"
            advice = "Use the config.json that came with the weights."
            check.refuse(want, {"path": str(path), theirs: given}, advice)


def read_activation(path, table, config, found, field, known):
    """Returns the arguments for an activation, or raises `ValueError` if no layer here has it."""
    name = _text(path, config, field, None)
    if name is None:
        return {}
    if table.models == ("CLIPViT",):
        known = {key: {"quick_gelu": False} | facts for key, facts in known.items()}
    else:
        known = {key: facts for key, facts in known.items() if "quick_gelu" not in facts}
    if found.get("gated"):
        known = {"silu": {}}
    if name not in known:
        want = f"the activation must be one of {', '.join(known)}"
        check.refuse(want, {"path": str(path), field: name}, "No layer here has it.")
    return known[name]


def read_beside(path, name):
    """Returns the content of a JSON file in the folder of the weights, {} if there is none."""
    path = os.fspath(path)
    path = os.path.join(path if os.path.isdir(path) else os.path.dirname(path), name)
    content = files.read_json(path) if os.path.isfile(path) else {}
    return _object(path, name, content)


def read_object(path, config, name, default=None):
    """Returns the object `name` of a configuration, or else `default` or the configuration."""
    return _object(path, name, config.get(name, config if default is None else default))


def _object(path, name, content):
    if not isinstance(content, dict):
        want = f"`{name}` must hold an object, {{...}}"
        check.refuse(want, {"path": str(path), name: content}, "Download the file again.")
    return content


def _text(path, config, name, default=""):
    """Returns a field that must be a string, `default` if it is missing."""
    value = config.get(name)
    if not isinstance(value, str | None):
        received = {"path": str(path), name: value}
        check.refuse(f"`{name}` must be a string", received, "Download the file again.")
    return default if value is None else value


def _input_size(path, value):
    """Returns (height, width) of timm's (channels, height, width)."""
    if not isinstance(value, list) or len(value) != 3:
        want = "`input_size` must be three integers, (channels, height, width)"
        check.refuse(want, {"path": str(path), "input_size": value}, "Download the file again.")
    return check.height_width("input_size", value[1:])


def _select(config, **names):
    """Returns {our name: value} of the names that are in a configuration."""
    return {ours: config[theirs] for ours, theirs in names.items() if theirs in config}


def read_pixels(path, config, names, scale, found):
    """Returns {"normalize": (mean, deviation)} for pixels 0 to 255, from numbers for 0 to 1."""
    if any(config.get(name) is None for name in names):
        return {}
    return {"normalize": tuple(_channels(path, config, name, scale, found) for name in names)}


def _channels(path, config, name, scale, found):
    """Returns the numbers of a field times `scale`; one number if they are equal."""
    given = config[name] if isinstance(config[name], list) else [config[name]]
    values = [round(check.number(name, value) * scale, 6) for value in given]
    if len(values) not in (1, found["num_channels"]):
        want = f"`{name}` must be one number, or one for each of {found['num_channels']} channels"
        check.refuse(want, {"path": str(path), name: given}, f"Correct {name} in the JSON file.")
    return values[0] if len(set(values)) == 1 else tuple(values)


def check_family(path, specs):
    """Raises `ValueError` if a file belongs to one of the `FAMILIES` that are refused."""
    config = read_beside(path, "config.json")
    names = "\n".join(sorted(specs))
    for name, family in FAMILIES.items():
        found = {}
        for field in ("model_type", "architecture"):
            if re.fullmatch(getattr(family, field), str(config.get(field))):
                found[field] = config[field]
        match = re.search(family.tensors, names, re.DOTALL | re.MULTILINE)
        if match:
            found["tensor"] = names[: match.end()].split("\n")[-1]
        if found:
            want = "the weights must be those of a Vision Transformer with blocks as in the paper"
            advice = f"{name} has {family.reason}, so it is not supported."
            check.refuse(want, {"path": str(path), **found}, advice)
