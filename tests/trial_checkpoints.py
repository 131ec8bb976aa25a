"""Random models of timm and transformers: saved by those libraries, loaded by this one.

    python tests/trial_checkpoints.py --cases 1000 --seed 0

Every case either gives the same outputs, or is refused with a message that names the field of
config.json or the tensor. Anything else ends the script with an error. `--only 17` runs one case,
`--match beit` cases of families whose name has this.
"""

import argparse
import collections
import functools
import json
import logging
import pathlib
import random
import re
import sys
import tempfile
import warnings

import numpy as np

try:
    import timm
    import timm.models._hub
    import torch
    import transformers as hf
except ImportError as error:
    sys.exit(f"Skipped: this trial needs torch, timm and transformers; {error}.")

import keras

import keras_vit

CLOSE, MATCH = 1e-4, ""
ACTS = (*5 * ("gelu", "gelu_new", "gelu_pytorch_tanh"), "quick_gelu", "quick_gelu", "relu", "silu")
TIMM_ACTS = (None, "gelu", "gelu_tanh", "gelu_tanh", "quick_gelu", "quick_gelu", "silu")
NORMS = (None, "layernorm", "layernorm", "layernormfp32", "rmsnorm")
SIDES = ((32, 32), (32, 32), (48, 48), (32, 48), (48, 32), (32, 40), (16, 80), (64, 64))
PIXELS = ((0.5, 0.25), (0.1, 2.0), ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
FAMILIES = {
    "vit": (hf.ViTConfig, hf.ViTModel, hf.ViTForImageClassification),
    "deit": (
        hf.DeiTConfig, hf.DeiTModel, hf.DeiTForImageClassification,
        hf.DeiTForImageClassificationWithTeacher,
    ),
    "dinov2": (hf.Dinov2Config, hf.Dinov2Model, hf.Dinov2ForImageClassification, hf.Dinov2Backbone),
    "dinov2 registers": (
        hf.Dinov2WithRegistersConfig, hf.Dinov2WithRegistersModel,
        hf.Dinov2WithRegistersForImageClassification,
    ),
    "dinov3": (hf.DINOv3ViTConfig, hf.DINOv3ViTModel),
    "clip": (
        hf.CLIPVisionConfig, hf.CLIPVisionModel, hf.CLIPVisionModelWithProjection,
        hf.CLIPForImageClassification, hf.CLIPModel,
    ),
    "siglip": (
        hf.SiglipVisionConfig, hf.SiglipVisionModel, hf.SiglipForImageClassification,
        hf.SiglipModel,
    ),
    "mae": (hf.ViTMAEConfig, hf.ViTMAEModel, hf.ViTMAEForPreTraining),
    "beit": (
        hf.BeitConfig, hf.BeitModel, hf.BeitForImageClassification, hf.BeitForImageClassification,
        hf.BeitForMaskedImageModeling,
    ),
    "tipsv2": (hf.Tipsv2VisionConfig, hf.Tipsv2VisionModel, hf.Tipsv2Model),
}  # fmt: skip
ARCHITECTURES = (
    "vit_base_patch16_224", "vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2",
    "vit_base_patch16_siglip_224", "vit_base_patch16_siglip_gap_224", "deit3_small_patch16_224",
    "vit_base_patch16_clip_224", "vit_base_patch16_clip_quickgelu_224", "deit_tiny_patch16_224",
    "vit_so400m_patch14_siglip_gap_224", "vit_base_patch16_rpn_224", "vit_medium_patch16_gap_240",
    "deit_tiny_distilled_patch16_224", "vit_small_patch16_dinov3", "vit_small_plus_patch16_dinov3",
    "vit_small_patch16_dinov3_qkvb", "flexivit_small", "vit_little_patch16_reg4_gap_256",
    "vit_betwixt_patch16_reg4_gap_256", "vit_so150m_patch16_reg4_map_256",
    "vit_so150m2_patch16_reg1_gap_256", "vit_giant_patch14_dinov2", "beit_base_patch16_224",
    "vit_giant_patch14_reg4_dinov2", "vit_base_patch14_reg1_tipsv2", "beitv2_large_patch16_224",
    "vit_base_patch16_radio_v3", "vit_intern300m_patch14_448", "beit_large_patch16_224",
)  # fmt: skip
EVA = (
    "eva02_tiny_patch14_224", "eva02_small_patch14_336", "eva02_base_patch14_448",
    "eva02_large_patch14_224", "eva02_base_patch16_clip_224", "eva02_large_patch14_clip_336",
    "vit_pe_core_tiny_patch16_384", "vit_pe_core_base_patch16_224",
    "vit_pe_core_gigantic_patch14_448", "vit_pe_spatial_small_patch16_512",
    "vit_pe_spatial_gigantic_patch14_448", "vit_pe_lang_large_patch14_448",
    "eva02_enormous_patch14_clip_224", "eva_giant_patch14_224", "vit_small_patch16_rope_224",
    "vit_medium_patch16_rope_reg1_gap_256",
)  # fmt: skip
TEXT = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 9}
TEXT |= {"intermediate_size": 8, "max_position_embeddings": 7}


