"""KerasHub's ViT in a .weights.h5 file: a backbone, or a classifier with a backbone in it."""

from keras_vit.checkpoints.rules import (
    HEADS,
    HEADS_FIRST,
    PATCH,
    TABLE,
    Place,
    Rule,
    Table,
)

BACKBONE = "layers/vi_t_backbone/"
EMBEDDING = BACKBONE + "layers/vi_t_patching_and_embedding/"
ENCODER = BACKBONE + "layers/vi_t_encoder/"
BLOCK = ENCODER + "encoder_layers/vi_t_encoder_block{i_}/"


def _pair(ours, theirs, names=("kernel", "bias")):
    return tuple(Rule(f"{ours}/{name}", (f"{theirs}/vars/{k}",)) for k, name in enumerate(names))


def _norm(ours, theirs):
    return _pair(ours, theirs, ("gamma", "beta"))


def _three(number):
    return tuple(f"{BLOCK}mha/{part}_dense/vars/{number}" for part in ("query", "key", "value"))


def _canonical(specs):
    """A backbone saved by itself has the same names without the classifier's prefix."""
    alone = not any(name.startswith(BACKBONE) for name in specs)
    return {
        (BACKBONE if alone and name.startswith("layers/") else "") + name: Place(name)
        for name in specs
    }


KERAS_HUB = Table(
    source="kerashub",
    kinds=("ViT",),
    rules=(
        Rule("patch_encoder/projection/kernel", (EMBEDDING + "patch_embedding/vars/0",), PATCH),
        Rule("patch_encoder/projection/bias", (EMBEDDING + "patch_embedding/vars/1",)),
        Rule("patch_encoder/class_token", (EMBEDDING + "vars/0",)),
        Rule("patch_encoder/position_embedding", (EMBEDDING + "position_embedding/vars/0",), TABLE),
        *_norm("block_{i}/norm_1", BLOCK + "layer_norm_1"),
        Rule("block_{i}/attention/query_key_value/kernel", _three(0), HEADS),
        Rule("block_{i}/attention/query_key_value/bias", _three(1), HEADS),
        Rule(
            "block_{i}/attention/projection/kernel",
            (BLOCK + "mha/output_dense/vars/0",),
            HEADS_FIRST,
        ),
        Rule("block_{i}/attention/projection/bias", (BLOCK + "mha/output_dense/vars/1",)),
        *_norm("block_{i}/norm_2", BLOCK + "layer_norm_2"),
        *_pair("block_{i}/mlp/expand", BLOCK + "mlp/dense_1"),
        *_pair("block_{i}/mlp/contract", BLOCK + "mlp/dense_2"),
        *_norm("encoder_norm", ENCODER + "layer_norm"),
        *_pair("head", "layers/dense"),
    ),
    signature=r"(layers/vi_t_backbone/)?layers/vi_t_encoder/layer_norm/vars/0",
    canonical=_canonical,
    suffix=".weights.h5",
    ignored=(r"optimizer/.*", r"seed_generator/.*", r".*seed_generator.*"),
)
