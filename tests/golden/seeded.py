"""Weights that a script and a test can both make from a name, so they need not be stored."""

import re
import zlib

import numpy as np

# Shapes of the models of version 0.1 that were recorded
TINY = {"image_size": 16, "patch_size": 4, "num_layers": 2, "hidden_dim": 16}
EXACT = {"normalize": (128.0, 64.0)}  # without rounding: it computes in float32
TINY |= {"mlp_dim": 24, "num_heads": 2, "num_classes": 5, **EXACT}
WIDE = {"image_size": (12, 20), "patch_size": (4, 5)}
BIT = {"image_size": (33, 40), "units": (1, 1), "num_classes": 5, **EXACT}
HYBRID = {"image_size": 32, "patch_size": 8, "num_layers": 1}
CUT = {"num_layers": 2, "num_classes": 5, **EXACT}


def weight(name, shape):
    """Returns the same random float32 array for the same name and shape, anywhere.

    Scales are around 1, kernels small: activations stay near 1, and no zero hides a mistake.
    """
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    noise = rng.standard_normal(shape, dtype="float32")
    if name.endswith("gn3/scale"):
        return 0.2 + noise / 10  # a branch adds a little, as in training; rounding stays small
    if name.endswith("/scale"):
        return 1 + noise / 10
    return noise / (20 if name.endswith("/kernel") else 10)


def make_images(height, width, frame=0):
    """Two images of pixels 0 to 255; a `frame` of so many pixels has the mean colour."""
    images = np.random.default_rng(0).uniform(0, 255, (2, height, width, 3)).astype("float32")
    if frame:
        inner = images[:, frame:-frame, frame:-frame].copy()
        images[:] = 127.5
        images[:, frame:-frame, frame:-frame] = inner
    return images


def normalized(images):
    """-1 to 1, as the official input pipelines make them."""
    return images.astype("float64") / 127.5 - 1


def torch_weight(name, shape, factors=()):
    """`weight` for PyTorch's names, where a norm's scale and a kernel are both called weight.

    `factors` maps regular expressions to factors of the matching weights.

    Kernels of a hybrid's ResNet are large: timm standardizes them with a different epsilon than the
    official code, which hardly affects large kernels.
    """
    scale = "norm" in name and name.endswith("weight")
    value = weight(name + ("/scale" if scale else "/kernel" if len(shape) in (2, 4) else ""), shape)
    for pattern in factors:
        value = value * np.float32(factors[pattern]) if re.search(pattern, name) else value
    return 100 * value if "backbone" in name and len(shape) == 4 else value


def model_weight(path, shape):
    """`weight` for the paths of our own models, where a norm's scale is called gamma."""
    return weight(path.replace("norm_3/gamma", "gn3/scale").replace("gamma", "scale"), shape)


def fill(model):
    """Gives every weight of a Keras model its seeded value. Returns the model."""
    for variable in model.weights:
        variable.assign(model_weight(variable.path, variable.shape))
    return model


def images_of(model):
    """Two images of random pixels, whole numbers, in the shape that a Keras model expects."""
    shape = (2, *model.input_shape[1:])
    return np.random.default_rng(0).integers(0, 256, shape).astype("float32")


def kerashub_weights(shapes):
    """`weight` for the names of KerasHub's files, which end in numbers.

    DINOv2 stores its positions twice: for its current image size and for its original one.
    """
    values = {name: _kerashub_weight(name, tuple(shape)) for name, shape in shapes.items()}
    positions = [name for name in shapes if "dinov2_embedding/vars/" in name]
    for first, second in [sorted(positions)[-2:]] if positions else []:
        values[second] = values[first]
    return values


def _kerashub_weight(name, shape):
    is_norm = "norm" in name.split("/")[-3] and name.endswith("/0")
    return weight(name + ("/scale" if is_norm else "/kernel" if len(shape) > 1 else ""), shape)