def maybe(rng, chance, options):
    """Returns a random choice of each option with this chance, and nothing of the others."""
    return {key: rng.choice(values) for key, values in options.items() if rng.random() < chance}


def random_state(model, rng):
    """Fills the weights of a model with random numbers, large enough for a change to be seen."""
    generator = torch.Generator().manual_seed(rng.randrange(2**31))
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            noise = torch.randn(value.shape, generator=generator)
            norm = re.search("norm.*weight|lambda|gamma", name)
            width = 1 if value.ndim < 2 else value[0].numel()
            value.copy_(
                1 + 0.2 * noise if norm else noise * (width**-0.5 if value.ndim > 1 else 0.2)
            )
    return model.eval()


# --- Hugging Face --------------------------------------------------------------------------------
def hugging_face_options(family, rng):
    height, width = rng.choice(SIDES)
    square = height == width
    width_of_tokens, heads = rng.choice(((24, 3), (24, 2), (32, 4), (32, 2), (24, 6)))
    options = {
        "hidden_size": width_of_tokens,
        "num_attention_heads": heads,
        "num_hidden_layers": rng.choice((1, 1, 2)),
        "image_size": height if square and rng.random() < 0.8 else [height, width],
        "patch_size": rng.choice((8, 8, 16)),
        "hidden_act": rng.choice(ACTS),
        "layer_norm_eps": rng.choice((1e-6, 1e-5, 1e-12, 1e-3, 0.1)),
        "intermediate_size": rng.choice((48, 64, 96)),
    }
    if family.startswith(("dinov2", "tipsv2")):
        options |= {"mlp_ratio": rng.choice((2, 4))}
    if family == "beit":
        options |= {"use_relative_position_bias": rng.random() < 0.7, "vocab_size": 7}
        options |= maybe(
            rng, 0.3,
            {
                "use_mean_pooling": (True, False), "use_absolute_position_embeddings": (True,),
                "use_shared_relative_position_bias": (True,), "layer_scale_init_value": (0.0,),
            },
        )  # fmt: skip
    if family in ("clip", "siglip"):
        options["image_size"] = height
        options |= maybe(rng, 0.1, {"vision_use_head": (True, False)})
    options |= maybe(
        rng, 0.15,
        {
            "qkv_bias": (True, False), "num_channels": (1, 3, 4), "use_swiglu_ffn": (True, False),
            "layerscale_value": (0.1, 1.0), "use_mask_token": (True, False),
            "pooler_act": ("tanh", "relu"), "pooler_output_size": (7, width_of_tokens),
            "attention_dropout": (0.1,), "hidden_dropout_prob": (0.1,), "drop_path_rate": (0.1,),
            "initializer_range": (0.1,), "apply_layernorm": (True, False),
            "reshape_hidden_states": (True, False), "num_register_tokens": (0, 1, 2, 4),
            "rope_theta": (10.0, 100.0, 1000.0), "use_gated_mlp": (True, False),
            "key_bias": (True, False), "query_bias": (True, False), "value_bias": (True, False),
            "proj_bias": (True, False), "mlp_bias": (True, False), "pos_embed_shift": (0.1,),
            "pos_embed_jitter": (1.5,), "pos_embed_rescale": (2.0, None), "projection_dim": (5, 9),
        },
    )  # fmt: skip
    if options.get("use_gated_mlp"):
        options["hidden_act"] = rng.choice(("silu", "silu", "gelu"))
    return options


