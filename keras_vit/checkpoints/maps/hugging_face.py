"""Hugging Face's safetensors: ViT, DeiT, hybrids, DINOv2, DINOv3, BEiT, TIPSv2.

Names of https://github.com/huggingface/transformers.
"""

import functools
import re

from keras_vit.checkpoints.catalogue.published import IMAGENET
from keras_vit.checkpoints.maps.pytorch import (
    FORMS,
    TIMM_REGISTERS,
    TIMM_REGISTERS_LAYERS,
    UNIT,
    pools,
    share_table,
)
from keras_vit.checkpoints.maps.weight_map import (
    Export,
    Place,
    WeightMap,
    rules,
)


def vit_pools(*poolings):
    """Returns an `Export.fits` for models with one of these poolings, and without a ResNet."""
    return lambda model: pools(*poolings)(model) and not hasattr(model, "resnet_units")


def _hugging_face_layers(prefix):
    """Returns the table for names that begin with "vit." or "deit."; a head has no prefix."""
    layer = prefix + "encoder.layer.{i}."
    stem = prefix + "embeddings.patch_embeddings.backbone.bit."
    unit = stem + "encoder.stages.{s0}.layers.{u0}."
    qkv = (f"{layer}attention.attention.{part}" for part in ("query", "key", "value"))
    return {
        "root/conv": ("conv", stem + "embedder.convolution"),
        "root/norm": ("norm", stem + "embedder.norm"),
        UNIT + "/conv_{k}": ("conv", unit + "conv{k}"),
        UNIT + "/norm_{k}": ("norm", unit + "norm{k}"),
        UNIT + "/projection": ("conv", unit + "downsample.conv"),
        UNIT + "/norm_projection": ("norm", unit + "downsample.norm"),
        "patch_encoder/projection": ("patch", prefix + "embeddings.patch_embeddings.projection"),
        "patch_encoder/class_token": ("tensor", prefix + "embeddings.cls_token"),
        "patch_encoder/position_embedding": ("tensor", prefix + "embeddings.position_embeddings"),
        "block_{i}/norm_1": ("norm", layer + "layernorm_before"),
        "block_{i}/attention/query_key_value": ("dense", *qkv),
        "block_{i}/attention/projection": ("dense", layer + "attention.output.dense"),
        "block_{i}/norm_2": ("norm", layer + "layernorm_after"),
        "block_{i}/mlp/expand": ("dense", layer + "intermediate.dense"),
        "block_{i}/mlp/contract": ("dense", layer + "output.dense"),
        "encoder_norm": ("norm", prefix + "layernorm"),
        "pre_logits": ("dense", prefix + "pooler.dense"),
        "head": ("dense", "classifier"),
    }


DEIT_EMBEDDINGS = "deit.embeddings."
HUGGING_FACE_DISTILLED_LAYERS = _hugging_face_layers("deit.") | {
    "patch_encoder/class_token": (
        "two tokens", DEIT_EMBEDDINGS + "cls_token", DEIT_EMBEDDINGS + "distillation_token",
    ),
    "head": ("two heads", "cls_classifier", "distillation_classifier"),
}  # fmt: skip
# transformers 5 renamed its modules in memory; files with either names are read.
NEW_NAMES = {
    ".attention.q_proj.": ".attention.attention.query.",
    ".attention.k_proj.": ".attention.attention.key.",
    ".attention.v_proj.": ".attention.attention.value.",
    ".attention.o_proj.": ".attention.output.dense.",
    ".mlp.fc1.": ".intermediate.dense.",
    ".mlp.fc2.": ".output.dense.",
}
BACKBONE = ("embeddings.", "encoder.", "layernorm.", "pooler.")


def _canonical(prefix, specs):
    """Adds the prefix that a bare model lacks; DeiT without a distillation token may have ViT's."""
    places = {}
    for name in specs:
        plain = re.sub(r"^(vit|deit|ijepa)\.", "", name)
        if plain.startswith("layers."):
            plain = plain.replace("layers.", "encoder.layer.", 1)
            for new, old in NEW_NAMES.items():
                plain = plain.replace(new, old)
        places[prefix + plain if plain.startswith(BACKBONE) else plain] = Place(name)
    return places


