"""Reads the JSON files of a KerasHub preset: each field is either applied or refused by name."""

from keras_vit import arguments as check
from keras_vit.checkpoints.configurations import configuration
from keras_vit.checkpoints.configurations.fields import EXACT, TANH

BACKBONES = (
    "ViTBackbone", "DeiTBackbone", "SigLIPBackbone", "SigLIPVisionEncoder", "DINOV2Backbone",
    "DINOV3Backbone",
)  # fmt: skip
FIELDS = {  # their name: our name, and how it is checked
    "num_heads": ("num_heads", check.positive_integer),
    "layer_norm_epsilon": ("epsilon", check.positive_number),
    "layer_norm_eps": ("epsilon", check.positive_number),
    "rope_theta": ("theta", check.positive_number),
}
SHAPES = {  # values that the tensors also show
    "hidden_dim": "hidden_dim",
    "num_layers": "num_layers",
    "mlp_dim": "mlp_dim",
    "intermediate_dim": "mlp_dim",
    "patch_size": "patch_size",
    "num_register_tokens": "num_registers",
    "use_gated_mlp": "gated",
    "use_swiglu_ffn": "gated",
}
ACTIVATIONS = {"gelu": EXACT, "gelu_approximate": TANH}
ONLY = {"data_format": (None, "channels_last")}
# Fields that the tensors show, or that change no output of a trained model.
VISIBLE = (
    "antialias_in_interpolation", "apply_layernorm", "attention_dropout", "drop_path_rate",
    "dropout_rate", "dtype", "hidden_activation", "image_shape", "intermediate_activation",
    "layer_scale_init_value", "name", "position_embedding_shape", "trainable", "use_class_token",
    "use_key_bias", "use_mask_token", "use_mha_bias", "use_mlp_bias", "use_patch_bias",
    "use_proj_bias", "use_query_bias", "use_value_bias",
)  # fmt: skip
TASK_ONLY = {
    "class_name": ("ViTImageClassifier", "DeiTImageClassifier"),
    "activation": (None, "linear", "softmax", "sigmoid"),  # a model here returns its logits
}


def read(table, path, found):
    """Returns (arguments, preprocessing) from the files of a preset, as `configuration.read` does.

    Raises:
        ValueError: a field has a value that no model here has, or contradicts the tensors.
    """
    whole = configuration.read_beside(path, "config.json")
    if "class_name" not in whole:  # not a preset
        return {}, {}
    configuration.refuse_others(path, whole, {"class_name": BACKBONES})
    config = configuration.read_object(path, whole, "config")
    if "vision_encoder" in config:
        encoder = configuration.read_object(path, config, "vision_encoder")
        config = configuration.read_object(path, encoder, "config")
    known = {*VISIBLE, *SHAPES, *FIELDS}
    only = dict.fromkeys(config.keys() - known, ()) | ONLY
    if "intermediate_activation" in config:  # SigLIP's last norm always has this value
        only["layer_norm_epsilon"] = (1e-6,)
    configuration.refuse_others(path, config, only)
    shapes = dict(SHAPES)
    if config.get("use_swiglu_ffn"):  # a gated MLP has two thirds of that width
        del shapes["intermediate_dim"]
    configuration.refuse_contradictions(
        path, config, shapes, {"num_registers": 0, "gated": False} | found
    )
    facts = configuration.read_facts(path, config, FIELDS, found)
    for name in ("hidden_activation", "intermediate_activation"):
        facts |= configuration.read_activation(path, table, config, found, name, ACTIVATIONS)
    if "image_shape" in config:
        facts["image_size"] = _image_size(path, config["image_shape"], found)
    if found["num_classes"] is not None:
        _check_task(path, found)
    images = _converter(path)
    return facts | _pixels(path, images, found), _resizing(images)


def _image_size(path, value, found):
    """Returns (height, width) from (height, width, channels)."""
    if not isinstance(value, list) or value[2:] != [found["num_channels"]]:
        want = f"`image_shape` must be (height, width, {found['num_channels']})"
        advice = "Use the config.json that came with the weights."
        check.refuse(want, {"path": str(path), "image_shape": value}, advice)
    return check.height_width("image_shape", value[:2])


def _check_task(path, found):
    """Refuses classifiers that no model here is equivalent to."""
    task = configuration.read_beside(path, "task.json")
    config = configuration.read_object(path, task, "config", {})
    # KerasHub's "gap" includes a class token in the mean, which no model here does.
    pooling = "gap" if found["pooling"] == "gap" else "token"
    configuration.refuse_others(path, {**config, **task}, TASK_ONLY | {"pooling": (pooling,)})
    configuration.refuse_contradictions(path, config, {"num_classes": "num_classes"}, found)


def _converter(path):
    """Returns the configuration of the layer that prepares images."""
    whole = configuration.read_beside(path, "image_converter.json")
    return configuration.read_object(path, whole, "config", {})


def _resizing(images):
    found = {"resize": images.get("image_size"), "resampling": images.get("interpolation")}
    if images.get("crop_to_aspect_ratio"):
        found["crop"] = images["image_size"]
    return {name: value for name, value in found.items() if value is not None}


def _pixels(path, images, found):
    """Returns {"normalize": ...} for pixels times `scale` plus `offset`."""
    if images.get("scale") is None and images.get("offset") is None:
        return {}
    count = found["num_channels"]
    pairs = []
    for name, default in (("scale", 1.0), ("offset", 0.0)):
        given = default if images.get(name) is None else images[name]
        values = given if isinstance(given, list) else [given] * count
        if len(values) != count:
            want = f"`{name}` must be one number, or one for each of {count} channels"
            check.refuse(want, {"path": str(path), name: given}, f"Correct {name} in the file.")
        pairs.append([check.number(name, value) for value in values])
    scales = [check.positive_number("scale", value) for value in pairs[0]]
    means = [-offset / scale for scale, offset in zip(scales, pairs[1], strict=True)]
    pixels = {"mean": means, "deviation": [1 / scale for scale in scales]}
    return configuration.read_pixels(path, pixels, ("mean", "deviation"), 1, found)
