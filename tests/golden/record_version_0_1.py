"""Records `version_0_1.npz`: logits and gradient norms of every kind of model of version 0.1.

Needs version 0.1 (commit 2191b0c) on PYTHONPATH, with TensorFlow, which computes in float64;
run: KERAS_BACKEND=tensorflow python tests/golden/record_version_0_1.py
Weights are `seeded.model_weight` of their paths. A gradient is that of the mean square of logits.
"""

import pathlib

import keras
import numpy as np
import seeded
import tensorflow as tf
from seeded import BIT, CUT, EXACT, HYBRID, TINY, WIDE

import keras_vit


def vit(**options):
    return lambda: keras_vit.ViT(**{**TINY, **options}, dtype="float64")


def bit(**options):
    return lambda: keras_vit.ResNet(**{**BIT, **options}, dtype="float64")


def create(name, **options):
    return lambda: keras_vit.create(name, **options, dtype="float64")


def positions(kind, placement="stem", **options):
    return vit(position_embedding=kind, position_placement=placement, **options)


def axial(**options):
    return vit(attention="axial", **{"pooling": "gap", **options})


MODELS = {
    "token": vit(),
    "gap": vit(pooling="gap"),
    "map": vit(pooling="map"),
    "distilled": vit(pooling="distilled"),
    "not square": vit(**WIDE),
    "not square, map": vit(**WIDE, pooling="map"),
    "1 channel": vit(num_channels=1),
    "4 channels": vit(num_channels=4),
    "tanh form of GELU": vit(approximate=True, pooling="map"),
    "another epsilon": vit(epsilon=1e-3, pooling="map"),
    "pre-logits": vit(representation_size=12),
    "without a head": vit(num_classes=None),
    "without a head, gap": vit(num_classes=None, pooling="gap"),
    "without a head, distilled": vit(num_classes=None, pooling="distilled"),
    "without a head, pre-logits": vit(num_classes=None, representation_size=12),
    "default normalisation": vit(normalize=(127.5, 127.5)),
    "pixels as they are": vit(normalize=None),
    "mean of each channel": vit(normalize=((120.0, 110.0, 100.0), (60.0, 55.0, 50.0))),
    "head without bias": vit(head_bias=None),
    "positions 2d": positions("2d"),
    "positions sincos": positions("sincos"),
    "positions relative": positions("relative"),
    "no positions": positions(None),
    "positions 1d, every": positions("1d", "every"),
    "positions 1d, shared": positions("1d", "shared"),
    "positions 2d, every": positions("2d", "every", **WIDE, pooling="gap"),
    "positions 2d, shared": positions("2d", "shared", pooling="distilled"),
    "positions sincos, every": positions("sincos", "every"),
    "positions sincos, shared": positions("sincos", "shared", pooling="map"),
    "positions relative, not square, gap": positions("relative", **WIDE, pooling="gap"),
    "no positions, map": positions(None, pooling="map"),
    "axial": axial(),
    "axial, not square, map": axial(**WIDE, pooling="map"),
    "axial, 2d, every": axial(position_embedding="2d", position_placement="every"),
    "hybrid": vit(**HYBRID, resnet_units=(1, 1)),
    "hybrid of the root alone": vit(**HYBRID, resnet_units=()),
    "hybrid, not square, gap": vit(
        **{**HYBRID, "image_size": (32, 48), "patch_size": 16}, resnet_units=(1, 2), pooling="gap"
    ),
    "hybrid, relative": vit(**HYBRID, resnet_units=(1,), position_embedding="relative"),
    "BiT": bit(),
    "BiT, twice as wide, without a head": bit(units=(1,), width=2, num_classes=None),
    "BiT, 1 channel": bit(num_channels=1, units=(2, 1)),
    "axial BiT": bit(attention="axial"),
    "ViT-Mini/4": create("ViT-Mini/4", image_size=16, num_classes=5, **EXACT),
    "ViT-Ti/16": create("ViT-Ti/16", image_size=32, **CUT),
    "ViT-S/8": create("ViT-S/8", image_size=24, **CUT),
    "R+ViT-Ti/16": create("R+ViT-Ti/16", image_size=64, **CUT),
    "Axial-ViT-Ti/8": create("Axial-ViT-Ti/8", image_size=(16, 24), **CUT),
}


def main():
    recorded = {}
    for name, make in MODELS.items():
        keras.utils.clear_session()
        model = seeded.fill(make())
        images = seeded.images_of(model)
        with tf.GradientTape() as tape:
            logits = model(images)
            loss = tf.reduce_mean(tf.square(logits))
        trained = model.trainable_variables
        gradients = tape.gradient(loss, [weight.value for weight in trained])
        recorded[f"{name}: logits"] = logits.numpy()
        recorded[f"{name}: paths"] = np.array([weight.path for weight in trained])
        recorded[f"{name}: norms"] = np.array([np.linalg.norm(g) for g in gradients])
        print(f"{name:40} {len(trained):4} {np.std(logits):.4f} {logits.dtype}")
    np.savez_compressed(pathlib.Path(__file__).with_name("version_0_1.npz"), **recorded)


if __name__ == "__main__":
    main()