def make_hugging_face(rng, folder):
    family = rng.choice([name for name in FAMILIES if re.search(MATCH, name)])
    config, *kinds = FAMILIES[family]
    kind, options = rng.choice(kinds), hugging_face_options(family, rng)
    allowed = config().to_dict()
    options = {key: value for key, value in options.items() if key in allowed}
    if kind in (hf.CLIPModel, hf.SiglipModel, hf.Tipsv2Model):
        text = TEXT | ({"hidden_size": options["hidden_size"]} if family == "tipsv2" else {})
        whole = kind.config_class(vision_config=options, text_config=text, projection_dim=11)
    else:
        whole = config(**options, num_labels=5)
    if kind in (hf.CLIPForImageClassification, hf.SiglipForImageClassification):
        outer = hf.CLIPConfig if family == "clip" else hf.SiglipConfig
        whole = outer(vision_config=options, text_config=TEXT, num_labels=5)
    model = random_state(kind(whole), rng)
    model.save_pretrained(folder)
    if rng.random() < 0.15:
        change_config(rng, folder)
    if rng.random() < 0.3:
        write_pixels(rng, folder)
    label = f"{kind.__name__} {json.dumps(options)}"
    compute = functools.partial(compute_hugging_face, kind)
    return label, options["image_size"], options.get("num_channels", 3), compute


def change_config(rng, folder):
    """Leaves a field out, which means the library's default, or one of another kind."""
    path = pathlib.Path(folder, "config.json")
    config = json.loads(path.read_text())
    inner = config.get("vision_config", config)
    name = rng.choice(("num_attention_heads", "layer_norm_eps", "hidden_act", "rope_theta"))
    inner.pop(name, None)
    path.write_text(json.dumps(config))


def compute_hugging_face(kind, images, folder):
    """Returns what the folder's model computes of normalized images."""
    kind = hf.Dinov2Model if kind is hf.Dinov2Backbone else kind
    model = kind.from_pretrained(folder).eval()
    model = model.vit if isinstance(model, hf.ViTMAEForPreTraining) else model
    if isinstance(model, hf.ViTMAEModel):
        model.config.mask_ratio = 0.0  # the tokens are shuffled, the class token is not
        return model(images).last_hidden_state[:, 0]
    if isinstance(model, hf.BeitForMaskedImageModeling):
        tokens = model.beit(images).last_hidden_state
        is_double = (
            not model.config.use_mean_pooling
        )  # it normalizes twice: ours is the model below
        return (tokens if is_double else model.layernorm(tokens))[:, 0]
    compute = getattr(model, "get_image_features", model)
    found = compute(images)
    names = ("logits", "image_embeds", "pooler_output", "last_hidden_state")
    value = next(found[name] for name in names if getattr(found, name, None) is not None)
    return value[:, 0] if value.ndim == 3 else value


