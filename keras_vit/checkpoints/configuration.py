"""What the JSON files beside weights say: each field is obeyed, or refused by its name."""

import functools
import os
import re

from keras_vit import arguments as check
from keras_vit.io import files

RESAMPLING = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")  # of Pillow
EXACT, TANH = {"approximate": False}, {"approximate": True}

# --- Hugging Face: fields of transformers' configurations -----------------------------------------
HUGGING_FACE_ACTIVATIONS = {
    "gelu": EXACT,
    **dict.fromkeys(("gelu_new", "gelu_pytorch_tanh", "gelu_fast"), TANH),
    "quick_gelu": {"quick_gelu": True},
}
HUGGING_FACE_FIELDS = {  # theirs: ours, and how it is checked
    "num_attention_heads": ("num_heads", check.positive_integer),
    "layer_norm_eps": ("epsilon", check.positive_number),
    "image_size": ("image_size", check.height_width),
}
HUGGING_FACE_SHAPES = {  # what the tensors have too
    "hidden_size": "hidden_dim",
    "num_hidden_layers": "num_layers",
    "intermediate_size": "mlp_dim",
    "num_channels": "num_channels",
    "patch_size": "patch_size",
    "num_register_tokens": "num_registers",
    "use_gated_mlp": "gated",
    "use_swiglu_ffn": "gated",
    "use_absolute_position_embeddings": "positions",
}
MODEL_TYPES = (
    "vit", "deit", "vit_mae", "vit_msn", "ijepa", "vit-hybrid", "dinov2", "dinov2_with_registers",
    "dinov3_vit", "siglip", "siglip_vision_model", "clip", "clip_vision_model", "beit", "tipsv2",
    "tipsv2_vision_model",
)  # fmt: skip
HUGGING_FACE_ONLY = {  # fields of which the models here have one value
    "model_type": MODEL_TYPES,
    "qkv_bias": (True,),
    "proj_bias": (True,),
    "mlp_bias": (True,),
    "pooler_act": ("tanh",),
    "vision_use_head": (True,),
    "auto_map": (None,),
    "rope_parameters": (None,),
    "rope_scaling": (None,),
}
# What transformers takes for a field that a configuration leaves out.
HUGGING_FACE_DEFAULTS = {"num_attention_heads": 12}
DINOV3_DEFAULTS = {"num_attention_heads": 6, "hidden_act": "gelu"}

# --- timm: `model_args` of config.json ------------------------------------------------------------
TIMM_ACTIVATIONS = {"gelu": EXACT, "gelu_tanh": TANH, "quick_gelu": {"quick_gelu": True}}
TIMM_FIELDS = {
    "num_heads": ("num_heads", check.positive_integer),
    "img_size": ("image_size", check.height_width),
}
TIMM_SHAPES = {
    "embed_dim": "hidden_dim",
    "depth": "num_layers",
    "in_chans": "num_channels",
    "patch_size": "patch_size",
}
TIMM_ONLY = {
    "norm_layer": (None, "layernorm"),
    "pool_include_prefix": (False,),
    "rope_type": ("dinov3",),
    "rope_rotate_half": (True,),
    "rope_grid_indexing": ("ij",),
    "rope_grid_offset": (0,),
    "use_rot_pos_emb": (True,),
    "use_post_norm": (False,),
}
# What the tensors show, or what changes no output of a trained model.
TIMM_VISIBLE = (
    "act_layer", "attn_drop_rate", "attn_only_layer_scale", "attn_type", "class_token",
    "drop_path_rate", "drop_rate", "dynamic_img_pad", "dynamic_img_size", "fc_norm", "final_norm",
    "fix_init", "global_pool", "head_init_scale", "init_values", "mlp_ratio", "no_embed_class",
    "num_classes", "num_reg_tokens", "patch_drop_rate", "pos_drop_rate", "pos_embed", "pre_norm",
    "proj_bias", "proj_drop_rate", "qk_norm", "qkv_bias", "qkv_fused", "reg_tokens",
    "rope_jitter_coords", "rope_rescale_coords", "rope_shift_coords", "scale_attn_inner",
    "scale_attn_norm", "scale_mlp", "scale_mlp_norm", "strict_img_size", "swiglu_align_to",
    "swiglu_mlp", "use_abs_pos_emb", "use_fc_norm", "use_post_transformer_norm",
    "use_pre_transformer_norm", "use_rel_pos_bias", "use_shared_rel_pos_bias", "weight_init",
)  # fmt: skip
# What an architecture of timm has, beside what its tensors and `model_args` show.
ARCHITECTURES = {
    r".*quickgelu.*": {"quick_gelu": True},
    r".*(_patch32_siglip|_giantopt_|_so400m_patch16_siglip).*|.*_large_patch16_siglip.*_512": TANH,
    r".*_clip_.*|.*_dinov3.*": {"epsilon": 1e-5},
    r"vit_base_patch16_gap_224": {"num_heads": 16},
    r"eva02_.*": {"epsilon": 1e-6},
    r".*_pe_.*": {"epsilon": 1e-5, "reference": (32, 32)},
    r".*_pe_core_(tiny|small|large)_.*": {"reference": (24, 24)},
    r".*_pe_core_base_.*": {"reference": (14, 14)},
}
OTHER_BLOCKS = r".*(_rpn_|_rope_|_pe_|beit|eva|lingbot).*"
WITHOUT_LAST_NORM = r".*(_radio_|_intern300m_).*"


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


