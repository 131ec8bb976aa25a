"""Hugging Face's safetensors: ViT, DeiT, hybrids, DINOv2, DINOv3, SigLIP, CLIP.

Names of https://github.com/huggingface/transformers.
"""

import functools
import re

from keras_vit.checkpoints.published import CLIP_PIXELS, IMAGENET
from keras_vit.checkpoints.pytorch import FORMS, UNIT
from keras_vit.checkpoints.weight_map import (
    FLAT,
    WITHOUT_BATCH,
    Export,
    Place,
    Rule,
    WeightMap,
    rules,
    split_fused,
)


def _pools(*poolings):
    """Returns an `Export.fits` for models with one of these poolings, and no ResNet."""
    return lambda model: model.pooling in poolings and not hasattr(model, "resnet_units")


def _hugging_face_layers(prefix):
    """The table of "vit." or "deit."; the classifier has no such prefix."""
    layer = prefix + "encoder.layer.{i}."
    stem = prefix + "embeddings.patch_embeddings.backbone.bit."
    unit = stem + "encoder.stages.{s0}.layers.{u0}."
    qkv = (f"{layer}attention.attention.{part}" for part in ("query", "key", "value"))
    return {
        "root/conv": ("conv", stem + "embedder.convolution"),
        "root/norm": ("norm", stem + "embedder.norm"),
        UNIT + "/conv_{k}": ("conv", unit + "conv{k}"),
        UNIT + "/norm_{k}": ("norm", unit + "norm{k}"),
        UNIT + "/projection": ("conv", unit + "downsample.conv"),
        UNIT + "/norm_projection": ("norm", unit + "downsample.norm"),
        "patch_encoder/projection": ("patch", prefix + "embeddings.patch_embeddings.projection"),
        "patch_encoder/class_token": ("tensor", prefix + "embeddings.cls_token"),
        "patch_encoder/position_embedding": ("tensor", prefix + "embeddings.position_embeddings"),
        "block_{i}/norm_1": ("norm", layer + "layernorm_before"),
        "block_{i}/attention/query_key_value": ("dense", *qkv),
        "block_{i}/attention/projection": ("dense", layer + "attention.output.dense"),
        "block_{i}/norm_2": ("norm", layer + "layernorm_after"),
        "block_{i}/mlp/expand": ("dense", layer + "intermediate.dense"),
        "block_{i}/mlp/contract": ("dense", layer + "output.dense"),
        "encoder_norm": ("norm", prefix + "layernorm"),
        "pre_logits": ("dense", prefix + "pooler.dense"),
        "head": ("dense", "classifier"),
    }


DEIT_EMBEDDINGS = "deit.embeddings."
HUGGING_FACE_DISTILLED_LAYERS = _hugging_face_layers("deit.") | {
    "patch_encoder/class_token": (
        "two tokens", DEIT_EMBEDDINGS + "cls_token", DEIT_EMBEDDINGS + "distillation_token",
    ),
    "head": ("two heads", "cls_classifier", "distillation_classifier"),
}  # fmt: skip
# transformers 5 renamed its modules in memory; files with either names are read.
NEW_NAMES = {
    ".attention.q_proj.": ".attention.attention.query.",
    ".attention.k_proj.": ".attention.attention.key.",
    ".attention.v_proj.": ".attention.attention.value.",
    ".attention.o_proj.": ".attention.output.dense.",
    ".mlp.fc1.": ".intermediate.dense.",
    ".mlp.fc2.": ".output.dense.",
}
BACKBONE = ("embeddings.", "encoder.", "layernorm.", "pooler.")


def _canonical(prefix, specs):
    """A bare model has no prefix, and DeiT without a distillation token may have ViT's."""
    places = {}
    for name in specs:
        plain = re.sub(r"^(vit|deit|ijepa)\.", "", name)
        if plain.startswith("layers."):
            plain = plain.replace("layers.", "encoder.layer.", 1)
            for new, old in NEW_NAMES.items():
                plain = plain.replace(new, old)
        places[prefix + plain if plain.startswith(BACKBONE) else plain] = Place(name)
    return places


HUGGING_FACE = WeightMap(
    source="huggingface",
    models=("ViT", "root hybrid"),
    rules=rules(FORMS, _hugging_face_layers("vit.")),
    signature=r"(vit\.|deit\.)?embeddings\.patch_embeddings\.projection\.weight",
    suffix=".safetensors",
    canonical=functools.partial(_canonical, "vit."),
    ignored=(r".*embeddings\.mask_token", r"decoder\..*"),  # the decoder of MAE's pre-training
    unsupported={r".*\.lambda_[12]": "layer scale"},
    export=Export(
        ("vit", "ViTModel", "ViTForImageClassification"),
        lambda model: model.pooling in ("token", None),
    ),
)
HUGGING_FACE_DISTILLED = HUGGING_FACE._replace(
    models=("distilled ViT",),
    rules=rules(FORMS, HUGGING_FACE_DISTILLED_LAYERS),
    signature=r"(deit\.)?embeddings\.distillation_token",
    canonical=functools.partial(_canonical, "deit."),
    export=Export(("deit", None, "DeiTForImageClassificationWithTeacher")),
)
IJEPA = HUGGING_FACE._replace(
    rules=rules(FORMS, _hugging_face_layers("ijepa.")),
    signature=r"(ijepa\.)embeddings\.patch_embeddings\.projection\.weight",
    canonical=functools.partial(_canonical, "ijepa."),
    export=Export(("ijepa", "IJepaModel", "IJepaForImageClassification"), _pools("gap")),
)

