"""What a GPU adds: CIFAR-10 in ten minutes, and the first updates of the ImageNet recipes.

    python tests/benchmark/gpu.py cifar/ --out gpu

Trains the recipe `cifar-gpu` on a folder of CIFAR-10 for `--minutes` and keeps the run. Then takes
the first updates of each recipe for ImageNet, on random images: they show that it fits and how
fast it is, not that it learns. `--minutes 0` leaves the first part out.
"""

import argparse
import json
import pathlib
import time

import keras
import numpy as np

import keras_vit
from keras_vit import environment, training

CLASSES, IMAGES = 1000, 1_281_167  # ImageNet's
RECIPES = ("plain-vit-s16", "augreg", "deit", "deit3", "paper-imagenet")


class Clock(keras.callbacks.Callback):
    """Seconds of each epoch; the metrics at its end wait for the device."""

    def on_train_begin(self, logs=None):
        """Starts with no epoch."""
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        """Starts the clock."""
        self._begun = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        """Stops the clock."""
        self.seconds.append(time.perf_counter() - self._begun)


def first_updates(name, options):
    """Trains a new model by a recipe for two short epochs; the first compiles it."""
    published = training.recipe(name, model=options.model, image_size=options.image_size)
    batch = min(options.batch_size, published.batch_size)
    accumulate = options.accumulate or published.batch_size // batch
    made = training.recipe(
        name,
        model=published.model,
        image_size=published.image_size,
        accumulate=accumulate,
        precision=options.precision,
    )
    recipe = made.scale(IMAGES, batch, IMAGES // batch)
    keras.utils.set_random_seed(0)
    size = keras_vit.arguments.height_width("image_size", recipe.image_size)
    model = keras_vit.create(
        recipe.model, image_size=size, num_classes=CLASSES, **recipe.model_arguments
    )
    recipe.initialize(model)
    model.compile(**recipe.compile_arguments)
    rng = np.random.default_rng(0)
    count = batch * accumulate * options.updates
    images = rng.integers(256, size=(count, *size, 3), dtype="uint8")
    labels = rng.integers(CLASSES, size=count)
    clock = Clock()
    history = model.fit(
        images, labels, batch_size=batch, epochs=2, verbose=0, shuffle=False, callbacks=[clock]
    ).history
    return {
        "recipe": name,
        "model": recipe.model,
        "image_size": list(size),
        "batch": f"{batch} x {accumulate}",
        "images_per_s": round(count / clock.seconds[1], 1),
        "first_epoch_s": round(clock.seconds[0], 1),
        "loss": [round(float(value), 4) for value in history["loss"]],
        "peak_gib": _peak_gib(),
    }


def _peak_gib():
    """Returns the most memory of the GPU that this process has held; None without one."""
    if keras.backend.backend() == "jax":
        import jax

        stats = jax.devices()[0].memory_stats() or {}
        return round(stats["peak_bytes_in_use"] / 2**30, 2) if stats else None
    if keras.backend.backend() == "torch":
        import torch

        if torch.cuda.is_available():
            return round(torch.cuda.max_memory_allocated() / 2**30, 2)
    return None


def main():
    """Trains on CIFAR-10, then takes the first updates of the other recipes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", help="folder of CIFAR-10 with train/ and test/")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--cifar-batch-size", type=int)
    parser.add_argument("--recipes", nargs="*", default=RECIPES, choices=RECIPES)
    parser.add_argument("--model", help="another model, to try the script on a CPU")
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--batch-size", type=int, default=512, help="images on the device at once")
    parser.add_argument("--accumulate", type=int, help="batches per update; default: as published")
    parser.add_argument("--updates", type=int, default=4, help="updates in each of two epochs")
    parser.add_argument("--precision", default="mixed_bfloat16")
    parser.add_argument("--out", type=pathlib.Path, default="gpu")
    options = parser.parse_args()
    print(environment.description(), flush=True)
    if options.minutes:
        training.train(
            options.folder,
            recipe="cifar-gpu",
            model=options.model,
            batch_size=options.cifar_batch_size,
            time=f"{round(60 * options.minutes)}s",
            out=options.out,
        )
    for name in options.recipes:
        print(json.dumps(first_updates(name, options)), flush=True)


if __name__ == "__main__":
    main()