# --- timm ----------------------------------------------------------------------------------------
def timm_options(rng, name):
    height, width = rng.choice(SIDES)
    width_of_tokens, heads = rng.choice(((24, 3), (24, 2), (32, 4), (32, 2), (32, 8)))
    square = height == width
    options = {
        "embed_dim": width_of_tokens,
        "num_heads": heads,
        "depth": rng.choice((1, 1, 2)),
        "img_size": height if square and rng.random() < 0.8 else (height, width),
        "patch_size": rng.choice((8, 8, 16)),
        "num_classes": rng.choice((0, 5)),
    }
    if "beit" in name:
        return options | maybe(
            rng, 0.15,
            {
                "global_pool": ("token", "avg", ""), "use_fc_norm": (True, False),
                "qkv_bias": (True, False), "init_values": (None, 0.1), "in_chans": (1, 3),
                "use_abs_pos_emb": (True, False), "use_rel_pos_bias": (True, False),
                "use_shared_rel_pos_bias": (True, False), "scale_mlp": (True, False),
                "swiglu_mlp": (True, False), "mlp_ratio": (2.0, 3.0),
            },
        )  # fmt: skip
    options |= maybe(
        rng, 0.12,
        {
            "global_pool": ("token", "avg", "map", "", "max"), "mlp_ratio": (2.0, 3.0),
            "qkv_bias": (True, False), "init_values": (None, 0.1), "in_chans": (1, 3),
            "class_token": (True, False), "no_embed_class": (True, False),
            "pre_norm": (True, False), "pos_embed": ("learn", "none"),
            "drop_rate": (0.1,), "drop_path_rate": (0.1,), "fc_norm": (True, False),
            "dynamic_img_size": (True, False), "final_norm": (True, False), "reg_tokens": (0, 2, 4),
            "proj_bias": (True, False), "qk_norm": (True, False), "act_layer": TIMM_ACTS,
            "norm_layer": NORMS, "pool_include_prefix": (True, False),
            "weight_init": ("", "jax"), "scale_attn_norm": (True, False),
        },
    )  # fmt: skip
    if "dinov3" in name or name in EVA:
        options |= maybe(
            rng, 0.15 if "dinov3" in name else 0.08,
            {
                "rope_temperature": (10.0, 100.0, 1000.0), "rope_grid_offset": (0.0, 0.5),
                "rope_grid_indexing": ("ij", "xy"), "rope_rotate_half": (True, False),
                "rope_type": ("dinov3", "cat"), "num_reg_tokens": (0, 2, 4),
                "use_fc_norm": (True, False), "rope_rescale_coords": (2.0,),
                "use_abs_pos_emb": (True, False), "swiglu_mlp": (True, False),
                "use_rot_pos_emb": (True, False), "attn_type": ("eva", "rope"),
                "use_post_norm": (True, False), "scale_mlp": (True, False),
                "scale_attn_inner": (True, False), "qkv_fused": (True, False),
                "ref_feat_shape": (3, (4, 6), None), "use_post_transformer_norm": (True, False),
                "use_pre_transformer_norm": (True, False), "attn_pool_num_heads": (4, 8),
                "attn_pool_mlp_ratio": (2.0, 4.0), "swiglu_align_to": (16,),
            },
        )  # fmt: skip
    return options


def make_timm(rng, folder):
    known = ARCHITECTURES + EVA
    name = rng.choice([name for name in known if re.search(MATCH, name)])
    options = timm_options(rng, name)
    model = random_state(build_timm(name, options), rng)
    pixels = maybe(rng, 0.3, {"mean": ((0.1, 0.2, 0.3), (0.5, 0.5, 0.5))})
    timm.models._hub.save_for_hf(
        model, folder, model_config={"pretrained_cfg": pixels}, safe_serialization=True
    )
    label = f"{name} {json.dumps(options)}"
    return label, options["img_size"], options.get("in_chans", 3), lambda images, _: model(images)


def build_timm(name, options):
    """Builds a model; options that do not go together are left out one by one, the last first."""
    while True:
        try:
            return timm.create_model(name, **options)
        except (TypeError, AssertionError, ValueError, KeyError, RuntimeError, AttributeError):
            if len(options) <= 3:
                raise
            options.popitem()


# --- Both ----------------------------------------------------------------------------------------
def write_pixels(rng, folder):
    """Writes a preprocessor_config.json of Hugging Face."""
    mean, deviation = rng.choice(PIXELS)
    facts = {"image_mean": mean, "image_std": deviation}
    facts |= maybe(
        rng, 0.2,
        {
            "do_normalize": (True, False), "do_rescale": (True, False), "resample": (2, 3),
            "rescale_factor": (1 / 127.5,), "rescale_offset": (True, False),
        },
    )  # fmt: skip
    pathlib.Path(folder, "preprocessor_config.json").write_text(json.dumps(facts))