# DINOv2, whose names are not quite ViT's.
DINOV2_LAYER = "encoder.layer.{i}."
DINOV2_LAYERS = _hugging_face_layers("") | {
    "block_{i}/norm_1": ("norm", DINOV2_LAYER + "norm1"),
    "block_{i}/norm_2": ("norm", DINOV2_LAYER + "norm2"),
    "block_{i}/mlp/expand": ("dense", DINOV2_LAYER + "mlp.fc1"),
    "block_{i}/mlp/contract": ("dense", DINOV2_LAYER + "mlp.fc2"),
}
DINOV2_REGISTERS_LAYERS = DINOV2_LAYERS | {
    "patch_encoder/class_token": (
        "two tokens", "embeddings.cls_token", "embeddings.register_tokens",
    ),
}  # fmt: skip
DINOV2_PREFIX = r"(?:dinov2(?:_with_registers)?\.)?"


def _without_prefix(specs):
    return {re.sub("^" + DINOV2_PREFIX, "", name): Place(name) for name in specs}


def _is_dinov2(model):
    """A classifier there has two vectors, and a model without a head has no untrained pooler."""
    poolings = ("token and mean",) if model.num_classes else ("token", None)
    whole = model.mlp_dim % model.hidden_dim == 0 and model.representation_size is None
    return whole and _pools(*poolings)(model)  # `mlp_ratio` is an integer there


DINOV2 = WeightMap(
    source="huggingface",
    models=("ViT",),
    rules=rules(FORMS, DINOV2_LAYERS),
    signature=DINOV2_PREFIX + r"encoder\.layer\.0\.layer_scale1\.lambda1",
    suffix=".safetensors",
    canonical=_without_prefix,
    ignored=(r"embeddings\.mask_token",),
    unsupported={r".*\.mlp\.weights_(in|out)\..*": "a gated MLP"},
    scales={
        "block_{i}/attention/projection": DINOV2_LAYER + "layer_scale1.lambda1",
        "block_{i}/mlp/contract": DINOV2_LAYER + "layer_scale2.lambda1",
    },
    defaults={"epsilon": 1e-6, "normalize": IMAGENET},
    export=Export(
        ("dinov2", "Dinov2Model", "Dinov2ForImageClassification"),
        _is_dinov2,
        prefix="dinov2.",
        layer_scale=True,
        zeros=lambda model: {"embeddings.mask_token": (1, model.hidden_dim)},
    ),
)
DINOV2_REGISTERS = DINOV2._replace(
    models=("RegisterViT",),
    rules=rules(FORMS, DINOV2_REGISTERS_LAYERS),
    signature=DINOV2_PREFIX + r"embeddings\.register_tokens",
    export=DINOV2.export._replace(
        classes=(
            "dinov2_with_registers", "Dinov2WithRegistersModel",
            "Dinov2WithRegistersForImageClassification",
        ),
        prefix="dinov2_with_registers.",
        placed=1,
    ),
)  # fmt: skip


# --- DINOv3 -------------------------------------------------------------------------------------
DINOV3_LAYER = "layer.{i}."
DINOV3_ATTENTION = DINOV3_LAYER + "attention."
DINOV3_LAYERS = {
    "patch_encoder/projection": ("patch", "embeddings.patch_embeddings"),
    "patch_encoder/class_token": (
        "two tokens", "embeddings.cls_token", "embeddings.register_tokens",
    ),
    "block_{i}/norm_1": ("norm", DINOV3_LAYER + "norm1"),
    "block_{i}/attention/query_key_value": (
        "dense", *(f"{DINOV3_ATTENTION}{part}_proj" for part in "qkv"),
    ),
    "block_{i}/attention/projection": ("dense", DINOV3_ATTENTION + "o_proj"),
    "block_{i}/norm_2": ("norm", DINOV3_LAYER + "norm2"),
    "block_{i}/mlp/expand": ("dense", DINOV3_LAYER + "mlp.up_proj"),
    "block_{i}/mlp/contract": ("dense", DINOV3_LAYER + "mlp.down_proj"),
    "encoder_norm": ("norm", "norm"),
}  # fmt: skip
DINOV3_GATED_LAYERS = DINOV3_LAYERS | {
    "block_{i}/mlp/expand": ("dense", DINOV3_LAYER + "mlp.gate_proj", DINOV3_LAYER + "mlp.up_proj"),
}
DINOV3 = DINOV2._replace(
    models=("DINOv3ViT",),
    rules=rules(FORMS, DINOV3_LAYERS),
    signature=r"layer\.0\.attention\.q_proj\.weight",
    unsupported={},
    scales={
        "block_{i}/attention/projection": DINOV3_LAYER + "layer_scale1.lambda1",
        "block_{i}/mlp/contract": DINOV3_LAYER + "layer_scale2.lambda1",
    },
    zeros=r"layer\.\d+\.attention\.[qkv]_proj\.bias",
    export=Export(
        ("dinov3_vit", "DINOv3ViTModel", None),
        _pools("token", None),
        layer_scale=True,
        zeros=lambda model: {"embeddings.mask_token": (1, 1, model.hidden_dim)},
    ),
    defaults={"epsilon": 1e-5, "normalize": IMAGENET, "image_size": 224},
)
DINOV3_GATED = DINOV3._replace(
    models=("gated DINOv3ViT",),
    rules=rules(FORMS, DINOV3_GATED_LAYERS),
    signature=r"layer\.0\.mlp\.gate_proj\.weight",
)


