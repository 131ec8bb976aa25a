"""Records `descendants.npz`: outputs of timm, Hugging Face and torchvision with seeded weights.

Needs torch, torchvision (0.28), timm (1.0.31) and transformers (5.24.0); run:

    python tests/golden/record_descendants.py

For each model: the names and shapes in its file and its config.json, as JSON, and its output for
two images, of the model's size, and of others, for which the library itself resizes positions
(and, for FlexiViT, patches). Models are narrow and have 2 blocks; PyTorch computes in float64.
"""

import copy
import json
import pathlib
import re
import tempfile

import numpy as np
import safetensors.torch
import seeded
import timm
import torch
import torchvision
import transformers
from torchvision.models.vision_transformer import interpolate_embeddings

SMALL = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3}
SMALL |= {"image_size": 56, "patch_size": 14, "num_labels": 5, "intermediate_size": 64}
HUGGING_FACE = {
    "dinov2": (transformers.Dinov2Model, transformers.Dinov2Config),
    "dinov2 classifier": (transformers.Dinov2ForImageClassification, transformers.Dinov2Config),
    "dinov2 registers": (
        transformers.Dinov2WithRegistersModel, transformers.Dinov2WithRegistersConfig,
    ),
    "dinov2 registers classifier": (
        transformers.Dinov2WithRegistersForImageClassification,
        transformers.Dinov2WithRegistersConfig,
    ),
    "dinov3": (
        transformers.DINOv3ViTModel, transformers.DINOv3ViTConfig, {"num_register_tokens": 4},
    ),
    "dinov3 gated": (
        transformers.DINOv3ViTModel, transformers.DINOv3ViTConfig,
        {"use_gated_mlp": True, "hidden_act": "silu", "key_bias": True, "rope_theta": 50.0,
         "num_register_tokens": 2},
    ),
    "siglip": (transformers.SiglipVisionModel, transformers.SiglipVisionConfig),
    "clip": (transformers.CLIPVisionModelWithProjection, transformers.CLIPVisionConfig),
    "clip, exact GELU": (
        transformers.CLIPVisionModelWithProjection, transformers.CLIPVisionConfig,
        {"hidden_act": "gelu", "projection_dim": 7},
    ),
    "deit with one head": (transformers.DeiTForImageClassification, transformers.DeiTConfig),
    "mae, for pre-training": (transformers.ViTMAEForPreTraining, transformers.ViTMAEConfig),
    "beit": (transformers.BeitModel, transformers.BeitConfig, {"use_relative_position_bias": True}),
    "beit classifier": (
        transformers.BeitForImageClassification, transformers.BeitConfig,
        {"use_relative_position_bias": True, "layer_norm_eps": 1e-6},
    ),
    "beit classifier of the class token": (
        transformers.BeitForImageClassification, transformers.BeitConfig,
        {"use_shared_relative_position_bias": True, "use_absolute_position_embeddings": True,
         "use_mean_pooling": False},
    ),
    "beit, for pre-training": (
        transformers.BeitForMaskedImageModeling, transformers.BeitConfig,
        {"use_shared_relative_position_bias": True, "use_mask_token": True, "vocab_size": 7},
    ),
    "dinov2 g": (transformers.Dinov2Model, transformers.Dinov2Config, {"use_swiglu_ffn": True}),
    "dinov2 g registers classifier": (
        transformers.Dinov2WithRegistersForImageClassification,
        transformers.Dinov2WithRegistersConfig, {"use_swiglu_ffn": True},
    ),
    "tipsv2": (transformers.Tipsv2VisionModel, transformers.Tipsv2VisionConfig),
    "tipsv2 g": (
        transformers.Tipsv2VisionModel, transformers.Tipsv2VisionConfig, {"use_swiglu_ffn": True},
    ),
    "vit": (transformers.ViTForImageClassification, transformers.ViTConfig),
}  # fmt: skip
WITH_TEXT = {
    "siglip, with text": (transformers.SiglipModel, transformers.SiglipConfig),
    "clip, with text": (transformers.CLIPModel, transformers.CLIPConfig),
    "tipsv2, with text": (transformers.Tipsv2Model, transformers.Tipsv2Config),
}
TEXT = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 9}
TEXT |= {"intermediate_size": 8, "max_position_embeddings": 7}
TIMM = {
    "dinov2": ("vit_small_patch14_dinov2", {"img_size": 56, "num_classes": 0}),
    "dinov2 registers": ("vit_small_patch14_reg4_dinov2", {"img_size": 56, "num_classes": 0}),
    "siglip": ("vit_base_patch16_siglip_224", {"img_size": 64, "num_classes": 0}),
    "clip": ("vit_base_patch16_clip_224", {"img_size": 64, "num_classes": 5}),
    "clip, quick GELU": ("vit_base_patch16_clip_quickgelu_224", {"img_size": 64, "num_classes": 5}),
    "dinov3": ("vit_small_patch16_dinov3", {"img_size": 64, "num_classes": 0}),
    "dinov3 gated": ("vit_small_plus_patch16_dinov3", {"img_size": 64, "num_classes": 0}),
    "eva02": ("eva02_tiny_patch14_224", {"img_size": 56, "num_classes": 0}),
    "eva02 classifier": ("eva02_base_patch14_448", {"img_size": 56, "num_classes": 5}),
    "eva02 clip": ("eva02_base_patch16_clip_224", {"img_size": 64, "num_classes": 7}),
    "pe core": ("vit_pe_core_base_patch16_224", {"img_size": 64, "num_classes": 7}),
    "pe core G": ("vit_pe_core_gigantic_patch14_448", {"img_size": 56, "num_classes": 7}),
    "pe spatial": ("vit_pe_spatial_tiny_patch16_512", {"img_size": 64, "num_classes": 0}),
    "pe spatial G": ("vit_pe_spatial_gigantic_patch14_448", {"img_size": 56, "num_classes": 5}),
    "deit3": ("deit3_small_patch16_224", {"img_size": 64, "num_classes": 5}),
    "flexivit": ("flexivit_small", {"img_size": 64, "num_classes": 5}),
}
CLASSES = {"img_size": 64, "num_classes": 5}
CLASSIFIERS = {
    "mae classifier": ("vit_base_patch16_224", CLASSES | {"global_pool": "avg"}),
    "sbb": ("vit_little_patch16_reg4_gap_256", CLASSES),
    "so150m": ("vit_so150m_patch16_reg4_gap_256", CLASSES),
    "so150m map": ("vit_so150m_patch16_reg4_map_256", CLASSES),
    "so150m2": ("vit_so150m2_patch16_reg1_gap_256", CLASSES),
    "gap": ("vit_medium_patch16_gap_256", CLASSES),
    "beit": ("beit_base_patch16_224", CLASSES),
    "beit, not square": ("beitv2_base_patch16_224", CLASSES | {"img_size": [48, 80]}),
    "beit of the class token": (
        "beit_base_patch16_224",
        CLASSES
        | {"use_shared_rel_pos_bias": True, "use_rel_pos_bias": False, "use_abs_pos_emb": True}
        | {"use_fc_norm": False, "global_pool": "token"},
    ),
    "dinov2 g": ("vit_giant_patch14_dinov2", {"img_size": 56, "num_classes": 0}),
    "dinov2 g registers": ("vit_giant_patch14_reg4_dinov2", {"img_size": 56, "num_classes": 5}),
    "tipsv2": ("vit_base_patch14_reg1_tipsv2", {"img_size": 56, "num_classes": 0}),
    "dinov3 qkvb": ("vit_small_patch16_dinov3_qkvb", {"img_size": 64, "num_classes": 0}),
    "radio": ("vit_base_patch16_radio_v3", {"img_size": 64, "num_classes": 0}),
    "intern": ("vit_intern300m_patch14_448", {"img_size": 56, "num_classes": 5}),
    "root hybrid": ("vit_tiny_r_s16_p8_224", CLASSES),
    "hybrid": ("vit_small_r26_s32_224", CLASSES),
}
# Weights that must be larger or smaller than the seeded ones for a mistake to be visible.
FACTORS = {"beit|sbb|so150m": {"bias_table": 20, "gamma|lambda": 10}}
FACTORS |= {"hybrid": {"backbone.*conv": 0.0001}}
SIZES = {14: ((42, 70), (84, 84)), 16: ((48, 80), (96, 96))}  # by patch: rows fewer, columns more
TORCHVISION = {  # 192 wide, so that the number of heads is known
    "as it is": {"image_size": 32, "num_classes": 5},
    "with a tanh layer": {"image_size": 48, "num_classes": 5, "representation_size": 7},
}
NARROW = {"depth": 2, "embed_dim": 24, "num_heads": 3}
MEAN, DEVIATION = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))


