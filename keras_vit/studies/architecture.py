"""The architecture of a ViT: Figure 8 varies its shape, Figure 13 attends along two axes."""

import math
import statistics

from keras_vit import ResNet, ViT, accounting, figures
from keras_vit.ablations import AxialResNet, AxialViT
from keras_vit.studies.lab import paired, seeds, tasks, trials
from keras_vit.studies.lab.runner import Study, by_scale, need_images

SHAPE = {"num_layers": "layers", "hidden_dim": "D", "mlp_dim": "MLP", "patch_size": "patch"}
DIMENSIONS = ("depth", "width", "MLP", "patch", "all")
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
# Learning rates were tried on the base only, with a seed that is not used here.
SHAPE_TRAINING = by_scale(
    "data images num_heads dtype steps batch_size rate",
    tiny=("wandering digits", 8000, 4, "float32", 1500, 16, 2e-3),
    small=("cifar10", 50_000, 4, "float32", 8000, 128, 1e-3),
    gpu=("cifar10", 50_000, 16, "mixed_bfloat16", 10_000, 512, 3e-4),
)


def _gains(rows, varied):
    """Returns the slope of accuracy against log2 of compute, for each seed that has the base."""
    found = []
    for seed in sorted({row["seed"] for row in rows}):
        points = [r for r in rows if r["seed"] == seed and r["varied"] in (varied, "base")]
        if len({row["varied"] for row in points}) == 2:
            compute = [math.log2(row["multiply_adds"]) for row in points]
            accuracy = [row["accuracy"] for row in points]
            found.append(statistics.linear_regression(compute, accuracy).slope)
    return found


def _predictor(rows):
    """Compares how well compute and parameters order the models by accuracy."""
    models = seeds.group(rows, ("multiply_adds", "parameters"), "accuracy")
    if len(models) < 3:
        return "Three models are needed to compare what predicts accuracy."
    accuracy = [statistics.fmean(values) for values in models.values()]
    compute, parameters = (
        seeds.rank_correlation(numbers, accuracy) for numbers in zip(*models, strict=True)
    )
    return (
        f"The rank correlation of accuracy is {compute:.2f} with compute and {parameters:.2f} with "
        f"parameters, over {len(models)} models."
    )


class Figure8(Study):
    """Figure 8: depth, width, MLP or patches?

    Appendix D.2 varies one dimension of a base model at a time: depth, width, MLP, patch size, and
    all together. The base has 8 layers, D = 1024, D_MLP = 2048 and patches of 32 pixels. Few-shot
    accuracy on ImageNet is plotted against the compute relative to the base.

    At "tiny" the base is 4 / 32 / 64 / 4, trained on wandering digits, at "small" 4 / 96 / 192 / 4
    on CIFAR-10; "gpu" uses the paper's base with patches of 4 pixels, which are 64 in a CIFAR-10
    image (paper: 49). Accuracy is that of the task itself. "All" are depth, width and MLP.
    """

    paper = (
        "Depth helps most, clearly to 16 layers and still to 64; width helps least. Smaller "
        "patches help without more parameters, so compute may predict more than parameters (D.2, "
        "Figure 8)."
    )
    caution = (
        "All shapes take 1,500 steps of 16 images at one learning rate, tuned for the base. This "
        "favors shapes that learn fast: the largest, 8 layers of D = 64, ends below the base (69.2 "
        "against 77.5 %). A comparison with the paper needs a learning rate for each shape, and "
        "training until accuracy stops rising."
    )
    needs = need_images("some days on a CPU", "a day on one large GPU")
    num_seeds = {"tiny": 3, "small": 3, "gpu": 2}
    training = SHAPE_TRAINING

    def variants(self, scale):
        return [
            {"varied": varied, **dict(zip(SHAPE, shape, strict=True))}
            for varied, shapes in SHAPES[scale].items()
            for shape in shapes
        ]

    def run(self, data, images, steps, batch_size, rate, seed, varied=None, **shape):
        """Trains one model; returns its accuracy and its cost."""
        model = trials.build(seed, lambda: ViT(**shape, **tasks.model_arguments(data)))
        trials.fit(model, *tasks.load(data, images, seed), steps, batch_size, rate, seed)
        cost = accounting.count(model)
        return {
            "accuracy": trials.accuracy(model, *tasks.test(data)),
            "multiply_adds": cost.multiply_adds,
            "parameters": cost.parameters,
        }

    def plot(self, rows):
        """Plots accuracy against compute, a line for each dimension through the base."""
        figure = figures.figure(7, 4.4)
        axes = figure.subplots()
        base = [row for row in rows if row["varied"] == "base"]
        one = min(row["multiply_adds"] for row in base or rows)
        varied = [name for name in DIMENSIONS if any(row["varied"] == name for row in rows)]
        for name, marker in zip(varied or ["base"], "osD^v", strict=False):
            models = [row for row in rows if row["varied"] in (name, "base")]
            points = sorted(seeds.group(models, ("multiply_adds", *SHAPE), "accuracy").items())
            means = {key[0] / one: values for key, values in points}
            seeds.draw_means(axes, means, marker=marker, capsize=2, label=name)
            for x, (key, values) in zip(means, points, strict=True):
                unnamed = x == 1 or name in ("all", "base")  # the base is in the title
                size = "" if unnamed else key[1 + DIMENSIONS.index(name)]
                place = (x, 100 * statistics.fmean(values))
                axes.annotate(size, place, (3, 4), textcoords="offset points", fontsize=7)
        axes.axvline(1, color="gray", linestyle=":", linewidth=1)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
        sizes = [f"{word} {row[name]}" for row in base[:1] for name, word in SHAPE.items()]
        title = f"base: {', '.join(sizes)}" if base else ""
        xlabel = "multiply-adds of an image, relative to the base"
        seeds.finish(axes, title, xlabel, "test accuracy, %", legend=False)
        axes.legend(title="varied", fontsize=8)
        return figure

    def conclusion(self, rows):
        gains = {varied: _gains(rows, varied) for varied in DIMENSIONS}
        gains = {varied: found for varied, found in gains.items() if found}
        if len(gains) < 2:
            return "The base and two variations must be trained to compare what they gain."
        order = sorted(gains, key=lambda varied: -statistics.fmean(gains[varied]))
        listed = ", ".join(f"{varied} {seeds.spell(gains[varied], '+.1f')}" for varied in order)
        best, second = order[:2]
        verdict = f"{best} gains most"
        if not seeds.differ(gains[best], gains[second]):
            verdict = f"whether {best} or {second} gains more is unclear"
        return (
            "After the same number of steps, each doubling of the compute per image gains, in "
            f"points of accuracy: {listed}; {verdict}. {_predictor(rows)}"
        )


