"""Position embeddings: Table 8 compares kinds, Figure 10 the results of three recipes."""

import statistics

import numpy as np

from keras_vit import ViT, figures
from keras_vit.ablations import PositionViT, RelativeViT
from keras_vit.explain import position_similarity
from keras_vit.studies.lab import seeds, tasks, trials
from keras_vit.studies.lab.paper_numbers import TABLE_8
from keras_vit.studies.lab.runner import Study, by_scale

SHAPE = "num_layers hidden_dim mlp_dim num_heads patch_size"
CHOICES = [
    ("1d", "stem"), ("none", "stem"), ("2d", "stem"), ("relative", "stem"), ("sincos", "stem"),
    ("1d", "every"), ("2d", "every"), ("1d", "shared"), ("2d", "shared"),
]  # fmt: skip
NAMES = {"none": "none", "1d": "1-D", "2d": "2-D", "relative": "relative", "sincos": "sin-cos"}
PLACES = {"stem": "", "every": " in every block", "shared": " shared"}
KIND_MODELS = by_scale(
    SHAPE, tiny=(4, 32, 64, 2, 2), small=(6, 192, 384, 3, 4), gpu=(12, 384, 1536, 6, 2)
)


def _name(kind, placement):
    return NAMES[kind] + PLACES[placement]


def _by_kind(rows):
    return seeds.group(rows, ("positions", "placement"), "accuracy")


class Table8(Study):
    """Table 8: kinds of position embedding.

    Appendix D.4 trains ViT-B/16 with no positions, learned 1-D, learned 2-D and relative
    positions, added after the stem, in every block, or shared by all blocks, and compares ImageNet
    5-shot accuracy: without positions 61.4 %, with any of them 64.0 to 64.3 %.

    At "tiny" a ViT of 4 layers classifies handwritten digits of 8 x 8 pixels from 16 patches of 2
    x 2: pieces of strokes, whose position is informative. (For wandering digits, after 500 steps,
    positions made no difference that three seeds could show: 74.5 % with, 76.2 % without.) Fixed
    sin-cos positions, which are not in the paper, are one more row. The paper measures few-shot
    accuracy on another dataset, this study accuracy on held-out images of the same (at "tiny" 359,
    each 0.3 points): differences are relative to learned 1-D positions at the stem.
    """

    paper = (
        "ImageNet 5-shot, ViT-B/16: without positions 61.4 %; 1-D 64.2, 2-D 64.0, relative 64.0 %; "
        "in every block 64.0 (1-D and 2-D), shared by all blocks 64.3 and 64.0 % (Table 8)."
    )
    num_seeds = {"tiny": 3, "small": 3, "gpu": 3}
    training = by_scale(
        "data images dtype steps batch_size rate",
        tiny=("digits", 1438, "float32", 500, 64, 3e-3),
        small=("cifar10", 50_000, "float32", 8000, 128, 1e-3),
        gpu=("cifar10", 50_000, "mixed_bfloat16", 20_000, 512, 5e-4),
    )

    def variants(self, scale):
        return [{"positions": p, "placement": where, **KIND_MODELS[scale]} for p, where in CHOICES]

    def run(self, positions, placement, data, images, steps, batch_size, rate, seed, **shape):
        """Trains one model; returns its accuracy and the number of its position parameters."""
        shape |= tasks.model_arguments(data)
        if positions == "relative":
            model = trials.build(seed, lambda: RelativeViT(**shape))
        else:
            kind = None if positions == "none" else positions
            shape |= {"position_embedding": kind, "position_placement": placement}
            model = trials.build(seed, lambda: PositionViT(**shape))
        trials.fit(model, *tasks.load(data, images, seed), steps, batch_size, rate, seed)
        paths = ("position_embedding", "positions", "offset_embedding")
        learned = [w for w in model.weights if any(name in w.path for name in paths)]
        return {
            "accuracy": trials.accuracy(model, *tasks.test(data)),
            "position_parameters": sum(int(np.prod(w.shape)) for w in learned),
        }

    def plot(self, rows):
        """Plots the gain of each kind over learned 1-D positions, ours and the paper's."""
        groups = _by_kind(rows)
        default = groups.get(("1d", "stem")) or [row["accuracy"] for row in rows]
        center = statistics.fmean(default)
        figure = figures.figure(7, 4.2)
        ours, papers = figure.subplots(1, 2, sharey=True)
        seeds.draw_rows(
            ours, {_name(*kind): [100 * (v - center) for v in of] for kind, of in groups.items()}
        )
        for place, kind in enumerate(groups):
            if kind in TABLE_8:
                gain = 100 * (TABLE_8[kind] - TABLE_8["1d", "stem"])
                papers.plot([gain], [place], "D", color="C1")
        for axes, title in ((ours, "here, each seed and the mean"), (papers, "paper, Table 8")):
            axes.axvline(0, color="gray", linestyle=":", linewidth=1)
            seeds.finish(axes, title, "points of accuracy above 1-D")
        ours.invert_yaxis()
        return figure

    def conclusion(self, rows):
        groups = _by_kind(rows)
        default, without = groups.pop(("1d", "stem"), []), groups.pop(("none", "stem"), [])
        if not default or not without:
            return (
                "Models with learned 1-D positions and with none must be trained to compare them."
            )
        text = (
            f"With learned 1-D positions {seeds.spell(default)} %, without any "
            f"{seeds.spell(without)} %: {seeds.gain(default, without)}. "
        )
        if not groups:
            return text + "No other kind is trained yet."
        means = [statistics.fmean(values) for values in (default, *groups.values())]
        apart = [_name(*kind) for kind, values in groups.items() if seeds.differ(values, default)]
        differ = f"clearly different from 1-D: {', '.join(apart) or 'none'}"
        return f"{text}All kinds: {100 * min(means):.1f} to {100 * max(means):.1f} %; {differ}."


