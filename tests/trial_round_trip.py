"""Random models, written as folders, loaded by timm and transformers, saved by them, loaded again.

    python tests/trial_round_trip.py

Every case gives the same outputs in all three, or is refused with the reason. The models that
`golden/record_descendants.py` recorded are then read, written and loaded by their own library:
their outputs are those that were recorded. `--only PATTERN` runs the cases whose name has it. Each
line shows the largest difference of the outputs.
"""

import argparse
import json
import logging
import pathlib
import re
import sys
import tempfile
import warnings

import numpy as np

try:
    import timm
    import timm.data
    import timm.models._hub
    import torch
    import transformers as hf
except ImportError as error:
    sys.exit(f"Skipped: this trial needs torch, timm and transformers; {error}.")

import keras
from golden import seeded
from PIL import Image

import keras_vit
from keras_vit import descendants, training
from keras_vit.io import files

CLOSE = 1e-4
RECORDED = np.load(pathlib.Path(__file__).with_name("golden") / "descendants.npz")
IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
TINY = {"image_size": 32, "patch_size": 8, "num_layers": 2, "hidden_dim": 24, "mlp_dim": 96}
TINY |= {"num_heads": 3, "num_classes": 5, "normalize": ((120.0, 110.0, 100.0), (60.0, 55.0, 50.0))}
NO_HEAD, WIDE = {"num_classes": None}, {"image_size": (32, 48)}
MEAN = {"epsilon": 1e-6, "pooling": "patch mean"}
PLAIN, REGISTERS, DINOV3 = keras_vit.ViT, descendants.RegisterViT, descendants.DINOv3ViT
CLIP, HYBRID = descendants.CLIPViT, descendants.TimmHybridViT
BEIT, BIASED, RADIO = descendants.BEiTViT, descendants.BiasedViT, descendants.UnnormalizedViT
EVA, EVA_MEAN = descendants.EVAViT, descendants.EVAMeanViT
PE, SPATIAL = descendants.PEViT, descendants.PESpatialViT
BOTH, HERE, THERE = ("timm", "huggingface"), ("timm",), ("huggingface",)
# name: (class, arguments, the libraries that have such a model)
CASES = {
    "vit": (PLAIN, {"epsilon": 1e-6}, BOTH),
    "vit, wide, tanh": (PLAIN, WIDE | {"epsilon": 1e-5, "approximate": True}, BOTH),
    "vit, tall patches": (PLAIN, {"patch_size": (8, 16)}, BOTH),
    "vit, epsilon 1e-12": (PLAIN, {"epsilon": 1e-12}, BOTH),
    "vit, grey, no normalization": (PLAIN, {"num_channels": 1, "normalize": None}, BOTH),
    "vit, features": (PLAIN, NO_HEAD, BOTH),
    "vit, features, wide": (PLAIN, NO_HEAD | WIDE, HERE),
    "vit, features, another MLP": (PLAIN, NO_HEAD | {"mlp_dim": 50}, HERE),
    "vit, tokens": (PLAIN, NO_HEAD | {"pooling": None}, BOTH),
    "vit, tanh layer": (PLAIN, NO_HEAD | {"representation_size": 7}, THERE),
    "vit, tanh layer and head": (PLAIN, {"representation_size": 7}, ()),
    "mean": (PLAIN, {"pooling": "gap"}, BOTH),
    "mean beside a class token": (PLAIN, {"pooling": "patch mean"}, HERE),
    "dinov2 classifier, wide": (PLAIN, WIDE | {"pooling": "token and mean"}, ()),
    "dinov2 classifier": (PLAIN, {"pooling": "token and mean"}, THERE),
    "distilled": (PLAIN, {"pooling": "distilled"}, BOTH),
    "distilled, features": (PLAIN, NO_HEAD | {"pooling": "distilled"}, ()),
    "siglip": (PLAIN, NO_HEAD | {"pooling": "map", "approximate": True}, BOTH),
    "siglip, wide": (PLAIN, NO_HEAD | WIDE | {"pooling": "map"}, HERE),
    "siglip, head": (PLAIN, {"pooling": "map", "mlp_dim": 50}, HERE),
    "registers": (REGISTERS, NO_HEAD, BOTH),
    "registers, wide": (REGISTERS, NO_HEAD | WIDE, HERE),
    "registers, tokens": (REGISTERS, NO_HEAD | {"pooling": None, "num_registers": 2}, BOTH),
    "registers, head": (REGISTERS, {"num_registers": 1}, HERE),
    "registers classifier": (REGISTERS, {"pooling": "token and mean"}, THERE),
    "registers, gated": (REGISTERS, NO_HEAD | {"gated": True}, BOTH),
    "registers, gated, another MLP": (REGISTERS, {"gated": True, "mlp_dim": 50}, HERE),
    "no registers, gated": (REGISTERS, NO_HEAD | {"gated": True, "num_registers": 0}, BOTH),
    "no registers": (REGISTERS, {"num_registers": 0}, BOTH),
    "registers alone": (REGISTERS, {"pooling": "gap"}, HERE),
    "registers alone, map": (REGISTERS, {"pooling": "map"}, HERE),
    "fine-tuned mae": (descendants.PooledNormViT, {"pooling": "patch mean"}, HERE),
    "sbb": (descendants.PooledNormViT, {"pooling": "gap", "num_registers": 2}, HERE),
    "dinov3": (DINOV3, NO_HEAD | WIDE | {"epsilon": 1e-5}, BOTH),
    "dinov3, head": (DINOV3, {"epsilon": 1e-5, "theta": 50.0}, HERE),
    "dinov3 gated, tokens": (
        DINOV3, NO_HEAD | {"epsilon": 1e-5, "gated": True, "pooling": None, "mlp_dim": 50}, BOTH,
    ),
    "dinov3, mean": (DINOV3, NO_HEAD | {"epsilon": 1e-5, "pooling": "patch mean"}, HERE),
    "dinov3, epsilon 1e-6": (DINOV3, NO_HEAD, THERE),
    "dinov3, biases": (DINOV3, NO_HEAD | {"epsilon": 1e-5}, BOTH),
    "clip": (CLIP, NO_HEAD | {"projection_dim": 7, "epsilon": 1e-5}, BOTH),
    "clip, exact": (
        CLIP, NO_HEAD | {"projection_dim": 7, "epsilon": 1e-5, "quick_gelu": False}, BOTH,
    ),
    "clip, wide": (CLIP, NO_HEAD | WIDE | {"projection_dim": 7, "epsilon": 1e-6}, HERE),
    "clip, features": (CLIP, NO_HEAD | {"epsilon": 1e-5}, BOTH),
    "clip, head": (CLIP, {"epsilon": 1e-5}, HERE),
    "clip, projection and head": (CLIP, {"projection_dim": 7}, ()),
    "beit": (BEIT, MEAN, BOTH),
    "beit, features": (BEIT, NO_HEAD | MEAN, BOTH),
    "beit, wide": (BEIT, WIDE | MEAN, HERE),
    "beit, class token after the norm": (BEIT, {"epsilon": 1e-6}, HERE),
    "beit, tanh": (BEIT, MEAN | {"approximate": True}, THERE),
    "beit of the class token": (BIASED, {"epsilon": 1e-6, "positions": True}, BOTH),
    "beit, tokens": (BIASED, NO_HEAD | {"epsilon": 1e-6, "pooling": None}, BOTH),
    "beit, mean before the norm": (BIASED, MEAN, HERE),
    "eva02": (EVA_MEAN, MEAN | {"mlp_norm": True}, HERE),
    "eva02, no norms, wide": (EVA_MEAN, MEAN | WIDE | {"mlp_dim": 50}, HERE),
    "eva02, bias of keys": (EVA_MEAN, MEAN | {"mlp_norm": True, "reference": 3}, HERE),
    "eva02, no class token": (EVA_MEAN, {"epsilon": 1e-6, "pooling": "gap"}, HERE),
    "eva02 clip": (EVA, {"epsilon": 1e-6, "attention_norm": True, "mlp_norm": True}, HERE),
    "eva02 clip, bias of keys": (EVA, {"epsilon": 1e-6, "attention_norm": True}, HERE),
    "eva02, tokens": (EVA, NO_HEAD | {"epsilon": 1e-6, "pooling": None}, HERE),
    "pe core": (PE, {"epsilon": 1e-5, "pooling": "map", "reference": (3, 5)}, HERE),
    "pe core, features, wide": (PE, NO_HEAD | WIDE | {"epsilon": 1e-5, "pooling": "map"}, HERE),
    "pe core G": (
        PE, NO_HEAD | {"epsilon": 1e-5, "pooling": "map", "has_class_token": False}, HERE,
    ),
    "pe spatial": (SPATIAL, {"epsilon": 1e-5}, HERE),
    "pe spatial, tokens": (SPATIAL, NO_HEAD | {"epsilon": 1e-5, "pooling": None}, HERE),
    "pe spatial, mean": (SPATIAL, {"epsilon": 1e-5, "pooling": "patch mean"}, HERE),
    "pe spatial G": (SPATIAL, {"epsilon": 1e-5, "pooling": "gap", "mlp_dim": 50}, HERE),
    "radio": (RADIO, NO_HEAD | WIDE | {"num_registers": 3}, HERE),
    "radio, mean": (RADIO, {"num_registers": 3, "pooling": "patch mean"}, HERE),
    "intern": (RADIO, {}, HERE),
    "intern, tokens": (RADIO, NO_HEAD | {"pooling": None}, HERE),
    "hybrid": (
        HYBRID, {"image_size": 64, "patch_size": 32, "resnet_units": (2, 2, 2, 2)}, HERE,
    ),
    "root": (
        HYBRID, {"image_size": 64, "patch_size": 16, "resnet_units": ()}, HERE,
    ),
    "other hybrid": (keras_vit.HybridViT, {"resnet_units": (1, 1)}, ()),
    "bit": (keras_vit.ResNet, {"image_size": 64}, HERE),
    "other bit": (keras_vit.ResNet, {"image_size": 32, "units": (1, 1)}, ()),
    "lora": (PLAIN, {}, BOTH),
}  # fmt: skip


