"""Fields of the JSON files beside weights, as tables: their meaning, and which are refused."""

from typing import NamedTuple

from keras_vit import arguments as check

RESAMPLING = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")  # of Pillow
EXACT, TANH = {"approximate": False}, {"approximate": True}

# --- Hugging Face: fields of transformers' configurations -----------------------------------------
HUGGING_FACE_ACTIVATIONS = {
    "gelu": EXACT,
    **dict.fromkeys(("gelu_new", "gelu_pytorch_tanh", "gelu_fast"), TANH),
    "quick_gelu": {"quick_gelu": True},
}
HUGGING_FACE_FIELDS = {  # their name: our name, and how it is checked
    "num_attention_heads": ("num_heads", check.positive_integer),
    "layer_norm_eps": ("epsilon", check.positive_number),
    "image_size": ("image_size", check.height_width),
}
HUGGING_FACE_SHAPES = {  # values that the tensors also show
    "hidden_size": "hidden_dim",
    "num_hidden_layers": "num_layers",
    "intermediate_size": "mlp_dim",
    "num_channels": "num_channels",
    "patch_size": "patch_size",
    "num_register_tokens": "num_registers",
    "use_gated_mlp": "gated",
    "use_swiglu_ffn": "gated",
    "use_absolute_position_embeddings": "positions",
}
MODEL_TYPES = (
    "vit", "deit", "vit_mae", "vit_msn", "ijepa", "vit-hybrid", "dinov2", "dinov2_with_registers",
    "dinov3_vit", "siglip", "siglip_vision_model", "clip", "clip_vision_model", "beit", "tipsv2",
    "tipsv2_vision_model",
)  # fmt: skip
HUGGING_FACE_ONLY = {  # fields for which the models here have one value
    "model_type": MODEL_TYPES,
    "qkv_bias": (True,),
    "proj_bias": (True,),
    "mlp_bias": (True,),
    "pooler_act": ("tanh",),
    "vision_use_head": (True,),
    "auto_map": (None,),
    "rope_parameters": (None,),
    "rope_scaling": (None,),
}
# The defaults of transformers for fields that a configuration leaves out.
HUGGING_FACE_DEFAULTS = {"num_attention_heads": 12}
DINOV3_DEFAULTS = {"num_attention_heads": 6, "hidden_act": "gelu"}