RECIPE_MODELS = by_scale(
    SHAPE, tiny=(2, 32, 64, 4, 2), small=(6, 192, 384, 3, 4), gpu=(12, 384, 1536, 6, 4)
)
# Steps of the short recipes, and the rate of the two with the higher one
LENGTHS = {"tiny": (400, 4e-3), "small": (4000, 1e-3), "gpu": (10_000, 1e-3)}
SHOWN = 4  # rows, and columns, of patches whose maps are kept
MEASURES = {"nearness": "nearness, rank correlation", "row_column": "row + column, share"}


def measure(maps):
    """Returns the two numbers of similarity maps (rows, columns, rows, columns)."""
    return {"nearness": nearness(maps), "row_column": row_column(maps)}


def nearness(maps):
    """Returns the rank correlation of similarity with nearness over pairs of other patches.

    Example:
    >>> row, column = np.indices((4, 4))
    >>> apart = np.hypot(row[:, :, None, None] - row, column[:, :, None, None] - column)
    >>> keras_vit.studies.position_kinds.nearness(-apart)
    1.0
    """
    rows, columns = np.indices(maps.shape[:2]).reshape(2, -1)
    apart = np.hypot(rows[:, None] - rows, columns[:, None] - columns)
    pairs = np.triu_indices(len(rows), 1)
    flat = np.asarray(maps, "float64").reshape(apart.shape)[pairs]
    # Rounded, because only equal numbers share a rank
    return seeds.rank_correlation(flat.tolist(), (-apart[pairs]).round(6).tolist())


def row_column(maps):
    """Returns the share, 0 to 1, of the embeddings' variance that rows and columns explain.

    This is a two-way analysis of variance of the embeddings at length 1; it needs only their
    products, which are the maps.
    """
    maps = np.asarray(maps, "float64")
    rows, columns = maps.shape[:2]
    mean = maps.sum() / (rows * columns)
    of_rows = np.einsum("rcrd->", maps) / columns - mean
    of_columns = np.einsum("rcsc->", maps) / rows - mean
    return float((of_rows + of_columns) / (np.einsum("rcrc->", maps) - mean))


def encode(maps):
    """Returns maps of 4 x 4 patches as text: two digits for each number, 00 for -1 and 99 for 1."""
    chosen = (np.linspace(0, side - 1, SHOWN).round().astype(int) for side in maps.shape[:2])
    numbers = ((maps[np.ix_(*chosen)].clip(-1, 1) + 1) * 49.5).round().astype(int)
    return " ".join("".join(f"{n:02d}" for n in one) for one in numbers.reshape(SHOWN**2, -1))


def decode(text):
    """Returns the maps that `encode` wrote: (16, patches), -1 to 1."""
    numbers = [[int(one[i : i + 2]) for i in range(0, len(one), 2)] for one in text.split()]
    return np.array(numbers) / 49.5 - 1


def _mosaic(text):
    """Returns the maps arranged like the patches, with gaps."""
    maps = decode(text)
    side = round(maps.shape[1] ** 0.5)
    cells = maps.reshape(SHOWN, SHOWN, side, side)
    cells = np.pad(cells, ((0, 0), (0, 0), (0, 1), (0, 1)), constant_values=np.nan)
    return cells.transpose(0, 2, 1, 3).reshape(SHOWN * (side + 1), -1)[:-1, :-1]


