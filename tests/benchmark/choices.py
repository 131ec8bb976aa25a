"""What each choice of the recipe `cifar` gains: the same training without it (docs/results.md).

    python tests/benchmark/choices.py images/ --epochs 8 --out choices.jsonl

Trains the model with the whole recipe once for each of `--seeds`, then once without each of
`--without` and once with each of `--add`. Each run adds a line to the file; runs whose lines it
already has are skipped.
"""

import argparse
import json
import pathlib
import time

import keras

import keras_vit
from keras_vit import environment, training

WHOLE = training.recipe("cifar")
IMAGES = WHOLE.augmentation
# Without a choice, a recipe has these values of its fields.
WITHOUT = {
    "RandAugment": {"augmentation": IMAGES._replace(randaugment=None)},
    "shifts and flips": {"augmentation": IMAGES._replace(pad=0.0, flip=False)},
    "label smoothing": {"label_smoothing": 0.0},
    "stochastic depth": {"stochastic_depth": 0.0},
    "weight decay": {"weight_decay": 0.0},
    "clipping": {"clip": None},
    "warm-up": {"warmup_share": 0.0},
    "cosine decay": {"decay": "constant"},
    "mean of the patches": {"pooling": "token"},
    "the data's own pixel scale": {"normalize": (127.5, 127.5)},
}
# What the recipe leaves out; the runs add it.
WITH = {
    "mixup and CutMix": {"augmentation": IMAGES._replace(mixup=0.8, cutmix=1.0)},
    "erasing": {"augmentation": IMAGES._replace(erasing=0.25)},
}


def train(folder, model, epochs, seed, change):
    """Trains a model with some fields of the recipe changed; returns what was measured."""
    settings = WHOLE._replace(model=model, epochs=epochs, **change)
    images = keras_vit.data.load(
        folder,
        image_size=settings.image_size,
        batch_size=settings.batch_size,
        augment=settings.augmentation,
        seed=seed,
        validation_share=0.02,
    )
    recipe = settings.scale(images.counts["train"], images.batch_size, images.steps_per_epoch)
    keras.utils.set_random_seed(seed)
    shape = {"image_size": images.image_size, "num_classes": images.num_classes}
    model = keras_vit.create(model, **shape, **recipe.model_arguments)
    model.compile(**recipe.compile_arguments)
    started = time.perf_counter()
    history = model.fit(images.train, verbose=0, **recipe.fit_arguments).history
    seconds = time.perf_counter() - started
    evaluation = training.evaluate(model, images)
    return {
        "accuracy": evaluation.accuracy,
        "interval": list(evaluation.interval),
        "train_accuracy": history["accuracy"][-1],
        "seconds": round(seconds),
    }


def main():
    """Trains without one choice after another."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder")
    parser.add_argument("--model", default="ViT-Midi/8")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--without", nargs="*", default=list(WITHOUT), choices=WITHOUT)
    parser.add_argument("--add", nargs="*", default=list(WITH), choices=WITH)
    parser.add_argument("--out", type=pathlib.Path, default="choices.jsonl")
    options = parser.parse_args()
    runs = [("whole recipe", seed, {}) for seed in options.seeds]
    runs += [(f"without {name}", 0, WITHOUT[name]) for name in options.without]
    runs += [(f"with {name}", 0, WITH[name]) for name in options.add]
    print(environment.description())
    for name, seed, change in runs:
        key = {"run": name, "seed": seed, "model": options.model, "epochs": options.epochs}
        lines = options.out.read_text().splitlines() if options.out.exists() else []
        if any(key.items() <= json.loads(line).items() for line in lines):
            continue
        measured = train(options.folder, options.model, options.epochs, seed, change)
        line = json.dumps({**key, **measured, "backend": keras.backend.backend()})
        with options.out.open("a") as file:
            print(line, file=file)
        print(line, flush=True)


if __name__ == "__main__":
    main()
