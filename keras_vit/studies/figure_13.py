"""Figure 13: is it enough if a patch attends to its row, then its column?

Appendix D.6 trains Axial-ViT-B/32 and B/16, whose blocks attend within rows, then within columns,
each with an MLP, and AxialResNet, an R50 with axial attention in place of its 3 x 3 convolutions.
On ImageNet 5-shot, Axial-ViTs are better than their ViT-B, with more compute (two MLPs per block);
AxialResNet is reasonable for its compute but very slow on TPUs. The text states no numbers.

At "tiny", models of 4 layers (ResNets of 2 units) are trained on handwritten digits at random
positions in an image of 16 x 16 pixels; all ViTs use mean pooling, because a class token is in no
row. A ViT of 8 layers is one more row: an axial block has the weights of two blocks. "small" and
"gpu" use CIFAR-10. The time of a training step is measured right after training, whatever else the
machine does, so it is only an order of magnitude.
"""

import statistics
import time

from keras_vit import ResNet, ViT, accounting, figures
from keras_vit.ablations.axial import AxialResNet, AxialViT
from keras_vit.studies import design, seeds, tasks, trials

TITLE = "Axial attention"
QUESTION = "Is attention in rows and columns as good as among all patches, for its compute?"
PAPER = (
    "Axial-ViT-B/32 and B/16 are better than ViT-B/32 and B/16 in ImageNet 5-shot, and take more "
    "compute; AxialResNet is reasonable for its compute, but very slow on a TPU (Figure 13)."
)
NEEDS = design.need_images("a day of a processor", "hours of one large GPU")
# D, D_MLP, heads, layers, patches; units of the ResNets
SIZES = {
    "tiny": ((32, 64, 2), 4, (4,), (1, 1)),
    "small": ((192, 384, 3), 6, (4, 2), (2, 2, 2)),
    "gpu": ((384, 1536, 6), 12, (4, 2), (3, 4, 6, 3)),
}
TRAINING = design.by_scale(
    "data images dtype steps batch_size rate",
    tiny=("wandering digits", 8000, "float32", 500, 64, 3e-3),
    small=("cifar10", 50_000, "float32", 8000, 128, 1e-3),
    gpu=("cifar10", 50_000, "mixed_bfloat16", 20_000, 512, 5e-4),
)
PAIRS = {"Axial-ViT": "ViT", "AxialResNet": "ResNet"}  # family: the one that it is compared with


def variants(scale):
    """Returns the settings that vary."""
    return [{"family": kind, "size": size, "scale": scale} for kind, size in _models(scale)]


runs = design.vary(variants, TRAINING, design.count_seeds(3, 3, 3))


def run(family, size, scale, data, images, steps, batch_size, rate, seed, dtype):
    """Trains one model, and returns its accuracy and what it costs."""
    arguments = {**tasks.model_arguments(data), "dtype": dtype}
    model = trials.build(seed, lambda: build(family, size, scale, arguments))
    x, y = tasks.load(data, images, seed)
    trials.fit(model, x, y, steps, batch_size, rate, seed)
    cost = accounting.count(model)
    return {
        "accuracy": trials.accuracy(model, *tasks.test(data)),
        "multiply_adds": cost.multiply_adds,
        "parameters": cost.parameters,
        "step_seconds": _step_seconds(model, x[:batch_size], y[:batch_size]),
    }


def build(family, size, scale, arguments):
    """Returns a fresh model of a family; `size` is a ViT's "layers/patch", a ResNet's "units"."""
    (hidden_dim, mlp_dim, num_heads), _, _, units = SIZES[scale]
    if family in ("ResNet", "AxialResNet"):
        return (ResNet if family == "ResNet" else AxialResNet)(units=units, **arguments)
    num_layers, patch_size = map(int, size.split("/"))
    return (AxialViT if family == "Axial-ViT" else ViT)(
        hidden_dim=hidden_dim,
        mlp_dim=mlp_dim,
        num_heads=num_heads,
        num_layers=num_layers,
        patch_size=patch_size,
        pooling="gap",
        **arguments,
    )


