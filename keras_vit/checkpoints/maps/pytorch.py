"""timm's safetensors: ViT, DeiT, DINOv2, DINOv3, SigLIP, CLIP, BEiT, MAE, sbb, hybrids and BiT.

Names of https://github.com/huggingface/pytorch-image-models.
"""

import functools
import re

from keras_vit.checkpoints.catalogue.published import CLIP_PIXELS, IMAGENET
from keras_vit.checkpoints.maps.weight_map import (
    FLAT,
    TORCH,
    TORCH_HALF,
    TORCH_MERGED,
    TORCH_PATCH,
    TORCH_POINTWISE,
    TORCH_WIDE,
    Export,
    Place,
    Rule,
    WeightMap,
    as_stored,
    rules,
    split_fused,
)
from keras_vit.descendants import UnnormalizedViT

FORMS = {
    "tensor": (Rule("", ""),),
    "patch": (Rule("/kernel", ".weight", TORCH_PATCH), Rule("/bias", ".bias")),
    "dense": (Rule("/kernel", ".weight", TORCH), Rule("/bias", ".bias")),
    "kernel": (Rule("/kernel", ".weight", TORCH),),
    "norm": (Rule("/gamma", ".weight"), Rule("/beta", ".bias")),
    "conv": (Rule("/kernel", ".weight", TORCH),),
    "heads": (Rule("/kernel", ".weight", TORCH_WIDE), Rule("/bias", ".bias", FLAT)),
    "merged heads": (Rule("/kernel", ".weight", TORCH_MERGED), Rule("/bias", ".bias")),
    "conv head": (Rule("/kernel", ".weight", TORCH_POINTWISE), Rule("/bias", ".bias")),
    # DeiT with a distillation token: two tokens and two heads, whose outputs are averaged. Ours is
    # one head on both tokens, with half their weights.
    "two tokens": (Rule("", "", axis=1, first=lambda length, dimensions: 1),),
    "prefix tokens": (Rule("", "", axis=1, first=lambda length, d: length - d.registers),),
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
# A hybrid with a root but no stages: R+ViT-Ti/16.
TIMM_ROOT_LAYERS = TIMM_LAYERS | {
    "root/conv": ("conv", STEM + "conv"),
    "root/norm": ("norm", STEM + "norm"),
}
TIMM_DISTILLED_LAYERS = TIMM_LAYERS | {
    "patch_encoder/class_token": ("two tokens", "cls_token", "dist_token"),
    "head": ("two heads", "head", "head_dist"),
}
TIMM_SIGLIP_LAYERS = TIMM_LAYERS | {
    "pooling/probe": ("tensor", "attn_pool.latent"),
    "pooling/attention/query": ("heads", "attn_pool.q"),
    "pooling/attention/key": ("heads", "attn_pool.k"),
    "pooling/attention/value": ("heads", "attn_pool.v"),
    "pooling/attention/attention_output": ("merged heads", "attn_pool.proj"),
    "pooling/norm": ("norm", "attn_pool.norm"),
    "pooling/mlp/expand": ("dense", "attn_pool.mlp.fc1"),
    "pooling/mlp/contract": ("dense", "attn_pool.mlp.fc2"),
}
TIMM_REGISTERS_LAYERS = TIMM_SIGLIP_LAYERS | {
    "patch_encoder/class_token": ("prefix tokens", "cls_token", "reg_token"),
}
TIMM_POOLED_NORM_LAYERS = TIMM_REGISTERS_LAYERS | {"encoder_norm": ("norm", "fc_norm")}
TIMM_SCALES = {
    "block_{i}/attention/projection": "blocks.{i}.ls1.gamma",
    "block_{i}/mlp/contract": "blocks.{i}.ls2.gamma",
}
TIMM_GAMMAS = {
    "block_{i}/attention/projection": "blocks.{i}.gamma_1",
    "block_{i}/mlp/contract": "blocks.{i}.gamma_2",
}
TIMM_CLIP_LAYERS = TIMM_LAYERS | {
    "embedding_norm": ("norm", "norm_pre"),
    "projection": ("kernel", "head"),  # written as a head without a bias
}
TIMM_GATED_LAYERS = TIMM_REGISTERS_LAYERS | {
    "block_{i}/mlp/expand": ("dense", "blocks.{i}.mlp.fc1_g", "blocks.{i}.mlp.fc1_x"),
}
TIMM_BIASED_LAYERS = TIMM_LAYERS | {
    "block_{i}/attention/bias_table": ("tensor", "blocks.{i}.attn.relative_position_bias_table"),
}
TIMM_BEIT_LAYERS = TIMM_BIASED_LAYERS | {"encoder_norm": ("norm", "fc_norm")}
QUERY_KEY_VALUE = "block_{i}/attention/query_key_value"
# One weight for queries, keys and values, and a bias for each; some files have no biases.
TIMM_BIASES = (
    Rule(QUERY_KEY_VALUE + "/kernel", ("blocks.{i}.attn.qkv.weight",), TORCH),
    Rule(QUERY_KEY_VALUE + "/bias", tuple(f"blocks.{{i}}.attn.{part}_bias" for part in "qkv")),
)
TIMM_BIT_LAYERS = {
    "root/conv": ("conv", "stem.conv"),
    UNIT + "/conv_{k}": ("conv", "stages.{s0}.blocks.{u0}.conv{k}"),
    UNIT + "/norm_{k}": ("norm", "stages.{s0}.blocks.{u0}.norm{k}"),
    UNIT + "/projection": ("conv", "stages.{s0}.blocks.{u0}.downsample.conv"),
    "norm": ("norm", "norm"),
    "head": ("conv head", "head.fc"),
}


TIMM_FUSED = {
    f"attn_pool.kv.{end}": (f"attn_pool.k.{end}", f"attn_pool.v.{end}")
    for end in ("weight", "bias")
}
# If keys have a bias, the three biases are one tensor (timm's attention type "rope").
TIMM_FUSED_BIASES = TIMM_FUSED | {"blocks.{i}.attn.qkv.bias": TIMM_BIASES[1].theirs}


def _split(fused):
    return lambda specs: split_fused(fused, as_stored(specs))


def pools(*poolings):
    """Returns an `Export.fits`; "patch mean" is timm's "avg" for a model with a class token."""
    return lambda model: model.pooling in poolings


def share_table(specs, shared, own):
    """Gives each block the table of relative positions that all blocks share."""
    places = {name: Place(name) for name in specs}
    blocks = {re.search(r"\d+", name)[0] for name in specs if re.match(own.split("{i}")[0], name)}
    if shared in specs and own.format(i=0) not in specs:
        del places[shared]
        places |= {own.format(i=i): Place(shared) for i in blocks}
    return places


TIMM_FITS = pools("token", "gap", "patch mean", None)
TIMM = WeightMap(
    source="timm",
    models=("ViT", "gated ViT"),
    rules=rules(FORMS, TIMM_LAYERS),
    signature=r"patch_embed\.proj\.weight",
    method="bicubic",
    scales=TIMM_SCALES,
    export=Export(fits=lambda model: TIMM_FITS(model) and not getattr(model, "gated", False)),
    zeros=r"blocks\.\d+\.attn\.qkv\.bias",
    unsupported={
        r".*\.(q_norm|k_norm)\..*": "normalized queries and keys",
        r"fc_norm\..*": "a normalization after pooling",
        r".*\.(attn|mlp)\.norm\..*": "a normalization inside the attention or the MLP",
        r".*\.attn\.[qv]_bias": "separate biases of queries and values",
    },
)
# The only classes of timm with a gated MLP have layer scale.
TIMM_GATED = TIMM._replace(models=("gated ViT",), export=Export(fits=TIMM_FITS, layer_scale=True))
TIMM_ROOT = TIMM._replace(
    models=("root hybrid",),
    rules=rules(FORMS, TIMM_ROOT_LAYERS),
    signature=r"patch_embed\.backbone\.conv\.weight",
)
TIMM_DISTILLED = TIMM._replace(
    models=("distilled ViT",),
    rules=rules(FORMS, TIMM_DISTILLED_LAYERS),
    signature=r"dist_token",
    export=Export(),
)
TIMM_REGISTERS = TIMM._replace(
    models=("RegisterViT",),
    rules=rules(FORMS, TIMM_REGISTERS_LAYERS),
    signature=r"reg_token",
    canonical=_split(TIMM_FUSED),
    fused=TIMM_FUSED,
    export=Export(
        fits=pools("token", "gap", "patch mean", "map", None), layer_scale=True, placed=0
    ),
)
TIMM_POOLED_NORM = TIMM_REGISTERS._replace(
    models=("PooledNormViT",),
    rules=rules(FORMS, TIMM_POOLED_NORM_LAYERS),
    signature=r"fc_norm\.weight",
    unsupported={k: words for k, words in TIMM.unsupported.items() if "fc_norm" not in k},
    export=TIMM_REGISTERS.export._replace(fits=pools("token", "gap", "patch mean")),
)
# Files of other models that lost their normalization look the same, so config.json must state it.
TIMM_UNNORMALIZED = TIMM_REGISTERS._replace(
    models=("UnnormalizedViT", "RegisterViT", "ViT"),
    signature=r"patch_embed\.proj\.weight",
    lacks=r"norm\.weight",
    export=TIMM_REGISTERS.export._replace(
        fits=lambda model: isinstance(model, UnnormalizedViT) and TIMM_FITS(model)
    ),
)
TIMM_CLIP = TIMM._replace(
    models=("CLIPViT",),
    rules=rules(FORMS, TIMM_CLIP_LAYERS),
    signature=r"norm_pre\.weight",
    lacks="reg_token",
    zeros=r"patch_embed\.proj\.bias",
    export=TIMM.export._replace(
        left_out=r"patch_embed\.proj\.bias",
        zeros=lambda model: {"head.bias": (model.projection_dim,)} if model.projection_dim else {},
    ),
    defaults={"epsilon": 1e-5, "quick_gelu": False, "normalize": CLIP_PIXELS},
)
TIMM_DINOV3 = TIMM_REGISTERS._replace(
    models=("DINOv3ViT",),
    rules=TIMM_BIASES + rules(FORMS, TIMM_REGISTERS_LAYERS),
    signature=r"blocks\.0\.gamma_1",
    architectures=r".*dinov3.*",
    canonical=_split(TIMM_FUSED_BIASES),
    fused=TIMM_FUSED_BIASES,
    scales=TIMM_GAMMAS,
    zeros=r"blocks\.\d+\.attn\.[qkv]_bias",
    export=Export(
        fits=pools("token", "patch mean", None),
        layer_scale=True,
        left_out=r"blocks\.\d+\.attn\.(?:[qv]|(k))_bias",
    ),
    defaults={"epsilon": 1e-5, "normalize": IMAGENET, "image_size": 256},
)
TIMM_DINOV3_GATED = TIMM_DINOV3._replace(
    models=("gated DINOv3ViT",),
    rules=TIMM_BIASES + rules(FORMS, TIMM_GATED_LAYERS),
    signature=r"blocks\.0\.mlp\.fc1_g\.weight",
)
TIMM_BIT = WeightMap(
    source="timm",
    models=("ResNet",),
    rules=rules(FORMS, TIMM_BIT_LAYERS),
    signature=r"stages\.0\.blocks\.0\.conv1\.weight",
)
TIMM_SIGLIP = TIMM._replace(
    rules=rules(FORMS, TIMM_SIGLIP_LAYERS),
    signature=r"attn_pool\.latent",
    lacks=r"norm_pre\.weight|reg_token|fc_norm\.weight",
    canonical=_split(TIMM_FUSED),
    fused=TIMM_FUSED,
    export=Export(fits=pools("map")),
)
TIMM_BEIT = TIMM._replace(
    models=("BEiTViT",),
    rules=TIMM_BIASES + rules(FORMS, TIMM_BEIT_LAYERS),
    signature=r"(blocks\.0\.attn|rel_pos_bias)\.relative_position_bias_table",
    canonical=functools.partial(
        share_table,
        shared="rel_pos_bias.relative_position_bias_table",
        own="blocks.{i}.attn.relative_position_bias_table",
    ),
    ignored=(r".*relative_position_index",),
    unsupported={r".*\.mlp\.(norm|fc1_g)\..*": "another MLP"},
    scales=TIMM_GAMMAS,
    architectures=r"beit(v2)?_.*",
    zeros=TIMM_DINOV3.zeros,
    export=Export(
        fits=pools("token", "patch mean"), layer_scale=True, idle=r"blocks\.\d+\.attn\.k_bias"
    ),
)
TIMM_BIASED = TIMM_BEIT._replace(
    models=("BiasedViT",),
    rules=TIMM_BIASES + rules(FORMS, TIMM_BIASED_LAYERS),
    lacks=r"fc_norm\.weight",
    export=TIMM_BEIT.export._replace(fits=pools("token", "patch mean", None)),
)
