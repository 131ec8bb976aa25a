"""SigLIP and CLIP in Hugging Face's safetensors: image encoders, with or without text encoders.

Names of https://github.com/huggingface/transformers.
"""

from keras_vit.checkpoints.catalogue.published import CLIP_PIXELS
from keras_vit.checkpoints.maps.hugging_face import vit_pools
from keras_vit.checkpoints.maps.pytorch import FORMS
from keras_vit.checkpoints.maps.weight_map import (
    FLAT,
    WITHOUT_BATCH,
    Export,
    Place,
    Rule,
    WeightMap,
    rules,
    split_fused,
)

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
    "embedding_norm": ("norm", "pre_layrnorm"),  # misspelled in the files
    "projection": ("kernel", "visual_projection"),
}


TOWER_FUSED = {
    f"head.attention.in_proj_{end}": tuple(
        f"head.attention.{part}.{end}" for part in ("query", "key", "value")
    )
    for end in ("weight", "bias")
}


def _tower(specs):
    """Returns the names of the image encoder without its prefix, and `in_proj` as three tensors."""
    places = {name.removeprefix("vision_model."): Place(name) for name in specs}
    return split_fused(TOWER_FUSED, places)


SIGLIP = WeightMap(
    source="huggingface",
    models=("ViT",),
    rules=rules(TOWER_FORMS, SIGLIP_LAYERS),
    signature=r"(vision_model\.)?head\.probe",
    method="torch-bicubic",
    canonical=_tower,
    ignored=(r"text_model\..*", r"logit_(scale|bias)", r".*\.position_ids"),
    unsupported={r"classifier\..*": "a classifier of the mean of all tokens"},
    fused=TOWER_FUSED,
    export=Export(("siglip_vision_model", "SiglipVisionModel", None), vit_pools("map")),
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
        vit_pools("token"),
        prefix="vision_model.",
        left_out=r"embeddings\.patch_embedding\.bias",
    ),
    defaults={
        "epsilon": 1e-5,
        "quick_gelu": True,
        "normalize": CLIP_PIXELS,
    },
)
