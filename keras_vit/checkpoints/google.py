"""Google's npz files: the paper's, AugReg, SAM, and those of big_vision; hybrids; BiT.

Names of https://github.com/google-research/vision_transformer, .../big_vision and .../big_transfer.
"""

import re

from keras_vit.checkpoints.rules import (
    CHANNELS,
    HEADS,
    HEADS_FIRST,
    PATCH,
    POINTWISE,
    Place,
    Rule,
    Table,
)

BLOCK = "Transformer/encoderblock_{i}/"
ATTENTION = BLOCK + "MultiHeadDotProductAttention_1/"
MAP = "MAPHead_0/"
MAP_ATTENTION = MAP + "MultiHeadDotProductAttention_0/"
UNIT = "block{s}/unit{u}/"


def _dense(ours, theirs):
    return Rule(f"{ours}/kernel", (f"{theirs}/kernel",)), Rule(f"{ours}/bias", (f"{theirs}/bias",))


def _norm(ours, theirs):
    return Rule(f"{ours}/gamma", (f"{theirs}/scale",)), Rule(f"{ours}/beta", (f"{theirs}/bias",))


def _group_norm(ours, theirs):
    return tuple(rule._replace(layout=CHANNELS) for rule in _norm(ours, theirs))


def _three(name):
    return tuple(f"{ATTENTION}{part}/{name}" for part in ("query", "key", "value"))


TRANSFORMER = (
    Rule("patch_encoder/projection/kernel", ("embedding/kernel",), PATCH),
    Rule("patch_encoder/projection/bias", ("embedding/bias",)),
    Rule("patch_encoder/class_token", ("cls",)),
    Rule("patch_encoder/position_embedding", ("Transformer/posembed_input/pos_embedding",)),
    *_norm("block_{i}/norm_1", BLOCK + "LayerNorm_0"),
    Rule("block_{i}/attention/query_key_value/kernel", _three("kernel"), HEADS),
    Rule("block_{i}/attention/query_key_value/bias", _three("bias"), HEADS),
    Rule("block_{i}/attention/projection/kernel", (ATTENTION + "out/kernel",), HEADS_FIRST),
    Rule("block_{i}/attention/projection/bias", (ATTENTION + "out/bias",)),
    *_norm("block_{i}/norm_2", BLOCK + "LayerNorm_2"),
    *_dense("block_{i}/mlp/expand", BLOCK + "MlpBlock_3/Dense_0"),
    *_dense("block_{i}/mlp/contract", BLOCK + "MlpBlock_3/Dense_1"),
    *_norm("encoder_norm", "Transformer/encoder_norm"),
)
ATTENTION_POOLING = (
    Rule("pooling/probe", (MAP + "probe",)),
    *_dense("pooling/attention/query", MAP_ATTENTION + "query"),
    *_dense("pooling/attention/key", MAP_ATTENTION + "key"),
    *_dense("pooling/attention/value", MAP_ATTENTION + "value"),
    *_dense("pooling/attention/attention_output", MAP_ATTENTION + "out"),
    *_norm("pooling/norm", MAP + "LayerNorm_0"),
    *_dense("pooling/mlp/expand", MAP + "MlpBlock_0/Dense_0"),
    *_dense("pooling/mlp/contract", MAP + "MlpBlock_0/Dense_1"),
)
HEAD = (*_dense("pre_logits", "pre_logits"), *_dense("head", "head"))
HYBRID_STEM = (
    Rule("root/conv/kernel", ("conv_root/kernel",)),
    *_group_norm("root/norm", "gn_root"),
    *(
        rule
        for k in (1, 2, 3)
        for rule in (
            Rule(f"stage_{{s}}_unit_{{u}}/conv_{k}/kernel", (f"{UNIT}conv{k}/kernel",)),
            *_group_norm(f"stage_{{s}}_unit_{{u}}/norm_{k}", f"{UNIT}gn{k}"),
        )
    ),
    Rule("stage_{s}_unit_{u}/projection/kernel", (UNIT + "conv_proj/kernel",)),
    *_group_norm("stage_{s}_unit_{u}/norm_projection", UNIT + "gn_proj"),
)

# Names have changed over the years; all of them are brought to those of the first files.
PREFIXES = ("opt/target/", "params/img/", "params/", "img/", "target/")
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
        plain = _without_prefix(name)
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


def _without_prefix(name):
    for prefix in PREFIXES:
        if name.startswith(prefix):
            return name[len(prefix) :]
    return name


VIT = Table(
    source="google",
    kinds=("ViT", "root hybrid"),
    rules=(*HYBRID_STEM, *TRANSFORMER, *ATTENTION_POOLING, *HEAD),
    signature=r"(.*/)?Transformer/encoder_norm/scale",
    canonical=_canonical,
    suffix=".npz",
)


def _bit_canonical(specs):
    """Some files number the convolutions of the whole model."""
    return {
        re.sub(r"/standardized_conv2d_\d+/", "/standardized_conv2d/", name): Place(name)
        for name in specs
    }


BIT_UNIT = "resnet/block{s}/unit{u:02d}/"
BIT = Table(
    source="bit",
    kinds=("ResNet",),
    rules=(
        Rule("root/conv/kernel", ("resnet/root_block/standardized_conv2d/kernel",)),
        *(
            rule
            for k, letter in enumerate("abc", start=1)
            for rule in (
                Rule(
                    f"stage_{{s}}_unit_{{u}}/conv_{k}/kernel",
                    (f"{BIT_UNIT}{letter}/standardized_conv2d/kernel",),
                ),
                Rule(
                    f"stage_{{s}}_unit_{{u}}/norm_{k}/gamma",
                    (f"{BIT_UNIT}{letter}/group_norm/gamma",),
                ),
                Rule(
                    f"stage_{{s}}_unit_{{u}}/norm_{k}/beta",
                    (f"{BIT_UNIT}{letter}/group_norm/beta",),
                ),
            )
        ),
        Rule(
            "stage_{s}_unit_{u}/projection/kernel",
            (BIT_UNIT + "a/proj/standardized_conv2d/kernel",),
        ),
        Rule("norm/gamma", ("resnet/group_norm/gamma",)),
        Rule("norm/beta", ("resnet/group_norm/beta",)),
        Rule("head/kernel", ("resnet/head/conv2d/kernel",), POINTWISE),
        Rule("head/bias", ("resnet/head/conv2d/bias",)),
    ),
    signature=r"resnet/root_block/standardized_conv2d(_\d+)?/kernel",
    canonical=_bit_canonical,
    suffix=".npz",
)
