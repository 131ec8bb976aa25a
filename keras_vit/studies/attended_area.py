"""Figure 11: how far does attention reach, by head and depth?"""

import functools
import os
import statistics

import numpy as np

from keras_vit import HybridViT, ViT, data, figures, load_pretrained
from keras_vit.checkpoints.loading import find_image_size
from keras_vit.explain import mean_attention_distance
from keras_vit.explain.inside import find_encoder
from keras_vit.studies.lab import seeds, tasks, trials
from keras_vit.studies.lab.runner import Study, need_images

PUBLISHED, PIECES = "published weights", "published weights, pieces of photographs"
# Settings of the models that are trained here; `units` are those of the hybrid's ResNet
TRAINED = {"ViT": 0, "hybrid": 1}
TRAINING = {
    **{"num_layers": 6, "hidden_dim": 32, "mlp_dim": 64, "num_heads": 4, "patch_size": 4},
    **{"data": "wandering digits", "images": 8000, "dtype": "float32"},
    **{"steps": 600, "batch_size": 64, "rate": 3e-3},
}
# Names of published weights
MODELS = {
    "tiny": ("ViT-Mini/4",),
    "small": ("ViT-Mini/4", "ViT-Ti/16", "R+ViT-Ti/16"),
    "gpu": ("ViT-S/32", "ViT-B/16", "ViT-L/16", "R26+ViT-S/32", "R50+ViT-L/32"),
}
SEEN = 128  # images, as in the paper
LOCAL = 0.5


def train(data, seed, units, images, steps, batch_size, rate, **shape):
    """Returns a trained ViT, or a hybrid for `units` of 1 or more."""
    shape |= tasks.model_arguments(data)
    build = functools.partial(HybridViT, resnet_units=(units,)) if units else ViT
    made = trials.build(seed, lambda: build(**shape))
    trials.fit(made, *tasks.load(data, images, seed), steps, batch_size, rate, seed)
    return made


def load_images(size, seed):
    """Returns test images of CIFAR-10, or of $KERAS_VIT_DATA, chosen at random with `seed`."""
    loaded = data.load(os.environ.get(tasks.FOLDER) or "cifar10", size, validation_share=0)
    drawn = np.random.default_rng(seed).permutation(loaded.counts["test"])[:SEEN]
    return tasks.to_arrays(loaded, "test", drawn)[0]


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
    """Returns distances (layers, heads) relative to those of uniform attention.

    The distance of a patch to itself is 0, and counts in both.
    """
    grid, side = find_encoder.find(model).grid, model.get_config()["patch_size"]
    tokens = grid[0] * grid[1]
    uniform = np.full((1, 1, 1, tokens, tokens), 1 / tokens, "float32")
    whole = mean_attention_distance(uniform, patch_size=side, grid=grid).item()
    return mean_attention_distance(model, images) / whole


def encode(values):
    """Returns (layers, heads) as text: a group for each layer, in hundredths.

    Example:
    >>> keras_vit.studies.attended_area.encode(np.array([[0.5, 1.02], [0.25, 1]]))
    '50 102 / 25 100'
    """
    return " / ".join(" ".join(f"{100 * value:.0f}" for value in layer) for layer in values)


def decode(text):
    """Returns the (layers, heads) that `encode` wrote."""
    return np.array([[int(n) for n in layer.split()] for layer in text.split("/")]) / 100


def _describe(name, found, fresh):
    lowest = [
        f"{100 * one[:, 0].min():.0f} to {100 * one[:, 0].max():.0f} %" for one in (found, fresh)
    ]
    first, last = (100 * found[:, layer].mean() for layer in (0, -1))
    trained, untrained = ((one[:, -1] - one[:, 0]).mean(1).tolist() for one in (found, fresh))
    change = "changes no more with depth than untrained"
    if seeds.differ(trained, untrained):
        more = statistics.fmean(trained) > statistics.fmean(untrained)
        change = f"{'grows' if more else 'falls'} with depth"
    return (
        f"{name}: heads of the first layer reach {lowest[0]} of uniform attention (untrained "
        f"{lowest[1]}); the mean, {first:.0f} % in the first layer and {last:.0f} % in the last, "
        f"{change}."
    )


