"""The cost of attention scores: `python tests/benchmark/scores.py`.

`attention_scores` of some images against `predict_on_batch` of the same model, both compiled
before, in turns. Both end with NumPy arrays; those of ViT-B/16 at 224 pixels are 22 MB per image.
"""

import argparse
import os
import statistics

import numpy as np

import keras_vit
from keras_vit import environment
from keras_vit.studies.lab import paired


def turns(name, image_size, batch_size):
    """Returns {name: function that computes it once}."""
    model = keras_vit.create(name, image_size=image_size)
    shape = (batch_size, image_size, image_size, 3)
    images = np.random.default_rng(0).integers(0, 256, shape).astype("float32")
    return {
        "predict_on_batch": lambda: model.predict_on_batch(images),
        "attention_scores": lambda: keras_vit.explain.attention_scores(model, images, batch_size),
    }


def main(arguments=None):
    """Measures and prints both, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="ViT-B/16")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args(arguments)
    functions = turns(options.model, options.image_size, options.batch_size)
    seconds = paired.measure(functions, options.rounds, warmup=1)
    print(environment.description())
    print(f"{options.batch_size} images, {options.model}, medians of {options.rounds} rounds")
    for name, times in seconds.items():
        print(f"{name}: {statistics.median(times):.2f} s")
    ratio, low, high = paired.speedup(seconds["predict_on_batch"], seconds["attention_scores"])
    print(f"ratio {ratio:.2f} (quartiles {low:.2f} to {high:.2f})")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
