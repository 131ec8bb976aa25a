"""Table 6: does compute alone rank the models of Figure 5?

The table lists 18 pre-trainings on JFT (ViTs, ResNets, hybrids; 7 or 14 epochs), their exaFLOPs and
the accuracy after fine-tuning on each task: the numbers that Figure 5 plots.

The runs are those of figure-5, read as a table: runs that are in its file are not repeated. Ranks
are compared within families and over all models: if one family is better at any compute, compute
ranks the models of a family well and all models badly. Ranks of four to six pre-trainings are weak
evidence: four are in a given order by chance once in 24 times.
"""

import statistics

from keras_vit import figures
from keras_vit.studies import figure_5, seeds
from keras_vit.studies.paper_numbers import TABLE_6

TITLE = "Compute and accuracy of every pre-training"
QUESTION = "Does compute order models by accuracy, within a family and over all families?"
PAPER = (
    "ImageNet from 80.7 % (ViT-B/32, 55 exaFLOPs) to 88.1 % (ViT-H/14, 4262) with ViTs, from 77.5 "
    "(R50x1, 50) to 87.2 % (R200x3, 3306) with ResNets, from 84.9 (R50x1+B/32, 106) to 87.1 % "
    "(R50x1+L/16, 1668) with hybrids (Table 6)."
)
NEEDS = figure_5.NEEDS
ROWS_OF = "figure-5"  # whose runs these are
runs, run = figure_5.runs, figure_5.run


def plot(rows):
    """Draws the rows of both tables in the order of compute, and the accuracy of each."""
    ours = [(cost, *pretraining) for pretraining, cost, _ in pretrainings(rows)]
    accuracies = [[100 * value for value in values] for *_, values in pretrainings(rows)]
    papers = sorted((row[-1], *key) for key, row in TABLE_6.items())
    means = [[statistics.fmean(TABLE_6[tuple(key)][:-1])] for _, *key in papers]
    figure = figures.figure(10, 4.8)
    panels = figure.subplots(1, 2)
    _draw(panels[0], ours, accuracies, "{:.3g} TFLOPs: {}, {} steps")
    _draw(panels[1], papers, means, "{} EFLOPs: {}, {} epochs")
    panels[0].set(xlabel="accuracy on new classes, %")
    panels[0].set_title("here: least squares on frozen features", fontsize=10)
    panels[1].set(xlabel="mean accuracy of the tasks, %")
    panels[1].set_title("paper, Table 6: after fine-tuning", fontsize=10)
    panels[1].legend(fontsize=8)
    return figure


def conclusion(rows):
    """Compares rank correlations with compute within families and over all, ours and Table 6's."""
    ours = [(key[0], cost, statistics.fmean(values)) for key, cost, values in pretrainings(rows)]
    papers = [(key[0], row[-1], statistics.fmean(row[:-1])) for key, row in TABLE_6.items()]
    found, published = correlations(ours), correlations(papers)
    within = {name: value for name, value in found.items() if name != "all"}
    if len(within) < 2:
        return "Two families of three pre-trainings or more are needed to compare their orders."
    sentences = ", ".join(
        f"{name} {value:.2f} ({published[name]:.2f})" for name, value in found.items()
    )
    if found["all"] < min(within.values()):
        verdict = "compute orders each family better than all together: families differ"
    elif found["all"] > max(within.values()):
        verdict = "compute orders all together better than any one family"
    else:  # NaN, where all accuracies are equal, too
        better = [name for name, value in within.items() if value > found["all"]]
        verdict = f"compute orders {' and '.join(better) or 'none'} alone better than all together"
    return (
        f"Rank correlation of accuracy with compute, Table 6's in brackets: {sentences}: {verdict}."
    )


def pretrainings(rows):
    """Returns [((family, name, steps), teraflops, [each seed's accuracy])], the cheapest first."""
    names = ("family", "units", "num_layers", "hidden_dim", "steps", "teraflops")
    groups = seeds.group(rows, names, "few_shot").items()
    found = [((key[0], name(*key[:4]), key[4]), key[5], values) for key, values in groups]
    return sorted(found, key=lambda row: row[1])


def name(family, units, num_layers, hidden_dim):
    """Returns what a model is called: units of its ResNet, layers x length of a token.

    Example:
    >>> keras_vit.studies.table_6.name("hybrid", "root", 2, 24)
    'root + ViT 2 x 24'
    """
    resnet = units if units == "root" else f"ResNet {units}"
    vit = f"ViT {num_layers} x {hidden_dim}"
    return {"ViT": vit, "ResNet": resnet}.get(family, f"{resnet} + {vit}")


def correlations(models):
    """Returns {"all" or a family: rank correlation of accuracy with compute}, of three or more.

    Args:
        models: [(family, compute, accuracy)].
    """
    groups = {"all": models}
    for model in models:
        groups.setdefault(model[0], []).append(model)
    return {
        kind: seeds.rank_correlation(*([model[i] for model in group] for i in (1, 2)))
        for kind, group in groups.items()
        if len(group) > 2
    }


def _draw(axes, models, accuracies, words):
    """One line of the table for each model: the words, each seed and the mean."""
    for color, (family, mark) in enumerate(figure_5.FAMILIES.items()):
        label = family
        for place, (_, kind, *_) in enumerate(models):
            if kind == family:
                values, style = accuracies[place], {"color": f"C{color}", "marker": mark, "ls": ""}
                if len(values) > 1:
                    axes.plot(values, [place] * len(values), **style, ms=3, alpha=0.6)
                axes.plot([statistics.fmean(values)], [place], **style, ms=7, label=label)
                label = None  # each family once in the legend
    named = [words.format(cost, name, length) for cost, _, name, length in models]
    axes.set_yticks(range(len(models)), named, fontsize=8)
    axes.grid(alpha=0.3)