def raw_pixels(images, folder, model):
    """Returns the pixels that the file's own preparation turns into these images."""
    path = pathlib.Path(folder, "preprocessor_config.json")
    config = json.loads(pathlib.Path(folder, "config.json").read_text()).get("pretrained_cfg", {})
    if not path.exists() and "mean" not in config:  # assumed
        return images * np.asarray(model.normalize[1]) + np.asarray(model.normalize[0])
    facts = json.loads(path.read_text()) if path.exists() else {}
    mean, deviation = (config or facts).get("mean", facts.get("image_mean")), config.get("std")
    deviation = deviation or facts["image_std"]
    if facts.get("do_normalize", True):
        images = images * np.asarray(deviation) + np.asarray(mean)
    scale = facts.get("rescale_factor", 1 / 255) if facts.get("do_rescale", True) else 1
    return images / scale


def names_a_cause(message, folder):
    """Returns whether a message names a field of config.json or a tensor of the file."""
    config = pathlib.Path(folder, "config.json").read_text()
    fields = {"image_mean", "image_std", *re.findall(r'"(\w+)":', config), "rescale_offset"}
    fields |= {"num_attention_heads"}  # which may be left out
    with keras_vit.io.files.open_tensors(pathlib.Path(folder, "model.safetensors")) as file:
        causes = fields | set(file.specs)
    if re.search(r"missing(=|: )'[\w.]+(weight|bias|token|gamma)'", message):
        return True
    return any(re.search(rf"(?<![\w.]){re.escape(cause)}(?![\w.])", message) for cause in causes)


def run_case(seed, number):
    """Returns (verdict, what the case was, details)."""
    rng = random.Random(f"{seed} {number}")
    make = rng.choice((make_hugging_face, make_timm))
    with tempfile.TemporaryDirectory() as folder:
        try:
            label, size, channels, compute = make(rng, folder)
        except Exception as error:  # their library refuses its own options
            return "not built", make.__name__, f"{type(error).__name__}: {error}"[:150]
        try:
            model = keras_vit.load_pretrained(folder, verbose=False)
        except ValueError as error:
            verdict = "refused" if names_a_cause(str(error), folder) else "UNCLEAR"
            return verdict, label, str(error).replace(folder, "")[:400]
        except Exception as error:
            return "CRASH", label, f"{type(error).__name__}: {error}"[:300]
        return compare(model, compute, folder, size, channels, label)


def compare(model, compute, folder, size, channels, label):
    height, width = (size, size) if isinstance(size, int) else size
    if model.image_size != (height, width):
        return "DIFFERENT", label, f"image_size {model.image_size}, not {(height, width)}"
    images = np.random.default_rng(0).normal(size=(2, height, width, channels)).astype("float32")
    try:
        expected = compute(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()), folder).numpy()
    except RuntimeError as error:  # their library cannot compute it
        return "not built", label, str(error)[:150]
    pixels = raw_pixels(images, folder, model).astype("float32")
    found = keras.ops.convert_to_numpy(model(pixels))
    if model.pooling == "distilled" and model.num_classes is None:
        found = (found[:, : model.hidden_dim] + found[:, model.hidden_dim :]) / 2  # timm's mean
    if found.shape != expected.shape:
        return "DIFFERENT", label, f"shape {found.shape}, not {expected.shape}"
    gap = float(np.abs(found - expected).max())
    return ("equal" if gap < CLOSE * max(1, np.abs(expected).max()) else "DIFFERENT"), label, gap


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("--cases", 1000), ("--seed", 0)):
        parser.add_argument(name, type=int, default=default)
    parser.add_argument("--match", default="")
    parser.add_argument("--only", type=int, action="append")
    options, counts = parser.parse_args(), collections.Counter()
    global MATCH
    MATCH = options.match
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    hf.utils.logging.set_verbosity_error()
    hf.utils.logging.disable_progress_bar()
    logging.disable()
    for number in options.only or range(options.cases):
        with torch.no_grad():
            verdict, label, details = run_case(options.seed, number)
        counts[verdict] += 1
        print(f"{number} {verdict}: {label}: {details}", flush=True)
    print(dict(counts))
    sys.exit(any(verdict.isupper() for verdict in counts))


if __name__ == "__main__":
    main()
