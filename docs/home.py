"""Draws the figures of the home page: the example image, and the patches that support its class.

    python docs/home.py [WEIGHTS]    # of ViT-Ti/16; default: the published file, downloaded once

It writes docs/figures/cat.jpg and cat-relevance.jpg and prints the three most probable classes.
"""

import pathlib
import sys

import numpy as np
from PIL import Image

import keras_vit

# isort: split
import keras

FIGURES = pathlib.Path(__file__).parent / "figures"
SIZE = (224, 336)  # 14 x 21 patches, which keep the photograph's proportions
PERCENTILE = 95  # of the map, fully lit above it; a few patches are far above all others
DARK = 0.3  # brightness that remains where nothing supports the class


def main(weights="ViT-Ti/16"):
    """Computes and writes both figures."""
    model = keras_vit.load_pretrained(weights, image_size=SIZE)
    image = keras_vit.data.example_image(SIZE)[None]
    shares = keras.ops.convert_to_numpy(keras.ops.softmax(model.predict(image, verbose=0)))[0]
    names = keras_vit.checkpoints.class_names("ViT-Ti/16")
    for number in np.argsort(-shares)[:3]:
        print(f"{names[number]}: {shares[number]:.1%}")
    photograph = keras_vit.data.example_image((300, 451))
    lit = light(photograph, keras_vit.explain.relevance(model, image)[0])
    for name, pixels in (("cat", photograph), ("cat-relevance", lit)):
        Image.fromarray(pixels).save(FIGURES / f"{name}.jpg", quality=85)


def light(image, values):
    """Returns an image that is dark where a map is low, as Figure 6 of the paper shows it."""
    low, high = values.min(), np.percentile(values, PERCENTILE)
    mask = np.clip((values - low) / (high - low), 0, 1).astype("float32") ** 0.7
    mask = Image.fromarray(mask)
    mask = np.asarray(mask.resize(image.shape[1::-1], Image.Resampling.BICUBIC)).clip(0, 1)
    return (image * (DARK + (1 - DARK) * mask[..., None])).astype("uint8")


if __name__ == "__main__":
    main(*sys.argv[1:])
