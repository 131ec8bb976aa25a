"""Figure 11: how far does attention reach, by head and depth?

Appendix D.7 takes the mean distance between a patch and those that it attends to, weighted by the
attention, over 128 pictures, for every head of every layer. Some heads of the lowest layers look at
most of the picture already, others near by; with depth all look far. Hybrids have fewer such local
heads: their ResNet may do what these do. The figure has dots and no numbers.

At "tiny" a ViT on patches of 4 pixels and a hybrid on the map of a small ResNet, also 4 pixels
apart, are trained on handwritten digits that stand anywhere in a picture of 16 x 16 pixels; both
have 4 x 4 tokens, so that distances are coarse. At "small" and "gpu" published weights are looked
at, and nothing is trained. The same models with fresh weights are the control: they attend to
everything alike.

Distances are drawn as a share of the distance that attention to all patches alike has: "100 %" is
the whole picture. A head is called local below 50 %.
"""

import os
import statistics

import numpy as np

from keras_vit import ViT, data, figures, load_pretrained
from keras_vit.checkpoints.pretrained import image_size
from keras_vit.explain import encoder, mean_attention_distance
from keras_vit.studies import fitting, seeds, tasks

TITLE = "Attended area by head and depth"
QUESTION = (
    "Do some heads look far in the lowest layers, and does attention reach farther with depth?"
)
PAPER = (
    "Some heads of the lowest layers attend to most of the picture, others have small distances; "
    "hybrids have fewer of these local heads; the distance grows with depth (4.5, D.7, Figure 11, "
    "a picture without numbers)."
)
PUBLISHED = "published weights"
NEEDS = {
    "small": "CIFAR-10, or pictures in the folder $KERAS_VIT_DATA; 80 MB of published weights; "
    "minutes of a processor",
    "gpu": "CIFAR-10, or pictures in the folder $KERAS_VIT_DATA; 3 GB of published weights; "
    "minutes of one GPU",
}
SHAPE = {"num_layers": 6, "hidden_dim": 32, "mlp_dim": 64, "num_heads": 4, "patch_size": 4}
TRAINING = {
    **{"data": "wandering digits", "pictures": 8000, "dtype": "float32"},
    **{"steps": 600, "batch_size": 64, "rate": 3e-3},
}
# At "tiny" the number of units of the hybrid's ResNet; else names of published weights
MODELS = {
    "tiny": {"ViT": 0, "hybrid": 1},
    "small": ("ViT-Mini/4", "ViT-Ti/16", "R+ViT-Ti/16"),
    "gpu": ("ViT-B/16", "ViT-L/16", "R26+ViT-S/32", "R50+ViT-L/32"),
}
SEEDS = (1, 2, 3)
SEEN = 128  # pictures, as in the paper
LOCAL = 0.5


def runs(scale):
    """Returns the settings of all runs, those of the first seed first."""
    if scale == "tiny":
        return [
            {"model": name, "units": units, **SHAPE, **TRAINING, "seed": seed}
            for seed in SEEDS
            for name, units in MODELS[scale].items()
        ]
    names = MODELS[scale]
    return [{"model": name, "data": PUBLISHED, "seed": seed} for seed in SEEDS for name in names]


def run(model, data, seed, **training):
    """Returns how far each head looks, trained and untrained, as shares of the whole picture."""
    if data == PUBLISHED:
        made = load_pretrained(model, verbose=False)
        images = pictures(image_size(model), seed)
    else:
        made = trained(data, seed, **training)
        images = tasks.test(data)[0][:SEEN]
    fresh = fitting.seeded(seed, lambda: type(made).from_config(made.get_config()))
    return {
        "heads": written(reach(made, images)),
        "untrained_heads": written(reach(fresh, images)),
    }


def trained(data, seed, units, pictures, steps, batch_size, rate, **shape):
    """Returns a ViT that was trained, for `units` of 1 or more a hybrid."""
    shape |= tasks.model_arguments(data) | {"resnet_units": (units,) if units else None}
    made = fitting.seeded(seed, lambda: ViT(**shape))
    fitting.fit(made, *tasks.load(data, pictures, seed), steps, batch_size, rate, seed)
    return made


