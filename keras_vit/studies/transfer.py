"""Pre-training on half of the classes, transfer to the other half: Figures 3 and 4, Table 5.

The digits 0 to 4, or the first five classes of CIFAR-10, are "known": a model is trained on them.
The others are "new" and not used in pre-training.
"""

import functools
import statistics

import keras
import numpy as np

from keras_vit import ResNet, ViT, arguments
from keras_vit.studies import design, seeds, tasks, trials
from keras_vit.training.evaluation.representation import submodel

TRANSFER_SHOTS = 5
TEST = 2000  # test images of a transfer
DRAWS = 10  # of the few images: with 5 of each class, the choice matters
# Names contain the layers and the token length of a ViT, the units of a ResNet's stages. The rate
# is the learning rate of pre-training, one for each model as in Table 3 of the paper.
MODELS = {
    "tiny": {
        "ViT 4 x 24": {"rate": 3e-3, "patch_size": 4, "num_heads": 2},
        "ViT 4 x 48": {"rate": 3e-3, "patch_size": 4, "num_heads": 2},
        "ResNet 1": {"rate": 3e-3},
    },
    "small": {
        "ViT 4 x 96": {"rate": 1e-3, "patch_size": 4, "num_heads": 3},
        "ViT 6 x 192": {"rate": 1e-3, "patch_size": 4, "num_heads": 3},
        "ResNet 1 + 1 + 1": {"rate": 1e-3},
    },
    "gpu": {
        "ViT 4 x 192": {"rate": 1e-3, "patch_size": 4, "num_heads": 3},
        "ViT 12 x 384": {"rate": 5e-4, "patch_size": 4, "num_heads": 6},
        "ResNet 3 + 4 + 6 + 3": {"rate": 1e-3},
    },
}
# Sizes of the pre-training datasets of Figure 3 and Table 5.
SIZES = {"tiny": (250, 2500, 25_000), "small": (250, 2500, 25_000), "gpu": (250, 2500, 25_000)}
TUNING = design.by_scale(
    "labels tuning_steps tuning_rate",
    tiny=(100, 150, 1e-3),
    small=(500, 1000, 3e-4),
    gpu=(500, 1000, 3e-4),
)
TRAINING = design.by_scale(
    "data dtype steps batch_size",
    tiny=("wandering digits", "float32", 400, 64),
    small=("cifar10", "float32", 8000, 128),
    gpu=("cifar10", "mixed_bfloat16", 10_000, 512),
)
SEEDS = design.count_seeds(2, 3, 2)
NEEDS = design.need_images("some days of a processor", "half a day of one large GPU")


def settings(scale, sizes, **more):
    """Returns the settings of all runs: each model after each number of images, seed by seed."""
    return [
        {"model": name, **shape, "images": images, **TRAINING[scale], **more, "seed": seed}
        for seed in SEEDS[scale]
        for images in sizes
        for name, shape in _flat(MODELS[scale]).items()
    ]


def load_half(data, half, count, seed=0, part="train"):
    """Returns images of half of the classes, and their labels from 0.

    Args:
        data: a name of `tasks`.
        half: "known" or "new": the first half of the classes, or the others.
        count: number of images; all if there are fewer, or for None.
        seed: seed of the selection; with the same seed, fewer images are the first of more.
        part: "train" or "test".

    Example:
    >>> images, labels = keras_vit.studies.transfer.load_half("wandering digits", "new", 50)
    >>> images.shape, sorted(set(labels.tolist()))
    ((50, 16, 16, 1), [0, 1, 2, 3, 4])
    """
    arguments.one_of("known", "new")("half", half)
    images, labels = _all(data, seed, part)
    border = known_classes(data)
    chosen = np.flatnonzero((labels >= border) == (half == "new"))[:count]
    return images[chosen], labels[chosen] - (border if half == "new" else 0)


def known_classes(data):
    """Returns the number of known classes, which are the first ones."""
    return tasks.model_arguments(data)["num_classes"] // 2


