"""timm's and Hugging Face's safetensors: ViT, DeiT, hybrids, and timm's BiT.

Names of https://github.com/huggingface/pytorch-image-models and .../transformers.
"""

import re

from keras_vit.checkpoints.rules import (
    TORCH_CONV,
    TORCH_DENSE,
    TORCH_HALF,
    TORCH_PATCH,
    TORCH_POINTWISE,
    Place,
    Rule,
    Table,
    as_they_are,
)


def _dense(ours, *theirs):
    return (
        Rule(f"{ours}/kernel", tuple(f"{name}.weight" for name in theirs), TORCH_DENSE),
        Rule(f"{ours}/bias", tuple(f"{name}.bias" for name in theirs)),
    )


def _norm(ours, theirs):
    return Rule(f"{ours}/gamma", (f"{theirs}.weight",)), Rule(f"{ours}/beta", (f"{theirs}.bias",))


def _conv(ours, theirs):
    return Rule(f"{ours}/kernel", (f"{theirs}.weight",), TORCH_CONV)


def _units(unit, projection, norm_projection):
    """A stage's units; theirs end in conv1 ... norm3."""
    ours = "stage_{s}_unit_{u}"
    for k in (1, 2, 3):
        yield _conv(f"{ours}/conv_{k}", f"{unit}conv{k}")
        yield from _norm(f"{ours}/norm_{k}", f"{unit}norm{k}")
    yield _conv(f"{ours}/projection", unit + projection)
    if norm_projection:
        yield from _norm(f"{ours}/norm_projection", unit + norm_projection)


def _patches(name):
    return (
        Rule("patch_encoder/projection/kernel", (f"{name}.weight",), TORCH_PATCH),
        Rule("patch_encoder/projection/bias", (f"{name}.bias",)),
    )


def _two_tokens(class_token, distillation_token, *heads):
    """DeiT with a distillation token: two tokens, two heads, the mean of both answers."""
    return (
        Rule("patch_encoder/class_token", (class_token, distillation_token), axis=1),
        Rule("head/kernel", tuple(f"{head}.weight" for head in heads), TORCH_HALF, axis=0),
        Rule("head/bias", tuple(f"{head}.bias" for head in heads), axis=None),
    )


def _replaced(rules, others):
    """`rules` with those of `others` in the place of the same weights."""
    ours = {rule.ours for rule in others}
    return (*(rule for rule in rules if rule.ours not in ours), *others)


# --- timm ---------------------------------------------------------------------------------------
STEM = "patch_embed.backbone."
TIMM_RULES = (
    _conv("root/conv", STEM + "stem.conv"),
    *_norm("root/norm", STEM + "stem.norm"),
    *_units(STEM + "stages.{s0}.blocks.{u0}.", "downsample.conv", "downsample.norm"),
    *_patches("patch_embed.proj"),
    Rule("patch_encoder/class_token", ("cls_token",)),
    Rule("patch_encoder/position_embedding", ("pos_embed",)),
    *_norm("block_{i}/norm_1", "blocks.{i}.norm1"),
    *_dense("block_{i}/attention/query_key_value", "blocks.{i}.attn.qkv"),
    *_dense("block_{i}/attention/projection", "blocks.{i}.attn.proj"),
    *_norm("block_{i}/norm_2", "blocks.{i}.norm2"),
    *_dense("block_{i}/mlp/expand", "blocks.{i}.mlp.fc1"),
    *_dense("block_{i}/mlp/contract", "blocks.{i}.mlp.fc2"),
    *_norm("encoder_norm", "norm"),
    *_dense("pre_logits", "pre_logits.fc"),
    *_dense("head", "head"),
)

TIMM = Table(
    source="timm",
    kinds=("ViT",),
    rules=TIMM_RULES,
    signature=r"patch_embed\.proj\.weight",
    canonical=as_they_are,
    suffix=".safetensors",
    unsupported={
        r".*\.ls[12]\.gamma": "layer scale",
        r"norm_pre\..*": "a normalisation before the blocks",
        r".*\.(q_norm|k_norm)\..*": "normalised queries and keys",
        r"reg_token": "register tokens",
        r"fc_norm\..*": "a normalisation after pooling",
        r"attn_pool\..*": "timm's attention pooling",
    },
)
# A hybrid with a root and no stages: R+ViT-Ti/16.
TIMM_ROOT = TIMM._replace(
    kinds=("root hybrid",),
    rules=_replaced(
        TIMM_RULES, (_conv("root/conv", STEM + "conv"), *_norm("root/norm", STEM + "norm"))
    ),
    signature=r"patch_embed\.backbone\.conv\.weight",
)
TIMM_DISTILLED = TIMM._replace(
    kinds=("distilled ViT",),
    rules=_replaced(TIMM_RULES, _two_tokens("cls_token", "dist_token", "head", "head_dist")),
    signature=r"dist_token",
)
TIMM_BIT = Table(
    source="timm",
    kinds=("ResNet",),
    rules=(
        _conv("root/conv", "stem.conv"),
        *_units("stages.{s0}.blocks.{u0}.", "downsample.conv", None),
        *_norm("norm", "norm"),
        Rule("head/kernel", ("head.fc.weight",), TORCH_POINTWISE),
        Rule("head/bias", ("head.fc.bias",)),
    ),
    signature=r"stages\.0\.blocks\.0\.conv1\.weight",
    canonical=as_they_are,
    suffix=".safetensors",
)