def build(name):
    """Returns a model with random weights, large enough for a change to be visible."""
    kind, options, _ = CASES[name]
    if kind is keras_vit.ResNet:
        model = kind(**options, num_classes=5, normalize=TINY["normalize"])
    else:
        model = kind(**(TINY | options))
    if name == "lora":
        training.freeze(model, "lora", rank=2)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        noise = rng.normal(size=weight.shape)
        width = np.prod(weight.shape[:-1]) if len(weight.shape) > 1 else 25
        if weight.name == "position_embedding" or "token" in weight.name or "probe" in weight.name:
            width = 4
        one = weight.name == "gamma"
        weight.assign(1 + 0.2 * noise if one else noise * max(1, width) ** -0.5)
    if name.startswith(("dinov3", "eva02")) and not re.search("gated|bias of keys", name):
        first = bool(re.search("biases|eva02", name))  # none, or all but those of the keys
        for i in range(model.num_layers):
            bias = model.get_layer(f"block_{i}").attention.query_key_value.bias
            bias.assign(keras.ops.convert_to_numpy(bias) * np.repeat([first, 0, first], 24))
    return model


def compute(model, images):
    return keras.ops.convert_to_numpy(model(images))


def open_transformers(model, folder, again):
    """Returns (outputs of the folder's model for images, ...) and saves the model into `again`."""
    kind = hf.AutoModelForImageClassification if model.num_classes else hf.AutoModel
    if getattr(model, "projection_dim", None):
        kind = hf.CLIPVisionModelWithProjection
    loaded, info = kind.from_pretrained(folder, output_loading_info=True)
    differences = {name: list(found) for name, found in info.items() if found}
    if model.num_channels == 3:
        processor = hf.AutoImageProcessor.from_pretrained(folder)
        processor.save_pretrained(again)
    loaded.save_pretrained(again)
    if model.num_channels == 3:
        check_processor(processor, model)

    def run(images):
        found = loaded.eval()(images)
        names = ("logits", "image_embeds", "pooler_output", "last_hidden_state")
        if model.pooling is None:
            names = names[-1:]
        return next(found[name] for name in names if getattr(found, name, None) is not None)

    return run, differences