def class_names(path, count):
    """Returns the names of `count` classes in the config.json beside weights, None without them."""
    config = read_beside(path, "config.json")
    found = config.get("id2label", config.get("label_names"))  # transformers, timm
    table = dict(enumerate(found)) if isinstance(found, list) else found
    if not isinstance(table, dict):
        return None
    table = {str(key): name for key, name in table.items()}
    names = [table.get(str(i)) for i in range(count)]
    if len(table) != count or not all(isinstance(name, str) for name in names):
        return None
    return None if names[0] == "LABEL_0" else names  # which transformers writes by default


def _hugging_face(table, path, found):
    whole = read_beside(path, "config.json")
    config = _inner(path, whole, "vision_config")
    if "model_type" in whole:
        name = table.models[0]
        config = (DINOV3_DEFAULTS if "DINOv3" in name else HUGGING_FACE_DEFAULTS) | config
    only = functools.partial(_only, path, fields=HUGGING_FACE_ONLY)
    only(config=config)
    only(config=whole)
    shapes = dict(HUGGING_FACE_SHAPES)
    if "mlp_ratio" in config:  # DINOv2, which ignores the other
        del shapes["intermediate_size"]
    _same(path, config, shapes, {"gated": False} | found)
    if table.models == ("BEiTViT",):
        _only(path, config, {"use_mean_pooling": (True,)})
    facts = _facts(path, config, HUGGING_FACE_FIELDS | _rotary(table, "rope_theta"), found)
    rows, columns = facts.get("image_size", (0, 0))
    if "positions" in found and rows != columns:
        want = "`image_size` of BEiT must be a square: transformers mixes the offsets of others up"
        received = {"path": str(path), "image_size": config["image_size"]}
        check.refuse(want, received, "Use a square, or a file of timm.")
    if not config.get("use_swiglu_ffn"):  # where it ignores the other
        facts |= _activation(path, table, config, found, "hidden_act", HUGGING_FACE_ACTIVATIONS)
    images = read_beside(path, "preprocessor_config.json")
    facts |= _hugging_face_pixels(path, images, found)
    return facts, _resizing(images)


def _resizing(images):
    """Returns how a preprocessor_config.json resizes images, as far as it says so."""
    found, number = _select(images, resize="size"), images.get("resample")
    if number in range(len(RESAMPLING)):
        found["resampling"] = RESAMPLING[number]
    return found


def _hugging_face_pixels(path, images, found):
    """Returns {"normalize": ...}, or {} if a file does not say how pixels are prepared."""
    _only(path, images, {"rescale_offset": (False,)})
    scale = 1.0
    if images.get("do_rescale", True):
        factor = images.get("rescale_factor", 1 / 255)
        scale = 1 / check.positive_number("rescale_factor", factor)
    if images.get("do_normalize", True):
        return _pixels(path, images, ("image_mean", "image_std"), scale, found)
    return {"normalize": None if scale == 1 else (0.0, round(scale, 6))}