def pictures(size, seed):
    """Returns test pictures of CIFAR-10, or of $KERAS_VIT_DATA, drawn from a seed."""
    loaded = data.load(os.environ.get(tasks.FOLDER) or "cifar10", size, validation_share=0)
    batches, count = loaded.fixed_batches("test"), loaded.counts["test"]
    drawn = np.random.default_rng(seed).permutation(count)[:SEEN]
    return np.stack([batches.picture(number) for number in drawn])


def reach(model, images):
    """Returns (layers, heads): distances relative to those of attention to all patches alike.

    A patch's distance to itself is 0 and counts in both.
    """
    grid, side = encoder.find(model).grid, model.get_config()["patch_size"]
    tokens = grid[0] * grid[1]
    alike = np.full((1, 1, 1, tokens, tokens), 1 / tokens, "float32")
    whole = mean_attention_distance(alike, patch_size=side, grid=grid).item()
    return mean_attention_distance(model, images) / whole


def written(values):
    """Returns (layers, heads) as text: a group for each layer, in hundredths.

    Example:
    >>> keras_vit.studies.figure_11.written(np.array([[0.5, 1.02], [0.25, 1]]))
    '50 102 / 25 100'
    """
    return " / ".join(" ".join(f"{100 * value:.0f}" for value in layer) for layer in values)


def read(text):
    """Returns the (layers, heads) that `written` wrote."""
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
        axes.plot(layers, 100 * fresh.mean((0, 2)), ":", color="grey", label=label)
        axes.axhline(100 * LOCAL, color="grey", linewidth=0.5)
        axes.set_title(name, fontsize=10)
        axes.set_xlabel("layer")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("attention distance,\n% of attention to all alike")
    panels[0].set_ylim(bottom=0)
    panels[-1].legend(fontsize=8)
    return figure


def conclusion(rows):
    """Says how the heads of the lowest layer differ, what depth gives, and what a hybrid has."""
    names = _names(rows)
    told = " ".join(_sentence(rows, name) for name in names)
    pairs = [(a, b) for a in names for b in names if not _hybrid(a) and _hybrid(b)]
    if not pairs:
        return f"{told} There is no ViT beside a hybrid yet."
    return f"{told} {' '.join(_compared(rows, *pair) for pair in pairs[-1:])}"


def _sentence(rows, name):
    found, fresh = (_heads(rows, name, key) for key in ("heads", "untrained_heads"))
    low, high = 100 * found[:, 0].min(), 100 * found[:, 0].max()
    ends = [100 * found[:, layer].mean() for layer in (0, -1)]
    ways = [seeds.rank_correlation(range(found.shape[1]), one.mean(1).tolist()) for one in found]
    sure = min(ways) > 0 or max(ways) < 0
    way = ("grows" if ways[0] > 0 else "falls") if sure else "does not go one way in all seeds"
    return (
        f"{name}: heads of the first layer reach {low:.0f} to {high:.0f} % of attention to all "
        f"alike (untrained {100 * fresh[:, 0].min():.0f} to {100 * fresh[:, 0].max():.0f} %); "
        f"the mean is {ends[0]:.0f} % in the first layer and {ends[1]:.0f} % in the last: with "
        f"depth it {way} (rank correlation {statistics.fmean(ways):+.2f})."
    )


def _compared(rows, vit, hybrid):
    """Compares the local heads of the lower half of two models."""
    shares = [_local(_heads(rows, name, "heads")) for name in (vit, hybrid)]
    told = " and ".join(
        f"{100 * statistics.fmean(values):.0f} % in {name}"
        for values, name in zip(shares, (vit, hybrid), strict=True)
    )
    more = statistics.fmean(shares[0]) > statistics.fmean(shares[1])
    verdict = f"the hybrid has {'fewer' if more else 'more'}"
    if not seeds.differ(*shares):
        verdict = "seeds do not decide who has fewer"
    return f"Local heads in the lower half of the layers: {told}; {verdict}."


def _local(found):
    """Returns the share of local heads in the lower half of the layers, of each seed."""
    lower = found[:, : max(1, found.shape[1] // 2)]
    return (lower < LOCAL).mean((1, 2)).tolist()


def _heads(rows, name, key):
    """(seeds, layers, heads) of a model."""
    return np.stack([read(row[key]) for row in rows if row["model"] == name])


def _hybrid(name):
    return name == "hybrid" or name.startswith("R")


def _names(rows):
    return list(dict.fromkeys(row["model"] for row in rows))
