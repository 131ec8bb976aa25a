"""KerasHub's .weights.h5 files, also in presets: ViT, DeiT, SigLIP, DINOv2, DINOv3.

A name is a path of attributes and classes. The path of a backbone is left out in files that contain
only the backbone, and in presets, which have a separate file for the classifier.
"""

import functools
import re

import numpy as np

from keras_vit.checkpoints.catalogue.published import IMAGENET
from keras_vit.checkpoints.maps.weight_map import (
    HEADS,
    HEADS_FIRST,
    PATCH,
    WITHOUT_BATCH,
    Export,
    Place,
    Rule,
    WeightMap,
    rules,
)
from keras_vit.descendants import RegisterViT

FORMS = {
    "tensor": (Rule("", "/vars/0"),),
    "positions": (Rule("", "/vars/0", WITHOUT_BATCH),),
    "patch": (Rule("/kernel", "/vars/0", PATCH), Rule("/bias", "/vars/1")),
    "dense": (Rule("/kernel", "/vars/0"), Rule("/bias", "/vars/1")),
    "heads": (Rule("/kernel", "/vars/0", HEADS), Rule("/bias", "/vars/1", HEADS)),
    "merged heads": (Rule("/kernel", "/vars/0", HEADS_FIRST), Rule("/bias", "/vars/1")),
    "norm": (Rule("/gamma", "/vars/0"), Rule("/beta", "/vars/1")),
    "variable": (Rule("", ""),),
    "two tokens": (Rule("", "", axis=1, first=lambda length, dimensions: 1),),
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
        (BACKBONE if alone and name.startswith("layers/vi_t_") else "") + name: Place(name)
        for name in specs
    }


def _canonical_tanh(specs):
    """Renames the two dense layers of a model with a tanh layer, which precedes the head."""
    names = {"layers/dense/": "pre_logits/", "layers/dense_1/": "layers/dense/"}
    return {
        re.sub(r"^layers/dense(_1)?/", lambda found: names[found[0]], name): place
        for name, place in _canonical(specs).items()
    }


def _number_tanh(tensors):
    """Undoes `_canonical_tanh`."""
    names = {"pre_logits/": "layers/dense/", "layers/dense/": "layers/dense_1/"}
    pattern = re.compile(f"^({'|'.join(names)})")
    return {pattern.sub(lambda found: names[found[0]], n): x for n, x in tensors.items()}


def _pools(*poolings, head=True):
    """Returns an `Export.fits` for models with one of these poolings."""
    return lambda model: model.pooling in poolings and (head or model.num_classes is None)


TASK_LAYERS = r"layers/dense(_1)?/"  # a preset has these in a separate file
VIT_CLASSES = ("vit", "ViTBackbone", "ViTImageClassifier")
KERAS_HUB = WeightMap(
    source="kerashub",
    models=("ViT",),
    rules=rules(FORMS, LAYERS),
    signature=r"(layers/vi_t_backbone/)?layers/vi_t_encoder/layer_norm/vars/0",
    canonical=_canonical,
    ignored=(r"optimizer/.*", r"seed_generator/.*", r".*seed_generator.*"),
    export=Export(VIT_CLASSES, _pools("token", "gap", None)),
)
KERAS_HUB_TANH = KERAS_HUB._replace(
    rules=rules(FORMS, LAYERS | {"pre_logits": ("dense", "pre_logits")}),
    signature=r"layers/dense_1/vars/0",
    canonical=_canonical_tanh,
    export=Export(
        VIT_CLASSES,
        lambda model: bool(model.representation_size and model.num_classes),
        number=_number_tanh,
    ),
)


# --- Later families -------------------------------------------------------------------------------
def _block_layers(block, norms, heads, attention, *mlp):
    """Returns the table of the block at the path `block`; `{}` in a name is 1 or 2."""
    parts = (f"{attention}/{part}_dense" for part in ("query", "key", "value"))
    return {
        "block_{i}/norm_1": ("norm", block + norms.format(1)),
        "block_{i}/attention/query_key_value": (heads, *(block + part for part in parts)),
        "block_{i}/attention/projection": (
            "merged heads" if heads == "heads" else heads, f"{block}{attention}/output_dense",
        ),
        "block_{i}/norm_2": ("norm", block + norms.format(2)),
        "block_{i}/mlp/expand": ("dense", *(block + name for name in mlp[:-1])),
        "block_{i}/mlp/contract": ("dense", block + mlp[-1]),
    }  # fmt: skip