# D, D_MLP, heads; layers; patches; units of the ResNets
SIZES = {
    "tiny": ((32, 64, 2), 4, (4,), (1, 1)),
    "small": ((192, 384, 3), 6, (4, 2), (2, 2, 2)),
    "gpu": ((384, 1536, 6), 12, (4, 2), (3, 4, 6, 3)),
}
FAMILIES = {"ViT": ViT, "Axial-ViT": AxialViT, "AxialResNet": AxialResNet, "ResNet": ResNet}
PAIRS = {"Axial-ViT": "ViT", "AxialResNet": "ResNet"}  # family: its counterpart
STEPS = 5  # number of steps timed after training


def build(family, size, scale, arguments):
    """Returns a model by its family and size, with fresh weights."""
    (hidden_dim, mlp_dim, num_heads), _, _, units = SIZES[scale]
    if "ResNet" in family:
        return FAMILIES[family](units=units, **arguments)
    num_layers, patch_size = map(int, size.split("/"))
    arguments = {"hidden_dim": hidden_dim, "mlp_dim": mlp_dim, "num_heads": num_heads, **arguments}
    return FAMILIES[family](
        num_layers=num_layers, patch_size=patch_size, pooling="gap", **arguments
    )


def _deeper(rows, groups):
    """Compares axial blocks with twice as many ordinary ones, which have as many weights."""
    sentences = []
    for family, size in groups:
        layers, _, patch = size.partition("/")
        twice = ("ViT", f"{2 * int(layers)}/{patch}") if family == "Axial-ViT" else None
        if twice in groups:
            axial, deep = groups[family, size], groups[twice]
            verdict = "not clearly different"
            if seeds.differ(axial, deep):
                verdict = "better" if statistics.fmean(axial) > statistics.fmean(deep) else "worse"
            adds = [_cost(rows, *model)["multiply_adds"] for model in ((family, size), twice)]
            sentences.append(
                f"Compared with a ViT of twice the layers and about the same weights, Axial-ViT "
                f"{size} is {verdict}: {seeds.spell(axial)} against {seeds.spell(deep)} %, with "
                f"{adds[0] / adds[1]:.2f} of the multiply-adds."
            )
    return " ".join(sentences) or "No ViT of twice the layers is trained yet."


def _cost(rows, *model):
    """Returns the multiply-adds of a model, and the median of its seeds' times."""
    rows = [row for row in rows if (row["family"], row["size"]) == model]
    seconds = statistics.median(row["step_seconds"] for row in rows)
    return {"multiply_adds": rows[0]["multiply_adds"], "step_seconds": seconds}


