"""Batches that several devices cannot share equally."""

import os
import subprocess
import sys

import keras
import pytest
from helpers import SUPPORT

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