def _timm(table, path, found):
    whole = read_beside(path, "config.json")
    config, inner = _inner(path, whole, "model_args", {}), _inner(path, whole, "pretrained_cfg")
    architecture = _text(path, whole, "architecture")
    fields = TIMM_FIELDS | _rotary(table, "rope_temperature") | table.fields
    known = {*TIMM_VISIBLE, *TIMM_SHAPES, *fields, "rope_temperature"}
    only = dict.fromkeys(config.keys() - known, ()) | TIMM_ONLY | table.only
    if config.get("ref_feat_shape", "") is None:  # places that are not scaled
        only["ref_feat_shape"] = ()
    _only(path, config, only)
    _check_places(path, architecture, config, found)
    on_map = {"patch_size": "on the map of a ResNet"} if "resnet_units" in found else {}
    _same(path, config, TIMM_SHAPES | on_map, found)
    _check_last_norm(path, table, architecture, config)
    facts = _architecture(path, table, architecture, config, found)
    facts |= _facts(path, config, fields, found)
    if "image_size" not in facts and "image_size" in table.defaults and "input_size" in inner:
        facts["image_size"] = _input_size(path, inner["input_size"])
    facts |= _global_pool(path, table, {**whole, **config}, found)
    facts |= _pixels(path, inner, ("mean", "std"), 255, found)
    return facts, _select(inner, resize="input_size", resampling="interpolation")


def check_architecture(path, table):
    """Refuses models of timm that compute something else with tensors of the same names."""
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
        advice = "It may be truncated. A model without a last normalization needs its config.json, "
        advice += "with `final_norm` or its architecture."
        check.refuse("the file must hold a whole model", received, advice)


def _check_places(path, name, config, found):
    """Refuses places of the Perception Encoder that are not counted from its class token's."""
    offset = config.get("rope_grid_offset", 0 if "gigantic" in name else 1)
    if name and offset != found.get("has_class_token", offset):
        want = "places must be counted from 1 with a class token, and from 0 without one"
        received = {"path": str(path), "architecture": name, "rope_grid_offset": offset}
        check.refuse(want, received, "No layer here has others.")


def _architecture(path, table, name, config, found):
    """Returns the arguments that the name of an architecture implies, or what replaces them."""
    facts = {"epsilon": 1e-6} if name else {}
    for pattern, row in ARCHITECTURES.items():
        facts |= row if re.fullmatch(pattern, name) else {}
    if _text(path, config, "norm_layer", None):
        facts["epsilon"] = 1e-6
    if facts.pop("quick_gelu", False) and config.get("act_layer") is None:
        if table.models != ("CLIPViT",):
            want = "an architecture with a quick GELU must have a normalization before its blocks"
            check.refuse(want, {"path": str(path), "architecture": name}, "Its blocks are others.")
        return facts | {"quick_gelu": True}
    return facts | _activation(path, table, config, found, "act_layer", TIMM_ACTIVATIONS)


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
    """Returns the field of the longest wave of rotary positions, if the model has them."""
    has_it = table.models[0].endswith("DINOv3ViT")
    return {name: ("theta", check.positive_number)} if has_it else {}


def _facts(path, config, fields, found):
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


def _only(path, config, fields):
    """Refuses fields whose value is not one that the models here have."""
    for name, values in fields.items():
        if name in config and config[name] not in values:
            known = " or ".join(map(repr, values)) or "absent"
            received = {"path": str(path), name: config[name]}
            check.refuse(f"`{name}` must be {known}", received, "No model here has it.")


def _same(path, config, fields, found):
    """Refuses fields that contradict the tensors."""
    for theirs, ours in fields.items():
        given, seen = config.get(theirs), found.get(ours, config.get(theirs))
        pair = tuple(given) if isinstance(given, list) else given
        if pair is not None and pair not in (seen, None) and (pair, pair) != seen:
            want = f"`{theirs}` must be that of the weights, {seen!r}"
            advice = "Use the config.json that came with the weights."
            check.refuse(want, {"path": str(path), theirs: given}, advice)


def _activation(path, table, config, found, field, known):
    """Returns the arguments for an activation, which the model must have."""
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


def _inner(path, config, name, default=None):
    """Returns the object `name` of a configuration, `default` or all of it if there is none."""
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


def _pixels(path, config, names, scale, found):
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