# --- Hugging Face -------------------------------------------------------------------------------
def _hugging_face_rules(prefix):
    """The rules of "vit." or "deit.", whose classifier has no such prefix."""
    layer = prefix + "encoder.layer.{i}."
    stem = prefix + "embeddings.patch_embeddings.backbone.bit."
    qkv = tuple(f"{layer}attention.attention.{part}" for part in ("query", "key", "value"))
    return (
        _conv("root/conv", stem + "embedder.convolution"),
        *_norm("root/norm", stem + "embedder.norm"),
        *_units(stem + "encoder.stages.{s0}.layers.{u0}.", "downsample.conv", "downsample.norm"),
        *_patches(prefix + "embeddings.patch_embeddings.projection"),
        Rule("patch_encoder/class_token", (prefix + "embeddings.cls_token",)),
        Rule("patch_encoder/position_embedding", (prefix + "embeddings.position_embeddings",)),
        *_norm("block_{i}/norm_1", layer + "layernorm_before"),
        *_dense("block_{i}/attention/query_key_value", *qkv),
        *_dense("block_{i}/attention/projection", layer + "attention.output.dense"),
        *_norm("block_{i}/norm_2", layer + "layernorm_after"),
        *_dense("block_{i}/mlp/expand", layer + "intermediate.dense"),
        *_dense("block_{i}/mlp/contract", layer + "output.dense"),
        *_norm("encoder_norm", prefix + "layernorm"),
        *_dense("pre_logits", prefix + "pooler.dense"),
        *_dense("head", "classifier"),
    )


# transformers 5 renamed the modules in memory; files of either kind are read.
NEW_NAMES = (
    (r"^layers\.(\d+)\.attention\.q_proj\.", r"encoder.layer.\1.attention.attention.query."),
    (r"^layers\.(\d+)\.attention\.k_proj\.", r"encoder.layer.\1.attention.attention.key."),
    (r"^layers\.(\d+)\.attention\.v_proj\.", r"encoder.layer.\1.attention.attention.value."),
    (r"^layers\.(\d+)\.attention\.o_proj\.", r"encoder.layer.\1.attention.output.dense."),
    (r"^layers\.(\d+)\.mlp\.fc1\.", r"encoder.layer.\1.intermediate.dense."),
    (r"^layers\.(\d+)\.mlp\.fc2\.", r"encoder.layer.\1.output.dense."),
    (r"^layers\.(\d+)\.", r"encoder.layer.\1."),
)
BACKBONE = ("embeddings.", "encoder.", "layernorm.", "pooler.")


def _canonical_with(prefix):
    """A bare model has no prefix, and DeiT without a distillation token may have ViT's."""

    def canonical(specs):
        return {_hugging_face_name(name, prefix): Place(name) for name in specs}

    return canonical


def _hugging_face_name(name, prefix):
    plain = re.sub(r"^(vit|deit)\.", "", name)
    for pattern, replacement in NEW_NAMES:
        plain = re.sub(pattern, replacement, plain)
    return prefix + plain if plain.startswith(BACKBONE) else plain


HUGGING_FACE = Table(
    source="huggingface",
    kinds=("ViT", "root hybrid"),
    rules=_hugging_face_rules("vit."),
    signature=r"(vit\.|deit\.)?embeddings\.patch_embeddings\.projection\.weight",
    canonical=_canonical_with("vit."),
    suffix=".safetensors",
    ignored=(r".*embeddings\.mask_token",),
    unsupported={r".*\.lambda_[12]|.*layer_scale.*": "layer scale"},
)
HUGGING_FACE_DISTILLED = HUGGING_FACE._replace(
    kinds=("distilled ViT",),
    rules=_replaced(
        _hugging_face_rules("deit."),
        _two_tokens(
            "deit.embeddings.cls_token",
            "deit.embeddings.distillation_token",
            "cls_classifier",
            "distillation_classifier",
        ),
    ),
    signature=r"(deit\.)?embeddings\.distillation_token",
    canonical=_canonical_with("deit."),
)
