"""Google's npz files: the paper's, AugReg, SAM, and those of big_vision; hybrids; BiT.

Names of https://github.com/google-research/vision_transformer, .../big_vision and .../big_transfer.
"""

import re

from keras_vit.checkpoints.maps.weight_map import (
    CHANNELS,
    HEADS,
    HEADS_FIRST,
    PATCH,
    POINTWISE,
    Place,
    Rule,
    WeightMap,
    rules,
)

FLAX = {
    "tensor": (Rule("", ""),),
    "patch": (Rule("/kernel", "/kernel", PATCH), Rule("/bias", "/bias")),
    "dense": (Rule("/kernel", "/kernel"), Rule("/bias", "/bias")),
    "heads": (Rule("/kernel", "/kernel", HEADS), Rule("/bias", "/bias", HEADS)),
    "merged heads": (Rule("/kernel", "/kernel", HEADS_FIRST), Rule("/bias", "/bias")),
    "norm": (Rule("/gamma", "/scale"), Rule("/beta", "/bias")),
    "conv": (Rule("/kernel", "/kernel"),),
    "group norm": (Rule("/gamma", "/scale", CHANNELS), Rule("/beta", "/bias", CHANNELS)),
}
BLOCK = "Transformer/encoderblock_{i}/"
ATTENTION = BLOCK + "MultiHeadDotProductAttention_1/"
MAP = "MAPHead_0/"
MAP_ATTENTION = MAP + "MultiHeadDotProductAttention_0/"
UNIT = "block{s}/unit{u}/"
LAYERS = {
    "root/conv": ("conv", "conv_root"),
    "root/norm": ("group norm", "gn_root"),
    "stage_{s}_unit_{u}/conv_{k}": ("conv", UNIT + "conv{k}"),
    "stage_{s}_unit_{u}/norm_{k}": ("group norm", UNIT + "gn{k}"),
    "stage_{s}_unit_{u}/projection": ("conv", UNIT + "conv_proj"),
    "stage_{s}_unit_{u}/norm_projection": ("group norm", UNIT + "gn_proj"),
    "patch_encoder/projection": ("patch", "embedding"),
    "patch_encoder/class_token": ("tensor", "cls"),
    "patch_encoder/position_embedding": ("tensor", "Transformer/posembed_input/pos_embedding"),
    "block_{i}/norm_1": ("norm", BLOCK + "LayerNorm_0"),
    "block_{i}/attention/query_key_value": (
        "heads", ATTENTION + "query", ATTENTION + "key", ATTENTION + "value",
    ),
    "block_{i}/attention/projection": ("merged heads", ATTENTION + "out"),
    "block_{i}/norm_2": ("norm", BLOCK + "LayerNorm_2"),
    "block_{i}/mlp/expand": ("dense", BLOCK + "MlpBlock_3/Dense_0"),
    "block_{i}/mlp/contract": ("dense", BLOCK + "MlpBlock_3/Dense_1"),
    "encoder_norm": ("norm", "Transformer/encoder_norm"),
    "pooling/probe": ("tensor", MAP + "probe"),
    "pooling/attention/query": ("dense", MAP_ATTENTION + "query"),
    "pooling/attention/key": ("dense", MAP_ATTENTION + "key"),
    "pooling/attention/value": ("dense", MAP_ATTENTION + "value"),
    "pooling/attention/attention_output": ("dense", MAP_ATTENTION + "out"),
    "pooling/norm": ("norm", MAP + "LayerNorm_0"),
    "pooling/mlp/expand": ("dense", MAP + "MlpBlock_0/Dense_0"),
    "pooling/mlp/contract": ("dense", MAP + "MlpBlock_0/Dense_1"),
    "pre_logits": ("dense", "pre_logits"),
    "head": ("dense", "head"),
}  # fmt: skip

# Names have changed over the years; all are converted to those of the first files.
PREFIX = re.compile(r"opt/target/|params/img/|params/|img/|target/")
DIALECTS = (
    (r"(Transformer/)?(posembed_input/)?pos_embedding", "Transformer/posembed_input/pos_embedding"),
    (r"(.*encoderblock[^/]*/)LayerNorm_1/(.*)", r"\1LayerNorm_2/\2"),
    (r"(.*encoderblock[^/]*/)MultiHeadDotProductAttention_0/(.*)",
     r"\1MultiHeadDotProductAttention_1/\2"),
    (r"(.*encoderblock[^/]*/)MlpBlock_0/(.*)", r"\1MlpBlock_3/\2"),
    (r"(probe|MlpBlock_0/.*|MultiHeadDotProductAttention_0/.*|LayerNorm_0/.*)", r"MAPHead_0/\1"),
)  # fmt: skip


def _canonical(specs):
    places = {}
    for name, spec in specs.items():
        prefix = PREFIX.match(name)
        plain = name[prefix.end() :] if prefix else name
        for pattern, replacement in DIALECTS:
            if re.fullmatch(pattern, plain):
                plain = re.sub(pattern, replacement, plain)
                break
        stacked = plain.startswith("Transformer/encoderblock/")  # all blocks in one tensor
        if stacked and spec.shape:
            for i in range(min(spec.shape[0], 1000)):
                places[plain.replace("encoderblock/", f"encoderblock_{i}/")] = Place(name, i)
        else:
            places[plain] = Place(name)
    return places


VIT = WeightMap(
    source="google",
    models=("ViT", "root hybrid", "small hybrid"),
    rules=rules(FLAX, LAYERS),
    signature=r"(.*/)?Transformer/encoder_norm/scale",
    canonical=_canonical,
)

BIT_FORMS = {
    "conv": (Rule("/kernel", "/standardized_conv2d/kernel"),),
    "norm": (Rule("/gamma", "/group_norm/gamma"), Rule("/beta", "/group_norm/beta")),
    "head": (Rule("/kernel", "/conv2d/kernel", POINTWISE), Rule("/bias", "/conv2d/bias")),
}
BIT_UNIT = "resnet/block{s}/unit{u00}/"
BIT_LAYERS = {
    "root/conv": ("conv", "resnet/root_block"),
    "stage_{s}_unit_{u}/conv_{k}": ("conv", BIT_UNIT + "{k_abc}"),
    "stage_{s}_unit_{u}/norm_{k}": ("norm", BIT_UNIT + "{k_abc}"),
    "stage_{s}_unit_{u}/projection": ("conv", BIT_UNIT + "a/proj"),
    "norm": ("norm", "resnet"),
    "head": ("head", "resnet/head"),
}


def _bit_canonical(specs):
    """Renames tensors of files that number the convolutions throughout the model."""
    return {
        re.sub(r"/standardized_conv2d_\d+/", "/standardized_conv2d/", name): Place(name)
        for name in specs
    }


BIT = WeightMap(
    source="bit",
    models=("ResNet",),
    rules=rules(BIT_FORMS, BIT_LAYERS),
    signature=r"resnet/root_block/standardized_conv2d(_\d+)?/kernel",
    canonical=_bit_canonical,
)
