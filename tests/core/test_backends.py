"""One model, three backends: a file saved by one gives the same numbers on the others."""

import concurrent.futures
import contextlib
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from helpers import SUPPORT, arrays, gradients, numpy, random_images, random_tokens, randomize

import keras_vit
from keras_vit.backend import BACKENDS, blank_weights, is_installed

POOLINGS = ["token", "map"]
WORKER = """
import sys, keras, numpy as np
sys.path.insert(0, {tests!r})
import keras_vit
from helpers import gradients, numpy
for pooling in {poolings!r}:
    folder = {folder!r} + "/" + pooling + "/"
    model = keras.saving.load_model(folder + "model.keras")
    data = np.load(folder + "data.npz")
    model_gradients = gradients(model, data["images"], data["targets"])
    np.savez(folder + keras.backend.backend() + ".npz",
             logits=numpy(model(data["images"])),
             predicted=model.predict(data["images"], verbose=0),
             **model_gradients)
"""


@pytest.mark.weekly
def test_backends_agree_on_logits_and_gradients(tmp_path):
    others = [b for b in BACKENDS if b != keras.backend.backend() and is_installed(b)]
    if not others:
        pytest.skip("only one backend is installed")
    expected = {pooling: reference(pooling, tmp_path / pooling) for pooling in POOLINGS}
    for other in others:
        run_on(other, tmp_path)
        for pooling, (logits, model_gradients) in expected.items():
            result = arrays(tmp_path / pooling / f"{other}.npz")
            np.testing.assert_allclose(result["logits"], logits, atol=1e-5)
            np.testing.assert_allclose(result["predicted"], logits, atol=1e-5)
            assert set(result) == {"logits", "predicted", *model_gradients}
            for path, gradient in model_gradients.items():
                np.testing.assert_allclose(result[path], gradient, atol=1e-5, err_msg=path)


def reference(pooling, folder):
    """Saves a model and images in `folder`; returns its logits and gradients on this backend."""
    model = keras_vit.create(
        "ViT-Mini/8",
        num_layers=2,
        image_size=32,
        num_classes=11,
        pooling=pooling,
        representation_size=13,
    )
    randomize(model, scale=0.1)
    images, targets = random_images(5, 32, 32, 3), random_tokens(5, 11)
    folder.mkdir()
    model.save(folder / "model.keras")
    np.savez(folder / "data.npz", images=images, targets=targets)
    return numpy(model(images)), gradients(model, images, targets)


def run_on(backend, folder):
    code = WORKER.format(tests=str(SUPPORT), folder=str(folder), poolings=POOLINGS)
    env = {**os.environ, "KERAS_BACKEND": backend}
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=env, check=True)


def test_weights_are_blank_only_while_they_are_about_to_be_loaded():
    make = lambda: keras.layers.Dense(3)  # noqa: E731
    with contextlib.suppress(RuntimeError), blank_weights():
        layer = make()
        layer.build((None, 4))
        blank = numpy(layer.kernel)
        raise RuntimeError
    assert blank.shape == (4, 3) and blank.dtype == "float32"
    assert blank.any() == (keras.backend.backend() == "torch")
    layer = make()
    layer.build((None, 4))
    assert np.ptp(numpy(layer.kernel)) > 0


def test_blank_weights_of_one_shape_are_assigned_apart():
    with blank_weights():
        first, second = (keras.layers.Dense(3) for _ in range(2))
        for layer in (first, second):
            layer.build((None, 4))
    before = numpy(second.kernel)
    first.kernel.assign_add(np.ones((4, 3)))
    np.testing.assert_array_equal(numpy(second.kernel), before)


def test_weights_that_another_thread_draws_meanwhile_are_random():
    with blank_weights(), concurrent.futures.ThreadPoolExecutor(1) as pool:
        drawn = pool.submit(keras.initializers.GlorotUniform(0), (4, 3)).result()
    assert np.ptp(numpy(drawn)) > 0
