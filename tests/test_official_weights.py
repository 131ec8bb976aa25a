"""Real weights in our layers give the logits of the official code, on every backend.

The files are other people's and not part of the project: the test runs where the environment
variable KERAS_VIT_TEST_DATA names the folder that holds them.
"""

import os
import pathlib

import numpy as np
import pytest
from helpers import numpy

import keras_vit

FOLDER = pathlib.Path(os.environ.get("KERAS_VIT_TEST_DATA", "not set"), "weights")
WEIGHTS = FOLDER / "ViT-Ti_16.augreg.imagenet2012.224.npz"
pytestmark = pytest.mark.skipif(
    not WEIGHTS.exists(), reason="KERAS_VIT_TEST_DATA names no folder with the official weights"
)


@pytest.fixture(scope="module")
def golden():
    return np.load(FOLDER / "golden_ViT-Ti_16.npz")


@pytest.mark.parametrize(
    "approximate, reference", [(True, "logits_google_flax"), (False, "logits_timm")]
)
def test_logits_are_those_of_the_official_code(approximate, reference, golden):
    model = keras_vit.create("ViT-Ti/16", approximate=approximate)
    official = np.load(WEIGHTS)
    for weight in model.weights:
        weight.assign(ours(weight.path, official).reshape(weight.shape))
    logits = numpy(model(golden["x_uint8"]))
    np.testing.assert_allclose(logits, golden[reference], atol=1e-4)
    assert (logits.argmax(-1) == golden[reference].argmax(-1)).all()


def ours(path, official):
    """The official array of a weight of ours."""
    fixed = {
        "patch_encoder/projection": "embedding",
        "patch_encoder/class_token": "cls",
        "patch_encoder/position_embedding": "Transformer/posembed_input/pos_embedding",
        "encoder_norm": "Transformer/encoder_norm",
        "norm_1": "LayerNorm_0",
        "norm_2": "LayerNorm_2",
        "attention/projection": "MultiHeadDotProductAttention_1/out",
        "mlp/expand": "MlpBlock_3/Dense_0",
        "mlp/contract": "MlpBlock_3/Dense_1",
        "block_": "Transformer/encoderblock_",
        "gamma": "scale",
        "beta": "bias",
    }
    name = path
    for mine, theirs in fixed.items():
        name = name.replace(mine, theirs)
    if "query_key_value" not in name:
        return official[name]
    # Theirs are three: kernels (D, heads, d) and biases (heads, d); ours are columns side by side.
    parts = [
        official[
            name.replace("attention/query_key_value", f"MultiHeadDotProductAttention_1/{part}")
        ]
        for part in ("query", "key", "value")
    ]
    rows = (192, -1) if name.endswith("kernel") else (-1,)
    return np.concatenate([part.reshape(rows) for part in parts], axis=-1)
