"""Records `hybrids.npz`: logits of Google's own Flax hybrids with seeded weights.

Needs jax, flax, ml_collections and https://github.com/google-research/vision_transformer
(commit c6de1e5) on PYTHONPATH; run: python tests/golden/record_hybrids.py
The file holds, for each hybrid, the logits at SIZE pixels with LAYERS blocks of the Transformer,
and the number of weights of the whole model at 224 pixels and 1000 classes. Everything is computed
in float64, so any difference that a test finds comes from the model under test.
"""

import math
import pathlib

import flax
import jax
import numpy as np
import seeded
from vit_jax import models_resnet, models_vit
from vit_jax.configs import models

SIZE, LAYERS, CLASSES = (64, 96), 2, 7


def configurations():
    """The five official hybrids, and the paper's other two, built from official parts."""
    b32, l16 = models.get_r50_b16_config(), models.get_l16_config()
    b32.resnet.num_layers = (3, 4, 6, 3)
    l16.patches.size = (1, 1)
    l16.resnet = models.get_r50_b16_config().resnet
    return {
        "R+ViT-Ti/16": models.get_r_ti16_config(),
        "R26+ViT-S/32": models.get_r26_s32_config(),
        "R26+ViT-B/32": models.get_r26_b32_config(),
        "R50+ViT-B/16": models.get_r50_b16_config(),
        "R50+ViT-B/32": b32,
        "R50+ViT-L/16": l16,
        "R50+ViT-L/32": models.get_r50_l32_config(),
    }


def shapes(model, images):
    """Returns {name: shape} of a model's weights without allocating them."""
    tree = jax.eval_shape(lambda: model.init(jax.random.PRNGKey(0), images, train=False))
    flat = flax.traverse_util.flatten_dict(tree["params"], sep="/")
    return {name: leaf.shape for name, leaf in flat.items()}


def seeded_weights(named_shapes):
    flat = {name: np.float64(seeded.weight(name, shape)) for name, shape in named_shapes.items()}
    return {"params": flax.traverse_util.unflatten_dict(flat, sep="/")}


def logits(config, images):
    config.transformer.num_layers = LAYERS
    model = models_vit.VisionTransformer(num_classes=CLASSES, **config)
    return model.apply(seeded_weights(shapes(model, images)), images, train=False)


def parameters(config):
    model = models_vit.VisionTransformer(num_classes=1000, **config)
    found = shapes(model, np.zeros((1, 224, 224, 3), "float32"))
    return sum(math.prod(shape) for shape in found.values())


def convolution():
    """The standardised convolution alone, with a kernel so small that its epsilon counts."""
    kernel = seeded.weight("convolution/kernel", (3, 3, 5, 11)) / 2000
    x = seeded.weight("convolution/input", (2, 8, 9, 5))
    module = models_resnet.StdConv(11, (3, 3), strides=(2, 2), use_bias=False)
    return module.apply({"params": {"kernel": np.float64(kernel)}}, np.float64(x))


def main():
    jax.config.update("jax_enable_x64", True)
    images = seeded.normalized(seeded.make_images(*SIZE))
    recorded = {"convolution": convolution()}
    for name, config in configurations().items():
        recorded[f"{name} parameters"] = parameters(config)
        recorded[f"{name} logits"] = logits(config, images)
        print(name, recorded[f"{name} parameters"], np.std(recorded[f"{name} logits"]))
    np.savez_compressed(pathlib.Path(__file__).with_name("hybrids.npz"), **recorded)


if __name__ == "__main__":
    main()
