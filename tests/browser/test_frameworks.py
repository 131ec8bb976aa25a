"""The four forward passes of docs/frameworks.md: the same logits from the same weights."""

import importlib

import numpy as np
import pytest
from helpers import ROOT, numpy, outputs, random_images, randomize, round_weights
from test_engine import NODE, packed, run_node, to_image

import keras_vit

SIZES = {"image_size": 16, "patch_size": 4, "num_layers": 2, "hidden_dim": 24, "mlp_dim": 40}
SIZES |= {"num_heads": 3, "num_classes": 5}
ARGUMENTS = (SIZES["patch_size"], SIZES["num_layers"], SIZES["num_heads"])
IMAGES = random_images(3, 16, 16, 3).round()


@pytest.fixture(scope="module")
def model():
    """A seeded model whose weights are exact in float16, as the page stores them."""
    return round_weights(randomize(keras_vit.ViT(**SIZES, approximate=True)), "float16")


def forward(name, model):
    """Returns the logits that a Python version computes from the model's weights."""
    if name == "jax":
        pytest.importorskip("jax", reason="needs JAX")
    version = importlib.import_module(f"vit_{name}")
    if name == "keras":
        vit = version.build(**SIZES)
        vit.set_weights(model.get_weights())
        return outputs(vit, IMAGES)
    weights = {weight.path: numpy(weight) for weight in model.weights}
    return version.forward(IMAGES, weights, *ARGUMENTS)


@pytest.mark.parametrize("name", ["keras", "numpy", "jax"])
def test_python_gives_the_logits_of_the_model(name, model, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs" / "frameworks")
    np.testing.assert_allclose(forward(name, model), outputs(model, IMAGES), atol=1e-5)


@pytest.mark.skipif(NODE is None, reason="needs node (Node.js)")
def test_javascript_gives_the_logits_of_the_model(model):
    code = "console.log(JSON.stringify(images.map((x) => numbers(vits[0].call(x, {})))));"
    images = [to_image(image) for image in IMAGES]
    found = run_node(code, models=[packed(model)], images=images)
    np.testing.assert_allclose(found, outputs(model, IMAGES), atol=1e-5)
