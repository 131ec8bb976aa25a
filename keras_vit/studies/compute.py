"""Compute of pre-training against transfer: Figure 5 compares families, Table 6 ranks models."""

import math
import statistics

import numpy as np

from keras_vit import HybridViT, ResNet, ViT, accounting, figures
from keras_vit.studies.lab import seeds, tasks, trials
from keras_vit.studies.lab.paper_numbers import TABLE_6
from keras_vit.studies.lab.runner import Study, by_scale, need_images

FAMILIES = {"ViT": "o", "ResNet": "s", "hybrid": "D"}  # and their markers
# Units are those of the ResNet's stages; "root" is for its first layers only.
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
TRAINING = by_scale(
    "data images dtype patch_size batch_size shots",
    tiny=("wandering digits", 25_000, "float32", 4, 64, 20),
    small=("cifar10", 25_000, "float32", 4, 128, 20),
    gpu=("cifar10", 25_000, "mixed_bfloat16", 4, 512, 20),
)
LENGTHS = {"tiny": (120, 240), "small": (4000, 8000), "gpu": (5000, 10_000)}  # 7 and 14 epochs
TITLES = ("here: least squares on frozen features", "paper, Table 6: after fine-tuning")
ACCURACIES = ("accuracy on new classes, %", "mean accuracy of the tasks, %")
MEASURES = {"few_shot": "on the new classes", "known_accuracy": "on those of the pre-training"}


def build(family, units, num_layers, hidden_dim, num_heads, patch_size, **fixed):
    """Returns a fresh model of a family; `units` is spelled as in `MODELS`."""
    counts = tuple(int(count) for count in units.split("+") if count.strip().isdigit())
    if family == "ResNet":
        return ResNet(units=counts, **fixed)
    fixed |= {"num_layers": num_layers, "hidden_dim": hidden_dim, "mlp_dim": 2 * hidden_dim}
    fixed |= {"num_heads": num_heads, "patch_size": patch_size}
    return HybridViT(resnet_units=counts, **fixed) if family == "hybrid" else ViT(**fixed)


def paper_points(family):
    """Returns [(exaFLOPs, mean accuracy of the tasks in percent)] of the paper's Table 6."""
    return sorted(
        (exaflops, round(statistics.fmean(accuracies), 3))
        for (kind, _, _), (*accuracies, exaflops) in TABLE_6.items()
        if kind == family
    )


def compute_for(points, accuracy):
    """Returns the compute at which a family reaches an accuracy; None outside the range it reached.

    Of its points [(compute, accuracy)], those better than all cheaper ones are interpolated over
    the logarithm of compute.
    """
    computes, best = _frontier(points)
    if not best[0] <= accuracy <= best[-1]:
        return None
    return float(round(10 ** np.interp(accuracy, best, np.log10(computes)), 9))


def accuracy_at(points, compute):
    """Returns the best accuracy of a family at a given compute; None outside its range."""
    computes, best = _frontier(points)
    if not computes[0] <= compute <= max(points)[0]:
        return None
    return float(np.interp(math.log10(compute), np.log10(computes), best))


