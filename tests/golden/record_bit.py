"""Records `bit.npz`: logits of BiT with seeded weights, by timm and by Google's big_vision.

Needs torch, torchvision, timm (1.0.31), jax, flax and https://github.com/google-research/big_vision
(commit 0127fb6) on PYTHONPATH; run: python tests/golden/record_bit.py
timm's images are random to the edge. big_vision pads the first pool with minus infinity, BiT's
releases and timm with zero: its images have a frame of the mean colour, where both are the same.
Everything is computed in float64, so any difference that a test finds comes from the model under
test; timm's epsilon of the kernel's variance, 1e-8, is not BiT's, and hidden by the norms.
"""

import math
import pathlib

import flax
import jax
import numpy as np
import seeded
import timm
import torch
from big_vision.models import bit_paper

SIZE, FRAME, CLASSES = (63, 98), 5, 7
TIMM = ("R50x1", "R50x3", "R101x1", "R101x3", "R152x2", "R152x4")
BIG_VISION = ("R50x2", "R152x1", "R200x3")


def timm_model(name, num_classes):
    return timm.create_model(f"resnetv2_{name[1:]}_bit", num_classes=num_classes).eval()


def timm_parameters(name):
    with torch.device("meta"):
        return sum(weight.numel() for weight in timm_model(name, 1000).parameters())


def timm_logits(name, images):
    """Kernels are seeded in the order height, width, in, out, and turned to torch's."""
    model = timm_model(name, CLASSES).double()
    for key, tensor in model.state_dict().items():
        shape = tuple(tensor.shape)
        if len(shape) == 4:
            kernel = seeded.weight(f"{key}/kernel", (*shape[2:], shape[1], shape[0]))
            value = kernel.transpose(3, 2, 0, 1)
        else:
            norm = "norm" in key and key.endswith("weight")
            value = seeded.weight(f"{key}/scale" if norm else key, shape)
        tensor.copy_(torch.from_numpy(value.copy()))
    with torch.no_grad():
        return model(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()


def big_vision_shapes(name, num_classes, images):
    depth, width = map(int, name[1:].split("x"))
    model = bit_paper.Model(num_classes=num_classes, depth=depth, width=width)
    tree = jax.eval_shape(lambda: model.init(jax.random.PRNGKey(0), images))
    flat = flax.traverse_util.flatten_dict(tree["params"], sep="/")
    return model, {key: leaf.shape for key, leaf in flat.items()}


def big_vision_parameters(name):
    images = np.zeros((1, 224, 224, 3), "float32")
    return sum(math.prod(shape) for shape in big_vision_shapes(name, 1000, images)[1].values())


def big_vision_logits(name, images):
    model, shapes = big_vision_shapes(name, CLASSES, images)
    flat = {key: np.float64(seeded.weight(key, shape)) for key, shape in shapes.items()}
    logits, _ = model.apply({"params": flax.traverse_util.unflatten_dict(flat, sep="/")}, images)
    return logits


def convolution():
    """The standardised convolution alone, with a kernel so small that its epsilon counts."""
    kernel = seeded.weight("convolution/kernel", (3, 3, 5, 11)) / 2000
    x = seeded.weight("convolution/input", (2, 8, 9, 5))
    padding = [(1, 1), (1, 1)]
    module = bit_paper.StdConv(11, (3, 3), strides=(2, 2), padding=padding, use_bias=False)
    return module.apply({"params": {"kernel": np.float64(kernel)}}, np.float64(x))


def main():
    jax.config.update("jax_enable_x64", True)
    images = seeded.normalized(seeded.make_images(*SIZE))
    framed = seeded.normalized(seeded.make_images(*SIZE, frame=FRAME))
    recorded = {
        "convolution": convolution(),
        "R50x1 big_vision": big_vision_logits("R50x1", framed),
        "R50x1 timm": timm_logits("R50x1", images),
        "R101x3 timm": timm_logits("R101x3", images),
    }
    for name in TIMM:
        recorded[f"{name} parameters"] = timm_parameters(name)
    for name in BIG_VISION:
        recorded[f"{name} parameters"] = big_vision_parameters(name)
    for key, value in recorded.items():
        print(key, value if np.ndim(value) == 0 else np.std(value))
    np.savez_compressed(pathlib.Path(__file__).with_name("bit.npz"), **recorded)


if __name__ == "__main__":
    main()
