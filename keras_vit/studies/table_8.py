"""Table 8: does the kind of position embedding matter?

Appendix D.4 trains ViT-B/16 with no positions, learned 1-D, learned 2-D and relative positions,
added after the stem, in every block, or shared by all blocks, and compares ImageNet 5-shot
accuracy: without positions 61.4 %, with any of them 64.0 to 64.3 %.

At "tiny" a ViT of 4 layers classifies handwritten digits of 8 x 8 pixels from 16 patches of 2 x 2:
pieces of strokes, whose position is informative. (For digits at random positions in a larger image,
after 500 steps, positions made no difference that three seeds could show: 74.5 % with, 76.2 %
without.) Fixed sin-cos positions, which are not in the paper, are one more row. "small" and "gpu"
use CIFAR-10. The paper measures few-shot accuracy on another dataset, this study accuracy on
held-out images of the same (at "tiny" 359, each 0.3 points): differences are relative to learned
1-D positions at the stem.
"""

import statistics

import numpy as np

from keras_vit import figures
from keras_vit.ablations import PositionViT
from keras_vit.ablations.relative import RelativeViT
from keras_vit.studies import design, seeds, tasks, trials
from keras_vit.studies.paper_numbers import TABLE_8

TITLE = "Kinds of position embedding"
QUESTION = "How much does a ViT gain by knowing where patches are, and does the kind matter?"
PAPER = (
    "ImageNet 5-shot, ViT-B/16: without positions 61.4 %; 1-D 64.2, 2-D 64.0, relative 64.0 %; in "
    "every block 64.0 (1-D and 2-D), shared by all blocks 64.3 and 64.0 % (Table 8)."
)
NEEDS = design.need_images("a day of a processor", "hours of one large GPU")
PLACED = ("1d", "2d", "sincos")
CHOICES = [
    ("1d", "stem"), ("none", "stem"), ("2d", "stem"), ("relative", "stem"), ("sincos", "stem"),
    *((kind, placement) for placement in ("every", "shared") for kind in ("1d", "2d")),
]  # fmt: skip
MODELS = {
    "tiny": {"num_layers": 4, "hidden_dim": 32, "mlp_dim": 64, "num_heads": 2, "patch_size": 2},
    "small": {"num_layers": 6, "hidden_dim": 192, "mlp_dim": 384, "num_heads": 3, "patch_size": 4},
    "gpu": {"num_layers": 12, "hidden_dim": 384, "mlp_dim": 1536, "num_heads": 6, "patch_size": 2},
}
TRAINING = design.by_scale(
    "data images dtype steps batch_size rate",
    tiny=("digits", 1438, "float32", 500, 64, 3e-3),
    small=("cifar10", 50_000, "float32", 8000, 128, 1e-3),
    gpu=("cifar10", 50_000, "mixed_bfloat16", 20_000, 512, 5e-4),
)
NAMES = {"none": "none", "1d": "1-D", "2d": "2-D", "relative": "relative", "sincos": "sin-cos"}
PLACES = {"stem": "", "every": " in every block", "shared": " shared"}


def variants(scale):
    """Returns the settings that vary."""
    return [
        {"positions": kind, "placement": placement, **MODELS[scale]} for kind, placement in CHOICES
    ]


runs = design.vary(variants, TRAINING, design.count_seeds(3, 3, 3))


def run(positions, placement, data, images, steps, batch_size, rate, seed, **shape):
    """Trains one model, and returns its accuracy and the size of its positions."""
    shape |= tasks.model_arguments(data)
    model = trials.build(seed, lambda: build(positions, placement, **shape))
    trials.fit(model, *tasks.load(data, images, seed), steps, batch_size, rate, seed)
    paths = ("position_embedding", "positions", "offset_embedding")
    learned = [w for w in model.weights if any(name in w.path for name in paths)]
    return {
        "accuracy": trials.accuracy(model, *tasks.test(data)),
        "position_parameters": sum(int(np.prod(w.shape)) for w in learned),
    }


def build(positions, placement, **shape):
    """Returns a fresh model with a kind of positions."""
    if positions == "relative":
        return RelativeViT(**shape)
    kind = None if positions == "none" else positions
    return PositionViT(**shape, position_embedding=kind, position_placement=placement)


def plot(rows):
    """Draws what each kind gains over learned 1-D positions: ours by seeds, and the paper's."""
    found = {name(*key): _gains(values, rows) for key, values in _groups(rows).items()}
    figure = figures.figure(7, 4.2)
    ours, papers = figure.subplots(1, 2, sharey=True)
    for place, values in enumerate(found.values()):
        ours.plot(values, [place] * len(values), "o", color="C0", alpha=0.6)
        ours.plot([statistics.fmean(values)], [place], "|", color="C0", markersize=18)
    for place, label in enumerate(found):
        if label in PAPERS:
            papers.plot([PAPERS[label]], [place], "D", color="C1")
    for axes, title in ((ours, "here, each seed and the mean"), (papers, "paper, Table 8")):
        axes.axvline(0, color="gray", linestyle=":", linewidth=1)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("points of accuracy above 1-D")
        axes.grid(alpha=0.3)
    ours.set_yticks(range(len(found)), list(found))
    ours.invert_yaxis()
    return figure


def conclusion(rows):
    """States what positions give, and whether the kinds differ by more than seeds do."""
    groups = _groups(rows)
    default, without = groups.get(("1d", "stem"), []), groups.get(("none", "stem"), [])
    if not default or not without:
        return "Models with learned 1-D positions and without any must be trained to compare them."
    gain = statistics.fmean(default) - statistics.fmean(without)
    decided = "more" if seeds.differ(default, without) else "no more"
    text = (
        f"With learned 1-D positions {seeds.spell(default)} %, without any "
        f"{seeds.spell(without)} %: {100 * gain:+.1f} points, {decided} than seeds differ. "
    )
    others = {key: v for key, v in groups.items() if key[0] not in ("none",) and v is not default}
    apart = [name(*key) for key, values in others.items() if seeds.differ(values, default)]
    if not others:
        return text + "No other kind is trained yet."
    means = [statistics.fmean(values) for values in (default, *others.values())]
    spread = f"{100 * min(means):.1f} to {100 * max(means):.1f} %"
    if apart:
        return text + f"All kinds: {spread}; {', '.join(apart)} differ from 1-D beyond the seeds."
    return text + f"All kinds: {spread}; none differs from 1-D by more than seeds do."


def name(kind, placement):
    """Returns the name of a kind of positions and of their placement."""
    return NAMES[kind] + PLACES[placement]


PAPERS = {
    name(kind, placement): 100 * (accuracy - TABLE_8["1d", "stem"])
    for (kind, placement), accuracy in TABLE_8.items()
}


def _groups(rows):
    return seeds.group(rows, ("positions", "placement"), "accuracy")


def _gains(values, rows):
    """Points above the mean of learned 1-D positions, or of all if these are not trained."""
    default = _groups(rows).get(("1d", "stem")) or [row["accuracy"] for row in rows]
    return [100 * (value - statistics.fmean(default)) for value in values]