class Figure13(Study):
    """Figure 13: attention in rows and columns.

    Appendix D.6 trains Axial-ViT-B/32 and B/16, whose blocks attend within rows, then within
    columns, each with an MLP, and AxialResNet, an R50 with axial attention in place of its 3 x 3
    convolutions. On ImageNet 5-shot, Axial-ViTs are better than their ViT-B, with more compute
    (two MLPs per block); AxialResNet is reasonable for its compute but very slow on TPUs. The text
    states no numbers.

    At "tiny", models of 4 layers (ResNets of 2 units) are trained on wandering digits, otherwise
    on CIFAR-10. All ViTs use mean pooling, because a class token is in no row. A ViT of 8 layers
    is one more row: an axial block has the weights of two blocks. The time of a step is measured
    right after training, regardless of other load, so it is only an order of magnitude.
    """

    paper = (
        "Axial-ViT-B/32 and B/16 are better than ViT-B/32 and B/16 in ImageNet 5-shot, and take "
        "more compute; AxialResNet is reasonable for its compute, but very slow on a TPU (Figure "
        "13)."
    )
    num_seeds = {"tiny": 3, "small": 3, "gpu": 3}
    training = by_scale(
        "data images dtype steps batch_size rate",
        tiny=("wandering digits", 8000, "float32", 500, 64, 3e-3),
        small=("cifar10", 50_000, "float32", 8000, 128, 1e-3),
        gpu=("cifar10", 50_000, "mixed_bfloat16", 20_000, 512, 5e-4),
    )

    def variants(self, scale):
        _, layers, patches, units = SIZES[scale]
        models = [(family, f"{layers}/{p}") for p in patches for family in ("ViT", "Axial-ViT")]
        models += [("ViT", f"{2 * layers}/{p}") for p in patches]
        named = f"({', '.join(map(str, units))})"
        models += [(family, named) for family in ("ResNet", "AxialResNet")]
        return [{"family": family, "size": size, "scale": scale} for family, size in models]

    def run(self, family, size, scale, data, images, steps, batch_size, rate, seed, dtype):
        """Trains one model; returns its accuracy and its cost."""
        arguments = {**tasks.model_arguments(data), "dtype": dtype}
        model = trials.build(seed, lambda: build(family, size, scale, arguments))
        x, y = tasks.load(data, images, seed)
        trials.fit(model, x, y, steps, batch_size, rate, seed)
        cost = accounting.count(model)
        accuracy = trials.accuracy(model, *tasks.test(data))
        model.steps_per_execution = 1
        step = {"step": lambda: model.train_on_batch(x[:batch_size], y[:batch_size])}
        return {
            "accuracy": accuracy,
            "multiply_adds": cost.multiply_adds,
            "parameters": cost.parameters,
            "step_seconds": statistics.median(paired.measure(step, STEPS, warmup=1)["step"]),
        }

    def plot(self, rows):
        """Plots accuracy against multiply-adds and against the time of a step."""
        groups = seeds.group(rows, ("family", "size"), "accuracy")
        figure = figures.figure(8, 4)
        panels = figure.subplots(1, 2, sharey=True)
        costs = {
            "multiply_adds": ("multiply-adds of an image, M", 1e-6),
            "step_seconds": ("time of a step, ms", 1e3),
        }
        for axes, (cost, (label, unit)) in zip(panels, costs.items(), strict=True):
            for number, (family, marker) in enumerate(zip(FAMILIES, "osD^", strict=True)):
                style = {"color": f"C{number}", "fmt": marker, "capsize": 2, "label": family}
                for (kind, size), values in groups.items():
                    if kind == family:
                        x = unit * _cost(rows, family, size)[cost]
                        seeds.draw_means(axes, {x: values}, **style)
                        style["label"] = None  # each family once in the legend
                        place = (x, 100 * statistics.fmean(values))
                        axes.annotate(size, place, (5, 4), textcoords="offset points", fontsize=7)
            axes.margins(x=0.15)
            seeds.finish(axes, xlabel=label, legend=axes is panels[0])
        panels[0].set_ylabel("test accuracy, %")
        return figure

    def conclusion(self, rows):
        groups = seeds.group(rows, ("family", "size"), "accuracy")
        found = []
        for (family, size), values in groups.items():
            other = (PAIRS.get(family), size)
            if other in groups:
                axial, plain = _cost(rows, family, size), _cost(rows, *other)
                ratio, slower = (axial[key] / plain[key] for key in plain)
                found.append(
                    f"{family} {size} against {other[0]}: {seeds.gain(values, groups[other])}, "
                    f"{ratio:.2f} times the multiply-adds, {slower:.1f} times the time of a step"
                )
        if not found:
            return "An axial model and its counterpart must be trained to compare them."
        return "; ".join(found) + ". " + _deeper(rows, groups)