def images_of(*size):
    images = seeded.make_images(*size).astype("float64") / 255
    return torch.from_numpy(((images - MEAN) / DEVIATION).transpose(0, 3, 1, 2).copy())


def factors_of(case):
    return next((row for pattern, row in FACTORS.items() if re.search(pattern, case)), {})


def seeded_state(shapes, factors):
    arrays = {name: seeded.torch_weight(name, shape, factors) for name, shape in shapes.items()}
    return {name: torch.from_numpy(np.asarray(array)) for name, array in arrays.items()}


def compute(model, images, **options):
    """Returns the recorded output of a model: logits, the embedding of the image, or its tokens."""
    if hasattr(model, "get_image_features"):
        found = model.get_image_features(images, **options)
        return getattr(found, "pooler_output", found)
    if isinstance(model, transformers.ViTMAEForPreTraining):
        model = model.vit
        model.config.mask_ratio = 0.0  # the tokens are shuffled, and none is left out
        return model(images, **options).last_hidden_state[:, 0]
    if isinstance(model, transformers.BeitForMaskedImageModeling):
        return model.layernorm(model.beit(images).last_hidden_state)
    found = model(images, **options)
    kinds = ["logits", "image_embeds", "last_hidden_state"]
    if isinstance(model, transformers.SiglipVisionModel):
        kinds = ["pooler_output"]
    return next(found[kind] for kind in kinds if kind in found)


