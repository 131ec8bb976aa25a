"""Folders of models as their publishers offer them."""

import json

import numpy as np
import pytest
from golden import seeded
from helpers import DESCENDANTS

from keras_vit.io import files


@pytest.fixture
def publish(tmp_path):
    """A function that writes the folder of a recorded model and returns it."""

    def write(case, images=None, **config):
        facts = json.loads(str(DESCENDANTS[f"{case}/file"]))
        shapes, factors = facts["shapes"].items(), facts.get("factors", {})
        weight = seeded.torch_weight
        tensors = {name: np.asarray(weight(name, tuple(shape), factors)) for name, shape in shapes}
        files.write_safetensors(tmp_path / "model.safetensors", tensors)
        (tmp_path / "config.json").write_text(json.dumps(facts["config"] | config))
        if images:
            (tmp_path / "preprocessor_config.json").write_text(json.dumps(images))
        return tmp_path

    return write
