"""Figure 5: which family transfers best for the compute of its pre-training?

Section 4.4 pre-trains ViTs, ResNets (BiT) and hybrids on JFT for 7 or 14 epochs and fine-tunes them
on five tasks. Accuracy is plotted against the exaFLOPs of pre-training; the numbers are in Table 6.

At "tiny", models of each family are pre-trained on the handwritten digits 0 to 4, each at a random
position in an image of 16 x 16 pixels, for 120 or 240 steps in which no image is repeated. Their
frozen representation is tested on the digits 5 to 9 by least squares from 20 images of each: the
paper's fast measure (4.1), not fine-tuning. "small" and "gpu" use the first five classes of
CIFAR-10 and the others. Compute is that of all steps, three forward passes each.

The smallest ResNet has 64 channels, so it costs as much as a medium ViT: at "tiny" the ResNets span
a factor of five in compute, the paper's a factor of 66, and they classify 97 % of the known digits
after the shorter training. Their transfer is then limited by the five classes of small digits
rather than by compute. Their representation also has 256 or 512 numbers, a ViT's 24 to 96, which
helps least squares. ViTs cannot be expected to overtake them after such short training.
"""

import functools
import math
import statistics

import numpy as np

from keras_vit import HybridViT, ResNet, ViT, accounting, figures
from keras_vit.studies import design, seeds, tasks, transfer, trials
from keras_vit.studies.paper_numbers import TABLE_6

TITLE = "Transfer by compute of pre-training"
QUESTION = "Which transfers best for its compute: a ViT, a ResNet, or a hybrid of both?"
PAPER = (
    "ViTs take 2 to 4 times less compute than ResNets for the same accuracy; hybrids are slightly "
    "better than ViTs at small compute, which vanishes for larger models; ViTs do not saturate "
    "(4.4, Figure 5)."
)
NEEDS = transfer.NEEDS
FAMILIES = {"ViT": "o", "ResNet": "s", "hybrid": "D"}  # and their marks
# Units of the ResNet's stages ("root" alone, or no ResNet), layers, D, heads, learning rate. A
# hybrid's patches are cut from the ResNet's map.
COLUMNS = ("family", "units", "num_layers", "hidden_dim", "num_heads", "rate")
MODELS = {
    "tiny": [
        ("ViT", "-", 2, 24, 4, 3e-3),
        ("ResNet", "1", 0, 0, 0, 3e-3),
        ("hybrid", "root", 2, 24, 4, 3e-3),
        ("ViT", "-", 3, 48, 4, 3e-3),
        ("ResNet", "1 + 1", 0, 0, 0, 3e-3),
        ("hybrid", "1", 2, 48, 4, 3e-3),
        ("ViT", "-", 3, 96, 4, 2e-3),
    ],
    "small": [
        ("ViT", "-", 4, 96, 3, 1e-3),
        ("ResNet", "1 + 1", 0, 0, 0, 1e-3),
        ("hybrid", "root", 4, 96, 3, 1e-3),
        ("ViT", "-", 6, 192, 3, 1e-3),
        ("ResNet", "1 + 1 + 1", 0, 0, 0, 1e-3),
        ("hybrid", "1", 6, 192, 3, 1e-3),
    ],
    "gpu": [
        ("ViT", "-", 4, 192, 3, 1e-3),
        ("ResNet", "1 + 1 + 1", 0, 0, 0, 1e-3),
        ("hybrid", "root", 4, 192, 3, 1e-3),
        ("ViT", "-", 12, 384, 6, 5e-4),
        ("ResNet", "3 + 4 + 6 + 3", 0, 0, 0, 1e-3),
        ("hybrid", "3", 12, 384, 6, 5e-4),
        ("ViT", "-", 12, 768, 12, 3e-4),
    ],
}
TRAINING = design.by_scale(
    "data images dtype patch_size batch_size shots",
    tiny=("wandering digits", 25_000, "float32", 4, 64, 20),
    small=("cifar10", 25_000, "float32", 4, 128, 20),
    gpu=("cifar10", 25_000, "mixed_bfloat16", 4, 512, 20),
)
LENGTHS = {"tiny": (120, 240), "small": (4000, 8000), "gpu": (5000, 10_000)}  # 7 and 14 epochs
MEASURES = {"few_shot": "on the new classes", "known_accuracy": "on those of the pre-training"}
SEEDS = design.count_seeds(2, 3, 2)


def runs(scale):
    """Returns the settings of all runs, those of the first seed first."""
    return [
        {**dict(zip(COLUMNS, model, strict=True)), **TRAINING[scale], "steps": steps, "seed": seed}
        for seed in SEEDS[scale]
        for model in MODELS[scale]
        for steps in LENGTHS[scale]
    ]


