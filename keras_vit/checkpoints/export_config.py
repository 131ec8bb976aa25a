"""The class of timm or transformers that computes what a model computes, in their JSON files.

This is `configuration` backwards: each field is an argument of the model.
"""

from keras_vit import arguments
from keras_vit.checkpoints.configurations.configuration import (
    HUGGING_FACE_FIELDS,
    HUGGING_FACE_SHAPES,
    RESAMPLING,
    TIMM_FIELDS,
    TIMM_SHAPES,
)
from keras_vit.checkpoints.maps import hugging_face, matching
from keras_vit.descendants import TimmHybridViT

# Modules with the classes that published models have.
PUBLISHED = tuple(f"keras_vit.{name}" for name in ("vit", "hybrid", "resnet", "descendants"))
# Attributes of a model that a subclass may override.
COMPUTES = ("block", "encoder_layer", "stem", "embed", "encode", "norm", "pool", "head", "unit")
# Architectures of timm for what no argument of its classes says.
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
TIMM_POOLINGS = {"gap": "avg", "patch mean": "avg", None: ""}  # others have the same name


def has_folders(source):
    """Returns whether models of a source are folders with a config.json."""
    return source in ("timm", "huggingface")


def make(model, table, tensors):
    """Returns {name of a JSON file: its content}.

    Args:
        model: a model.
        table: its weight map.
        tensors: {name: array}, what is written.

    Raises:
        ValueError: no class of the library computes what the model computes.
    """
    names = changes(model, table)
    if names:
        received = {name: getattr(model, name) for name in names if name == "pooling"}
        _refuse(table, "the model must be one of its own", received or {"changed": names})
    has_pooler = table.source == "huggingface" and model.num_classes is None
    if getattr(model, "representation_size", None) and not has_pooler:
        advice = "Load it with another `num_classes`, or write a file of weights."
        received = {"representation_size": model.representation_size}
        _refuse(table, "there must be no tanh layer before the head", received, advice)
    if table.source == "timm":
        config = _timm(model, table, tensors)
        named = {"label_names": list(model.class_names)} if model.class_names else {}
        return {"config.json": config | named}
    config = _hugging_face(model, table, tensors)
    if model.num_classes:
        names = model.class_names or [f"LABEL_{i}" for i in range(model.num_classes)]
        config["id2label"] = {str(i): name for i, name in enumerate(names)}
        config["label2id"] = {name: i for i, name in enumerate(names)}
    return {"config.json": config, "preprocessor_config.json": _processor(model)}


def changes(model, table):
    """Returns what a model computes in another way than the models of a source, as names."""
    plain = next(kind for kind in type(model).__mro__ if kind.__module__.startswith(PUBLISHED))
    names = [
        name for name in COMPUTES if getattr(type(model), name, 0) is not getattr(plain, name, 0)
    ]
    if isinstance(model, TimmHybridViT) and table.source != "timm":
        names.append("stem")
    return names if table.export.fits(model) else [*names, "pooling"]


def warn_of_changes(model, table):
    """Warns if a program that reads a model's weights by these names computes something else."""
    names = changes(model, table)
    if names:
        arguments.warn(
            f"{type(model).__name__} has its own {', '.join(names)}. A program that reads these "
            f"weights by the names of {table.source!r} computes something else."
        )


def _refuse(table, want, received, advice="Write a file of weights, which needs no config.json."):
    arguments.refuse(f"in a folder for {table.source}, {want}", received, advice)


