"""Figure 10: do the learned positions depend on how a model is trained?

Appendix D.4 shows the similarity of the position embeddings of ViT-L/32 after three recipes: 7
epochs with a learning rate of 2e-4 and a weight decay of 0.01; 7 epochs with 4e-4 and 0.1; 14
epochs with 4e-4 and 0.1. The figure has maps and no numbers.

At "tiny" a ViT of 8 x 8 patches is trained on handwritten digits at random positions in an image of
16 x 16 pixels; "small" and "gpu" use CIFAR-10. The three recipes have the paper's ratios of steps
and learning rates, and its weight decays. Two numbers summarize a map:

- "nearness": the rank correlation, over all pairs of patches, of similarity with nearness; 0 before
  training.
- "row + column": the fraction of the embeddings, each scaled to length 1, that is a component of
  its row plus a component of its column, after removing what all patches share. By chance it is 14
  of 63 components in 8 x 8 patches, 22 %.

Both are also measured before training. The recipes differ in learning rate, weight decay and
length; two of the three pairs do not separate their effects. After few steps at a low learning rate
the embeddings are close to their random initialization, so at "tiny" many of the differences may
only show how far training has progressed.
"""

import statistics

import numpy as np

from keras_vit import ViT, figures
from keras_vit.explain import position_similarity
from keras_vit.studies import design, seeds, tasks, trials

TITLE = "Positions by training recipe"
QUESTION = "Does the pattern of the learned positions depend on rate, weight decay and epochs?"
PAPER = (
    "Maps of ViT-L/32 show a row and column pattern whose strength and reach depend on the "
    "training's hyperparameters (D.4, Figure 10, images without numbers)."
)
NEEDS = design.need_images("a day of a processor", "hours of one large GPU")
MODELS = {
    "tiny": {"num_layers": 2, "hidden_dim": 32, "mlp_dim": 64, "num_heads": 4, "patch_size": 2},
    "small": {"num_layers": 6, "hidden_dim": 192, "mlp_dim": 384, "num_heads": 3, "patch_size": 4},
    "gpu": {"num_layers": 12, "hidden_dim": 384, "mlp_dim": 1536, "num_heads": 6, "patch_size": 4},
}
TRAINING = design.by_scale(
    "data images dtype batch_size",
    tiny=("wandering digits", 8000, "float32", 64),
    small=("cifar10", 50_000, "float32", 128),
    gpu=("cifar10", 50_000, "mixed_bfloat16", 512),
)
# Of the short recipes, and of the two that have the higher rate
STEPS = {"tiny": 400, "small": 4000, "gpu": 10_000}
RATES = {"tiny": 4e-3, "small": 1e-3, "gpu": 1e-3}
SEEDS = design.count_seeds(2, 3, 2)
SHOWN = 4  # rows, and columns, of patches whose maps are kept
MEASURES = {"nearness": "nearness, rank correlation", "row_column": "row + column, share"}


def recipes(scale):
    """Returns the settings that vary: the paper's three recipes in the steps of a scale."""
    steps, rate = STEPS[scale], RATES[scale]
    rows = [
        ("short, low rate", steps, rate / 2, 0.01),
        ("short, high rate", steps, rate, 0.1),
        ("long, high rate", 2 * steps, rate, 0.1),
    ]
    names = ("recipe", "steps", "rate", "weight_decay")
    return [{**dict(zip(names, row, strict=True)), **MODELS[scale]} for row in rows]


runs = design.vary(recipes, TRAINING, SEEDS)


def run(recipe, data, images, steps, batch_size, rate, weight_decay, seed, **shape):
    """Trains one model, and measures its positions before and after."""
    model = trials.build(seed, lambda: ViT(**shape, **tasks.model_arguments(data)))
    before = measure(position_similarity(model))
    known = tasks.load(data, images, seed)
    trials.fit(model, *known, steps, batch_size, rate, seed, weight_decay=weight_decay)
    maps = position_similarity(model)
    return {
        "accuracy": trials.accuracy(model, *tasks.test(data)),
        **measure(maps),
        **{f"{name}_before": value for name, value in before.items()},
        "maps": encode(maps),
    }


def measure(maps):
    """Returns the two numbers of similarity maps (rows, columns, rows, columns)."""
    return {"nearness": nearness(maps), "row_column": row_column(maps)}


def nearness(maps):
    """Returns the rank correlation of similarity with nearness over pairs of other patches.

    Example:
    >>> row, column = np.indices((4, 4))
    >>> apart = np.hypot(row[:, :, None, None] - row, column[:, :, None, None] - column)
    >>> keras_vit.studies.figure_10.nearness(-apart)
    1.0
    """
    rows, columns = np.indices(maps.shape[:2]).reshape(2, -1)
    apart = np.hypot(rows[:, None] - rows, columns[:, None] - columns)
    pairs = np.triu_indices(len(rows), 1)
    # The same distances must be the same numbers: ranks are shared by equal ones alone.
    flat = np.asarray(maps, "float64").reshape(apart.shape)[pairs]
    return seeds.rank_correlation(flat.tolist(), (-apart[pairs]).round(6).tolist())