def check_processor(processor, model):
    """An image of the model's size is normalized as in the model."""
    image = np.random.default_rng(1).integers(0, 256, (*model.image_size, 3), dtype="uint8")
    found = processor(images=Image.fromarray(image), return_tensors="np")["pixel_values"][0]
    np.testing.assert_allclose(found, normalized(image[None], model)[0], atol=1e-5)


def open_timm(model, folder, again):
    loaded = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    config = timm.data.resolve_model_data_config(loaded)
    assert config["input_size"] == (model.num_channels, *model.image_size), config
    assert np.allclose(config["mean"], pixels(model)[0]), config
    timm.models._hub.save_for_hf(loaded, again, safe_serialization=True)
    tokens = getattr(model, "pooling", "token") is None
    return (loaded.forward_features if tokens else loaded), {}


def pixels(model):
    pair = model.normalize or (0.0, 1.0)
    return [np.broadcast_to(value, model.num_channels) / 255 for value in pair]


def normalized(images, model):
    mean, deviation = pixels(model)
    return ((images / 255 - mean) / deviation).astype("float32").transpose(0, 3, 1, 2)


def run_case(name, source):
    """Returns (verdict, details)."""
    model = build(name)
    shape = (2, *model.image_size, model.num_channels)
    images = np.random.default_rng(0).uniform(0, 255, shape).astype("float32")
    expected = compute(model, images)
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = pathlib.Path(folder, "ours"), pathlib.Path(folder, "theirs")
        try:
            keras_vit.save_weights(model, ours, source)
        except ValueError as error:
            verdict = "REFUSED" if source in CASES[name][2] else "refused"
            return verdict, str(error)
        loader = open_timm if source == "timm" else open_transformers
        run, differences = loader(model, str(ours), str(theirs))
        found = run(torch.from_numpy(normalized(images, model).copy())).numpy()
        gaps = [np.abs(found - expected).max() if found.shape == expected.shape else np.inf]
        for path in (ours, theirs):
            options = {"pooling": None} if getattr(model, "pooling", "") is None else {}
            if path is theirs and model.num_channels != 3:
                options["normalize"] = model.normalize
            if isinstance(model, keras_vit.ResNet):
                options |= {"image_size": model.image_size, "normalize": model.normalize}
            again = keras_vit.load_pretrained(path, verbose=False, **options)
            gaps.append(np.abs(compute(again, images) - expected).max())
    equal = max(gaps) < CLOSE * max(1, np.abs(expected).max()) and not differences
    equal = equal and source in CASES[name][2]
    return "equal" if equal else "DIFFERENT", f"{max(gaps):.1e} {differences or ''}"


