"""config.json of timm for a model."""

from keras_vit import arguments
from keras_vit.checkpoints.configurations.configuration import TIMM_FIELDS, TIMM_SHAPES
from keras_vit.checkpoints.export.json_values import (
    name_activation,
    refuse,
    scale_pixels,
    shorten,
)
from keras_vit.checkpoints.maps import matching
from keras_vit.data.images import CROP_RATIO

# timm architectures for values that no argument of timm's classes can express.
TIMM_EPSILON = {1e-6: "vit_base_patch16_224", 1e-5: "vit_base_patch16_clip_224"}
TIMM_HYBRIDS = {
    (): "vit_tiny_r_s16_p8_224",
    (2, 2, 2, 2): "vit_small_r26_s32_224",
    (3, 4, 9): "vit_base_r50_s16_224",
    (3, 4, 6, 3): "vit_large_r50_s32_224",
}
TIMM_BITS = {
    ((3, 4, 6, 3), 1): "resnetv2_50x1_bit",
    ((3, 4, 6, 3), 3): "resnetv2_50x3_bit",
    ((3, 4, 23, 3), 1): "resnetv2_101x1_bit",
    ((3, 4, 23, 3), 3): "resnetv2_101x3_bit",
    ((3, 8, 36, 3), 2): "resnetv2_152x2_bit",
    ((3, 8, 36, 3), 4): "resnetv2_152x4_bit",
}
CROP_MODES = {"squash": "squash", "crop": "center"}
TIMM_POOLINGS = {"gap": "avg", "patch mean": "avg", None: ""}  # the others have the same names


def make(model, table, tensors, resize, interpolation):
    """Returns {name of a JSON file: its content}, as `export.make` does."""
    named = {"label_names": list(model.class_names)} if model.class_names else {}
    return {"config.json": _make_config(model, table, tensors, resize, interpolation) | named}


def _make_config(model, table, tensors, resize, interpolation):
    kind = matching.kind_of(model)
    if kind == "ResNet":
        size = (model.units, model.width)
        architecture, options = _choose(table, TIMM_BITS, "units, width", size), {}
        layers = ("stem.conv", "head.fc")
    else:
        architecture, options = OTHERS.get(kind, _vit)(model, table, tensors)
        layers = ("patch_embed.proj", "head")
    if hasattr(model, "resnet_units"):
        layers = ("patch_embed.backbone.stem.conv", "head")
    classes, channels = model.num_classes or 0, model.num_channels
    if kind == "CLIPViT" and not classes:
        classes = model.projection_dim or 0
    mean, deviation = scale_pixels(model)
    return {
        "architecture": architecture,
        "num_classes": classes,
        "model_args": {"in_chans": channels, "num_classes": classes} | options,
        "pretrained_cfg": {
            "input_size": [channels, *model.image_size],
            "fixed_input_size": kind != "ResNet",
            "interpolation": interpolation,
            "crop_pct": 1 / CROP_RATIO if resize == "crop" else 1.0,
            "crop_mode": CROP_MODES[resize],
            "mean": mean,
            "std": deviation,
            "num_classes": classes,
            "first_conv": layers[0],
            "classifier": ["head", "head_dist"] if kind == "distilled ViT" else layers[1],
        },
    }


def _choose(table, architectures, name, value):
    """Returns timm's architecture for a value that is not an argument in timm."""
    if value not in architectures:
        known = " or ".join(map(str, architectures))
        refuse(table, f"{name} must be {known}", {name: value})
    return architectures[value]


def _list_sizes(model, mlp_dim):
    names = TIMM_SHAPES | {theirs: ours for theirs, (ours, _) in TIMM_FIELDS.items()}
    sizes = {theirs: shorten(getattr(model, ours)) for theirs, ours in names.items()}
    ratio = mlp_dim / model.hidden_dim  # timm rounds width times ratio down
    if int(model.hidden_dim * ratio) != mlp_dim:
        ratio = (mlp_dim + 0.5) / model.hidden_dim
    return sizes | {"mlp_ratio": ratio}


def _vit(model, table, _):
    gated, pooling, kind = getattr(model, "gated", False), model.pooling, matching.kind_of(model)
    options = _list_sizes(model, 2 * model.mlp_dim if gated else model.mlp_dim)
    options["act_layer"] = name_activation(model, "gelu_tanh")
    architectures = {1e-6: "vit_giant_patch14_dinov2"} if gated else TIMM_EPSILON
    if pooling == "distilled":
        architectures = {1e-6: "deit_base_distilled_patch16_224"}
        if model.num_classes is None:
            received = {"num_classes": None}
            refuse(table, "a model with a distillation token must have a head", received)
    else:
        options |= {
            "global_pool": TIMM_POOLINGS.get(pooling, pooling),
            "class_token": pooling not in ("gap", "map"),
            "fc_norm": kind == "PooledNormViT",
            "pre_norm": kind == "CLIPViT",
        }
    if kind == "UnnormalizedViT":
        options["final_norm"] = False
    if table.export.placed == 0:
        options |= {"reg_tokens": model.num_registers, "no_embed_class": True}
    if table.export.layer_scale:
        options["init_values"] = 1.0
    if hasattr(model, "resnet_units"):
        options["patch_size"] = shorten(model.get_layer("patches").patch_size)
        architectures = {1e-6: _choose(table, TIMM_HYBRIDS, "resnet_units", model.resnet_units)}
    return _find_by_epsilon(model, table, architectures), options


