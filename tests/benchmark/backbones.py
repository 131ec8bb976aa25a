"""Images per second, parameters and cost of the families on docs/backbones.md.

    python tests/benchmark/backbones.py --rounds 5
    python tests/benchmark/backbones.py --only DINO

Weights are random, which does not affect the speed. All models take turns in every round.
"""

import argparse
import gc
import statistics
import time

import keras
import numpy as np

import keras_vit
from keras_vit import accounting, descendants

REGISTERS = {"num_registers": 4}
MODELS = {  # row: (variant, class, arguments)
    "ViT-Ti/16": ("ViT-Ti/16", None, {}),
    "ViT-S/16": ("ViT-S/16", None, {}),
    "ViT-B/16": ("ViT-B/16", None, {}),
    "ViT-L/16": ("ViT-L/16", None, {}),
    "DINOv2 S/14": ("ViT-S/14", None, {}),
    "DINOv2 B/14": ("ViT-B/14", None, {}),
    "DINOv2 with registers S/14": ("ViT-S/14", "RegisterViT", REGISTERS),
    "DINOv3 S/16": ("ViT-S/16", "DINOv3ViT", REGISTERS),
    "DINOv3 S+/16": ("ViT-S/16", "DINOv3ViT", {"gated": True}),
    "DINOv3 B/16": ("ViT-B/16", "DINOv3ViT", REGISTERS),
    "CLIP B/32": ("ViT-B/32", "CLIPViT", {"projection_dim": 512}),
    "CLIP B/16": ("ViT-B/16", "CLIPViT", {"projection_dim": 512}),
    "CLIP L/14": ("ViT-L/14", "CLIPViT", {"projection_dim": 768}),
    "SigLIP 2 B/16": ("ViT-B/16", None, {"pooling": "map"}),
    "SigLIP 2 So400m/14": (
        "ViT-L/14", None,
        {"num_layers": 27, "hidden_dim": 1152, "mlp_dim": 4304, "pooling": "map"},
    ),
    "BEiT B/16": ("ViT-B/16", "BEiTViT", {}),
    "EVA-02 Ti/14": ("ViT-Ti/14", "EVAMeanViT", {"image_size": 336, "mlp_dim": 512}),
    "EVA-02 S/14": ("ViT-S/14", "EVAMeanViT", {"image_size": 336, "mlp_dim": 1024}),
    "PE core B/16": ("ViT-B/16", "PEViT", {"num_classes": 1024, "pooling": "map"}),
}  # fmt: skip


def build(variant, kind, options):
    """Returns the feature model of a row."""
    kind = keras_vit.ViT if kind is None else getattr(descendants, kind)
    options = {"num_classes": None, "image_size": 224} | options
    return keras_vit.create(variant, kind, **options)


def seconds(model, images):
    """Returns how long a prediction of a batch takes."""
    begin = time.perf_counter()
    keras.ops.convert_to_numpy(model.predict_on_batch(images))
    return time.perf_counter() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--only", default="", help="rows whose name contains this")
    options = parser.parse_args()
    rows = {name: row for name, row in MODELS.items() if options.only in name}
    models = {name: build(*row) for name, row in rows.items()}
    batches = {}
    for name, model in models.items():
        shape = (options.batch_size, *model.image_size, 3)
        batches[name] = np.random.default_rng(0).integers(0, 256, shape).astype("float32")
        seconds(model, batches[name])  # compiles
    times = {name: [] for name in models}
    for _ in range(options.rounds):
        for name, model in models.items():
            gc.collect()
            times[name].append(seconds(model, batches[name]))
    print("| model | pixels | parameters | multiply-adds | images/s |\n|---|--:|--:|--:|--:|")
    for name, model in models.items():
        cost = accounting.count(model)
        speed = options.batch_size / statistics.median(times[name])
        side = model.image_size[0]
        millions, billions = cost.parameters / 1e6, cost.multiply_adds / 1e9
        print(f"| {name} | {side} | {millions:.1f} M | {billions:.1f} G | {speed:.1f} |")


if __name__ == "__main__":
    main()