# --- SigLIP and CLIP ----------------------------------------------------------------------------
TOWER_FORMS = FORMS | {
    "vector": (Rule("", "", FLAT),),
    "table": (Rule("", ".weight", WITHOUT_BATCH),),
}
CLIP_LAYER = "encoder.layers.{i}."
CLIP_ATTENTION = CLIP_LAYER + "self_attn."
TOWER_LAYERS = {
    "patch_encoder/projection": ("patch", "embeddings.patch_embedding"),
    "patch_encoder/position_embedding": ("table", "embeddings.position_embedding"),
    "block_{i}/norm_1": ("norm", CLIP_LAYER + "layer_norm1"),
    "block_{i}/attention/query_key_value": (
        "dense", *(f"{CLIP_ATTENTION}{part}_proj" for part in "qkv"),
    ),
    "block_{i}/attention/projection": ("dense", CLIP_ATTENTION + "out_proj"),
    "block_{i}/norm_2": ("norm", CLIP_LAYER + "layer_norm2"),
    "block_{i}/mlp/expand": ("dense", CLIP_LAYER + "mlp.fc1"),
    "block_{i}/mlp/contract": ("dense", CLIP_LAYER + "mlp.fc2"),
    "encoder_norm": ("norm", "post_layernorm"),
}  # fmt: skip
SIGLIP_LAYERS = TOWER_LAYERS | {
    "pooling/probe": ("tensor", "head.probe"),
    "pooling/attention/query": ("heads", "head.attention.query"),
    "pooling/attention/key": ("heads", "head.attention.key"),
    "pooling/attention/value": ("heads", "head.attention.value"),
    "pooling/attention/attention_output": ("merged heads", "head.attention.out_proj"),
    "pooling/norm": ("norm", "head.layernorm"),
    "pooling/mlp/expand": ("dense", "head.mlp.fc1"),
    "pooling/mlp/contract": ("dense", "head.mlp.fc2"),
}
CLIP_LAYERS = TOWER_LAYERS | {
    "patch_encoder/class_token": ("vector", "embeddings.class_embedding"),
    "embedding_norm": ("norm", "pre_layrnorm"),  # so misspelled
    "projection": ("kernel", "visual_projection"),
}


TOWER_FUSED = {
    f"head.attention.in_proj_{end}": tuple(
        f"head.attention.{part}.{end}" for part in ("query", "key", "value")
    )
    for end in ("weight", "bias")
}


def _tower(specs):
    """The names of the image encoder, without its prefix; `in_proj` is three tensors in one."""
    places = {name.removeprefix("vision_model."): Place(name) for name in specs}
    return split_fused(TOWER_FUSED, places)


SIGLIP = WeightMap(
    source="huggingface",
    models=("ViT",),
    rules=rules(TOWER_FORMS, SIGLIP_LAYERS),
    signature=r"(vision_model\.)?head\.probe",
    suffix=".safetensors",
    canonical=_tower,
    ignored=(r"text_model\..*", r"logit_(scale|bias)", r".*\.position_ids"),
    unsupported={r"classifier\..*": "a classifier of the mean of all tokens"},
    fused=TOWER_FUSED,
    export=Export(("siglip_vision_model", "SiglipVisionModel", None), _pools("map")),
    defaults={"epsilon": 1e-6, "approximate": True},
)
CLIP = SIGLIP._replace(
    models=("CLIPViT",),
    rules=rules(TOWER_FORMS, CLIP_LAYERS),
    signature=r"(vision_model\.)?pre_layrnorm\.weight",
    ignored=(*SIGLIP.ignored, "text_projection.weight"),
    zeros=r"embeddings\.patch_embedding\.bias",
    export=Export(
        ("clip_vision_model", "CLIPVisionModel", "CLIPVisionModelWithProjection"),
        _pools("token"),
        prefix="vision_model.",
    ),
    defaults={
        "epsilon": 1e-5,
        "quick_gelu": True,
        "normalize": CLIP_PIXELS,
    },
)