HUGGING_FACE = WeightMap(
    source="huggingface",
    models=("ViT", "root hybrid"),
    rules=rules(FORMS, _hugging_face_layers("vit.")),
    signature=r"(vit\.|deit\.)?embeddings\.patch_embeddings\.projection\.weight",
    method="torch-bicubic",
    canonical=functools.partial(_canonical, "vit."),
    ignored=(r".*embeddings\.mask_token", r"decoder\..*"),  # the decoder of MAE's pre-training
    unsupported={r".*\.lambda_[12]": "layer scale"},
    export=Export(
        ("vit", "ViTModel", "ViTForImageClassification"),
        lambda model: model.pooling in ("token", None),
    ),
)
HUGGING_FACE_DISTILLED = HUGGING_FACE._replace(
    models=("distilled ViT",),
    rules=rules(FORMS, HUGGING_FACE_DISTILLED_LAYERS),
    signature=r"(deit\.)?embeddings\.distillation_token",
    lacks=r"classifier\.weight|(deit\.)?pooler\.dense\.weight",
    canonical=functools.partial(_canonical, "deit."),
    export=Export(("deit", None, "DeiTForImageClassificationWithTeacher")),
)
IJEPA = HUGGING_FACE._replace(
    rules=rules(FORMS, _hugging_face_layers("ijepa.")),
    signature=r"ijepa\.embeddings\.patch_embeddings\.projection\.weight",
    canonical=functools.partial(_canonical, "ijepa."),
    export=Export(("ijepa", "IJepaModel", "IJepaForImageClassification"), vit_pools("gap")),
)
# With one head or a pooler, both of the class token: the distillation token is a register.
HUGGING_FACE_ONE_HEAD = HUGGING_FACE_DISTILLED._replace(
    models=("RegisterViT",),
    rules=rules(FORMS, HUGGING_FACE_DISTILLED_LAYERS | {"head": ("dense", "classifier")}),
    lacks="",
    export=None,
    defaults={"normalize": IMAGENET},
)

# DINOv2, whose names differ slightly from ViT's.
DINOV2_LAYER = "encoder.layer.{i}."
DINOV2_LAYERS = _hugging_face_layers("") | {
    "block_{i}/norm_1": ("norm", DINOV2_LAYER + "norm1"),
    "block_{i}/norm_2": ("norm", DINOV2_LAYER + "norm2"),
    "block_{i}/mlp/expand": ("dense", DINOV2_LAYER + "mlp.fc1"),
    "block_{i}/mlp/contract": ("dense", DINOV2_LAYER + "mlp.fc2"),
}
DINOV2_REGISTERS_LAYERS = DINOV2_LAYERS | {
    "patch_encoder/class_token": (
        "two tokens", "embeddings.cls_token", "embeddings.register_tokens",
    ),
}  # fmt: skip
DINOV2_GATED = ((".mlp.fc1.", ".mlp.weights_in."), (".mlp.fc2.", ".mlp.weights_out."))
DINOV2_PREFIX = r"(?:dinov2(?:_with_registers)?\.)?"


def _without_prefix(specs):
    """Removes the prefix, and renames the gated MLP of size g to that of the other sizes."""
    places = {re.sub("^" + DINOV2_PREFIX, "", name): Place(name) for name in specs}
    for ours, theirs in DINOV2_GATED:
        places = {name.replace(theirs, ours): place for name, place in places.items()}
    return places


