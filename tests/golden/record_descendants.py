"""Records `descendants.npz`: what timm's and Hugging Face's own code computes, seeded weights.

Needs torch, torchvision, timm (1.0.31) and transformers (5.24.0); run:

    python tests/golden/record_descendants.py

For each model: the names and shapes in its file and its config.json, as JSON, and its output for
two images. Models are narrow and have 2 blocks; PyTorch computes in float64.
"""

import json
import pathlib
import tempfile

import numpy as np
import safetensors.torch
import seeded
import timm
import torch
import transformers

SMALL = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3}
SMALL |= {"image_size": 56, "patch_size": 14, "num_labels": 5}
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
}  # fmt: skip
TIMM = {
    "dinov2": ("vit_small_patch14_dinov2", {"img_size": 56, "num_classes": 0}),
    "dinov2 registers": ("vit_small_patch14_reg4_dinov2", {"img_size": 56, "num_classes": 0}),
    "deit3": ("deit3_small_patch16_224", {"img_size": 64, "num_classes": 5}),
}
NARROW = {"depth": 2, "embed_dim": 24, "num_heads": 3}
MEAN, DEVIATION = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))


def images_of(size):
    images = seeded.make_images(size, size).astype("float64") / 255
    return torch.from_numpy(((images - MEAN) / DEVIATION).transpose(0, 3, 1, 2).copy())


def seeded_state(shapes):
    return {name: torch.from_numpy(seeded.torch_weight(name, s)) for name, s in shapes.items()}


def hugging_face(kind, config):
    """Returns shapes, configuration and output; names are those that `save_pretrained` writes."""
    with tempfile.TemporaryDirectory() as folder:
        kind(config(**SMALL)).save_pretrained(folder)
        path = pathlib.Path(folder, "model.safetensors")
        state = safetensors.torch.load_file(path)
        shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
        safetensors.torch.save_file(seeded_state(shapes), path, {"format": "pt"})
        model = kind.from_pretrained(folder).double().eval()
        facts = json.loads(pathlib.Path(folder, "config.json").read_text())
    outputs = model(images_of(SMALL["image_size"]))
    result = outputs.logits if "logits" in outputs else outputs.last_hidden_state
    return shapes, facts, result.numpy()


def timm_model(name, options):
    model = timm.create_model(name, **NARROW, **options)
    shapes = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    model.load_state_dict(seeded_state(shapes))
    model, images = model.double().eval(), images_of(options["img_size"])
    forward = model if options["num_classes"] else model.forward_features
    pixels = {"mean": MEAN.tolist(), "std": DEVIATION.tolist()}
    return shapes, {"architecture": name, "pretrained_cfg": pixels}, forward(images).numpy()


@torch.no_grad()
def main():
    recorded = {}
    cases = {f"huggingface {name}": hugging_face(*row) for name, row in HUGGING_FACE.items()}
    cases |= {f"timm {name}": timm_model(*row) for name, row in TIMM.items()}
    for case, (shapes, config, output) in cases.items():
        print(case, output.shape, np.std(output))
        recorded[f"{case}/file"] = json.dumps({"shapes": shapes, "config": config})
        recorded[f"{case}/output"] = output.astype("float32")
    np.savez_compressed(pathlib.Path(__file__).with_name("descendants.npz"), **recorded)


if __name__ == "__main__":
    main()
