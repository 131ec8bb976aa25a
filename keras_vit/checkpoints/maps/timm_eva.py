"""timm's safetensors of its class `Eva`: EVA-02 and the Perception Encoder.

Names of https://github.com/huggingface/pytorch-image-models.
"""

import re

from keras_vit import arguments as check
from keras_vit.checkpoints.catalogue.published import CLIP_PIXELS
from keras_vit.checkpoints.maps.pytorch import (
    FORMS,
    TIMM,
    TIMM_CLIP,
    TIMM_CLIP_LAYERS,
    TIMM_GAMMAS,
    TIMM_GATED_LAYERS,
    TIMM_SIGLIP,
    TIMM_SIGLIP_LAYERS,
    pools,
)
from keras_vit.checkpoints.maps.weight_map import Export, Place, rules

TIMM_EVA_LAYERS = TIMM_GATED_LAYERS | {
    "patch_encoder/class_token": ("tensor", "cls_token"),
    "block_{i}/attention/query_key_value": (
        "dense", *(f"blocks.{{i}}.attn.{part}_proj" for part in "qkv"),
    ),
    "block_{i}/attention/projection/norm": ("norm", "blocks.{i}.attn.norm"),
    "block_{i}/mlp/contract/norm": ("norm", "blocks.{i}.mlp.norm"),
}  # fmt: skip
CAT_ROTARY = {  # how timm's class `Eva` computes these positions
    "rope_type": ("cat",),
    "rope_rotate_half": (False,),
    "rope_temperature": (10000,),
}


def _split_queries_and_gates(specs):
    """Splits fused queries, keys and values, or gates and values, whose biases have other names."""
    places = {}
    for name in specs:
        found = re.fullmatch(r"(blocks\.\d+\.)(attn\.qkv|mlp\.fc1)\.(weight|bias)", name)
        parts = () if found is None else ("attn.q_proj", "attn.k_proj", "attn.v_proj")
        if found and found[2] == "mlp.fc1":
            wide, narrow = (specs.get(f"{found[1]}mlp.{fc}.weight") for fc in ("fc1", "fc2"))
            is_gated = wide and narrow and wide.shape[0] == 2 * narrow.shape[-1]
            parts = ("mlp.fc1_g", "mlp.fc1_x") if is_gated else ()
        for number, part in enumerate(parts):
            places[f"{found[1]}{part}.{found[3]}"] = Place(name, number, len(parts))
        if not parts:
            places[re.sub(r"\.([qv])_bias$", r".\1_proj.bias", name)] = Place(name)
    return places


TIMM_EVA = TIMM._replace(
    models=("EVAViT",),
    rules=rules(FORMS, TIMM_EVA_LAYERS),
    signature=r"blocks\.0\.attn\.(q_bias|q_proj\.weight)",
    lacks=r"reg_token|fc_norm\.weight|.*relative_position_bias_table",
    canonical=_split_queries_and_gates,
    unsupported={r".*\.(q_norm|k_norm)\..*": "normalized queries and keys"},
    scales=TIMM_GAMMAS,
    zeros=r"blocks\.\d+\.attn\.[qkv]_proj\.bias",
    export=Export(
        fits=pools("token", "patch mean", "gap", None), left_out=r"blocks\.\d+\.attn\.k_proj\.bias"
    ),
    defaults={"normalize": CLIP_PIXELS, "reference": (16, 16)},
    architectures=r"eva02_(tiny|small|base|large)_.*",
    only=CAT_ROTARY | {"rope_grid_indexing": ("ij",), "rope_grid_offset": (0,)},
    fields={"ref_feat_shape": ("reference", check.height_width)},
)
TIMM_EVA_MEAN = TIMM_EVA._replace(
    models=("EVAMeanViT",),
    rules=rules(FORMS, TIMM_EVA_LAYERS | {"encoder_norm": ("norm", "fc_norm")}),
    lacks=r"reg_token|.*relative_position_bias_table",
    export=TIMM_EVA.export._replace(fits=pools("token", "patch mean", "gap")),
)
TIMM_PE = TIMM_SIGLIP._replace(
    models=("PEViT",),
    rules=rules(FORMS, TIMM_SIGLIP_LAYERS | TIMM_CLIP_LAYERS),
    lacks=r"reg_token|fc_norm\.weight",
    scales=TIMM_GAMMAS,
    zeros=TIMM_CLIP.zeros,
    export=Export(fits=pools("map"), left_out=TIMM_CLIP.export.left_out),
    defaults={"epsilon": 1e-5},
    architectures=r"vit_pe_.*",
    fields=TIMM_EVA.fields,
    only=CAT_ROTARY
    | {"rope_grid_indexing": ("xy",), "attn_pool_num_heads": (8,), "attn_pool_mlp_ratio": (4,)},
)
TIMM_PE_SPATIAL = TIMM_PE._replace(
    models=("PESpatialViT",),
    signature=r"norm_pre\.weight",
    lacks=r"(fc_)?norm\.weight",
    export=TIMM_PE.export._replace(fits=pools("token", "patch mean", "gap", None)),
)
