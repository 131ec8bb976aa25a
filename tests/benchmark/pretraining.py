"""Does learning without labels help? `python tests/benchmark/pretraining.py`.

The encoder is trained on all training digits without labels, then fine-tuned on a few labeled ones.
It is compared with the same ViT trained from scratch on these labels, and with a logistic
regression on their pixels. A seed determines the split, the labeled digits, the initial weights and
the masks.
"""

import argparse
import datetime
import time

import keras
import numpy as np

import keras_vit
from keras_vit import environment, pretraining
from keras_vit.training.recipes import schedules

OBJECTIVES = {
    "masked patch prediction, mean color": lambda encoder, seed: pretraining.MaskedPatchPrediction(
        encoder, seed=seed
    ),
    "masked patch prediction, pixels (L2)": lambda encoder, seed: pretraining.MaskedPatchPrediction(
        encoder, "pixels", seed=seed
    ),
    "MAE": lambda encoder, seed: pretraining.MAE(encoder, 2, 32, 4, seed=seed),
    "SimMIM": lambda encoder, seed: pretraining.SimMIM(encoder, mask_unit=1, seed=seed),
}
BATCH, FEW = 64, 50  # images in a step of pre-training, of fine-tuning


def encoder(seed):
    """Returns a fresh ViT for digits of 8 x 8 pixels: 16 patches, 4 blocks, 64 wide."""
    keras.utils.set_random_seed(seed)
    shape = {"image_size": 8, "num_channels": 1, "num_classes": None}
    return keras_vit.create("ViT-Mini/2", pooling="gap", normalize=(75, 100), **shape)


def optimizer(rate, steps):
    """Returns AdamW with a warm-up and a cosine decay."""
    rate = schedules.cosine(rate, steps, steps // 10)
    return keras.optimizers.AdamW(rate, weight_decay=0.05, global_clipnorm=1.0)


def labelled(data, shots, seed):
    """Returns a few training images of each class, and their labels."""
    rng = np.random.default_rng(seed)
    of_class = [np.flatnonzero(data.train_labels == c) for c in range(len(data.class_names))]
    chosen = np.concatenate([rng.permutation(places)[:shots] for places in of_class])
    return data.train_images[chosen], data.train_labels[chosen]


def pretrained(make, images, seed, epochs):
    """Returns an encoder trained with an objective."""
    trained = encoder(seed)
    model = make(trained, seed)
    model.compile(optimizer(2e-3, epochs * -(-len(images) // BATCH)))
    model.fit(images, batch_size=BATCH, epochs=epochs, verbose=0)
    return trained


def accuracy(trained, few, data, epochs):
    """Returns the share of test images that are classified correctly after fine-tuning."""
    images, labels = few
    model = pretraining.build_classifier(trained, num_classes=len(data.class_names))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer(1e-3, epochs * -(-len(images) // FEW)), loss)
    model.fit(images, labels, batch_size=FEW, epochs=epochs, verbose=0)
    named = model.predict(data.test_images, verbose=0).argmax(-1)
    return float((named == data.test_labels).mean())


def logistic_regression(few, data):
    """Returns the accuracy of a logistic regression on pixels."""
    from sklearn.linear_model import LogisticRegression

    flat = lambda images: images.reshape(len(images), -1) / 255  # noqa: E731
    model = LogisticRegression(max_iter=2000).fit(flat(few[0]), few[1])
    return model.score(flat(data.test_images), data.test_labels)


def contenders(options, seed):
    """Yields (name, accuracy) of one seed."""
    data = keras_vit.data.digits(seed)
    few = labelled(data, options.shots, seed)
    yield "logistic regression on pixels", logistic_regression(few, data)
    yield "from scratch", accuracy(encoder(seed), few, data, options.fine_tuning)
    longer = 4 * options.fine_tuning
    yield "from scratch, 4 times as long", accuracy(encoder(seed), few, data, longer)
    for name, make in OBJECTIVES.items():
        trained = pretrained(make, data.train_images, seed, options.epochs)
        yield name, accuracy(trained, few, data, options.fine_tuning)


def main(arguments=None):
    """Runs every seed and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--shots", type=int, default=10, help="labels of each class")
    parser.add_argument("--epochs", type=int, default=60, help="of pre-training")
    parser.add_argument("--fine-tuning", type=int, default=100, help="epochs on the labels")
    options = parser.parse_args(arguments)
    hardware = environment.hardware()
    print(f"{environment.description()}, {hardware['processor']}, {hardware['cores']} cores")
    print(f"{datetime.date.today()}: {vars(options)}", flush=True)
    found = {}
    for seed in options.seeds:
        start = time.perf_counter()
        for name, share in contenders(options, seed):
            found.setdefault(name, []).append(share)
            print(f"seed {seed}: {name}: {share:.3f}", flush=True)
        print(f"seed {seed}: {time.perf_counter() - start:.0f} s", flush=True)
    print("| | " + " | ".join(f"seed {seed}" for seed in options.seeds) + " | mean |")
    print("| --- |" + " --- |" * (len(options.seeds) + 1))
    for name, shares in found.items():
        print(f"| {name} | " + " | ".join(f"{s:.1%}" for s in (*shares, np.mean(shares))) + " |")


if __name__ == "__main__":
    main()