def dinov2_ratio(model):
    """Returns the integer `mlp_ratio` that gives the width of a model's MLP, or None."""
    for ratio in range(1, 33):
        width = ratio * model.hidden_dim
        if getattr(model, "gated", False):
            width = -(-(width * 2 // 3) // 8) * 8  # two thirds, rounded up to a multiple of 8
        if width == model.mlp_dim:
            return ratio
    return None


def _is_dinov2(model):
    """Whether DINOv2 has such a model: classifiers pool two vectors, others have no pooler."""
    poolings = ("token and mean",) if model.num_classes else ("token", None)
    whole = dinov2_ratio(model) and model.representation_size is None
    return bool(whole) and vit_pools(*poolings)(model)


DINOV2 = WeightMap(
    source="huggingface",
    models=("ViT", "gated ViT"),
    rules=rules(FORMS, DINOV2_LAYERS),
    signature=DINOV2_PREFIX + r"encoder\.layer\.0\.layer_scale1\.lambda1",
    method="torch-bicubic",
    canonical=_without_prefix,
    ignored=(r"embeddings\.mask_token",),
    scales={
        "block_{i}/attention/projection": DINOV2_LAYER + "layer_scale1.lambda1",
        "block_{i}/mlp/contract": DINOV2_LAYER + "layer_scale2.lambda1",
    },
    defaults={"epsilon": 1e-6, "normalize": IMAGENET},
    export=Export(
        ("dinov2", "Dinov2Model", "Dinov2ForImageClassification"),
        _is_dinov2,
        prefix="dinov2.",
        gated=DINOV2_GATED,
        layer_scale=True,
        zeros=lambda model: {"embeddings.mask_token": (1, model.hidden_dim)},
    ),
)
DINOV2_REGISTERS = DINOV2._replace(
    models=("RegisterViT",),
    rules=rules(FORMS, DINOV2_REGISTERS_LAYERS),
    signature=DINOV2_PREFIX + r"embeddings\.register_tokens",
    method="bicubic",
    export=DINOV2.export._replace(
        classes=(
            "dinov2_with_registers", "Dinov2WithRegistersModel",
            "Dinov2WithRegistersForImageClassification",
        ),
        prefix="dinov2_with_registers.",
        placed=1,
    ),
)  # fmt: skip


# --- DINOv3 -------------------------------------------------------------------------------------
DINOV3_LAYER = "layer.{i}."
DINOV3_ATTENTION = DINOV3_LAYER + "attention."
DINOV3_LAYERS = {
    "patch_encoder/projection": ("patch", "embeddings.patch_embeddings"),
    "patch_encoder/class_token": (
        "two tokens", "embeddings.cls_token", "embeddings.register_tokens",
    ),
    "block_{i}/norm_1": ("norm", DINOV3_LAYER + "norm1"),
    "block_{i}/attention/query_key_value": (
        "dense", *(f"{DINOV3_ATTENTION}{part}_proj" for part in "qkv"),
    ),
    "block_{i}/attention/projection": ("dense", DINOV3_ATTENTION + "o_proj"),
    "block_{i}/norm_2": ("norm", DINOV3_LAYER + "norm2"),
    "block_{i}/mlp/expand": ("dense", DINOV3_LAYER + "mlp.up_proj"),
    "block_{i}/mlp/contract": ("dense", DINOV3_LAYER + "mlp.down_proj"),
    "encoder_norm": ("norm", "norm"),
}  # fmt: skip
DINOV3_GATED_LAYERS = DINOV3_LAYERS | {
    "block_{i}/mlp/expand": ("dense", DINOV3_LAYER + "mlp.gate_proj", DINOV3_LAYER + "mlp.up_proj"),
}
DINOV3 = DINOV2._replace(
    models=("DINOv3ViT",),
    rules=rules(FORMS, DINOV3_LAYERS),
    signature=r"layer\.0\.attention\.q_proj\.weight",
    scales={
        "block_{i}/attention/projection": DINOV3_LAYER + "layer_scale1.lambda1",
        "block_{i}/mlp/contract": DINOV3_LAYER + "layer_scale2.lambda1",
    },
    zeros=r"layer\.\d+\.attention\.[qkv]_proj\.bias",
    export=Export(
        ("dinov3_vit", "DINOv3ViTModel", None),
        vit_pools("token", None),
        layer_scale=True,
        left_out=r"layer\.\d+\.attention\.([qkv])_proj\.bias",
        zeros=lambda model: {"embeddings.mask_token": (1, 1, model.hidden_dim)},
    ),
    defaults={"epsilon": 1e-5, "normalize": IMAGENET, "image_size": 224},
)
DINOV3_GATED = DINOV3._replace(
    models=("gated DINOv3ViT",),
    rules=rules(FORMS, DINOV3_GATED_LAYERS),
    signature=r"layer\.0\.mlp\.gate_proj\.weight",
)


# --- TIPSv2: DINOv2 under other names -------------------------------------------------------------
TIPSV2_LAYERS = TIMM_REGISTERS_LAYERS | {
    "patch_encoder/class_token": ("prefix tokens", "cls_token", "register_tokens"),
    "block_{i}/mlp/expand": ("dense", "blocks.{i}.mlp.c_fc"),
    "block_{i}/mlp/contract": ("dense", "blocks.{i}.mlp.c_proj"),
}
TIPSV2_GATED_LAYERS = TIPSV2_LAYERS | {
    "block_{i}/mlp/expand": ("dense", "blocks.{i}.mlp.w12"),
    "block_{i}/mlp/contract": ("dense", "blocks.{i}.mlp.w3"),
}
TIPSV2 = TIMM_REGISTERS._replace(
    source="huggingface",
    rules=rules(FORMS, TIPSV2_LAYERS),
    signature=r"(vision_encoder\.)?blocks\.0\.mlp\.c_fc\.weight",
    canonical=lambda specs: {n.removeprefix("vision_encoder."): Place(n) for n in specs},
    ignored=(r"text_encoder\..*", "temperature", "mask_token"),
    zeros="",
    method="antialiased-bilinear",
    defaults={"epsilon": 1e-6, "normalize": (0.0, 255.0)},
    export=None,
)
TIPSV2_GATED = TIPSV2._replace(
    rules=rules(FORMS, TIPSV2_GATED_LAYERS),
    signature=r"(vision_encoder\.)?blocks\.0\.mlp\.w12\.weight",
)


# --- BEiT ---------------------------------------------------------------------------------------
BIAS_TABLE = "relative_position_bias.relative_position_bias_table"
BIASED_LAYERS = _hugging_face_layers("") | {
    "block_{i}/attention/bias_table": (
        "tensor", "encoder.layer.{i}.attention.attention." + BIAS_TABLE,
    ),
}  # fmt: skip
BEIT_LAYERS = BIASED_LAYERS | {"encoder_norm": ("norm", "pooler.layernorm")}


def _beit(specs):
    """Removes "beit.", the prefix of every tensor of the encoder if the file has a head."""
    names = {}
    for name in sorted(specs):
        names.setdefault(name.removeprefix("beit."), name)
    own = "encoder.layer.{i}.attention.attention." + BIAS_TABLE
    places = share_table(names, shared="encoder." + BIAS_TABLE, own=own)
    return {plain: Place(names[place.name]) for plain, place in places.items()}


BEIT = HUGGING_FACE._replace(
    models=("BEiTViT",),
    rules=rules(FORMS, BEIT_LAYERS),
    signature=r"(beit\.)?encoder\.layer\.0\.lambda_1"
    rf"|(beit\.)?encoder\.(layer\.0\.attention\.attention\.)?{re.escape(BIAS_TABLE)}",
    canonical=_beit,
    ignored=(r"embeddings\.mask_token", r".*relative_position_index", r"lm_head\..*"),
    unsupported={},
    scales={
        "block_{i}/attention/projection": "encoder.layer.{i}.lambda_1",
        "block_{i}/mlp/contract": "encoder.layer.{i}.lambda_2",
    },
    zeros=r"encoder\.layer\.\d+\.attention\.attention\.key\.bias",
    export=Export(
        ("beit", "BeitModel", "BeitForImageClassification"),
        vit_pools("patch mean"),
        prefix="beit.",
        layer_scale=True,
        idle=r"encoder\.layer\.\d+\.attention\.attention\.key\.bias",
    ),
)
BIASED = BEIT._replace(
    models=("BiasedViT",),
    rules=rules(FORMS, BIASED_LAYERS),
    lacks=r"(beit\.)?pooler\.layernorm\.weight",
    export=BEIT.export._replace(fits=vit_pools("token", None)),
)