def _scales(block):
    """Returns the names of layer scale in a block."""
    names = {"attention/projection": "layer_scale1", "mlp/contract": "layer_scale2"}
    return {f"block_{{i}}/{ours}": f"{block}{theirs}/vars/0" for ours, theirs in names.items()}


def _without_backbone(specs):
    prefix = r"^layers/(dei_t_backbone|dinov[23]_backbone|sig_lip_vision_encoder)/(?=layers/)"
    return {re.sub(prefix, "", name): Place(name) for name in specs}


DINOV2_GATED = (("/mlp/fc1/", "/mlp/weights_in/"), ("/mlp/fc2/", "/mlp/weights_out/"))  # size g


def _numbered(tables, specs):
    """Names the variables of DINO's embedding: class and mask token, registers, position tables.

    The mask token and the registers may be missing. The first of the `tables` is the trained one.
    """
    places = _without_backbone(specs)
    for ours, theirs in DINOV2_GATED:
        places = {name.replace(theirs, ours): place for name, place in places.items()}
    found = [name for name in places if re.fullmatch(VARIABLE, name)]
    found.sort(key=lambda name: int(name.rpartition("/")[2]))
    tokens = found[1 : len(found) - tables]
    one_token = [specs[places[name].name].shape[:-1] in ((1,), (1, 1)) for name in tokens]
    chosen = {"class token": found[:1], "positions": found[len(found) - tables :]}
    chosen["registers"] = [] if one_token == [True] else tokens[-1:]
    return places | {name: places[names[0]] for name, names in chosen.items() if names}


def _number(stem, tables):
    """Returns an `Export.number` that undoes `_numbered`; all position tables are the same."""

    def number(tensors):
        order = ("class token", "mask token", "registers", *["positions"] * tables)
        names = [name for name in order if name in tensors]
        numbered = {f"{stem}/vars/{i}": tensors[name] for i, name in enumerate(names)}
        return {name: x for name, x in tensors.items() if name not in names} | numbered

    return number


VARIABLE = r"layers/dinov[23]_embedding/vars/\d+"
DEIT_EMBEDDING = "layers/dei_t_embeddings"
DEIT_LAYERS = {
    "patch_encoder/projection": ("patch", DEIT_EMBEDDING + "/patch_embedding"),
    "patch_encoder/class_token": (
        "two tokens", DEIT_EMBEDDING + "/vars/0", DEIT_EMBEDDING + "/vars/1",
    ),
    "patch_encoder/position_embedding": ("variable", DEIT_EMBEDDING + "/vars/2"),
    "encoder_norm": ("norm", "layers/dei_t_encoder/layer_norm"),
    "head": ("dense", "layers/dense"),
    **_block_layers(
        "layers/dei_t_encoder/encoder_layers/dei_t_encoder_block{i_}/",
        "layer_norm_{}", "heads", "mha", "mlp/dense", "output_layer/dense",
    ),
}  # fmt: skip
SIGLIP_EMBEDDING = "layers/sig_lip_vision_embedding"
POOLING = "layers/sig_lip_multi_head_attention_pooling"
SIGLIP_LAYERS = {
    "patch_encoder/projection": ("patch", SIGLIP_EMBEDDING + "/patch_embedding"),
    "patch_encoder/position_embedding": ("positions", SIGLIP_EMBEDDING + "/position_embedding"),
    "encoder_norm": ("norm", "layers/layer_normalization"),
    "pooling/probe": ("tensor", POOLING),
    "pooling/attention/query": ("dense", POOLING + "/attention/query_dense"),
    "pooling/attention/key": ("dense", POOLING + "/attention/key_dense"),
    "pooling/attention/value": ("dense", POOLING + "/attention/value_dense"),
    "pooling/attention/attention_output": ("dense", POOLING + "/attention/output_dense"),
    "pooling/norm": ("norm", POOLING + "/layer_norm"),
    "pooling/mlp/expand": ("dense", POOLING + "/mlp/fc1"),
    "pooling/mlp/contract": ("dense", POOLING + "/mlp/fc2"),
    **_block_layers(
        "layers/sig_lip_encoder_layer{i_}/", "layer_norm{}", "heads", "self_attn", "mlp/fc1",
        "mlp/fc2",
    ),
}  # fmt: skip
DINO_LAYERS = {
    "patch_encoder/class_token": ("two tokens", "class token", "registers"),
    "encoder_norm": ("norm", "layers/layer_normalization"),
}
PROJECTION = "layers/dinov{}_embedding/patch_embeddings/projection"
DINOV2_BLOCK = "layers/dinov2_encoder/layers/dinov2_layer{i_}/"
DINOV2_LAYERS = DINO_LAYERS | {
    "patch_encoder/projection": ("patch", PROJECTION.format(2)),
    "patch_encoder/position_embedding": ("variable", "positions"),
    **_block_layers(
        DINOV2_BLOCK, "norm{}", "heads", "attention/attention", "mlp/fc1", "mlp/fc2"
    ),
}  # fmt: skip
DINOV3_BLOCK = "layers/dinov3_encoder/layers/dinov3_layer{i_}/"
DINOV3_LAYERS = DINO_LAYERS | {
    "patch_encoder/projection": ("patch", PROJECTION.format(3)),
    **_block_layers(DINOV3_BLOCK, "norm{}", "dense", "attention", "mlp/up_proj", "mlp/down_proj"),
}
DINOV3_GATED_LAYERS = DINOV3_LAYERS | {
    "block_{i}/mlp/expand": (
        "dense", DINOV3_BLOCK + "mlp/gate_proj", DINOV3_BLOCK + "mlp/up_proj",
    ),
}  # fmt: skip