def shares(first, second):
    """Returns the first family's compute over the second's for each accuracy of the second.

    Accuracies that the second reached for less, or the first did not reach, are left out.
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
    """Yields the points of the families for each seed that has all of them."""
    for seed in sorted({row["seed"] for row in rows}):
        found = seeds.curves([r for r in rows if r["seed"] == seed], "family", "teraflops", measure)
        if set(families) <= set(found):
            yield [[(cost, *values) for cost, values in found[name].items()] for name in families]


def _compare(rows, measure):
    """Compares the compute of ViTs and ResNets at the accuracies that both reach."""
    found = [shares(*points) for points in _each_seed(rows, "ViT", "ResNet", measure=measure)]
    means = [statistics.geometric_mean(values) for values in found if values]
    paper = statistics.geometric_mean(shares(paper_points("ViT"), paper_points("ResNet")))
    if not means:
        return _apart(rows, measure, paper)
    mean = statistics.geometric_mean(means)
    verdict = "whether this is less is unclear"
    if len(means) > 1 and (min(means) > 1 or max(means) < 1):
        verdict = "more" if mean > 1 else "less"
    return (
        f"For the same accuracy {MEASURES[measure]}, ViTs take {mean:.2f} ({min(means):.2f} to "
        f"{max(means):.2f}) times the compute of ResNets, averaged over {sum(map(len, found))} "
        f"points that both reach: {verdict} (Table 6, read in the same way: {paper:.2f})."
    )


def _apart(rows, measure, paper):
    """Describes families whose accuracies do not overlap."""
    curves = seeds.curves(rows, "family", "teraflops", measure)
    models = {f: sorted(curves[f].values(), key=statistics.fmean) for f in ("ViT", "ResNet")}
    low, high = sorted(models, key=lambda family: statistics.fmean(models[family][0]))
    return (
        f"{MEASURES[measure].capitalize()}, ViTs and ResNets reach no common accuracy, so their "
        f"compute cannot be compared (Table 6: {paper:.2f} times): the best {low} has "
        f"{seeds.spell(models[low][-1])} %, the worst {high} {seeds.spell(models[high][0])} %."
    )


def _above(rows, family):
    """States the gain of each model of a family over the ViTs at its compute."""
    gains = {}
    for vits, others in _each_seed(rows, "ViT", family):
        for compute, accuracy in others:
            at = accuracy_at(vits, compute)
            if at is not None:
                gains.setdefault(compute, []).append(accuracy - at)
    listed = ", ".join(
        f"{seeds.spell(values, '+.1f')} at {cost:.3g} teraFLOPs"
        for cost, values in sorted(gains.items())
    )
    return listed and f"Points of a {family} above ViTs of the same compute: {listed}."


def _longer(rows):
    """States the gain of the largest model of each family from twice the steps."""
    gains = []
    for family in FAMILIES:
        chosen = [row for row in rows if row["family"] == family]
        largest = max((row["multiply_adds"] for row in chosen), default=0)
        chosen = [row for row in chosen if row["multiply_adds"] == largest]
        lengths = seeds.group(chosen, "steps", "few_shot")
        if len(lengths) > 1:
            gains.append(f"{family} {seeds.gain(lengths[max(lengths)], lengths[min(lengths)])}")
    return gains and f"Gain of the largest models from longer training: {', '.join(gains)}."


class Figure5(Study):
    """Figure 5: transfer of each family by compute.

    Section 4.4 pre-trains ViTs, ResNets (BiT) and hybrids on JFT for 7 or 14 epochs and fine-tunes
    them on five tasks. Accuracy is plotted against the exaFLOPs of pre-training; the numbers are
    in Table 6.

    Here models of each family are pre-trained on the known classes, at "tiny" for 120 or 240 steps
    in which no image is repeated. Their frozen representation is tested on the new classes by
    least squares from 20 images of each: the paper's fast measure (4.1), not fine-tuning. Compute
    is that of all steps, three forward passes each.

    The smallest ResNet has 64 channels, so it costs as much as a medium ViT: at "tiny" the ResNets
    span a factor of five in compute, the paper's a factor of 66. Their representation also has 256
    or 512 numbers, a ViT's 24 to 96, which helps least squares.
    """

    paper = (
        "ViTs take 2 to 4 times less compute than ResNets for the same accuracy; hybrids are "
        "slightly better than ViTs at small compute, which vanishes for larger models; ViTs do not "
        "saturate (4.4, Figure 5)."
    )
    caution = (
        "ResNets and hybrids already classify 93 to 98 % of the known classes after 120 steps, so "
        "their transfer is limited by five classes of small digits, not by compute. A comparison "
        "with the paper needs a pre-training task on which the largest models still improve, such "
        "as more classes. One result does agree with the paper: at the smallest compute, hybrids "
        "are 6.5 and 9.8 points ahead of ViTs, and the lead is unclear at larger compute."
    )
    needs = need_images("some days on a CPU", "half a day on one large GPU")

    def variants(self, scale):
        return [
            {**dict(zip(COLUMNS, model, strict=True)), **TRAINING[scale], "steps": steps}
            for model in MODELS[scale]
            for steps in LENGTHS[scale]
        ]

    def run(self, data, images, steps, batch_size, rate, seed, shots, **shape):
        """Pre-trains one model; returns its accuracy on new and known classes, and its compute."""
        fixed = {**tasks.model_arguments(data), "num_classes": tasks.known_classes(data)}
        model = trials.build(seed, lambda: build(**shape, **fixed))
        pretraining = tasks.load_half(data, "known", images, seed)
        trials.fit(model, *pretraining, steps, batch_size, rate, seed)
        train, test, known = tasks.load_transfer(data, seed)
        return {
            "few_shot": trials.few_shot_accuracy(model, train, test, shots),
            "known_accuracy": trials.accuracy(model, *known),
            "multiply_adds": accounting.count(model).multiply_adds,
            "teraflops": 1e6 * accounting.training(model, steps * batch_size),
        }

    def plot(self, rows):
        """Plots accuracy against compute: ours, and Table 6 with the mean of its tasks."""
        found = seeds.curves(rows, "family", "teraflops", "few_shot")
        figure = figures.figure(9, 4.2)
        ours, papers = figure.subplots(1, 2)
        for family, marker in FAMILIES.items():
            if family in found:
                seeds.draw_means(ours, found[family], marker=marker, capsize=2, ls="", label=family)
            papers.plot(*zip(*paper_points(family), strict=True), marker, label=family)
        for axes in (ours, papers):
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
        seeds.finish(ours, TITLES[0], "teraFLOPs of pre-training", ACCURACIES[0])
        seeds.finish(papers, TITLES[1], "exaFLOPs of pre-training", ACCURACIES[1])
        return figure

    def conclusion(self, rows):
        if not {"ViT", "ResNet"} <= {row["family"] for row in rows}:
            return "A ViT and a ResNet must be pre-trained to compare their compute."
        sentences = [_compare(rows, measure) for measure in MEASURES]
        sentences += [_above(rows, family) for family in ("ResNet", "hybrid")]
        return " ".join(filter(None, (*sentences, _longer(rows))))


def _draw(axes, models, words):
    """Plots a row for each model, named by the template `words`: each seed and the mean."""
    for color, (family, marker) in enumerate(FAMILIES.items()):
        style, label = {"color": f"C{color}", "marker": marker, "ls": ""}, family
        for place, (_, kind, _, _, accuracies) in enumerate(models):
            if kind == family:
                values = [100 * value for value in accuracies]
                if len(values) > 1:
                    axes.plot(values, [place] * len(values), **style, ms=3, alpha=0.6)
                axes.plot([statistics.fmean(values)], [place], **style, ms=7, label=label)
                label = None  # each family once in the legend
    named = [words.format(cost, name, length) for cost, _, name, length, _ in models]
    axes.set_yticks(range(len(models)), named, fontsize=8)


def pretrainings(rows):
    """Returns [(teraflops, family, model, steps, [each seed's accuracy])], the cheapest first."""
    names = ("teraflops", "family", "units", "num_layers", "hidden_dim", "steps")
    found, groups = [], seeds.group(rows, names, "few_shot")
    for (cost, family, units, *shape, steps), values in groups.items():
        resnet, vit = f"ResNet {units}".replace("ResNet root", "root"), "ViT {} x {}".format(*shape)
        model = {"ViT": vit, "ResNet": resnet, "hybrid": f"{resnet} + {vit}"}[family]
        found.append((cost, family, model, steps, values))
    return sorted(found, key=lambda pretraining: pretraining[0])


def correlations(models):
    """Returns the rank correlation of three or more (family, compute, accuracy), by family."""
    groups = {"all": models} | {kind: [m for m in models if m[0] == kind] for kind, *_ in models}
    return {
        kind: seeds.rank_correlation([m[1] for m in group], [m[2] for m in group])
        for kind, group in groups.items()
        if len(group) > 2
    }


class Table6(Figure5):
    """Table 6: does compute rank the models of Figure 5?

    The table lists 18 pre-trainings on JFT (ViTs, ResNets, hybrids; 7 or 14 epochs), their
    exaFLOPs and the accuracy after fine-tuning on each task: the numbers that Figure 5 plots.

    The runs are those of figure-5. Ranks are compared within families and over all models: if one
    family is better at any compute, compute ranks the models of a family well and all models
    badly. Of four pre-trainings, one order in 24 is the expected one by chance.
    """

    paper = (
        "ImageNet from 80.7 % (ViT-B/32, 55 exaFLOPs) to 88.1 % (ViT-H/14, 4262) with ViTs, from "
        "77.5 (R50x1, 50) to 87.2 % (R200x3, 3306) with ResNets, from 84.9 (R50x1+B/32, 106) to "
        "87.1 % (R50x1+L/16, 1668) with hybrids (Table 6)."
    )
    caution = (
        "These are the runs of figure-5, in which ResNets and most hybrids reach a ceiling. A rank "
        "correlation among models at a ceiling is noise, and a family has only four to six "
        "pre-trainings. It needs models that still improve, and more of each family."
    )
    rows_of = "figure-5"

    def plot(self, rows):
        """Plots the rows of both tables in the order of compute, and the accuracy of each."""
        papers = sorted(
            (cost, *key, [statistics.fmean(accuracies) / 100])
            for key, (*accuracies, cost) in TABLE_6.items()
        )
        figure = figures.figure(10, 4.8)
        panels = figure.subplots(1, 2)
        _draw(panels[0], pretrainings(rows), "{:.3g} TFLOPs: {}, {} steps")
        _draw(panels[1], papers, "{} EFLOPs: {}, {} epochs")
        for axes, title, xlabel in zip(panels, TITLES, ACCURACIES, strict=True):
            seeds.finish(axes, title, xlabel, legend=axes is panels[1])
        return figure

    def conclusion(self, rows):
        ours = [(family, cost, statistics.fmean(v)) for cost, family, *_, v in pretrainings(rows)]
        papers = [(key[0], row[-1], statistics.fmean(row[:-1])) for key, row in TABLE_6.items()]
        found, published = correlations(ours), correlations(papers)
        families = [name for name in found if name != "all"]
        if len(families) < 2:
            return "Two families of three pre-trainings or more are needed to compare their orders."
        listed = ", ".join(f"{name} {r:.2f} ({published[name]:.2f})" for name, r in found.items())
        better = [name for name in families if found[name] > found["all"]]
        verdict = (
            f"compute ranks {' and '.join(better) or 'no family'} better than all models together"
        )
        if better == families:
            verdict = "compute ranks each family better than all models together: families differ"
        return f"Rank correlation of accuracy with compute (in Table 6): {listed}; {verdict}."
