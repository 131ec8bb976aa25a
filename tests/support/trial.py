"""Random models of other libraries in folders: their weights, pixels and outputs.

`tests/trial_checkpoints.py` builds them with those libraries and records some of them for the
tests, which do not use these libraries.
"""

import json
import math
import pathlib
import re
import zlib

import keras
import numpy as np

import keras_vit

CLOSE = 1e-4


def weight(name, shape, seed):
    """Returns the same random array anywhere, large enough for a change to be visible."""
    rng = np.random.default_rng(zlib.crc32(f"{seed} {name}".encode()))
    noise = rng.standard_normal(shape, dtype="float32")
    if re.search("norm.*weight|lambda|gamma", name):
        return 1 + noise / 5
    return noise / math.sqrt(math.prod(shape[1:])) if len(shape) > 1 else noise / 5


def normalized_images(size, channels):
    """Two images as a library's model gets them."""
    shape = (2, *((size, size) if isinstance(size, int) else size), channels)
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def raw_pixels(images, folder, model):
    """Returns the pixels that the preparation described in the file turns into these images."""
    path = pathlib.Path(folder, "preprocessor_config.json")
    config = json.loads(pathlib.Path(folder, "config.json").read_text()).get("pretrained_cfg", {})
    if not path.exists() and "mean" not in config:  # assumed
        return images * np.asarray(model.normalize[1]) + np.asarray(model.normalize[0])
    facts = json.loads(path.read_text()) if path.exists() else {}
    mean, deviation = (config or facts).get("mean", facts.get("image_mean")), config.get("std")
    deviation = deviation or facts["image_std"]
    if facts.get("do_normalize", True):
        images = images * np.asarray(deviation) + np.asarray(mean)
    scale = facts.get("rescale_factor", 1 / 255) if facts.get("do_rescale", True) else 1
    return images / scale


def names_a_cause(message, folder):
    """Returns whether a message names a field of config.json or a tensor of the file."""
    config = pathlib.Path(folder, "config.json").read_text()
    fields = {"image_mean", "image_std", *re.findall(r'"(\w+)":', config), "rescale_offset"}
    fields |= {"num_attention_heads"}  # whose default is taken if it is missing
    with keras_vit.io.files.open_tensors(pathlib.Path(folder, "model.safetensors")) as file:
        causes = fields | set(file.specs)
    if re.search(r"missing(=|: )'[\w. ]+(weight|bias|token|gamma)'", message):
        return True
    return any(re.search(rf"(?<![\w.]){re.escape(cause)}(?![\w.])", message) for cause in causes)


def load(folder):
    """Returns (model, "") or (None, why it was refused); any other error is raised."""
    try:
        return keras_vit.load_pretrained(folder, verbose=False), ""
    except ValueError as error:
        return None, str(error)


def compute(model, images, folder):
    """Returns the outputs of a model for the images that a library's model would get."""
    found = keras.ops.convert_to_numpy(model(raw_pixels(images, folder, model).astype("float32")))
    if model.pooling == "distilled" and model.num_classes is None:
        found = (found[:, : model.hidden_dim] + found[:, model.hidden_dim :]) / 2  # timm's mean
    return found


def gap(found, expected):
    """Returns the largest difference, relative to the largest value if that is above 1."""
    return float(np.abs(found - expected).max() / max(1, np.abs(expected).max()))