def _add_places(tensors):
    """Adds the indices of SigLIP's patches, which its files store beside the positions."""
    positions = tensors[f"{SIGLIP_EMBEDDING}/position_embedding/vars/0"]
    return tensors | {f"{SIGLIP_EMBEDDING}/vars/0": np.arange(len(positions), dtype="int32")[None]}


DINO_POOLS = _pools("token", None, head=False)
DEIT = KERAS_HUB._replace(
    models=("RegisterViT",),
    rules=rules(FORMS, DEIT_LAYERS),
    signature=r"(layers/dei_t_backbone/)?layers/dei_t_encoder/layer_norm/vars/0",
    canonical=_without_backbone,
    defaults={"normalize": IMAGENET},
    export=Export(
        ("deit", "DeiTBackbone", "DeiTImageClassifier"),
        lambda model: (model.num_registers, model.gated, model.pooling) == (1, False, "token"),
        prefix="layers/dei_t_backbone/",
    ),
)
SIGLIP = DEIT._replace(
    models=("ViT",),
    rules=rules(FORMS, SIGLIP_LAYERS),
    signature=r"(layers/sig_lip_vision_encoder/)?" + POOLING + "/vars/0",
    ignored=(r"layers/sig_lip_(text_encoder|head)/.*", SIGLIP_EMBEDDING + "/vars/0"),
    defaults={"approximate": True},
    export=Export(
        ("siglip", "SigLIPVisionEncoder", None), _pools("map", head=False), number=_add_places
    ),
)
DINOV2 = DEIT._replace(
    models=("RegisterViT", "ViT", "gated ViT"),
    rules=rules(FORMS, DINOV2_LAYERS),
    signature=r"(.*/)?layers/dinov2_encoder/layers/dinov2_layer/norm1/vars/0",
    canonical=functools.partial(_numbered, 2),
    method="keras-bicubic",
    ignored=(VARIABLE,),
    scales=_scales(DINOV2_BLOCK),
    zeros="registers",
    export=Export(
        ("dinov2", "DINOV2Backbone", None),
        lambda model: isinstance(model, RegisterViT) and DINO_POOLS(model),
        gated=DINOV2_GATED,
        layer_scale=True,
        placed=1,
        zeros=lambda model: {"mask token": (1, model.hidden_dim)},
        number=_number("layers/dinov2_embedding", 2),
    ),
)
DINOV3 = DINOV2._replace(
    models=("DINOv3ViT",),
    rules=rules(FORMS, DINOV3_LAYERS),
    signature=r"(.*/)?layers/dinov3_encoder/layers/dinov3_layer/norm1/vars/0",
    canonical=functools.partial(_numbered, 0),
    scales=_scales(DINOV3_BLOCK),
    zeros=r"registers|.*/(query|key|value)_dense/vars/1",
    export=Export(
        ("dinov3", "DINOV3Backbone", None),
        DINO_POOLS,
        layer_scale=True,
        left_out=r".*/(query|key|value)_dense/vars/1",
        zeros=lambda model: {"mask token": (1, 1, model.hidden_dim)},
        number=_number("layers/dinov3_embedding", 0),
    ),
    defaults={"epsilon": 1e-5, "normalize": IMAGENET, "image_size": 224},
)
DINOV3_GATED = DINOV3._replace(
    models=("gated DINOv3ViT",),
    rules=rules(FORMS, DINOV3_GATED_LAYERS),
    signature=r"(.*/)?layers/dinov3_encoder/layers/dinov3_layer/mlp/gate_proj/vars/0",
)
