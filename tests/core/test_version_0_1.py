"""Every kind of model computes the same as in version 0.1: logits and the gradient of each weight.

`golden/record_version_0_1.py` recorded them in float64, in which these tests compute too.
"""

import keras
import numpy as np
import pytest
from golden import seeded
from golden.seeded import BIT, CUT, EXACT, HYBRID, TINY, WIDE
from helpers import GOLDEN, numpy, quick, value_and_gradients

import keras_vit
from keras_vit.ablations import PositionViT
from keras_vit.ablations.axial import AxialResNet, AxialViT
from keras_vit.ablations.relative import RelativeViT

RECORDED = np.load(GOLDEN / "version_0_1.npz")


class WithoutBias(keras_vit.ViT):
    """Its head has no bias, as with an argument of version 0.1."""

    def head(self, x):
        return keras.layers.Dense(5, use_bias=False, name="head", dtype="float64")(x)


class RelativeHybrid(keras_vit.HybridViT, RelativeViT):
    """Two branches at once."""


def vit(model=keras_vit.ViT, **options):
    return model(**{**TINY, **options}, dtype="float64")


def hybrid(model=keras_vit.HybridViT, **options):
    return vit(model, **{**HYBRID, **options})


def bit(model=keras_vit.ResNet, **options):
    return model(**{**BIT, **options}, dtype="float64")


def create(name, **options):
    return keras_vit.create(name, **options, dtype="float64")


def positions(kind, placement="stem", **options):
    return vit(PositionViT, position_embedding=kind, position_placement=placement, **options)


MODELS = {
    "token": lambda: vit(),
    "gap": lambda: vit(pooling="gap"),
    "map": lambda: vit(pooling="map"),
    "distilled": lambda: vit(pooling="distilled"),
    "not square": lambda: vit(**WIDE),
    "not square, map": lambda: vit(**WIDE, pooling="map"),
    "1 channel": lambda: vit(num_channels=1),
    "4 channels": lambda: vit(num_channels=4),
    "tanh form of GELU": lambda: vit(approximate=True, pooling="map"),
    "another epsilon": lambda: vit(epsilon=1e-3, pooling="map"),
    "pre-logits": lambda: vit(representation_size=12),
    "without a head": lambda: vit(num_classes=None),
    "without a head, gap": lambda: vit(num_classes=None, pooling="gap"),
    "without a head, distilled": lambda: vit(num_classes=None, pooling="distilled"),
    "without a head, pre-logits": lambda: vit(num_classes=None, representation_size=12),
    "default normalisation": lambda: vit(normalize=(127.5, 127.5)),
    "pixels as they are": lambda: vit(normalize=None),
    "mean of each channel": lambda: vit(normalize=((120.0, 110.0, 100.0), (60.0, 55.0, 50.0))),
    "head without bias": lambda: vit(WithoutBias),
    "positions 2d": lambda: positions("2d"),
    "positions sincos": lambda: positions("sincos"),
    "positions relative": lambda: vit(RelativeViT),
    "no positions": lambda: positions(None),
    "positions 1d, every": lambda: positions("1d", "every"),
    "positions 1d, shared": lambda: positions("1d", "shared"),
    "positions 2d, every": lambda: positions("2d", "every", **WIDE, pooling="gap"),
    "positions 2d, shared": lambda: positions("2d", "shared", pooling="distilled"),
    "positions sincos, every": lambda: positions("sincos", "every"),
    "positions sincos, shared": lambda: positions("sincos", "shared", pooling="map"),
    "positions relative, not square, gap": lambda: vit(RelativeViT, **WIDE, pooling="gap"),
    "no positions, map": lambda: positions(None, pooling="map"),
    "axial": lambda: vit(AxialViT),
    "axial, not square, map": lambda: vit(AxialViT, **WIDE, pooling="map"),
    "axial, 2d, every": lambda: vit(AxialViT, position_embedding="2d", position_placement="every"),
    "hybrid": lambda: hybrid(resnet_units=(1, 1)),
    "hybrid of the root alone": lambda: hybrid(resnet_units=()),
    "hybrid, not square, gap": lambda: hybrid(
        image_size=(32, 48), patch_size=16, resnet_units=(1, 2), pooling="gap"
    ),
    "hybrid, relative": lambda: hybrid(RelativeHybrid, resnet_units=(1,)),
    "BiT": lambda: bit(),
    "BiT, twice as wide, without a head": lambda: bit(units=(1,), width=2, num_classes=None),
    "BiT, 1 channel": lambda: bit(num_channels=1, units=(2, 1)),
    "axial BiT": lambda: bit(AxialResNet),
    "ViT-Mini/4": lambda: create("ViT-Mini/4", image_size=16, num_classes=5, **EXACT),
    "ViT-Ti/16": lambda: create("ViT-Ti/16", image_size=32, **CUT),
    "ViT-S/8": lambda: create("ViT-S/8", image_size=24, **CUT),
    "R+ViT-Ti/16": lambda: create("R+ViT-Ti/16", image_size=64, **CUT),
    "Axial-ViT-Ti/8": lambda: create("Axial-ViT-Ti/8", image_size=(16, 24), **CUT),
}
# Keras computes layer normalization in float32 for every dtype; PyTorch differs most.
ROUNDING, OF_NORMS = (1e-5, 5e-5) if keras.backend.backend() == "torch" else (1e-6, 1e-5)
QUICK = ("token", "positions 2d, every", "axial", "hybrid")
# CI compares the others on TensorFlow: JAX compiles each of them, in seven times the time.
IN_CI = [pytest.mark.slow, pytest.mark.both]
REST = pytest.mark.weekly if keras.backend.backend() == "jax" else IN_CI


@pytest.fixture
def float64():
    """JAX computes in float64 only if configured to."""
    if keras.backend.backend() != "jax":
        yield
        return
    import jax

    jax.config.update("jax_disable_most_optimizations", True)  # compiles in a third of the time
    with jax.enable_x64(True):
        yield


def cases():
    """Every kind of model; combinations of two kinds, whose names have a comma, run weekly."""
    alone = quick([name for name in MODELS if "," not in name], *QUICK, rest=REST)
    return alone + quick([name for name in MODELS if "," in name], *QUICK, rest=pytest.mark.weekly)


@pytest.mark.parametrize("name", cases())
def test_logits_and_gradients_are_those_of_version_0_1(name, float64, blank):
    model = seeded.fill(MODELS[name]())
    logits, gradients = value_and_gradients(model, seeded.images_of(model))
    paths, norms = RECORDED[f"{name}: paths"], RECORDED[f"{name}: norms"]
    np.testing.assert_allclose(logits, RECORDED[f"{name}: logits"], rtol=0, atol=ROUNDING)
    assert sorted(gradients) == sorted(paths)
    found = [np.linalg.norm(numpy(gradients[path])) for path in paths]
    np.testing.assert_allclose(found, norms, rtol=OF_NORMS, atol=1e-9)


def test_every_recorded_model_is_compared():
    assert {key.split(": ")[0] for key in RECORDED.files} == set(MODELS)
