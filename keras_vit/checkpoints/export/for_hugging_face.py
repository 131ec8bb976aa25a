"""config.json and preprocessor_config.json of transformers for a model."""

from keras_vit import arguments
from keras_vit.checkpoints.configurations.configuration import (
    HUGGING_FACE_FIELDS,
    HUGGING_FACE_SHAPES,
    RESAMPLING,
)
from keras_vit.checkpoints.export.json_values import (
    name_activation,
    refuse,
    scale_pixels,
    shorten,
)
from keras_vit.checkpoints.maps import hugging_face
from keras_vit.data.images import CROP_RATIO


def make(model, table, tensors, resize, interpolation):
    """Returns {name of a JSON file: its content}, as `export.make` does."""
    config = _make_config(model, table, tensors)
    if model.num_classes:
        names = model.class_names or [f"LABEL_{i}" for i in range(model.num_classes)]
        config["id2label"] = {str(i): name for i, name in enumerate(names)}
        config["label2id"] = {name: i for i, name in enumerate(names)}
    return {
        "config.json": config,
        "preprocessor_config.json": _make_processor(model, resize, interpolation),
    }


def _make_config(model, table, tensors):
    model_type, *classes = table.export.classes
    name = classes[bool(model.num_classes or getattr(model, "projection_dim", None))]
    if name is None or hasattr(model, "resnet_units"):
        received = {"model": type(model).__name__, "num_classes": model.num_classes}
        refuse(table, "there must be a class for the model", received)
    if name == "ViTModel" and model.pooling == "token" and not model.representation_size:
        received = {"pooling": "token", "num_classes": None}
        advice = "Load it with pooling=None for all tokens, or write a weight file."
        refuse(table, "a ViT has a tanh layer after its pooling", received, advice)
    sizes = {name: getattr(model, name) for name in ("image_size", "patch_size")}
    if model_type in SQUARE and any(height != width for height, width in sizes.values()):
        refuse(table, f"images and patches of {model_type} must be square", sizes)
    config = {"model_type": model_type, "architectures": [name]}
    fields = {theirs: ours for theirs, (ours, _) in HUGGING_FACE_FIELDS.items()}
    for theirs, ours in (HUGGING_FACE_SHAPES | fields).items():
        if hasattr(model, ours) and theirs not in OWN_FIELDS:
            config[theirs] = shorten(getattr(model, ours))
    config["hidden_act"] = name_activation(model, "gelu_pytorch_tanh")
    config |= MORE_FIELDS.get(model_type, lambda *_: {})(model, tensors)
    if "mlp_ratio" in config:  # DINOv2 has this field instead
        del config["intermediate_size"]
    return config


OWN_FIELDS = (
    "num_register_tokens",
    "use_gated_mlp",
    "use_swiglu_ffn",
)  # only some types have these
SQUARE = ("dinov2", "dinov2_with_registers", "siglip_vision_model", "clip_vision_model", "beit")


def _dinov2_fields(model, _):
    gated = getattr(model, "gated", False)
    fields = {"mlp_ratio": hugging_face.dinov2_ratio(model), "use_swiglu_ffn": gated}
    return fields | ({"hidden_act": "gelu"} if gated else {})  # the gated MLP does not read it


def _dinov3_fields(model, tensors):
    names = {f"{part}_bias": part[0] for part in ("query", "key", "value")}
    stem = "layer.0.attention.{}_proj.bias"
    biases = {field: stem.format(letter) in tensors for field, letter in names.items()}
    biases |= _register_fields(model, tensors) | {"use_gated_mlp": model.gated}
    return {"rope_theta": float(model.theta)} | biases


def _beit_fields(model, _):
    return {"use_relative_position_bias": True, "use_mean_pooling": model.pooling == "patch mean"}


def _register_fields(model, _):
    return {"num_register_tokens": model.num_registers}


# model_type: what its config.json has in addition to the fields that all have
MORE_FIELDS = {
    "vit": lambda model, _: {"pooler_output_size": model.representation_size},
    "dinov2": _dinov2_fields,
    "dinov2_with_registers": lambda *args: _dinov2_fields(*args) | _register_fields(*args),
    "dinov3_vit": _dinov3_fields,
    "beit": _beit_fields,
    "clip_vision_model": lambda model, _: {"projection_dim": model.projection_dim or 512},
}


def _make_processor(model, resize, interpolation):
    """Returns preprocessor_config.json: images are resized as here, and cropped as for DINOv2."""
    height, width = size = model.image_size
    kind, steps = "ViTImageProcessor", {"size": {"height": height, "width": width}}
    if resize == "crop" and height != width:
        words = "transformers crops images only to squares, so preprocessor_config.json squashes"
        arguments.warn(f"{words} images to {size}. Crop them yourself.")
    elif resize == "crop":
        kind, steps["crop_size"] = "BitImageProcessor", steps["size"]
        steps |= {"size": {"shortest_edge": round(CROP_RATIO * height)}, "do_center_crop": True}
    mean, deviation = scale_pixels(model)
    return {
        "image_processor_type": kind,
        "do_resize": True,
        **steps,
        "resample": RESAMPLING.index(interpolation),
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": mean,
        "image_std": deviation,
    }
