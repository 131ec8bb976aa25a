"""One model, three backends: a file saved by one gives the same numbers on the others."""

import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from helpers import gradients, numpy, random_images, random_tokens, randomize

import keras_vit
from keras_vit.backend import BACKENDS, is_installed

WORKER = """
import sys, keras, numpy as np
sys.path.insert(0, {tests!r})
import keras_vit
from helpers import gradients, numpy
model = keras.saving.load_model({folder!r} + "/model.keras")
data = np.load({folder!r} + "/data.npz")
model_gradients = gradients(model, data["images"], data["targets"])
np.savez({folder!r} + "/" + keras.backend.backend() + ".npz",
         logits=numpy(model(data["images"])), predicted=model.predict(data["images"], verbose=0),
         **model_gradients)
"""


@pytest.mark.parametrize("pooling", ["token", "map"])
def test_backends_agree_on_logits_and_gradients(pooling, tmp_path):
    model = keras_vit.create(
        "ViT-Mini/8", image_size=32, num_classes=11, pooling=pooling, representation_size=13
    )
    randomize(model, scale=0.1)
    images, targets = random_images(5, 32, 32, 3), random_tokens(5, 11)
    model.save(tmp_path / "model.keras")
    np.savez(tmp_path / "data.npz", images=images, targets=targets)
    logits, expected = numpy(model(images)), gradients(model, images, targets)
    others = [b for b in BACKENDS if b != keras.backend.backend() and is_installed(b)]
    if not others:
        pytest.skip("only one backend is installed")
    for other in others:
        result = run_on(other, tmp_path)
        np.testing.assert_allclose(result["logits"], logits, atol=1e-5)
        np.testing.assert_allclose(result["predicted"], logits, atol=1e-5)
        assert set(result) == {"logits", "predicted", *expected}
        for path, gradient in expected.items():
            np.testing.assert_allclose(result[path], gradient, atol=1e-5, err_msg=path)


def run_on(backend, folder):
    code = WORKER.format(tests=str(pathlib.Path(__file__).parent), folder=str(folder))
    env = {**os.environ, "KERAS_BACKEND": backend}
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=env, check=True)
    return dict(np.load(folder / f"{backend}.npz"))
