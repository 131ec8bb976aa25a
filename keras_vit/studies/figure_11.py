"""Figure 11: how far does attention reach, by head and depth?

Appendix D.7 computes the mean distance between a patch and the patches it attends to, weighted by
the attention, over 128 images, for every head of every layer. Some heads of the lowest layers
attend to most of the image, others locally; with depth all heads look far. Hybrids have fewer such
local heads: their ResNet may do the same work. The figure has dots and no numbers.

At "tiny" a ViT with patches of 4 pixels and a hybrid on the map of a small ResNet, also with steps
of 4 pixels, are trained on handwritten digits at random positions in an image of 16 x 16 pixels;
both have 4 x 4 tokens, so distances are coarse. ViT-Mini/4, with the CIFAR-10 weights that come
with the package, is examined as well, on random crops of the two photographs of scikit-learn. At
"small" and "gpu" published weights are examined and nothing is trained. The same models with random
weights are the control: they attend to everything equally.

The models of "tiny" cannot be expected to show the paper's pattern: they are small and were trained
briefly on few images. Published weights show it with the same code: heads of the first layer of
ViT-Ti/16 reach 16, 51 and 73 % on 74 images of pets, those of the last 115 to 120 %.

Distances are relative to those of uniform attention: "100 %" is the whole image. A head is called
local below 50 %.
"""

import functools
import os
import statistics

import numpy as np

from keras_vit import HybridViT, ViT, data, figures, load_pretrained
from keras_vit.checkpoints.loading import image_size
from keras_vit.explain import mean_attention_distance
from keras_vit.explain.inside import find_encoder
from keras_vit.studies import seeds, tasks, trials

TITLE = "Attended area by head and depth"
QUESTION = (
    "Do some heads look far in the lowest layers, and does attention reach farther with depth?"
)
PAPER = (
    "Some heads of the lowest layers attend to most of the image, others have small distances; "
    "hybrids have fewer of these local heads; the distance grows with depth (4.5, D.7, Figure 11, "
    "an image without numbers)."
)
PUBLISHED, PIECES = "published weights", "published weights, pieces of photographs"
NEEDS = {
    "small": "CIFAR-10, or images in the folder $KERAS_VIT_DATA; 80 MB of published weights; "
    "minutes of a processor",
    "gpu": "CIFAR-10, or images in the folder $KERAS_VIT_DATA; 3 GB of published weights; "
    "minutes of one GPU",
}
SHAPE = {"num_layers": 6, "hidden_dim": 32, "mlp_dim": 64, "num_heads": 4, "patch_size": 4}
TRAINING = {
    **{"data": "wandering digits", "images": 8000, "dtype": "float32"},
    **{"steps": 600, "batch_size": 64, "rate": 3e-3},
}
# Of the models that are trained here: the number of units of the hybrid's ResNet
TRAINED = {"ViT": 0, "hybrid": 1}
# Names of published weights
MODELS = {
    "tiny": ("ViT-Mini/4",),
    "small": ("ViT-Mini/4", "ViT-Ti/16", "R+ViT-Ti/16"),
    "gpu": ("ViT-S/32", "ViT-B/16", "ViT-L/16", "R26+ViT-S/32", "R50+ViT-L/32"),
}
SEEDS = (1, 2, 3)
SEEN = 128  # images, as in the paper
LOCAL = 0.5


def runs(scale):
    """Returns the settings of all runs, those of the first seed first."""
    names = MODELS[scale]
    if scale != "tiny":
        return [{"model": n, "data": PUBLISHED, "seed": seed} for seed in SEEDS for n in names]
    training = {**SHAPE, **TRAINING}
    models = [{"model": name, "units": units, **training} for name, units in TRAINED.items()]
    none = {**dict.fromkeys(("units", *training), 0), "data": PIECES, "dtype": "float32"}
    models += [{"model": name, **none} for name in names]
    return [{**model, "seed": seed} for seed in SEEDS for model in models]


def run(model, data, seed, **training):
    """Returns how far each head looks, trained and untrained, as shares of the whole image."""
    if data in (PUBLISHED, PIECES):
        made = load_pretrained(model, verbose=False)
        images = (load_images if data == PUBLISHED else cut_photographs)(image_size(model), seed)
    else:
        made = train(data, seed, **training)
        images = tasks.test(data)[0][:SEEN]
    fresh = trials.build(seed, lambda: type(made).from_config(made.get_config()))
    return {
        "heads": encode(measure_reach(made, images)),
        "untrained_heads": encode(measure_reach(fresh, images)),
    }


def train(data, seed, units, images, steps, batch_size, rate, **shape):
    """Returns a ViT that was trained, for `units` of 1 or more a hybrid."""
    shape |= tasks.model_arguments(data)
    build = functools.partial(HybridViT, resnet_units=(units,)) if units else ViT
    made = trials.build(seed, lambda: build(**shape))
    trials.fit(made, *tasks.load(data, images, seed), steps, batch_size, rate, seed)
    return made


def load_images(size, seed):
    """Returns test images of CIFAR-10, or of $KERAS_VIT_DATA, drawn from a seed."""
    loaded = data.load(os.environ.get(tasks.FOLDER) or "cifar10", size, validation_share=0)
    batches, count = loaded.fixed_batches("test"), loaded.counts["test"]
    drawn = np.random.default_rng(seed).permutation(count)[:SEEN]
    return np.stack([batches.image(number) for number in drawn])