def run_recorded(case, source):
    """Returns (verdict, details) of a model that was recorded."""
    facts, expected = json.loads(str(RECORDED[f"{case}/file"])), RECORDED[f"{case}/output"]
    with tempfile.TemporaryDirectory() as folder:
        before, after = pathlib.Path(folder, "before"), pathlib.Path(folder, "after")
        before.mkdir()
        shapes, factors = facts["shapes"].items(), facts.get("factors", {})
        weight = seeded.torch_weight
        tensors = {name: np.asarray(weight(name, tuple(s), factors)) for name, s in shapes}
        files.write_safetensors(before / files.WHOLE, tensors)
        (before / "config.json").write_text(json.dumps(facts["config"]))
        options = {"pooling": None} if expected.ndim == 3 else {}
        model = keras_vit.load_pretrained(before, verbose=False, normalize=IMAGENET, **options)
        try:
            keras_vit.save_weights(model, after, source)
        except ValueError as error:
            return "refused", str(error)
        loader = open_timm if source == "timm" else open_transformers
        run, differences = loader(model, str(after), str(pathlib.Path(folder, "again")))
        images = normalized(seeded.make_images(*model.image_size), model)
        gap = np.abs(run(torch.from_numpy(images.copy())).numpy() - expected).max()
    verdict = "equal" if gap < CLOSE and not differences else "DIFFERENT"
    return verdict, f"{gap:.1e} {differences or ''}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="regular expression of the name of a case")
    only = parser.parse_args().only
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    hf.utils.logging.set_verbosity_error()
    hf.utils.logging.disable_progress_bar()
    logging.disable()
    verdicts = set()
    recorded = [name.removesuffix("/file") for name in RECORDED if name.endswith("/file")]
    for name in (*CASES, *recorded):
        for source in BOTH if re.search(only, name) else ():
            run = run_case if name in CASES else run_recorded
            with torch.no_grad():
                try:
                    verdict, details = run(name, source)
                except Exception as error:
                    verdict, details = "CRASH", f"{type(error).__name__}: {error}"[:600]
            verdicts.add(verdict)
            print(f"{name}, {source}: {verdict} {details}", flush=True)
    sys.exit(any(verdict.isupper() for verdict in verdicts))


if __name__ == "__main__":
    main()