def _compare(rows, key):
    found = seeds.group(rows, "recipe", key)
    low, *_, high = sorted(found, key=lambda name: statistics.fmean(found[name]))
    groups = {"untrained": [row[f"{key}_before"] for row in rows], **found}
    listed = ", ".join(
        f"{name} {seeds.spell(values, '.2f', unit=1)}" for name, values in groups.items()
    )
    verdict = "the recipes do not differ clearly"
    if seeds.differ(found[low], found[high]):
        verdict = f"clearly more with {high} than with {low}"
    return f"{MEASURES[key]}: {listed}: {verdict}"


class Figure10(Study):
    """Figure 10: learned positions by recipe.

    Appendix D.4 shows the similarity of the position embeddings of ViT-L/32 after three recipes: 7
    epochs with a learning rate of 2e-4 and a weight decay of 0.01; 7 epochs with 4e-4 and 0.1; 14
    epochs with 4e-4 and 0.1. The figure has maps and no numbers.

    Here three recipes have the paper's ratios of steps and learning rates, and its weight decays;
    at "tiny" a ViT of 8 x 8 patches is trained on wandering digits. Two numbers summarize a map,
    and are also measured before training:

    - "nearness": the rank correlation, over all pairs of patches, of similarity with nearness.
    - "row + column": the fraction of the embeddings, each scaled to length 1, that is a component
      of its row plus a component of its column, after removing what all patches share. For random
      embeddings of 8 x 8 patches it is 14 of 63 components, 22 %.

    Two of the three pairs of recipes do not separate learning rate, weight decay and length. After
    few steps at a low learning rate the embeddings are close to their random initialization, so at
    "tiny" many of the differences may only show how far training has progressed.
    """

    paper = (
        "Maps of ViT-L/32 show a row and column pattern whose strength and reach depend on the "
        "training's hyperparameters (D.4, Figure 10, images without numbers)."
    )
    training = by_scale(
        "data images dtype batch_size",
        tiny=("wandering digits", 8000, "float32", 64),
        small=("cifar10", 50_000, "float32", 128),
        gpu=("cifar10", 50_000, "mixed_bfloat16", 512),
    )

    def variants(self, scale):
        steps, rate = LENGTHS[scale]
        rows = [
            ("short, low rate", steps, rate / 2, 0.01),
            ("short, high rate", steps, rate, 0.1),
            ("long, high rate", 2 * steps, rate, 0.1),
        ]
        names = ("recipe", "steps", "rate", "weight_decay")
        return [{**dict(zip(names, row, strict=True)), **RECIPE_MODELS[scale]} for row in rows]

    def run(self, recipe, data, images, steps, batch_size, rate, weight_decay, seed, **shape):
        """Trains one model; measures its positions before and after."""
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

    def plot(self, rows):
        """Plots the maps of the first seed for each recipe, and both numbers of all seeds."""
        figure = figures.figure(10, 6.2)
        figure.get_layout_engine().set(w_pad=0.12)
        top, bottom = figure.subfigures(2, 1, height_ratios=(1.1, 1))
        names = dict.fromkeys(row["recipe"] for row in rows)
        panels = top.subplots(1, len(names), squeeze=False)[0]
        for axes, name in zip(panels, names, strict=True):
            row = next(row for row in rows if row["recipe"] == name)
            drawn = axes.imshow(_mosaic(row["maps"]), "viridis", vmin=-1, vmax=1)
            axes.set_title(f"{name}\naccuracy {100 * row['accuracy']:.0f} %", fontsize=9)
            axes.axis("off")
        bar = top.colorbar(drawn, ax=panels, shrink=0.8)
        bar.set_label(f"cosine similarity, seed {row['seed']}", fontsize=8)
        for axes, (key, title) in zip(bottom.subplots(1, 2), MEASURES.items(), strict=True):
            groups = {"untrained": [row[f"{key}_before"] for row in rows]}
            seeds.draw_rows(axes, groups | seeds.group(rows, "recipe", key))
            axes.set_ylim(len(names) + 0.5, -0.5)
            seeds.finish(axes, title)
        return figure

    def conclusion(self, rows):
        accuracy = seeds.group(rows, "recipe", "accuracy")
        if len(accuracy) < 2:
            return "At least two recipes must be run to compare them."
        sentences = "; ".join(_compare(rows, key) for key in MEASURES)
        listed = ", ".join(f"{name} {seeds.spell(values)} %" for name, values in accuracy.items())
        return f"{sentences[0].upper()}{sentences[1:]}. Accuracy: {listed}."