def cut_photographs(size, seed):
    """Returns squares of the two photographs of scikit-learn, resized to (height, width).

    Their sides are 96 to 320 pixels of the photographs' 427 x 640.
    """
    from PIL import Image
    from sklearn.datasets import load_sample_images

    photographs, rng = load_sample_images().images, np.random.default_rng(seed)
    found = []
    for number in range(SEEN):
        photograph = photographs[number % len(photographs)]
        side = rng.integers(96, 321)
        top, left = (rng.integers(whole - side + 1) for whole in photograph.shape[:2])
        piece = Image.fromarray(photograph[top : top + side, left : left + side])
        found.append(np.asarray(piece.resize(size[::-1], Image.Resampling.BICUBIC)))
    return np.stack(found)


def measure_reach(model, images):
    """Returns (layers, heads): distances relative to those of attention to all patches alike.

    A patch's distance to itself is 0 and counts in both.
    """
    grid, side = find_encoder.find(model).grid, model.get_config()["patch_size"]
    tokens = grid[0] * grid[1]
    alike = np.full((1, 1, 1, tokens, tokens), 1 / tokens, "float32")
    whole = mean_attention_distance(alike, patch_size=side, grid=grid).item()
    return mean_attention_distance(model, images) / whole


def encode(values):
    """Returns (layers, heads) as text: a group for each layer, in hundredths.

    Example:
    >>> keras_vit.studies.figure_11.encode(np.array([[0.5, 1.02], [0.25, 1]]))
    '50 102 / 25 100'
    """
    return " / ".join(" ".join(f"{100 * value:.0f}" for value in layer) for layer in values)


def decode(text):
    """Returns the (layers, heads) that `encode` wrote."""
    return np.array([[int(n) for n in layer.split()] for layer in text.split("/")]) / 100


def plot(rows):
    """Draws every head of every seed over depth, a panel for each model."""
    names = _names(rows)
    figure = figures.figure(3.4 * len(names) + 0.8, 3.8)
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, names, strict=True):
        found, fresh = (_heads(rows, name, key) for key in ("heads", "untrained_heads"))
        layers = np.arange(1, found.shape[1] + 1)
        for one in found:
            for head in one.T:
                axes.plot(layers, 100 * head, "o", color="C0", alpha=0.5, ms=5, mew=0)
        axes.plot(layers, 100 * found.mean((0, 2)), "--", color="C1", label="mean, trained")
        label = "mean, untrained"
        axes.plot(layers, 100 * fresh.mean((0, 2)), ":", color="gray", label=label)
        axes.axhline(100 * LOCAL, color="gray", linewidth=0.5)
        axes.set_title(name, fontsize=10)
        axes.set_xlabel("layer")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("attention distance,\n% of attention to all alike")
    panels[0].set_ylim(bottom=0)
    panels[-1].legend(fontsize=8)
    return figure


def conclusion(rows):
    """States how the heads of the lowest layer differ, what depth gives, and what a hybrid has."""
    names = _names(rows)
    sentences = " ".join(_sentence(rows, name) for name in names)
    pairs = [(a, b) for a in names for b in names if not _hybrid(a) and _hybrid(b)]
    if not pairs:
        return f"{sentences} There is no ViT beside a hybrid yet."
    alike = [(vit, hybrid) for vit, hybrid in pairs if hybrid.endswith(vit)] or pairs[:1]
    return f"{sentences} {' '.join(_compare(rows, *pair) for pair in alike)}"


def _sentence(rows, name):
    found, fresh = (_heads(rows, name, key) for key in ("heads", "untrained_heads"))
    reached, before = (
        f"{100 * one[:, 0].min():.0f} to {100 * one[:, 0].max():.0f} %" for one in (found, fresh)
    )
    ends = [100 * found[:, layer].mean() for layer in (0, -1)]
    trained, untrained = (
        (one[:, -1].mean(1) - one[:, 0].mean(1)).tolist() for one in (found, fresh)
    )
    way = "changes no more with depth than untrained"
    if seeds.differ(trained, untrained):
        more = statistics.fmean(trained) > statistics.fmean(untrained)
        way = f"{'grows' if more else 'falls'} with depth"
    return (
        f"{name}: heads of the first layer reach {reached} of attention to all alike (untrained "
        f"{before}); the mean, {ends[0]:.0f} % in the first layer and {ends[1]:.0f} % in the last, "
        f"{way}."
    )


def _compare(rows, vit, hybrid):
    """Compares the local heads of the lower half of two models."""
    shares = [_local(_heads(rows, name, "heads")) for name in (vit, hybrid)]
    sentences = " and ".join(
        f"{100 * statistics.fmean(values):.0f} % in {name}"
        for values, name in zip(shares, (vit, hybrid), strict=True)
    )
    more = statistics.fmean(shares[0]) > statistics.fmean(shares[1])
    verdict = "seeds show no difference"
    if seeds.differ(*shares):
        verdict = f"the hybrid has {'fewer' if more else 'more'}"
    return f"Local heads in the lower half of the layers: {sentences}; {verdict}."


def _local(found):
    """Returns the share of local heads in the lower half of the layers, of each seed."""
    lower = found[:, : max(1, found.shape[1] // 2)]
    return (lower < LOCAL).mean((1, 2)).tolist()


def _heads(rows, name, key):
    """(seeds, layers, heads) of a model."""
    return np.stack([decode(row[key]) for row in rows if row["model"] == name])


def _hybrid(name):
    return name == "hybrid" or name.startswith("R")


def _names(rows):
    return list(dict.fromkeys(row["model"] for row in rows))