def hugging_face(case, kind, config, options=()):
    """Returns shapes, configuration and output; names are those that `save_pretrained` writes."""
    with tempfile.TemporaryDirectory() as folder:
        if "vision_config" in config().to_dict():
            text = TEXT if kind is not transformers.Tipsv2Model else TEXT | {"hidden_size": 24}
            options = {"vision_config": SMALL, "text_config": text, "projection_dim": 11}
        else:
            options = SMALL | dict(options)
        kind(config(**options)).save_pretrained(folder)
        path = pathlib.Path(folder, "model.safetensors")
        state = safetensors.torch.load_file(path)
        shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
        state = seeded_state(shapes, factors_of(case))
        safetensors.torch.save_file(state, path, {"format": "pt"})
        model = kind.from_pretrained(folder).double().eval()
        facts = json.loads(pathlib.Path(folder, "config.json").read_text())
    found = {"output": compute(model, images_of(56, 56))}
    by_itself = re.search("dinov|tips", config.model_type)  # it resizes automatically
    asked = {} if by_itself else {"interpolate_pos_encoding": True}
    for size in () if "beit" in case else SIZES[14]:
        found["{} x {}".format(*size)] = compute(model, images_of(*size), **asked)
    return shapes, facts, {name: tensor.numpy() for name, tensor in found.items()}


def timm_model(case, name, options):
    model = timm.create_model(name, **NARROW, **options)
    shapes = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    model.load_state_dict(seeded_state(shapes, factors_of(case)))
    size = options["img_size"]
    model = model.double().eval()
    images = images_of(*(size if isinstance(size, list) else 2 * [size]))
    has_vector = options["num_classes"] or re.search("siglip|eva02", name)
    forward = model if has_vector else model.forward_features
    pixels = {"mean": MEAN.tolist(), "std": DEVIATION.tolist()}
    config = {"architecture": name, "model_args": NARROW | options, "pretrained_cfg": pixels}
    if case in CLASSIFIERS:
        config["global_pool"] = model.global_pool
    found = {"output": forward(images).numpy()}
    if re.search("hybrid|radio|class token", case):  # of one size
        return shapes, config, found
    patch = model.patch_embed.patch_size[0]
    resized = [(size, patch) for size in SIZES[patch]]
    if name.startswith("flexivit"):
        resized += [((48, 96), 12), ((96, 72), 24)]
    for size, patch in resized:  # each from the size as published
        copied = copy.deepcopy(model)
        copied.set_input_size(img_size=size, patch_size=(patch, patch))
        forward = copied if has_vector else copied.forward_features
        key = "{} x {}".format(*size) + f" by {patch}" * (patch not in SIZES)
        found[key] = forward(images_of(*size)).numpy()
    return shapes, config, found


def torchvision_model(options):
    sizes = {"patch_size": 16, "num_layers": 2, "num_heads": 3, "hidden_dim": 192, "mlp_dim": 768}
    sizes |= options
    model = torchvision.models.VisionTransformer(**sizes)
    shapes = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    state, found = seeded_state(shapes, {}), {}
    for side in (options["image_size"], 80):
        model = torchvision.models.VisionTransformer(**sizes | {"image_size": side})
        model.load_state_dict(interpolate_embeddings(side, 16, dict(state)))
        key = "output" if side == options["image_size"] else f"{side} x {side}"
        found[key] = model.double().eval()(images_of(side, side)).numpy()
    return shapes, {}, found


@torch.no_grad()
def main():
    recorded, path = {}, pathlib.Path(__file__).with_name("descendants.npz")
    rows = HUGGING_FACE | WITH_TEXT
    cases = {f"huggingface {name}": hugging_face(name, *row) for name, row in rows.items()}
    cases |= {f"timm {name}": timm_model(name, *row) for name, row in (TIMM | CLASSIFIERS).items()}
    cases |= {f"torchvision {name}": torchvision_model(row) for name, row in TORCHVISION.items()}
    for case, (shapes, config, outputs) in cases.items():
        facts = {"shapes": shapes, "config": config}
        facts |= {"factors": factors_of(case)} if factors_of(case) else {}
        recorded[f"{case}/file"] = json.dumps(facts)
        for name, output in outputs.items():
            print(case, name, output.shape, np.std(output))
            recorded[f"{case}/{name}"] = output.astype("float32")
    np.savez_compressed(path, **recorded)


if __name__ == "__main__":
    main()
