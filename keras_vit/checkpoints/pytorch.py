"""timm's and Hugging Face's safetensors: ViT, DeiT, DINOv2, hybrids, and timm's BiT.

Names of https://github.com/huggingface/pytorch-image-models and .../transformers.
"""

import functools
import re

from keras_vit.checkpoints.published import IMAGENET
from keras_vit.checkpoints.weight_map import (
    TORCH,
    TORCH_HALF,
    TORCH_PATCH,
    TORCH_POINTWISE,
    Place,
    Rule,
    WeightMap,
    rules,
)

FORMS = {
    "tensor": (Rule("", ""),),
    "patch": (Rule("/kernel", ".weight", TORCH_PATCH), Rule("/bias", ".bias")),
    "dense": (Rule("/kernel", ".weight", TORCH), Rule("/bias", ".bias")),
    "norm": (Rule("/gamma", ".weight"), Rule("/beta", ".bias")),
    "conv": (Rule("/kernel", ".weight", TORCH),),
    "conv head": (Rule("/kernel", ".weight", TORCH_POINTWISE), Rule("/bias", ".bias")),
    # DeiT with a distillation token: two tokens and two heads, whose outputs are averaged. Ours is
    # one head of half their weights on both tokens.
    "two tokens": (Rule("", "", axis=1, first=1),),
    "two heads": (
        Rule("/kernel", ".weight", TORCH_HALF, axis=0), Rule("/bias", ".bias", axis=None),
    ),
}  # fmt: skip
UNIT = "stage_{s}_unit_{u}"

# --- timm ---------------------------------------------------------------------------------------
STEM = "patch_embed.backbone."
TIMM_UNIT = STEM + "stages.{s0}.blocks.{u0}."
TIMM_LAYERS = {
    "root/conv": ("conv", STEM + "stem.conv"),
    "root/norm": ("norm", STEM + "stem.norm"),
    UNIT + "/conv_{k}": ("conv", TIMM_UNIT + "conv{k}"),
    UNIT + "/norm_{k}": ("norm", TIMM_UNIT + "norm{k}"),
    UNIT + "/projection": ("conv", TIMM_UNIT + "downsample.conv"),
    UNIT + "/norm_projection": ("norm", TIMM_UNIT + "downsample.norm"),
    "patch_encoder/projection": ("patch", "patch_embed.proj"),
    "patch_encoder/class_token": ("tensor", "cls_token"),
    "patch_encoder/position_embedding": ("tensor", "pos_embed"),
    "block_{i}/norm_1": ("norm", "blocks.{i}.norm1"),
    "block_{i}/attention/query_key_value": ("dense", "blocks.{i}.attn.qkv"),
    "block_{i}/attention/projection": ("dense", "blocks.{i}.attn.proj"),
    "block_{i}/norm_2": ("norm", "blocks.{i}.norm2"),
    "block_{i}/mlp/expand": ("dense", "blocks.{i}.mlp.fc1"),
    "block_{i}/mlp/contract": ("dense", "blocks.{i}.mlp.fc2"),
    "encoder_norm": ("norm", "norm"),
    "pre_logits": ("dense", "pre_logits.fc"),
    "head": ("dense", "head"),
}
# A hybrid with a root and no stages: R+ViT-Ti/16.
TIMM_ROOT_LAYERS = TIMM_LAYERS | {
    "root/conv": ("conv", STEM + "conv"),
    "root/norm": ("norm", STEM + "norm"),
}
TIMM_DISTILLED_LAYERS = TIMM_LAYERS | {
    "patch_encoder/class_token": ("two tokens", "cls_token", "dist_token"),
    "head": ("two heads", "head", "head_dist"),
}
TIMM_REGISTERS_LAYERS = TIMM_LAYERS | {
    "patch_encoder/class_token": ("two tokens", "cls_token", "reg_token"),
}
TIMM_SCALES = {
    "block_{i}/attention/projection": "blocks.{i}.ls1.gamma",
    "block_{i}/mlp/contract": "blocks.{i}.ls2.gamma",
}
TIMM_BIT_LAYERS = {
    "root/conv": ("conv", "stem.conv"),
    UNIT + "/conv_{k}": ("conv", "stages.{s0}.blocks.{u0}.conv{k}"),
    UNIT + "/norm_{k}": ("norm", "stages.{s0}.blocks.{u0}.norm{k}"),
    UNIT + "/projection": ("conv", "stages.{s0}.blocks.{u0}.downsample.conv"),
    "norm": ("norm", "norm"),
    "head": ("conv head", "head.fc"),
}

TIMM = WeightMap(
    source="timm",
    models=("ViT",),
    rules=rules(FORMS, TIMM_LAYERS),
    signature=r"patch_embed\.proj\.weight",
    suffix=".safetensors",
    scales=TIMM_SCALES,
    unsupported={
        r"norm_pre\..*": "a normalization before the blocks",
        r".*\.(q_norm|k_norm)\..*": "normalized queries and keys",
        r"fc_norm\..*": "a normalization after pooling",
        r"attn_pool\..*": "timm's attention pooling",
    },
)
TIMM_ROOT = TIMM._replace(
    models=("root hybrid",),
    rules=rules(FORMS, TIMM_ROOT_LAYERS),
    signature=r"patch_embed\.backbone\.conv\.weight",
)
TIMM_DISTILLED = TIMM._replace(
    models=("distilled ViT",),
    rules=rules(FORMS, TIMM_DISTILLED_LAYERS),
    signature=r"dist_token",
)
TIMM_REGISTERS = TIMM._replace(
    models=("register ViT",),
    rules=rules(FORMS, TIMM_REGISTERS_LAYERS),
    signature=r"reg_token",
)
TIMM_BIT = WeightMap(
    source="timm",
    models=("ResNet",),
    rules=rules(FORMS, TIMM_BIT_LAYERS),
    signature=r"stages\.0\.blocks\.0\.conv1\.weight",
    suffix=".safetensors",
)


# --- Hugging Face -------------------------------------------------------------------------------
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
        plain = re.sub(r"^(vit|deit)\.", "", name)
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
    ignored=(r".*embeddings\.mask_token",),
    unsupported={r".*\.lambda_[12]|.*layer_scale.*": "layer scale"},
)
HUGGING_FACE_DISTILLED = HUGGING_FACE._replace(
    models=("distilled ViT",),
    rules=rules(FORMS, HUGGING_FACE_DISTILLED_LAYERS),
    signature=r"(deit\.)?embeddings\.distillation_token",
    canonical=functools.partial(_canonical, "deit."),
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
)
DINOV2_REGISTERS = DINOV2._replace(
    models=("register ViT",),
    rules=rules(FORMS, DINOV2_REGISTERS_LAYERS),
    signature=DINOV2_PREFIX + r"embeddings\.register_tokens",
)