def row_column(maps):
    """Returns the share of the embeddings, 0 to 1, that a row's part plus a column's part is.

    A two-way analysis of variance of the embeddings at length 1; their products, which the maps
    are, are all that it needs.
    """
    maps = np.asarray(maps, "float64")
    rows, columns = maps.shape[:2]
    mean = maps.sum() / (rows * columns)
    of_rows = np.einsum("rcrd->", maps) / columns - mean
    of_columns = np.einsum("rcsc->", maps) / rows - mean
    return float((of_rows + of_columns) / (np.einsum("rcrc->", maps) - mean))


def encode(maps):
    """Returns maps of 4 x 4 patches as text: two digits a number, 00 for -1 and 99 for 1."""
    rows, columns = (choose_evenly(side) for side in maps.shape[:2])
    numbers = ((maps[np.ix_(rows, columns)].clip(-1, 1) + 1) * 49.5).round().astype(int)
    return " ".join("".join(f"{n:02d}" for n in one) for one in numbers.reshape(SHOWN**2, -1))


def decode(text):
    """Returns the maps that `encode` wrote: (16, patches), -1 to 1."""
    numbers = [[int(one[i : i + 2]) for i in range(0, len(one), 2)] for one in text.split()]
    return np.array(numbers) / 49.5 - 1


def choose_evenly(side):
    """Returns the rows, or columns, whose maps are kept.

    Example:
    >>> keras_vit.studies.figure_10.choose_evenly(8).tolist()
    [0, 2, 5, 7]
    """
    return np.linspace(0, side - 1, SHOWN).round().astype(int)


def plot(rows):
    """Draws the maps of one seed for each recipe, and both numbers of all seeds."""
    figure = figures.figure(10, 6.2)
    figure.get_layout_engine().set(w_pad=0.12)
    top, bottom = figure.subfigures(2, 1, height_ratios=(1.1, 1))
    found = {row["recipe"]: row for row in reversed(rows)}  # of the first seed
    found = {name: found[name] for name in _names(rows)}
    panels = top.subplots(1, len(found), squeeze=False)[0]
    for axes, (name, row) in zip(panels, found.items(), strict=True):
        drawn = axes.imshow(_mosaic(row["maps"]), "viridis", vmin=-1, vmax=1)
        axes.set_title(f"{name}\naccuracy {100 * row['accuracy']:.0f} %", fontsize=9)
        axes.axis("off")
    bar = top.colorbar(drawn, ax=panels, shrink=0.8)
    bar.set_label(f"cosine similarity, seed {row['seed']}", fontsize=8)
    for axes, (key, title) in zip(bottom.subplots(1, 2), MEASURES.items(), strict=True):
        _draw_measure(axes, rows, key)
        axes.set_title(title, fontsize=10)
    return figure


def _draw_measure(axes, rows, key):
    groups = {name: [r[key] for r in rows if r["recipe"] == name] for name in _names(rows)}
    groups = {"untrained": [row[f"{key}_before"] for row in rows], **groups}
    for place, values in enumerate(groups.values()):
        axes.plot(values, [place] * len(values), "o", color="C0", alpha=0.6)
        axes.plot([statistics.fmean(values)], [place], "|", color="C0", markersize=18)
    axes.set_yticks(range(len(groups)), list(groups))
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.grid(alpha=0.3)


def _mosaic(text):
    """The maps, arranged as the patches, with gaps."""
    maps = decode(text)
    side = round(maps.shape[1] ** 0.5)
    cells = maps.reshape(SHOWN, SHOWN, side, side)
    cells = np.pad(cells, ((0, 0), (0, 0), (0, 1), (0, 1)), constant_values=np.nan)
    return cells.transpose(0, 2, 1, 3).reshape(SHOWN * (side + 1), -1)[:-1, :-1]


def conclusion(rows):
    """States how strong the pattern is after each recipe, and whether recipes differ."""
    names = _names(rows)
    if len(names) < 2:
        return "Two recipes or more must be run to compare what they give."
    sentences = "; ".join(_sentence(rows, names, key) for key in MEASURES)
    accuracy = seeds.group(rows, "recipe", "accuracy")
    listed = ", ".join(f"{name} {seeds.spell(accuracy[name])} %" for name in names)
    return f"{sentences[0].upper()}{sentences[1:]}. Accuracy: {listed}."


def _sentence(rows, names, key):
    found = {name: [r[key] for r in rows if r["recipe"] == name] for name in names}
    before = [row[f"{key}_before"] for row in rows]
    order = sorted(names, key=lambda name: statistics.fmean(found[name]))
    low, high = found[order[0]], found[order[-1]]
    listed = ", ".join(f"{name} {_format(values)}" for name, values in found.items())
    verdict = "seeds do not decide between the recipes"
    if seeds.differ(low, high):
        verdict = f"{order[-1]} has more than {order[0]}, beyond the seeds"
    return f"{MEASURES[key]}: untrained {_format(before)}, {listed}: {verdict}"


def _format(values):
    mean, low, high = (f"{f(values):.2f}" for f in (statistics.fmean, min, max))
    return mean if len(values) == 1 else f"{mean} ({low} to {high})"


def _names(rows):
    return list(dict.fromkeys(row["recipe"] for row in rows))
