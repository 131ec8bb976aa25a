"""Figure 9: class token or mean pooling, each at its best learning rate?

Appendix D.3 first tried a ViT without a class token, whose image representation is the mean of all
patch tokens (GAP), and found it much worse. The reason was neither the token nor the mean: GAP
needs a different learning rate. The text states no numbers for the figure.

At "tiny" a ViT of 2 layers classifies handwritten digits at random positions in an image of 16 x 16
pixels; "small" and "gpu" use CIFAR-10. Attention pooling ("MAP", arXiv 2106.04560), which is not in
the paper, is a third row. Accuracy is that of the task itself; the paper's is few-shot on ImageNet.
The best learning rate is chosen by the mean test accuracy, a small advantage that all three share.
"""

import statistics

from keras_vit import ViT, figures
from keras_vit.studies import design, seeds, tasks, trials

TITLE = "Class token or mean pooling"
QUESTION = "Is mean pooling worse than a class token, or does it need another learning rate?"
PAPER = (
    "Mean pooling (GAP) seemed much worse than the class token; with a learning rate of its own it "
    "is as good (D.3, Figure 9)."
)
NEEDS = design.need_images("a day of a processor", "hours of one large GPU")
POOLINGS = {"token": "class token", "gap": "mean (GAP)", "map": "attention (MAP)"}
RATES = {
    "tiny": (1e-3, 3e-3, 1e-2, 3e-2),
    "small": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
    "gpu": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
}
MODELS = {
    "tiny": {"num_layers": 2, "hidden_dim": 48, "mlp_dim": 96, "num_heads": 4, "patch_size": 4},
    "small": {"num_layers": 6, "hidden_dim": 192, "mlp_dim": 384, "num_heads": 3, "patch_size": 4},
    "gpu": {"num_layers": 12, "hidden_dim": 384, "mlp_dim": 1536, "num_heads": 6, "patch_size": 2},
}
TRAINING = design.by_scale(
    "data images dtype steps batch_size",
    tiny=("wandering digits", 8000, "float32", 250, 64),
    small=("cifar10", 50_000, "float32", 8000, 128),
    gpu=("cifar10", 50_000, "mixed_bfloat16", 10_000, 512),
)
SEEDS = design.count_seeds(2, 2, 2)


def variants(scale):
    """Returns the settings that vary."""
    return [
        {"pooling": pooling, "rate": rate, **MODELS[scale]}
        for rate in RATES[scale]
        for pooling in POOLINGS
    ]


runs = design.vary(variants, TRAINING, SEEDS)


def run(data, images, steps, batch_size, rate, seed, **shape):
    """Trains one model, and returns its mean loss in training and its accuracy."""
    model = trials.build(seed, lambda: ViT(**shape, **tasks.model_arguments(data)))
    loss = trials.fit(model, *tasks.load(data, images, seed), steps, batch_size, rate, seed)
    return {
        "accuracy": trials.accuracy(model, *tasks.test(data)),
        "training_loss": float(loss),
    }


def plot(rows):
    """Draws accuracy against the learning rate, a line for each pooling."""
    figure = figures.figure(6, 4)
    axes = figure.subplots()
    for (pooling, found), mark in zip(by_pooling(rows).items(), "osD", strict=False):
        means = [100 * statistics.fmean(values) for values in found.values()]
        ends = [[100 * f(values) for values in found.values()] for f in (min, max)]
        bars = [[abs(m - e) for m, e in zip(means, end, strict=True)] for end in ends]
        label = POOLINGS[pooling]
        axes.errorbar(list(found), means, bars, marker=mark, capsize=3, label=label)
    axes.set_xscale("log")
    axes.set_xticks(rates := sorted({row["rate"] for row in rows}), [f"{rate:g}" for rate in rates])
    axes.minorticks_off()
    axes.set(xlabel="learning rate", ylabel="test accuracy, %")
    axes.set_title("mean of seeds, bars from lowest to highest", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def conclusion(rows):
    """States each pooling's best rate and accuracy there, and what one rate for all would say."""
    found = by_pooling(rows)
    if "token" not in found or "gap" not in found or min(map(len, found.values())) < 2:
        return "A class token and mean pooling must be trained at two rates or more to compare."
    best = {pooling: max(rates, key=_mean_in(rates)) for pooling, rates in found.items()}
    sentences = ", ".join(
        f"{POOLINGS[pooling]} {seeds.spell(found[pooling][rate])} % at {rate:g}"
        for pooling, rate in best.items()
    )
    token, gap = (found[pooling][best[pooling]] for pooling in ("token", "gap"))
    verdict = "seeds do not decide between token and mean"
    if seeds.differ(token, gap):
        worse = statistics.fmean(gap) < statistics.fmean(token)
        verdict = f"mean pooling is {'worse' if worse else 'better'} at the best rate of each"
    return f"Best rate of each: {sentences}; {verdict}. {_at_one_rate(found)}{_edge(found, best)}"


def by_pooling(rows):
    """Returns {pooling: {rate: [each seed's accuracy]}}, lower rates first."""
    found = {}
    for (pooling, rate), values in seeds.group(rows, ("pooling", "rate"), "accuracy").items():
        found.setdefault(pooling, {})[rate] = values
    return {pooling: dict(sorted(rates.items())) for pooling, rates in found.items()}


def _mean_in(rates):
    return lambda rate: statistics.fmean(rates[rate])


def _at_one_rate(found):
    """States what mean pooling gains over the token if both have the same learning rate."""
    token, gap = found["token"], found["gap"]
    common = [rate for rate in token if rate in gap]
    if not common:
        return ""
    sentences = []
    for rate in common:
        gain = 100 * (statistics.fmean(gap[rate]) - statistics.fmean(token[rate]))
        but = "" if seeds.differ(gap[rate], token[rate]) else ", within the seeds"
        sentences.append(f"{gain:+.1f} at {rate:g}{but}")
    return f"At one rate for both, mean pooling would have seemed {'; '.join(sentences)} (points)."


def _edge(found, best):
    """Warns if a best rate is the lowest or highest one: a better rate may be outside the range."""
    outer = [
        POOLINGS[pooling]
        for pooling, rate in best.items()
        if rate in (min(found[pooling]), max(found[pooling]))
    ]
    return f" The best rate of {', '.join(outer)} is the first or last one tried." if outer else ""