def build(model, data, num_classes, seed, patch_size, num_heads, dtype):
    """Returns a model by its name in `MODELS`, with weights drawn from a seed."""
    kind, _, shape = model.partition(" ")
    fixed = {**tasks.model_arguments(data), "num_classes": num_classes, "dtype": dtype}
    if kind == "ResNet":
        units = [int(number) for number in shape.split("+")]
        return trials.build(seed, lambda: ResNet(units=units, **fixed))
    layers, length = (int(number) for number in shape.split("x"))
    fixed |= {"num_layers": layers, "hidden_dim": length, "mlp_dim": 2 * length}
    fixed |= {"patch_size": patch_size, "num_heads": num_heads}
    return trials.build(seed, lambda: ViT(**fixed))


def pretrain(model, rate, patch_size, num_heads, images, data, dtype, steps, batch_size, seed):
    """Returns a model trained on `images` of the known classes; untrained for 0 images.

    All models take the same number of steps, whatever the number of images, and regularization
    does not depend on it: as in Figure 4 of the paper, but without early stopping.
    """
    known = known_classes(data)
    made = build(model, data, known, seed, patch_size, num_heads, dtype)
    if images:
        few = load_half(data, "known", images, seed)
        trials.fit(made, *few, steps, batch_size, rate, seed)
    return made


def replace_head(model, num_classes):
    """Returns the model with a new head of zeros for other classes; the rest is shared."""
    representation = submodel(model)
    head = keras.layers.Dense(num_classes, kernel_initializer="zeros", dtype="float32", name="head")
    return keras.Model(representation.inputs[0], head(representation.outputs[0]))


def fine_tune(model, train, test, steps, rate, batch_size, seed):
    """Fine-tunes all weights of a model on another task and returns the accuracy.

    The head is new. The optimizer is AdamW without weight decay; the paper uses SGD, and the best
    of four learning rates. The model is not changed.

    Args:
        model: a model from `pretrain`.
        train: (images, labels), the few labeled images.
        test: (images, labels).
        steps: number of updates.
        rate: learning rate after the warm-up.
        batch_size: number of images in a step.
        seed: seed of the order of the images.
    """
    before = model.get_weights()
    tuned = replace_head(model, int(test[1].max()) + 1)
    trials.fit(tuned, *train, steps, batch_size, rate, seed, weight_decay=0.0)
    found = trials.accuracy(tuned, *test)
    model.set_weights(before)
    return found


def label(name, rows):
    """Returns a model's name with its multiply-adds, for a legend."""
    cost = next(row["multiply_adds"] for row in rows if row["model"] == name) / 1e6
    return f"{name} ({cost:.1f}M)" if cost < 10 else f"{name} ({cost:.0f}M)"


def group_by_model(rows, value):
    """Returns {model: {images of pre-training: [each seed]}}, fewer images first."""
    found = {}
    for (name, size), values in seeds.group(rows, ("model", "images"), value).items():
        found.setdefault(name, {})[size] = values
    return {name: dict(sorted(sizes.items())) for name, sizes in found.items()}


def draw_lines(axes, rows, value):
    """Draws a line for each model: means over the number of images, with bars over the seeds."""
    for (name, sizes), marker in zip(group_by_model(rows, value).items(), "osD^v", strict=False):
        means = [100 * statistics.fmean(values) for values in sizes.values()]
        ends = [[100 * f(values) for values in sizes.values()] for f in (min, max)]
        bars = [[abs(m - e) for m, e in zip(means, end, strict=True)] for end in ends]
        axes.errorbar(list(sizes), means, bars, label=label(name, rows), marker=marker, capsize=2)
    axes.set_xscale("log")
    sizes = sorted({row["images"] for row in rows})
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel("images of pre-training")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, title="model (multiply-adds)", title_fontsize=8)


def vits(rows):
    """Returns the names of the ViTs, the cheaper first."""
    costs = {row["model"]: row["multiply_adds"] for row in rows if row["model"][:3] == "ViT"}
    return sorted(costs, key=costs.get)


def _flat(models):
    """Completes the settings of ResNets, so that all rows have the same columns."""
    return {
        name: {"rate": shape["rate"], "patch_size": 0, "num_heads": 0, **shape}
        for name, shape in models.items()
    }


@functools.lru_cache(maxsize=3)
def _all(data, seed, part):
    return tasks.load(data, None, seed, part)
