"""Batches on several devices, and a strategy of TensorFlow on one."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from helpers import SUPPORT, numpy, random_images, wide_vit

FLAGS = "--xla_force_host_platform_device_count=4"


@pytest.mark.slow
def test_four_devices_compute_what_one_computes():
    if keras.backend.backend() != "jax":
        pytest.skip("Keras distributes batches on JAX")
    command = [sys.executable, "-W", "error::UserWarning", SUPPORT / "several_devices.py"]
    flags = f"{os.environ['XLA_FLAGS']} {FLAGS}"
    environment = {**os.environ, "XLA_FLAGS": flags, "KERAS_BACKEND": "jax"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.both
def test_a_strategy_of_one_device_trains_as_none_does():
    """Such a strategy accepts the variables of the optimizer only in its scope."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("strategies are TensorFlow's")
    import tensorflow as tf

    def build():
        model = wide_vit()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss, metrics=["accuracy"])
        return model

    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        mirrored = build()
    plain = build()
    for model in (mirrored, plain):
        model.fit(random_images(4, 8, 15, 3), np.arange(4) % 3, batch_size=4, epochs=2, verbose=0)
    for one, other in zip(mirrored.trainable_weights, plain.trainable_weights, strict=True):
        np.testing.assert_allclose(numpy(one), numpy(other), atol=1e-6, err_msg=one.path)