# --- timm: `model_args` of config.json ------------------------------------------------------------
TIMM_ACTIVATIONS = {"gelu": EXACT, "gelu_tanh": TANH, "quick_gelu": {"quick_gelu": True}}
TIMM_FIELDS = {
    "num_heads": ("num_heads", check.positive_integer),
    "img_size": ("image_size", check.height_width),
}
TIMM_SHAPES = {
    "embed_dim": "hidden_dim",
    "depth": "num_layers",
    "in_chans": "num_channels",
    "patch_size": "patch_size",
}
TIMM_ONLY = {
    "norm_layer": (None, "layernorm"),
    "pool_include_prefix": (False,),
    "rope_type": ("dinov3",),
    "rope_rotate_half": (True,),
    "rope_grid_indexing": ("ij",),
    "rope_grid_offset": (0,),
    "use_rot_pos_emb": (True,),
    "use_post_norm": (False,),
}
# Fields that the tensors show, or that change no output of a trained model.
TIMM_VISIBLE = (
    "act_layer", "attn_drop_rate", "attn_only_layer_scale", "attn_type", "class_token",
    "drop_path_rate", "drop_rate", "dynamic_img_pad", "dynamic_img_size", "fc_norm", "final_norm",
    "fix_init", "global_pool", "head_init_scale", "init_values", "mlp_ratio", "no_embed_class",
    "num_classes", "num_reg_tokens", "patch_drop_rate", "pos_drop_rate", "pos_embed", "pre_norm",
    "proj_bias", "proj_drop_rate", "qk_norm", "qkv_bias", "qkv_fused", "reg_tokens",
    "rope_jitter_coords", "rope_rescale_coords", "rope_shift_coords", "scale_attn_inner",
    "scale_attn_norm", "scale_mlp", "scale_mlp_norm", "strict_img_size", "swiglu_align_to",
    "swiglu_mlp", "use_abs_pos_emb", "use_fc_norm", "use_post_transformer_norm",
    "use_pre_transformer_norm", "use_rel_pos_bias", "use_shared_rel_pos_bias", "weight_init",
)  # fmt: skip
# What the name of a timm architecture implies beyond its tensors and `model_args`.
ARCHITECTURES = {
    r".*quickgelu.*": {"quick_gelu": True},
    r".*(_patch32_siglip|_giantopt_|_so400m_patch16_siglip).*|.*_large_patch16_siglip.*_512": TANH,
    r".*_clip_.*|.*_dinov3.*": {"epsilon": 1e-5},
    # Number of heads if it does not follow from the width of a token.
    r"vit_(wee|xsmall)_.*": {"num_heads": 4},
    r"vit_little_.*": {"num_heads": 5},
    r"(vit|deit3)_mediumd?_.*": {"num_heads": 8},
    r"vit_betwixt_.*": {"num_heads": 10},
    r"vit_so150m2_.*": {"num_heads": 13},
    r"vit_so150m_.*|vit_base_patch\d+_plus_.*": {"num_heads": 14},
    r"vit_base_patch16_gap_224|vit_(so400m|giantopt|pe_[a-z]+_gigantic)_.*": {"num_heads": 16},
    r"vit_huge_plus_.*": {"num_heads": 20},
    r"vit_giant_patch\d+_(reg\d_)?(dinov2|tipsv2|radio_v3)": {"num_heads": 24},
    r"vit_7b_.*": {"num_heads": 32},
    r"eva02_.*": {"epsilon": 1e-6},
    r".*_pe_.*": {"epsilon": 1e-5, "reference": (32, 32)},
    r".*_pe_core_(tiny|small|large)_.*": {"reference": (24, 24)},
    r".*_pe_core_base_.*": {"reference": (14, 14)},
}
OTHER_BLOCKS = r".*(_rpn_|_rope_|_pe_|beit|eva|lingbot).*"
WITHOUT_LAST_NORM = r".*(_radio_|_intern300m_).*"

# --- Models that this package has no layers for ---------------------------------------------------


class Family(NamedTuple):
    """A family of models: the feature that no layer here has, and patterns of its names.

    Attributes:
        reason: that feature.
        model_type: pattern of the `model_type` in transformers.
        architecture: pattern of the architecture in timm.
        tensors: pattern that matches only its sorted tensor names, one per line.
    """

    reason: str
    model_type: str
    architecture: str
    tensors: str


FAMILIES = {
    "SAM": Family(
        "attention in windows, with relative positions for rows and for columns",
        "sam[23]?(_.*)?", "samvit_.*", r"\.attn\.rel_pos_h$",
    ),
    "Swin": Family(
        "attention in windows that shift, and stages of different widths",
        "swin.*", "swin.*", r"(^|\.)layers\.\d+\.downsample\.reduction\.weight$",
    ),
    "Hiera": Family(
        "stages of different widths",
        "hiera", "(sam2_)?hiera_.*",
        r"^(hiera\.)?encoder\.stages\.\d\.layers\.\d+\.attn\.qkv\.weight$|^blocks\.\d+\.proj\.weight$",
    ),
    "AIMv2": Family(
        "RMS norms, and layers without biases",
        "aimv2.*", "aimv2_.*",
        r"\.rms_norm1\.weight$|^blocks\.0\.mlp\.fc1_g.*^patch_embed\.norm\.weight$",
    ),
    "NaFlex": Family(
        "images of any shape, in padded sequences",
        "siglip2(_vision_model)?", "naflexvit_.*", r"^embeds\.proj\.weight$",
    ),
}  # fmt: skip