# --- Hugging Face --------------------------------------------------------------------------------
def _hugging_face(model, table, tensors):
    model_type, *classes = table.export.classes
    name = classes[bool(model.num_classes or getattr(model, "projection_dim", None))]
    if name is None or hasattr(model, "resnet_units"):
        received = {"model": type(model).__name__, "num_classes": model.num_classes}
        _refuse(table, "there must be a class for the model", received)
    if name == "ViTModel" and model.pooling == "token" and not model.representation_size:
        received = {"pooling": "token", "num_classes": None}
        advice = "Load it with pooling=None for all tokens, or write a file of weights."
        _refuse(table, "a ViT has a tanh layer after its pooling", received, advice)
    sizes = {name: getattr(model, name) for name in ("image_size", "patch_size")}
    if model_type in SQUARE and any(height != width for height, width in sizes.values()):
        _refuse(table, f"images and patches of {model_type} must be square", sizes)
    config = {"model_type": model_type, "architectures": [name]}
    fields = {theirs: ours for theirs, (ours, _) in HUGGING_FACE_FIELDS.items()}
    for theirs, ours in (HUGGING_FACE_SHAPES | fields).items():
        if hasattr(model, ours) and theirs not in OWN_FIELDS:
            config[theirs] = _plain(getattr(model, ours))
    config["hidden_act"] = _activation(model, "gelu_pytorch_tanh")
    config |= MORE_FIELDS.get(model_type, lambda *_: {})(model, tensors)
    if "mlp_ratio" in config:  # it stands for the other
        del config["intermediate_size"]
    return config


OWN_FIELDS = ("num_register_tokens", "use_gated_mlp", "use_swiglu_ffn")  # of some types alone
SQUARE = ("dinov2", "dinov2_with_registers", "siglip_vision_model", "clip_vision_model")


def _dinov2_fields(model, _):
    gated = getattr(model, "gated", False)
    fields = {"mlp_ratio": hugging_face.dinov2_ratio(model), "use_swiglu_ffn": gated}
    return fields | ({"hidden_act": "gelu"} if gated else {})  # which the gated MLP does not read


def _dinov3_fields(model, tensors):
    names = {f"{part}_bias": part[0] for part in ("query", "key", "value")}
    stem = "layer.0.attention.{}_proj.bias"
    biases = {field: stem.format(letter) in tensors for field, letter in names.items()}
    biases |= _register_fields(model, tensors) | {"use_gated_mlp": model.gated}
    return {"rope_theta": float(model.theta)} | biases


def _register_fields(model, _):
    return {"num_register_tokens": model.num_registers}


# model_type: what its config.json has beside the fields of all
MORE_FIELDS = {
    "vit": lambda model, _: {"pooler_output_size": model.representation_size},
    "dinov2": _dinov2_fields,
    "dinov2_with_registers": lambda *args: _dinov2_fields(*args) | _register_fields(*args),
    "dinov3_vit": _dinov3_fields,
    "clip_vision_model": lambda model, _: {"projection_dim": model.projection_dim or 512},
}


def _processor(model):
    """Returns preprocessor_config.json: images are resized to the model's size, as here."""
    height, width = model.image_size
    mean, deviation = _pixels(model)
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": height, "width": width},
        "resample": RESAMPLING.index("bilinear"),
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": mean,
        "image_std": deviation,
    }


# --- timm ----------------------------------------------------------------------------------------
def _timm(model, table, tensors):
    kind = matching.kind_of(model)
    if kind == "ResNet":
        size = (model.units, model.width)
        architecture, options = _one_of(table, TIMM_BITS, "units, width", size), {}
        layers = ("stem.conv", "head.fc")
    else:
        find = _timm_dinov3 if "DINOv3" in kind else _timm_vit
        architecture, options = find(model, table, tensors)
        layers = ("patch_embed.proj", "head")
    if hasattr(model, "resnet_units"):
        layers = ("patch_embed.backbone.stem.conv", "head")
    classes, channels = model.num_classes or 0, model.num_channels
    if kind == "CLIPViT" and not classes:
        classes = model.projection_dim or 0
    mean, deviation = _pixels(model)
    return {
        "architecture": architecture,
        "num_classes": classes,
        "model_args": {"in_chans": channels, "num_classes": classes} | options,
        "pretrained_cfg": {
            "input_size": [channels, *model.image_size],
            "fixed_input_size": kind != "ResNet",
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "crop_mode": "squash",  # to the model's size, as here
            "mean": mean,
            "std": deviation,
            "num_classes": classes,
            "first_conv": layers[0],
            "classifier": ["head", "head_dist"] if kind == "distilled ViT" else layers[1],
        },
    }


def _one_of(table, architectures, name, value):
    """Returns the architecture of timm for a value that is not an argument there."""
    if value not in architectures:
        known = " or ".join(map(str, architectures))
        _refuse(table, f"{name} must be {known}", {name: value})
    return architectures[value]


