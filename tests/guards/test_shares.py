"""Batches of which several devices cannot take equal shares."""

import os
import subprocess
import sys

import keras
import pytest
from helpers import SUPPORT

FLAGS = "--xla_force_host_platform_device_count=4"


@pytest.mark.slow
def test_four_devices_give_what_one_gives():
    if keras.backend.backend() != "jax":
        pytest.skip("Keras distributes batches on JAX")
    command = [sys.executable, "-W", "error::UserWarning", SUPPORT / "several_devices.py"]
    environment = {**os.environ, "XLA_FLAGS": FLAGS, "KERAS_BACKEND": "jax"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