def run(data, images, steps, batch_size, rate, seed, shots, **shape):
    """Pre-trains one model; returns what it makes of the new classes, and the compute it took."""
    fixed = {**tasks.model_arguments(data), "num_classes": transfer.known_classes(data)}
    model = trials.build(seed, lambda: build(**shape, **fixed))
    known = transfer.load_half(data, "known", images, seed)
    trials.fit(model, *known, steps, batch_size, rate, seed)
    train = transfer.load_half(data, "new", transfer.TEST, seed)
    test = transfer.load_half(data, "new", transfer.TEST, part="test")
    known = transfer.load_half(data, "known", transfer.TEST, part="test")
    return {
        "few_shot": trials.few_shot_accuracy(model, train, test, shots, transfer.DRAWS),
        "known_accuracy": trials.accuracy(model, *known),
        "multiply_adds": accounting.count(model).multiply_adds,
        "teraflops": 1e6 * accounting.training(model, steps * batch_size),
    }


def build(family, units, num_layers, hidden_dim, num_heads, patch_size, **fixed):
    """Returns a fresh model of a family; `units` is spelled as in `MODELS`."""
    counts = tuple(int(count) for count in units.split("+") if count.strip().isdigit())
    if family == "ResNet":
        return ResNet(units=counts, **fixed)
    model = functools.partial(HybridViT, resnet_units=counts) if family == "hybrid" else ViT
    return model(
        patch_size=patch_size,
        num_layers=num_layers,
        hidden_dim=hidden_dim,
        mlp_dim=2 * hidden_dim,
        num_heads=num_heads,
        **fixed,
    )


def plot(rows):
    """Draws accuracy against compute: ours, and Table 6 with the mean of its tasks."""
    figure = figures.figure(9, 4.2)
    ours, papers = figure.subplots(1, 2)
    for family, mark in FAMILIES.items():
        points = of_family(rows, family)
        if points:
            compute = [cost for cost, _ in points]
            means = [100 * statistics.fmean(values) for _, values in points]
            ends = [[100 * f(values) for _, values in points] for f in (min, max)]
            bars = [[abs(m - e) for m, e in zip(means, end, strict=True)] for end in ends]
            ours.errorbar(compute, means, bars, marker=mark, capsize=2, ls="", label=family)
        published = papers_points(family)
        papers.plot(*zip(*published, strict=True), mark, label=family)
    ours.set(xlabel="teraFLOPs of pre-training", ylabel="accuracy on new classes, %")
    ours.set_title("here: least squares on frozen features", fontsize=10)
    papers.set(xlabel="exaFLOPs of pre-training", ylabel="mean accuracy of the tasks, %")
    papers.set_title("paper, Table 6: after fine-tuning", fontsize=10)
    for axes in (ours, papers):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    return figure


def conclusion(rows):
    """States what compute ViTs take for a ResNet's accuracy, what hybrids add, who still gains."""
    if not (of_family(rows, "ViT") and of_family(rows, "ResNet")):
        return "A ViT and a ResNet must be pre-trained to compare what they take."
    sentences = [_share(rows, measure) for measure in MEASURES]
    sentences += [_above(rows, family) for family in ("ResNet", "hybrid")]
    return " ".join(filter(None, (*sentences, _longer(rows))))


def of_family(rows, family, seed=None, measure="few_shot"):
    """Returns [(teraflops, [each seed's accuracy])] of a family, the cheaper first."""
    chosen = [r for r in rows if r["family"] == family and seed in (None, r["seed"])]
    return sorted(seeds.group(chosen, "teraflops", measure).items())


def papers_points(family):
    """Returns [(exaFLOPs, mean accuracy of the tasks in per cent)] of the paper's Table 6."""
    return sorted(
        (row[-1], round(statistics.fmean(row[:-1]), 3))
        for (kind, _, _), row in TABLE_6.items()
        if kind == family
    )


def compute_for(points, accuracy):
    """Returns the compute at which a family reaches an accuracy; None beyond what it reached.

    Between points that are better than all cheaper ones, it is taken to rise with the logarithm.

    Args:
        points: [(compute, accuracy)], the cheaper first.
        accuracy: that is to be reached.

    Example:
    >>> keras_vit.studies.figure_5.compute_for([(1, 0.5), (100, 0.7)], 0.6)
    10.0
    """
    computes, best = _frontier(points)
    if not best[0] <= accuracy <= best[-1]:
        return None
    return float(round(10 ** np.interp(accuracy, best, np.log10(computes)), 9))