def _compare(models, *names):
    """Compares the share of local heads in the lower half of the layers of two models."""
    shares = []
    for name in names:
        found, _ = models[name]
        lower = found[:, : max(1, found.shape[1] // 2)]
        shares.append((lower < LOCAL).mean((1, 2)).tolist())
    listed = " and ".join(
        f"{100 * statistics.fmean(values):.0f} % in {name}"
        for values, name in zip(shares, names, strict=True)
    )
    verdict = "no clear difference"
    if seeds.differ(*shares):
        more = statistics.fmean(shares[0]) > statistics.fmean(shares[1])
        verdict = f"the hybrid has {'fewer' if more else 'more'}"
    return f"Local heads in the lower half of the layers: {listed}; {verdict}."


def _by_model(rows):
    """Returns {model: (trained, untrained)}, each (seeds, layers, heads)."""
    texts = (seeds.group(rows, "model", key) for key in ("heads", "untrained_heads"))
    trained, untrained = ({n: np.stack([*map(decode, t)]) for n, t in g.items()} for g in texts)
    return {name: (trained[name], untrained[name]) for name in trained}


class Figure11(Study):
    """Figure 11: how far attention reaches, by head and depth.

    Appendix D.7 computes the mean distance between a patch and the patches it attends to, weighted
    by the attention, over 128 images, for every head of every layer. Some heads of the lowest
    layers attend to most of the image, others locally; with depth all heads look far. Hybrids have
    fewer such local heads: their ResNet may do the same work. The figure has dots and no numbers.

    At "tiny" a ViT with patches of 4 pixels and a hybrid on the map of a small ResNet, also with
    steps of 4 pixels, are trained on wandering digits; both have 4 x 4 tokens, so distances are
    coarse. ViT-Mini/4, with the CIFAR-10 weights that come with the package, is examined as well,
    on random crops of the two photographs of scikit-learn. At "small" and "gpu" published weights
    are examined and nothing is trained. The same models with random weights are the control: they
    attend to everything equally.

    The models of "tiny" cannot be expected to show the paper's pattern: they are small and were
    trained briefly on few images. Published weights show it with the same code: heads of the first
    layer of ViT-Ti/16 reach 16, 51 and 73 % on 74 images of pets, those of the last 115 to 120 %.

    Distances are relative to those of uniform attention: "100 %" is the whole image. A head is
    called local below 50 %.
    """

    paper = (
        "Some heads of the lowest layers attend to most of the image, others have small distances; "
        "hybrids have fewer of these local heads; the distance grows with depth (4.5, D.7, Figure "
        "11, an image without numbers)."
    )
    needs = need_images(
        "80 MB of published weights; minutes on a CPU",
        "3 GB of published weights; minutes on one GPU",
    )
    num_seeds = {"tiny": 3, "small": 3, "gpu": 3}

    def variants(self, scale):
        if scale != "tiny":
            return [{"model": name, "data": PUBLISHED} for name in MODELS[scale]]
        trained = [{"model": name, "units": units, **TRAINING} for name, units in TRAINED.items()]
        untrained = dict.fromkeys(TRAINING, 0) | {"data": PIECES, "dtype": "float32"}
        return trained + [{"model": name, "units": 0, **untrained} for name in MODELS[scale]]

    def run(self, model, data, seed, **training):
        """Returns how far each head looks, trained and untrained, as shares of the whole image."""
        if data in (PUBLISHED, PIECES):
            made = load_pretrained(model, verbose=False)
            images = (load_images if data == PUBLISHED else cut_photographs)(
                find_image_size(model), seed
            )
        else:
            made = train(data, seed, **training)
            images = tasks.test(data)[0][:SEEN]
        fresh = trials.build(seed, lambda: type(made).from_config(made.get_config()))
        return {
            "heads": encode(measure_reach(made, images)),
            "untrained_heads": encode(measure_reach(fresh, images)),
        }

    def plot(self, rows):
        """Plots every head of every seed over depth, a panel for each model."""
        models = _by_model(rows)
        figure = figures.figure(3.4 * len(models) + 0.8, 3.8)
        panels = figure.subplots(1, len(models), sharey=True, squeeze=False)[0]
        for axes, (name, (found, fresh)) in zip(panels, models.items(), strict=True):
            layers = np.arange(1, found.shape[1] + 1)
            for head in found.transpose(0, 2, 1).reshape(-1, len(layers)):
                axes.plot(layers, 100 * head, "o", color="C0", alpha=0.5, ms=5, mew=0)
            means = [100 * one.mean((0, 2)) for one in (found, fresh)]
            axes.plot(layers, means[0], "--", color="C1", label="mean, trained")
            axes.plot(layers, means[1], ":", color="gray", label="mean, untrained")
            axes.axhline(100 * LOCAL, color="gray", linewidth=0.5)
            axes.xaxis.get_major_locator().set_params(integer=True)
            seeds.finish(axes, name, "layer", legend=axes is panels[-1])
        panels[0].set_ylabel("attention distance,\n% of uniform attention")
        panels[0].set_ylim(bottom=0)
        return figure

    def conclusion(self, rows):
        models = _by_model(rows)
        sentences = [_describe(name, *heads) for name, heads in models.items()]
        hybrids = [name for name in models if name == "hybrid" or name.startswith("R")]
        pairs = [(vit, hybrid) for vit in models if vit not in hybrids for hybrid in hybrids]
        if not pairs:
            return " ".join([*sentences, "A ViT and a hybrid are needed to compare them."])
        same_size = [(vit, hybrid) for vit, hybrid in pairs if hybrid.endswith(vit)] or pairs[:1]
        sentences += [_compare(models, *pair) for pair in same_size]
        return " ".join(sentences)
