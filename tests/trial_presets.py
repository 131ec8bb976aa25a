"""Random models, written as presets, loaded by KerasHub, saved by it, loaded again.

    python tests/trial_presets.py

Every case gives the same outputs in all three, or is refused with the reason. `--only PATTERN` runs
the cases whose name has it. Each line shows the largest difference of the outputs.
"""

import argparse
import json
import pathlib
import re
import sys
import tempfile

import numpy as np

try:
    import keras_hub
except ImportError as error:
    sys.exit(f"Skipped: this trial needs keras-hub; {error}.")

import trial_round_trip as trial

import keras_vit
from keras_vit import descendants

NO_HEAD, WIDE, TINY = trial.NO_HEAD, trial.WIDE, trial.TINY
PLAIN, REGISTERS, DINOV3 = keras_vit.ViT, descendants.RegisterViT, descendants.DINOv3ViT
CASES = {  # name: (class, arguments, whether KerasHub has such a model)
    "vit": (PLAIN, WIDE, True),
    "vit, mean": (PLAIN, {"pooling": "gap", "normalize": None}, True),
    "vit, tanh layer": (PLAIN, {"representation_size": 7, "epsilon": 1e-3}, True),
    "vit, tall patches": (PLAIN, {"patch_size": (8, 16)}, True),
    "vit, tokens": (PLAIN, NO_HEAD | WIDE | {"pooling": None}, True),
    "vit, grey": (PLAIN, {"num_channels": 1, "normalize": (127.5, 127.5)}, True),
    "vit, tanh": (PLAIN, {"approximate": True}, False),
    "deit": (REGISTERS, WIDE | {"num_registers": 1}, True),
    "siglip": (PLAIN, NO_HEAD | {"pooling": "map", "approximate": True}, True),
    "siglip, exact": (PLAIN, NO_HEAD | {"pooling": "map", "mlp_dim": 50}, True),
    "siglip, head": (PLAIN, {"pooling": "map"}, False),
    "dinov2": (REGISTERS, NO_HEAD | {"num_registers": 0, "gated": True}, True),
    "dinov2 registers": (REGISTERS, NO_HEAD | {"pooling": None}, True),
    "dinov2, one register": (REGISTERS, NO_HEAD | {"pooling": None, "num_registers": 1}, True),
    "dinov2, wide": (REGISTERS, NO_HEAD | WIDE, False),
    "dinov2 registers, gated": (REGISTERS, NO_HEAD | {"gated": True, "mlp_dim": 56}, True),
    "dinov2, head": (REGISTERS, {}, False),
    "dinov3": (DINOV3, NO_HEAD | WIDE | {"theta": 50.0}, True),
    "dinov3, biases": (DINOV3, NO_HEAD | {"pooling": None, "epsilon": 1e-5}, True),
    "dinov3 gated": (DINOV3, NO_HEAD | {"gated": True, "mlp_dim": 50, "num_registers": 0}, True),
}


def open_preset(model, folder):
    """Returns a model of KerasHub, and what it computes of images, the first vector of tokens."""
    kind = keras_hub.models.ImageClassifier if model.num_classes else keras_hub.models.Backbone
    loaded = kind.from_preset(folder)

    def run(images):
        if model.num_classes:
            return loaded.predict(images, verbose=0)  # prepares images itself
        how = json.loads(pathlib.Path(folder, "image_converter.json").read_text())["config"]
        images = images * np.asarray(how["scale"]) + np.asarray(how["offset"])
        found = trial.compute(loaded, images.astype("float32"))
        return found if found.ndim == 2 or model.pooling is None else found[:, 0]

    return loaded, run


def run_case(name):
    """Returns (verdict, details)."""
    kind, options, is_known = CASES[name]
    trial.CASES[name] = kind, {"epsilon": 1e-6} | options, ()
    model = trial.build(name)
    images = np.random.default_rng(0).uniform(0, 255, (2, *model.image_size, model.num_channels))
    expected = trial.compute(model, images.astype("float32"))
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = pathlib.Path(folder, "ours"), pathlib.Path(folder, "theirs")
        try:
            keras_vit.save_weights(model, ours, "kerashub")
        except ValueError as error:
            return "REFUSED" if is_known else "refused", str(error)
        loaded, run = open_preset(model, str(ours))
        loaded.save_to_preset(str(theirs))
        gaps = [np.abs(run(images.astype("float32")) - expected).max()]
        for path in (ours, theirs):
            again = {"pooling": model.pooling, "normalize": model.normalize}
            again = keras_vit.load_pretrained(path, verbose=False, **again)
            gaps.append(np.abs(trial.compute(again, images.astype("float32")) - expected).max())
    equal = max(gaps) < trial.CLOSE and is_known
    sizes = (expected.std(), np.std(expected[0] - expected[1]))  # 0 would make the test meaningless
    return "equal" if equal and min(sizes) else "DIFFERENT", f"{max(gaps):.1e} of {sizes[1]:.1e}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="regular expression of the name of a case")
    only, verdicts = parser.parse_args().only, set()
    for name in CASES:
        if re.search(only, name):
            try:
                verdict, details = run_case(name)
            except Exception as error:
                verdict, details = "CRASH", f"{type(error).__name__}: {error}"[:600]
            verdicts.add(verdict)
            print(f"{name}: {verdict} {details}", flush=True)
    sys.exit(any(verdict.isupper() for verdict in verdicts))


if __name__ == "__main__":
    main()
