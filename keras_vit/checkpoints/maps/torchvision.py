"""torchvision's ViT in safetensors, saved with any version.

Names of https://github.com/pytorch/vision.
"""

import re

from keras_vit.checkpoints.catalogue.published import IMAGENET
from keras_vit.checkpoints.maps.pytorch import FORMS as TORCH_FORMS
from keras_vit.checkpoints.maps.weight_map import TORCH, Place, Rule, WeightMap, rules

FORMS = TORCH_FORMS | {"in_proj": (Rule("/kernel", "weight", TORCH), Rule("/bias", "bias"))}
BLOCK = "encoder.layers.encoder_layer_{i}."
LAYERS = {
    "patch_encoder/projection": ("patch", "conv_proj"),
    "patch_encoder/class_token": ("tensor", "class_token"),
    "patch_encoder/position_embedding": ("tensor", "encoder.pos_embedding"),
    "block_{i}/norm_1": ("norm", BLOCK + "ln_1"),
    "block_{i}/attention/query_key_value": ("in_proj", BLOCK + "self_attention.in_proj_"),
    "block_{i}/attention/projection": ("dense", BLOCK + "self_attention.out_proj"),
    "block_{i}/norm_2": ("norm", BLOCK + "ln_2"),
    "block_{i}/mlp/expand": ("dense", BLOCK + "mlp.0"),
    "block_{i}/mlp/contract": ("dense", BLOCK + "mlp.3"),
    "encoder_norm": ("norm", "encoder.ln"),
    "pre_logits": ("dense", "heads.pre_logits"),
    "head": ("dense", "heads.head"),
}
OLD_NAMES = {".mlp.linear_1.": ".mlp.0.", ".mlp.linear_2.": ".mlp.3."}  # before torchvision 0.13


def _canonical(specs):
    def rename(name):
        return re.sub("|".join(map(re.escape, OLD_NAMES)), lambda old: OLD_NAMES[old[0]], name)

    return {rename(name): Place(name) for name in specs}


TORCHVISION = WeightMap(
    source="torchvision",
    models=("ViT",),
    rules=rules(FORMS, LAYERS),
    signature=r"encoder\.layers\.encoder_layer_0\.ln_1\.weight",
    canonical=_canonical,
    unsupported={r"conv_proj\..*\..*": "a stem of several convolutions"},
    defaults={"normalize": IMAGENET},
    method="aligned-bicubic",
)