def _find_by_epsilon(model, table, architectures):
    """Returns the architecture for the epsilon of a model; timm's smallest one is 1e-6."""
    epsilon = max(model.epsilon, 1e-6)
    if epsilon > model.epsilon:  # 1e-12 in many files of Hugging Face
        words = f"timm computes with epsilon={epsilon}, this model with {model.epsilon}:"
        arguments.warn(f"{words} outputs change slightly.")
    return _choose(table, architectures, "epsilon", epsilon)


def _check_gelu(model, table):
    if model.approximate:
        refuse(table, "its blocks must have the exact GELU", {"approximate": True})


def _dinov3(model, table, tensors):
    kind = "small_plus" if model.gated else "small"
    architectures = {1e-5: f"vit_{kind}_patch16_dinov3"}
    architecture = _choose(table, architectures, "epsilon", model.epsilon)
    if not model.gated:
        _check_gelu(model, table)
    options = _list_sizes(model, model.mlp_dim) | {
        "num_reg_tokens": model.num_registers,
        "rope_temperature": float(model.theta),
        "global_pool": TIMM_POOLINGS.get(model.pooling, model.pooling),
    }
    if model.gated:
        options["swiglu_align_to"] = 1
    if "blocks.0.attn.qkv.bias" in tensors:
        options |= {"qkv_bias": True, "attn_type": "rope"}  # the other type has no key bias
    elif "blocks.0.attn.q_bias" in tensors or "blocks.0.attn.v_bias" in tensors:
        options["qkv_bias"] = True
    return architecture, options


def _beit(model, table, _):
    _check_gelu(model, table)
    options = {
        "global_pool": TIMM_POOLINGS.get(model.pooling, model.pooling),
        "use_abs_pos_emb": model.positions,
        "use_fc_norm": matching.kind_of(model) == "BEiTViT",
    }
    architecture = _find_by_epsilon(model, table, {1e-6: "beit_base_patch16_224"})
    return architecture, _list_sizes(model, model.mlp_dim) | options


def _list_rotary(model, pooled_norm, last_norm):
    """Returns the options of EVA-02 and PE, based on the norms that follow the last block."""
    return _list_sizes(model, model.mlp_dim) | {
        "global_pool": TIMM_POOLINGS.get(model.pooling, model.pooling),
        "ref_feat_shape": shorten(model.reference),
        "use_fc_norm": pooled_norm,
        "use_post_transformer_norm": last_norm,
    }


def _eva(model, table, tensors):
    is_mean = matching.kind_of(model) == "EVAMeanViT"
    options = _list_rotary(model, is_mean, not is_mean) | {
        "class_token": model.prefix_tokens > 0,
        "qkv_fused": False,
        "scale_attn_inner": model.attention_norm,
        "scale_mlp": model.mlp_norm,
        "swiglu_align_to": 1,  # separate layers for gates and values, even without a norm
    }
    if "blocks.0.attn.k_proj.bias" in tensors:
        options["attn_type"] = "rope"  # the other type has no key bias
    return _find_by_epsilon(model, table, {1e-6: "eva02_base_patch14_448"}), options


def _pe(model, table, _):
    is_core = matching.kind_of(model) == "PEViT"
    _check_gelu(model, table)
    options = _list_rotary(model, False, is_core) | {"init_values": None}  # G has layer scale
    kind = "core" if is_core else "spatial"
    size = "base_patch16" if model.prefix_tokens else "gigantic_patch14"  # where places begin
    name = f"vit_pe_{kind}_{size}_{PE_SIDES[kind, model.prefix_tokens]}"
    return _choose(table, {1e-5: name}, "epsilon", model.epsilon), options


PE_SIDES = {("core", 1): 224, ("core", 0): 448, ("spatial", 1): 512, ("spatial", 0): 448}
# Kind of a model: function that finds its architecture and options; all others use `_vit`
OTHERS = {
    "DINOv3ViT": _dinov3,
    "gated DINOv3ViT": _dinov3,
    "BEiTViT": _beit,
    "BiasedViT": _beit,
    "EVAViT": _eva,
    "EVAMeanViT": _eva,
    "PEViT": _pe,
    "PESpatialViT": _pe,
}
