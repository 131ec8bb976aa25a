"""Figure 8: which dimension of a Vision Transformer is worth scaling?

Appendix D.2 varies one dimension of a base model at a time: depth, width, MLP, patch size, and all
together. The base has 8 layers, D = 1024, D_MLP = 2048 and patches of 32 pixels. Few-shot accuracy
on ImageNet is plotted against the compute relative to the base.

At "tiny" the base is 4 / 32 / 64 / 4, trained on handwritten digits at random positions in an image
of 16 x 16 pixels; "small" uses CIFAR-10 and a base of 4 / 96 / 192 / 4; "gpu" uses the paper's
base, but patches of 4 pixels: an image of 32 pixels then has 64 patches, one of the paper's 49.
Accuracy is that of the task itself. "All" are depth, width and MLP.

All models take the same number of steps at one learning rate. This favors models that learn fast:
many layers may pay only after long training.
"""

import math
import statistics

from keras_vit import ViT, accounting, figures
from keras_vit.studies import design, seeds, tasks, trials

TITLE = "The shape of the Transformer"
QUESTION = "Does a ViT gain more by depth, by width, by a wider MLP, or by smaller patches?"
PAPER = (
    "Depth helps most, clearly to 16 layers and still to 64; width helps least. Smaller patches "
    "help without more parameters, so compute may predict more than parameters (D.2, Figure 8)."
)
NEEDS = design.need_images("some days of a processor", "a day of one large GPU")
NAMES = ("layers", "D", "MLP", "patch")  # of `SHAPE` in the figure
DIMENSIONS = ("depth", "width", "MLP", "patch", "all")
SHAPE = ("num_layers", "hidden_dim", "mlp_dim", "patch_size")
# The base, and its variations
SHAPES = {
    "tiny": {
        "base": [(4, 32, 64, 4)],
        "depth": [(n, 32, 64, 4) for n in (1, 2, 8)],
        "width": [(4, n, 64, 4) for n in (16, 64)],
        "MLP": [(4, 32, n, 4) for n in (16, 256)],
        "patch": [(4, 32, 64, n) for n in (8, 2)],
        "all": [(2, 16, 32, 4), (8, 64, 128, 4)],
    },
    "small": {
        "base": [(4, 96, 192, 4)],
        "depth": [(n, 96, 192, 4) for n in (1, 2, 8, 16)],
        "width": [(4, n, 192, 4) for n in (48, 192, 384)],
        "MLP": [(4, 96, n, 4) for n in (48, 768)],
        "patch": [(4, 96, 192, n) for n in (8, 2)],
        "all": [(2, 48, 96, 4), (8, 192, 384, 4)],
    },
    "gpu": {
        "base": [(8, 1024, 2048, 4)],
        "depth": [(n, 1024, 2048, 4) for n in (1, 2, 4, 16, 32, 64)],
        "width": [(8, n, 2048, 4) for n in (256, 512, 2048)],
        "MLP": [(8, 1024, n, 4) for n in (512, 1024, 4096, 8192)],
        "patch": [(8, 1024, 2048, n) for n in (16, 8, 2)],
        "all": [(4, 512, 1024, 4), (16, 2048, 4096, 4)],
    },
}
# Learning rates were tried on the base alone, with a seed that is not among these.
TRAINING = design.by_scale(
    "data images num_heads dtype steps batch_size rate",
    tiny=("wandering digits", 8000, 4, "float32", 1500, 16, 2e-3),
    small=("cifar10", 50_000, 4, "float32", 8000, 128, 1e-3),
    gpu=("cifar10", 50_000, 16, "mixed_bfloat16", 10_000, 512, 3e-4),
)
SEEDS = design.count_seeds(3, 3, 2)


def variants(scale):
    """Returns the settings that vary."""
    return [
        {"varied": varied, **dict(zip(SHAPE, shape, strict=True))}
        for varied, shapes in SHAPES[scale].items()
        for shape in shapes
    ]


runs = design.vary(variants, TRAINING, SEEDS)


def run(data, images, steps, batch_size, rate, seed, varied=None, **shape):
    """Trains one model, and returns its accuracy and what it costs."""
    model = trials.build(seed, lambda: ViT(**shape, **tasks.model_arguments(data)))
    trials.fit(model, *tasks.load(data, images, seed), steps, batch_size, rate, seed)
    cost = accounting.count(model)
    return {
        "accuracy": trials.accuracy(model, *tasks.test(data)),
        "multiply_adds": cost.multiply_adds,
        "parameters": cost.parameters,
    }