def plot(rows):
    """Draws accuracy against multiply-adds and against the time of a step; bars span the seeds."""
    figure = figures.figure(8, 4)
    panels = figure.subplots(1, 2, sharey=True)
    costs = {"multiply_adds": ("multiply-adds of an image, M", 1e-6)}
    costs["step_seconds"] = ("time of a step, ms", 1e3)
    for axes, (cost, (label, unit)) in zip(panels, costs.items(), strict=True):
        for family, marker in zip(("ViT", *PAIRS, "ResNet"), "osD^", strict=True):
            _draw(axes, [r for r in rows if r["family"] == family], cost, unit, marker, family)
        axes.set_xlabel(label)
        axes.margins(x=0.15)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("test accuracy, %")
    panels[0].legend(fontsize=8)
    return figure


def conclusion(rows):
    """States for each axial model what it gains over its counterpart, and what that takes."""
    groups = seeds.group(rows, ("family", "size"), "accuracy")
    cost = {model: _cost(rows, model) for model in groups}
    found = []
    for (family, size), values in groups.items():
        other = (PAIRS.get(family), size)
        if other in groups:
            gain = 100 * (statistics.fmean(values) - statistics.fmean(groups[other]))
            clear = "" if seeds.differ(values, groups[other]) else " (within the seeds)"
            ratio = cost[family, size]["multiply_adds"] / cost[other]["multiply_adds"]
            slower = cost[family, size]["step_seconds"] / cost[other]["step_seconds"]
            found.append(
                f"{family} {size} against {other[0]}: {gain:+.1f} points{clear}, {ratio:.2f} times "
                f"the multiply-adds, {slower:.1f} times the time of a step"
            )
    if not found:
        return "An axial model and its counterpart must be trained to compare them."
    return "; ".join(found) + ". " + _deeper(groups, cost)


def _deeper(groups, cost):
    """Compares axial blocks with twice as many ordinary ones, which have as many weights."""
    sentences = []
    for family, size in groups:
        layers, _, patch = size.partition("/")
        twice = ("ViT", f"{2 * int(layers)}/{patch}") if family == "Axial-ViT" else None
        if twice in groups:
            axial, deep = groups[family, size], groups[twice]
            verdict = "within the seeds"
            if seeds.differ(axial, deep):
                verdict = "better" if statistics.fmean(axial) > statistics.fmean(deep) else "worse"
            share = cost[family, size]["multiply_adds"] / cost[twice]["multiply_adds"]
            sentences.append(
                f"Beside a ViT of twice the layers (about its weights) Axial-ViT {size} is "
                f"{verdict}: {seeds.spell(axial)} and {seeds.spell(deep)} %, for {share:.2f} of "
                f"the multiply-adds."
            )
    return " ".join(sentences) or "No ViT of twice the layers is trained yet."


def _models(scale):
    _, layers, patches, units = SIZES[scale]
    vits = [(family, f"{layers}/{patch}") for patch in patches for family in ("ViT", "Axial-ViT")]
    deep = [("ViT", f"{2 * layers}/{patch}") for patch in patches]
    names = ", ".join(map(str, units))
    return [*vits, *deep, ("ResNet", f"({names})"), ("AxialResNet", f"({names})")]


def _step_seconds(model, images, labels, steps=5):
    """The median time of some steps, after one that compiles."""
    model.steps_per_execution = 1
    model.train_on_batch(images, labels)
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        model.train_on_batch(images, labels)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _cost(rows, model):
    """Returns the multiply-adds of a model, and the median of its seeds' times."""
    rows = [row for row in rows if (row["family"], row["size"]) == model]
    seconds = statistics.median(row["step_seconds"] for row in rows)
    return {"multiply_adds": rows[0]["multiply_adds"], "step_seconds": seconds}


def _draw(axes, rows, cost, unit, marker, family):
    """Draws the models of a family, each with its name."""
    for size, values in seeds.group(rows, "size", "accuracy").items():
        x = unit * _cost(rows, (family, size))[cost]
        mean, low, high = (100 * f(values) for f in (statistics.fmean, min, max))
        label = family if size == rows[0]["size"] else None
        color = f"C{'osD^'.index(marker)}"
        bars = [[mean - low], [high - mean]]
        axes.errorbar([x], [mean], bars, fmt=marker, capsize=2, color=color, label=label)
        axes.annotate(size, (x, mean), (5, 4), textcoords="offset points", fontsize=7)
