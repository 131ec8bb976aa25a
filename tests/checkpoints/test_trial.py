"""Random models of timm and transformers load exactly, or are refused by a field's name."""

import json

import numpy as np
import pytest
import trial
from helpers import GOLDEN

from keras_vit.io import files

RECORDED = np.load(GOLDEN / "trial.npz")
CASES = [name.removesuffix("/case") for name in RECORDED if name.endswith("/case")]
BOTH = CASES[::10]  # on every backend in CI


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:(?s).*Pixels from")  # of a normal distribution
@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=pytest.mark.both if case in BOTH else ()) for case in CASES],
)
def test_a_random_model_gives_the_outputs_of_its_library_or_is_refused_by_name(case, tmp_path):
    facts = json.loads(str(RECORDED[f"{case}/case"]))
    for name, text in facts["files"].items():
        (tmp_path / name).write_text(text)
    seed, shapes = int(facts["files"]["seed.txt"]), facts["shapes"].items()
    tensors = {name: trial.weight(name, tuple(shape), seed) for name, shape in shapes}
    files.write_safetensors(tmp_path / "model.safetensors", tensors)
    model, message = trial.load(tmp_path)
    if f"{case}/outputs" not in RECORDED:
        assert model is None and trial.names_a_cause(message, tmp_path)
        return
    assert model is not None, message
    expected = RECORDED[f"{case}/outputs"]
    images = trial.normalized_images(facts["size"], facts["channels"])
    found = trial.compute(model, images, tmp_path)
    assert found.shape == expected.shape
    assert trial.gap(found, expected) < trial.CLOSE
