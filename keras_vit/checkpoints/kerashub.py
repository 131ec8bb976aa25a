"""KerasHub's ViT in a .weights.h5 file: a backbone, or a classifier with a backbone in it."""

from keras_vit.checkpoints.weight_map import (
    HEADS,
    HEADS_FIRST,
    PATCH,
    WITHOUT_BATCH,
    Place,
    Rule,
    WeightMap,
    rules,
)

FORMS = {
    "tensor": (Rule("", "/vars/0"),),
    "positions": (Rule("", "/vars/0", WITHOUT_BATCH),),
    "patch": (Rule("/kernel", "/vars/0", PATCH), Rule("/bias", "/vars/1")),
    "dense": (Rule("/kernel", "/vars/0"), Rule("/bias", "/vars/1")),
    "heads": (Rule("/kernel", "/vars/0", HEADS), Rule("/bias", "/vars/1", HEADS)),
    "merged heads": (Rule("/kernel", "/vars/0", HEADS_FIRST), Rule("/bias", "/vars/1")),
    "norm": (Rule("/gamma", "/vars/0"), Rule("/beta", "/vars/1")),
}
BACKBONE = "layers/vi_t_backbone/"
EMBEDDING = BACKBONE + "layers/vi_t_patching_and_embedding"
ENCODER = BACKBONE + "layers/vi_t_encoder/"
BLOCK = ENCODER + "encoder_layers/vi_t_encoder_block{i_}/"
LAYERS = {
    "patch_encoder/projection": ("patch", EMBEDDING + "/patch_embedding"),
    "patch_encoder/class_token": ("tensor", EMBEDDING),
    "patch_encoder/position_embedding": ("positions", EMBEDDING + "/position_embedding"),
    "block_{i}/norm_1": ("norm", BLOCK + "layer_norm_1"),
    "block_{i}/attention/query_key_value": (
        "heads", *(f"{BLOCK}mha/{part}_dense" for part in ("query", "key", "value")),
    ),
    "block_{i}/attention/projection": ("merged heads", BLOCK + "mha/output_dense"),
    "block_{i}/norm_2": ("norm", BLOCK + "layer_norm_2"),
    "block_{i}/mlp/expand": ("dense", BLOCK + "mlp/dense_1"),
    "block_{i}/mlp/contract": ("dense", BLOCK + "mlp/dense_2"),
    "encoder_norm": ("norm", ENCODER + "layer_norm"),
    "head": ("dense", "layers/dense"),
}  # fmt: skip


def _canonical(specs):
    """A backbone that was saved alone has the same names without the classifier's prefix."""
    alone = not any(name.startswith(BACKBONE) for name in specs)
    return {
        (BACKBONE if alone and name.startswith("layers/") else "") + name: Place(name)
        for name in specs
    }


KERAS_HUB = WeightMap(
    source="kerashub",
    models=("ViT",),
    rules=rules(FORMS, LAYERS),
    signature=r"(layers/vi_t_backbone/)?layers/vi_t_encoder/layer_norm/vars/0",
    suffix=".weights.h5",
    canonical=_canonical,
    ignored=(r"optimizer/.*", r"seed_generator/.*", r".*seed_generator.*"),
)
