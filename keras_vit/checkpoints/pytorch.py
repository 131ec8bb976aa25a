"""timm's safetensors: ViT, DeiT, DeiT-III, DINOv2, hybrids and BiT.

Names of https://github.com/huggingface/pytorch-image-models.
"""

from keras_vit.checkpoints.weight_map import (
    TORCH,
    TORCH_HALF,
    TORCH_PATCH,
    TORCH_POINTWISE,
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
    models=("RegisterViT",),
    rules=rules(FORMS, TIMM_REGISTERS_LAYERS),
    signature=r"reg_token",
    is_written=False,
)
TIMM_BIT = WeightMap(
    source="timm",
    models=("ResNet",),
    rules=rules(FORMS, TIMM_BIT_LAYERS),
    signature=r"stages\.0\.blocks\.0\.conv1\.weight",
    suffix=".safetensors",
)