def _timm_sizes(model, mlp_dim):
    names = TIMM_SHAPES | {theirs: ours for theirs, (ours, _) in TIMM_FIELDS.items()}
    sizes = {theirs: _plain(getattr(model, ours)) for theirs, ours in names.items()}
    ratio = mlp_dim / model.hidden_dim  # timm rounds width times ratio down
    if int(model.hidden_dim * ratio) != mlp_dim:
        ratio = (mlp_dim + 0.5) / model.hidden_dim
    return sizes | {"mlp_ratio": ratio}


def _timm_vit(model, table, _):
    gated, pooling, kind = getattr(model, "gated", False), model.pooling, matching.kind_of(model)
    options = _timm_sizes(model, 2 * model.mlp_dim if gated else model.mlp_dim)
    options["act_layer"] = _activation(model, "gelu_tanh")
    architectures = {1e-6: "vit_giant_patch14_dinov2"} if gated else TIMM_EPSILON
    if pooling == "distilled":
        architectures = {1e-6: "deit_base_distilled_patch16_224"}
        if model.num_classes is None:
            received = {"num_classes": None}
            _refuse(table, "a model with a distillation token must have a head", received)
    else:
        options |= {
            "global_pool": TIMM_POOLINGS.get(pooling, pooling),
            "class_token": pooling not in ("gap", "map"),
            "fc_norm": kind == "PooledNormViT",
            "pre_norm": kind == "CLIPViT",
        }
    if table.export.placed == 0:
        options |= {"reg_tokens": model.num_registers, "no_embed_class": True}
    if table.export.layer_scale:
        options["init_values"] = 1.0
    if hasattr(model, "resnet_units"):
        options["patch_size"] = _plain(model.get_layer("patches").patch_size)
        architectures = {1e-6: _one_of(table, TIMM_HYBRIDS, "resnet_units", model.resnet_units)}
    epsilon = max(model.epsilon, 1e-6)
    if epsilon > model.epsilon:  # 1e-12 in many files of Hugging Face
        words = f"timm computes with epsilon={epsilon}, which the model's {model.epsilon} differs "
        arguments.warn(f"{words}from: outputs change slightly.")
    return _one_of(table, architectures, "epsilon", epsilon), options


def _timm_dinov3(model, table, tensors):
    kind = "small_plus" if model.gated else "small"
    architectures = {1e-5: f"vit_{kind}_patch16_dinov3"}
    architecture = _one_of(table, architectures, "epsilon", model.epsilon)
    if model.approximate and not model.gated:
        _refuse(table, "DINOv3 must have the exact GELU", {"approximate": True})
    options = _timm_sizes(model, model.mlp_dim) | {
        "num_reg_tokens": model.num_registers,
        "rope_temperature": float(model.theta),
        "global_pool": TIMM_POOLINGS.get(model.pooling, model.pooling),
    }
    if model.gated:
        options["swiglu_align_to"] = 1
    if "blocks.0.attn.qkv.bias" in tensors:
        options |= {"qkv_bias": True, "attn_type": "rope"}  # the other type has no bias of keys
    elif "blocks.0.attn.q_bias" in tensors or "blocks.0.attn.v_bias" in tensors:
        options["qkv_bias"] = True
    return architecture, options


# --- Both ----------------------------------------------------------------------------------------
def _plain(value):
    """Returns one integer for a square, a list for another pair, anything else as it is."""
    if not isinstance(value, tuple):
        return value
    return value[0] if len(set(value)) == 1 else list(value)


def _activation(model, tanh):
    if getattr(model, "gated", False):
        return "silu"
    if getattr(model, "quick_gelu", False):
        return "quick_gelu"
    return tanh if model.approximate else "gelu"


def _pixels(model):
    """Returns (mean, deviation) for pixels 0 to 1, a list with a number for each channel."""
    pair = model.normalize or (0.0, 1.0)
    return [
        [x / 255 for x in (value if isinstance(value, tuple) else [value] * model.num_channels)]
        for value in pair
    ]
