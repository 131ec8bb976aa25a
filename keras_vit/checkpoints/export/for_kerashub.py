"""The JSON files of a KerasHub preset for a model, and the content of its .weights.h5 files."""

import re

from keras_vit.checkpoints.export.json_values import refuse, scale_pixels
from keras_vit.checkpoints.maps.kerashub import TASK_LAYERS
from keras_vit.io import files

BACKBONE = re.compile(r"layers/(vi_t|dei_t)_backbone/(?=layers/)")
TASK = "task.weights.h5"
EXACT_GELU = (
    "KerasHub computes the exact GELU. keras_vit.load_pretrained(..., approximate=False) loads a "
    "model that does too; the logits of published weights change by up to 0.03."
)


def make(model, table, tensors, resize, interpolation):
    """Returns {name of a JSON file: its content}, as `export.make` does."""
    family, backbone, classifier = table.export.classes
    if model.num_classes and classifier is None:
        received = {"model": type(model).__name__, "num_classes": model.num_classes}
        refuse(table, "there must be a class for the model", received)
    name = backbone.removesuffix("Backbone").removesuffix("VisionEncoder")
    part = "vision_encoder" if backbone.endswith("Encoder") else "backbone"
    config = _serialize(family, part, backbone, FIELDS[family](model, table, tensors))
    kind, images = f"{name}ImageConverter", _make_converter(model, resize, interpolation)
    converter = _serialize(family, "image_converter", kind, images)
    named = {"label_names": list(model.class_names)} if model.class_names else {}
    found = {"config.json": config | named, "image_converter.json": converter}
    if model.num_classes:
        part, kind = "image_classifier_preprocessor", f"{classifier}Preprocessor"
        options = {"image_converter": converter, "config_file": "preprocessor.json"}
        preprocessor = _serialize(family, part, kind, options)
        task = {"backbone": config, "preprocessor": preprocessor, "pooling": model.pooling}
        task |= {"num_classes": model.num_classes, "activation": None, "dropout": 0.0}
        if model.representation_size:
            task["intermediate_dim"] = model.representation_size
        found["preprocessor.json"] = preprocessor
        found["task.json"] = _serialize(family, "image_classifier", classifier, task)
    return found


def split(tensors):
    """Returns {name of a .weights.h5 file: its tensors}."""
    task = {name: x for name, x in tensors.items() if re.match(TASK_LAYERS, name)}
    backbone = {BACKBONE.sub("", name): x for name, x in tensors.items() if name not in task}
    return {files.PRESET: backbone} | ({TASK: task} if task else {})


def _serialize(family, part, name, config):
    """Returns an object as Keras serializes it."""
    return {
        "module": f"keras_hub.src.models.{family}.{family}_{part}",
        "class_name": name,
        "config": config,
        "registered_name": f"keras_hub>{name}",
    }


def _make_converter(model, resize, interpolation):
    """Returns how images are prepared: resized as here, but KerasHub crops without a margin."""
    mean, deviation = scale_pixels(model)
    return {
        "image_size": list(model.image_size),
        "scale": [1 / (255 * d) for d in deviation],
        "offset": [-m / d for m, d in zip(mean, deviation, strict=True)],
        "interpolation": interpolation,
        "antialias": True,
        "crop_to_aspect_ratio": resize == "crop",
    }


# --- The arguments of each backbone ---------------------------------------------------------------
def _list_sizes(model, mlp="intermediate_dim"):
    return {
        "image_shape": [*model.image_size, model.num_channels],
        "patch_size": list(model.patch_size),
        "num_layers": model.num_layers,
        "num_heads": model.num_heads,
        "hidden_dim": model.hidden_dim,
        mlp: model.mlp_dim,
    }


def _list_square_sizes(model, table, images=True):
    """Returns the sizes of a backbone whose patches are square, and `images` too."""
    sizes = {name: getattr(model, name) for name in ("image_size", "patch_size")}
    wanted = sizes if images else {"patch_size": model.patch_size}
    if any(height != width for height, width in wanted.values()):
        refuse(table, f"{' and '.join(wanted)} must be square", wanted)
    return _list_sizes(model) | {"patch_size": model.patch_size[0]}


def _check(model, table, **wanted):
    """Refuses values that differ from those of the backbone."""
    for name, value in wanted.items():
        if getattr(model, name) != value:
            advice = (EXACT_GELU,) if name == "approximate" else ()
            refuse(table, f"{name} must be {value}", {name: getattr(model, name)}, *advice)


def _vit(model, table, _):
    _check(model, table, approximate=False)
    tokens = {"use_class_token": model.prefix_tokens > 0}
    return _list_sizes(model, "mlp_dim") | {"layer_norm_epsilon": model.epsilon} | tokens


def _deit(model, table, _):
    _check(model, table, approximate=False)
    return _list_sizes(model) | {"layer_norm_epsilon": model.epsilon}


def _siglip(model, table, _):
    _check(model, table, epsilon=1e-6)
    activation = "gelu_approximate" if model.approximate else "gelu"
    return _list_square_sizes(model, table) | {"intermediate_activation": activation}


def _dinov2(model, table, _):
    _check(model, table, epsilon=1e-6, **({} if model.gated else {"approximate": False}))
    sizes = _list_square_sizes(model, table)
    if model.gated:  # the MLP has 2/3 of `intermediate_dim`, rounded up to a multiple of 8
        _check(model, table, mlp_dim=-(-model.mlp_dim // 8) * 8)
        sizes["intermediate_dim"] = model.mlp_dim * 3 // 2
    return sizes | {
        "num_register_tokens": model.num_registers,
        "use_swiglu_ffn": model.gated,
        "layer_scale_init_value": 1.0,
        "use_mask_token": True,
        "position_embedding_shape": sizes["image_shape"],
        "antialias_in_interpolation": model.num_registers > 0,
    }


def _dinov3(model, table, tensors):
    _check(model, table, **({} if model.gated else {"approximate": False}))
    biased = {re.search(r"(query|key|value)_dense/vars/1|$", name)[1] for name in tensors}
    return _list_square_sizes(model, table, images=False) | {
        "num_register_tokens": model.num_registers,
        "use_gated_mlp": model.gated,
        "hidden_activation": "silu" if model.gated else "gelu",
        "layer_norm_eps": model.epsilon,
        "rope_theta": model.theta,
        "layer_scale_init_value": 1.0,
        "use_mask_token": True,
        **{f"use_{part}_bias": part in biased for part in ("query", "key", "value")},
    }


FIELDS = {"vit": _vit, "deit": _deit, "siglip": _siglip, "dinov2": _dinov2, "dinov3": _dinov3}