def plot(rows):
    """Draws accuracy against compute, a line for each dimension through the base."""
    figure = figures.figure(7, 4.4)
    axes = figure.subplots()
    one = base_of(rows)
    for (varied, points), marker in zip(lines(rows).items(), "osD^v", strict=False):
        compute = [p["multiply_adds"] / one for p in points]
        means = [100 * statistics.fmean(p["accuracy"]) for p in points]
        ends = [[100 * f(p["accuracy"]) for p in points] for f in (min, max)]
        bars = [[abs(m - e) for m, e in zip(means, end, strict=True)] for end in ends]
        axes.errorbar(compute, means, bars, marker=marker, capsize=2, label=varied)
        for p, x, y in zip(points, compute, means, strict=True):
            size = "" if x == 1 else p["size"]  # that of the base is in the title
            axes.annotate(size, (x, y), (3, 4), textcoords="offset points", fontsize=7)
    axes.axvline(1, color="gray", linestyle=":", linewidth=1)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    axes.set(xlabel="multiply-adds of an image, relative to the base", ylabel="test accuracy, %")
    if base := [row for row in rows if row["varied"] == "base"]:
        sizes = ", ".join(f"{name} {base[0][key]}" for name, key in zip(NAMES, SHAPE, strict=True))
        axes.set_title(f"base: {sizes}", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(title="varied", fontsize=8)
    return figure


def conclusion(rows):
    """States what each dimension gives when it takes twice the compute."""
    gains = {varied: _gains(rows, varied) for varied in DIMENSIONS}
    gains = {varied: found for varied, found in gains.items() if found}
    if len(gains) < 2:
        return "Two dimensions or more must be varied, and the base trained, to compare them."
    order = sorted(gains, key=lambda varied: -statistics.fmean(gains[varied]))
    listed = ", ".join(f"{varied} {seeds.spell(gains[varied], '+.1f')}" for varied in order)
    best, second = order[:2]
    clear = seeds.differ(gains[best], gains[second])
    verdict = f"{best} gives most" if clear else f"between {best} and {second} seeds do not decide"
    return (
        "After as many steps for all models, each doubling of an image's compute gains these "
        f"points of accuracy: {listed}: {verdict}. "
        f"{_predictor(rows)}"
    )


def base_of(rows):
    """Returns the multiply-adds of the base, or of the smallest model if the base is not done."""
    base = [row["multiply_adds"] for row in rows if row["varied"] == "base"]
    return base[0] if base else min(row["multiply_adds"] for row in rows)


def lines(rows):
    """Returns {dimension: [points in the order of compute, the base among them]}."""
    found = {varied: [row for row in rows if row["varied"] == varied] for varied in DIMENSIONS}
    base = [row for row in rows if row["varied"] == "base"]
    found = {varied: points + base for varied, points in found.items() if points}
    return {varied: _points(varied, points) for varied, points in (found or {"base": base}).items()}


def _points(varied, rows):
    models = seeds.group(rows, ("multiply_adds", *SHAPE), "accuracy")
    return [
        {"multiply_adds": key[0], "accuracy": values, "size": _size(varied, key[1:])}
        for key, values in sorted(models.items())
    ]


def _size(varied, shape):
    return "" if varied in ("all", "base") else str(shape[DIMENSIONS.index(varied)])


def _gains(rows, varied):
    """Returns the slope of accuracy over log2 of the compute, for each seed that has the base."""
    found = []
    for seed in sorted({row["seed"] for row in rows}):
        points = [r for r in rows if r["seed"] == seed and r["varied"] in (varied, "base")]
        compute = [math.log2(row["multiply_adds"]) for row in points]
        if len({row["varied"] for row in points}) == 2:
            accuracy = [row["accuracy"] for row in points]
            found.append(statistics.linear_regression(compute, accuracy).slope)
    return found


def _predictor(rows):
    """Compares how well compute and parameters order the models by accuracy."""
    models = seeds.group(rows, ("multiply_adds", "parameters"), "accuracy")
    if len(models) < 3:
        return "With fewer than three models nothing can be said of what predicts accuracy."
    accuracy = [statistics.fmean(values) for values in models.values()]
    compute, parameters = (
        seeds.rank_correlation(numbers, accuracy) for numbers in zip(*models, strict=True)
    )
    return (
        f"The rank correlation of accuracy is {compute:.2f} with compute and {parameters:.2f} with "
        f"parameters, over {len(models)} models."
    )