def accuracy_at(points, compute):
    """Returns the best accuracy of a family at some compute; None if it has no such model.

    Example:
    >>> keras_vit.studies.figure_5.accuracy_at([(1, 50), (100, 70)], 10)
    60.0
    """
    computes, best = _frontier(points)
    if not computes[0] <= compute <= max(points)[0]:
        return None
    return float(np.interp(math.log10(compute), np.log10(computes), best))


def shares(first, second):
    """Returns what share of the second family's compute the first takes, for each accuracy.

    Those accuracies count that the second reached, none of them for less, and the first did too.
    """
    reached = zip(*_frontier(second), strict=True)
    found = [(compute_for(first, accuracy), compute) for compute, accuracy in reached]
    return [ours / theirs for ours, theirs in found if ours is not None]


def _frontier(points):
    """Returns compute and accuracy of the points that are better than every cheaper one."""
    kept = []
    for compute, accuracy in sorted(points):
        if not kept or accuracy > kept[-1][1]:
            kept.append((compute, accuracy))
    return tuple(zip(*kept, strict=True))


def _each_seed(rows, *families, measure="few_shot"):
    """Yields, for each seed that has all of them, the points of the families."""
    for seed in sorted({row["seed"] for row in rows}):
        found = [of_family(rows, family, seed, measure) for family in families]
        if all(found):
            yield [[(cost, values[0]) for cost, values in points] for points in found]


def _share(rows, measure):
    """The compute of ViTs relative to ResNets, or which is better if no accuracy is shared."""
    found = [shares(*points) for points in _each_seed(rows, "ViT", "ResNet", measure=measure)]
    means = [statistics.geometric_mean(values) for values in found if values]
    where = MEASURES[measure]
    if not means:
        return _apart(rows, measure)
    mean = statistics.geometric_mean(means)
    decided = len(means) > 1 and (min(means) > 1 or max(means) < 1)
    verdict = ("more" if mean > 1 else "less") if decided else "seeds do not decide which is less"
    return (
        f"For the same accuracy {where} ViTs take {mean:.2f} ({min(means):.2f} to "
        f"{max(means):.2f}) times the compute of ResNets, in the mean of {sum(map(len, found))} "
        f"points that both reach: {verdict} (Table 6, read in this way: {_papers_share():.2f})."
    )


def _papers_share():
    return statistics.geometric_mean(shares(papers_points("ViT"), papers_points("ResNet")))


def _apart(rows, measure):
    """States which family's worst model is above the other's best."""
    extremes = {}
    for family in ("ViT", "ResNet"):
        models = [values for _, values in of_family(rows, family, measure=measure)]
        extremes[family] = [choose(models, key=statistics.fmean) for choose in (min, max)]
    low, high = sorted(extremes, key=lambda family: statistics.fmean(extremes[family][0]))
    return (
        f"{MEASURES[measure].capitalize()} no accuracy is common to ViTs and ResNets, so what they "
        f"take for the same one cannot be told (Table 6: {_papers_share():.2f} times): the best "
        f"{low} has {seeds.spell(extremes[low][1])} %, the worst {high} "
        f"{seeds.spell(extremes[high][0])} %."
    )


def _above(rows, family):
    """What each model of a family has above the ViTs at its compute."""
    gains = {}
    for vits, others in _each_seed(rows, "ViT", family):
        for compute, accuracy in others:
            at = accuracy_at(vits, compute)
            if at is not None:
                gains.setdefault(compute, []).append(accuracy - at)
    if not gains:
        return ""
    listed = ", ".join(
        f"{seeds.spell(gains[cost], '+.1f')} at {cost:.3g} teraFLOPs" for cost in sorted(gains)
    )
    return f"Points of a {family} above ViTs of the same compute: {listed}."


def _longer(rows):
    """What the largest model of each family gains when it is trained twice as long."""
    sentences = []
    for family in FAMILIES:
        chosen = [row for row in rows if row["family"] == family]
        largest = max((row["multiply_adds"] for row in chosen), default=0)
        chosen = [row for row in chosen if row["multiply_adds"] == largest]
        lengths = sorted(seeds.group(chosen, "steps", "few_shot").items())
        if len(lengths) > 1:
            (_, short), (_, long) = lengths[0], lengths[-1]
            gain = 100 * (statistics.fmean(long) - statistics.fmean(short))
            but = "" if seeds.differ(short, long) else " (within the seeds)"
            sentences.append(f"{family} {gain:+.1f}{but}")
    return (
        f"The longer training gives the largest model: {', '.join(sentences)} points."
        if sentences
        else ""
    )
