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
    import safetensors.torch
    import timm
    import timm.models._hub
    import torch
    import transformers as hf
except ImportError as error:
    sys.exit(f"Skipped: this trial needs torch, timm and transformers; {error}.")

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
import trial  # noqa: E402

MATCH = ""
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
    """Returns a random choice for each option with this probability, and omits the others."""
    return {key: rng.choice(values) for key, values in options.items() if rng.random() < chance}


def fill(folder, rng):
    """Gives the weights in a folder random values; returns them as tensors by name."""
    path, seed = pathlib.Path(folder, "model.safetensors"), rng.randrange(2**31)
    tensors = safetensors.torch.load_file(path)
    for name, value in tensors.items():
        if value.is_floating_point():
            tensors[name] = torch.from_numpy(trial.weight(name, tuple(value.shape), seed))
    safetensors.torch.save_file(tensors, path, {"format": "pt"})
    pathlib.Path(folder, "seed.txt").write_text(str(seed))
    return tensors


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
    kind(whole).save_pretrained(folder)
    fill(folder, rng)
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
    """Returns the outputs of the folder's model for normalized images."""
    kind = hf.Dinov2Model if kind is hf.Dinov2Backbone else kind
    model = kind.from_pretrained(folder).eval()
    model = model.vit if isinstance(model, hf.ViTMAEForPreTraining) else model
    if isinstance(model, hf.ViTMAEModel):
        model.config.mask_ratio = 0.0  # the tokens are shuffled, the class token is not
        return model(images).last_hidden_state[:, 0]
    if isinstance(model, hf.BeitForMaskedImageModeling):
        # With `use_mean_pooling=False` it has two norms, of which transformers 5.24 loads each from
        # the tensors of the other. Both times, this one has the weights of the encoder's.
        last = model.beit(images, output_hidden_states=True).hidden_states[-1]
        return model.layernorm(last)[:, 0]
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
    name = rng.choice([name for name in ARCHITECTURES + EVA if re.search(MATCH, name)])
    options = timm_options(rng, name)
    model = build_timm(name, options)
    pixels = maybe(rng, 0.3, {"mean": ((0.1, 0.2, 0.3), (0.5, 0.5, 0.5))})
    timm.models._hub.save_for_hf(
        model, folder, model_config={"pretrained_cfg": pixels}, safe_serialization=True
    )
    model.load_state_dict(fill(folder, rng))
    model.eval()
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


def run_case(seed, number, records):
    """Returns (verdict, what the case was, details); adds small ones to `records`."""
    rng = random.Random(f"{seed} {number}")
    make = rng.choice((make_hugging_face, make_timm))
    with tempfile.TemporaryDirectory() as folder:
        try:
            label, size, channels, compute = make(rng, folder)
        except Exception as error:  # their library refuses its own options
            return "not built", make.__name__, f"{type(error).__name__}: {error}"[:150]
        try:
            model, message = trial.load(folder)
        except Exception as error:
            return "CRASH", label, f"{type(error).__name__}: {error}"[:300]
        if model is None:
            clear = trial.names_a_cause(message, folder)
            records.append(record(folder, label, size, channels, None))
            return "refused" if clear else "UNCLEAR", label, message.replace(folder, "")[:400]
        images = trial.normalized_images(size, channels)
        if model.image_size != images.shape[1:3]:
            return "DIFFERENT", label, f"image_size {model.image_size}, not {images.shape[1:3]}"
        try:
            batch = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
            expected = compute(batch, folder).numpy()
        except RuntimeError as error:  # their library cannot compute it
            return "not built", label, str(error)[:150]
        records.append(record(folder, label, size, channels, expected))
        found = trial.compute(model, images, folder)
        if found.shape != expected.shape:
            return "DIFFERENT", label, f"shape {found.shape}, not {expected.shape}"
        gap = trial.gap(found, expected)
        return "equal" if gap < trial.CLOSE else "DIFFERENT", label, gap


def record(folder, label, size, channels, expected):
    """Returns what the tests need to make this folder again, and the outputs."""
    tensors = safetensors.torch.load_file(pathlib.Path(folder, "model.safetensors"))
    shapes = {name: list(t.shape) for name, t in tensors.items() if t.is_floating_point()}
    names = ("config.json", "preprocessor_config.json", "seed.txt")
    paths = [pathlib.Path(folder, name) for name in names]
    files = {path.name: path.read_text() for path in paths if path.exists()}
    facts = {"label": label, "size": size, "channels": channels, "shapes": shapes, "files": files}
    return facts, expected


def write_records(records, number):
    """Writes the first records: three with equal outputs for each refused one."""
    equal = [one for one in records if one[1] is not None and one[1].size < 5_000]
    refused = [one for one in records if one[1] is None]
    chosen, arrays = [*equal[: number - number // 4], *refused[: number // 4]], {}
    for i, (facts, expected) in enumerate(chosen):
        arrays[f"{i}/case"] = json.dumps(facts)
        if expected is not None:
            arrays[f"{i}/outputs"] = expected.astype("float32")
    np.savez_compressed(pathlib.Path(__file__).parent / "golden" / "trial.npz", **arrays)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("--cases", 1000), ("--seed", 0)):
        parser.add_argument(name, type=int, default=default)
    parser.add_argument("--match", default="")
    parser.add_argument("--only", type=int, action="append")
    help_text = "write so many cases to golden/trial.npz, for the tests"
    parser.add_argument("--record", type=int, default=0, help=help_text)
    options, counts, records = parser.parse_args(), collections.Counter(), []
    global MATCH
    MATCH = options.match
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    hf.utils.logging.set_verbosity_error()
    hf.utils.logging.disable_progress_bar()
    logging.disable()
    for number in options.only or range(options.cases):
        with torch.no_grad():
            verdict, label, details = run_case(options.seed, number, records)
        counts[verdict] += 1
        print(f"{number} {verdict}: {label}: {details}", flush=True)
    if options.record:
        write_records(records, options.record)
    print(dict(counts))
    sys.exit(any(verdict.isupper() for verdict in counts))


if __name__ == "__main__":
    main()
