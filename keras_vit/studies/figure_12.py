"""Figure 12: how do speed and memory depend on the image size?

Appendix D.5 times the inference of ViTs and ResNets on a TPUv3 over a range of input sizes, at the
best batch size, and finds the largest batch that fits into the memory of a core.

At "tiny", small models run on the CPU with one batch size; "small" uses the paper's smaller models
and larger images; "gpu" its larger models and several batch sizes, of which the best counts. Images
go through `predict_on_batch`, including their transfer to the device.

A matrix product is timed in alternation with each batch. The speed of a model relative to the
product does not depend on the other load of the machine, whereas images per second do.

The largest batch is that of a training step. At "tiny" and "small" it is estimated, not measured:
what fits into the 16 GiB of a TPUv3 core if weights, gradients and Adam's two moments are float32
and everything that the backward pass reads is kept (`accounting`). At "gpu" it is measured: batches
are doubled until the device runs out of memory in a step with Adam.
"""

import math
import statistics

from keras_vit import accounting, create, figures
from keras_vit.studies import measuring
from keras_vit.variants import Variant, parse

TITLE = "Speed and memory"
QUESTION = "How do speed and memory change with the size of images, for ViTs and ResNets?"
PAPER = (
    "ViTs are about as fast as ResNets of their size. That their work grows with the square of "
    "the number of patches barely begins to show, for the largest models and images. Large ViTs "
    "clearly need less memory (D.5, Figure 12)."
)
NEEDS = {
    "small": "no images; 8 GiB of memory; about an hour of a processor",
    "gpu": "no images; one GPU of 40 GiB or more; about two hours",
}
GROUPS = {
    "tiny": (
        ("ViT-Ti/16", "ViT-S/16", "R26x1", "R50x1"),
        (64, 128, 192, 256),
        {"batch_sizes": 4, "rounds": 15, "dtype": "float32", "matrix": 1024, "memory_gib": 16},
    ),
    "small": (
        ("ViT-S/16", "ViT-B/32", "ViT-B/16", "R50x1", "R101x1"),
        (64, 128, 224, 320, 384, 512),
        {"batch_sizes": "1 8", "rounds": 10, "dtype": "float32", "matrix": 1024, "memory_gib": 16},
    ),
    "gpu": (
        ("ViT-B/32", "ViT-B/16", "ViT-L/32", "ViT-L/16", "ViT-H/14")
        + ("R50x1", "R50x2", "R101x1", "R152x1", "R152x2"),
        (64, 128, 224, 384, 512),
        {
            **{"batch_sizes": "8 32 128 512", "rounds": 20, "dtype": "mixed_bfloat16"},
            **{"matrix": 8192, "memory_gib": "tried"},
        },
    ),
}


def runs(scale):
    """Returns the settings of all runs: all models at one size, then at the next."""
    models, sizes, fixed = GROUPS[scale]
    return [
        {"model": model, "image_size": _whole(size, model), **fixed}
        for size in sizes
        for model in models
    ]


def run(model, image_size, batch_sizes, rounds, dtype, matrix, memory_gib):
    """Times one model at one size, and finds its largest batch."""
    network = create(model, image_size=image_size, dtype=dtype)
    batches = [int(size) for size in str(batch_sizes).split()]
    found = measuring.measure_speed(network, batches, rounds, matrix)
    work = accounting.count(model, image_size).multiply_adds
    # What share of the product's multiply-adds per second the model reaches
    share = found.pop("images_per_product") * work / matrix**3
    tried = memory_gib == "tried"
    largest = (
        measuring.find_batch(network)
        if tried
        else measuring.estimate_batch(model, image_size, memory_gib)
    )
    return {**found, "share_of_product": share, "multiply_adds": work, "largest_batch": largest}


def plot(rows):
    """Draws images per second, and the largest batch, against the size of images."""
    figure = figures.figure(8, 3.9)
    left, right = figure.subplots(1, 2)
    _draw(left, rows, "images_per_second", "images per second: median, quartiles")
    for number, points in enumerate(group_by_model(rows).values()):
        ends = ([p[end] for p in points] for end in ("lower_quartile", "upper_quartile"))
        sizes = [p["image_size"] for p in points]
        left.fill_between(sizes, *ends, color=f"C{number}", alpha=0.15, linewidth=0)
    _draw(right, rows, "largest_batch", f"largest batch, {_how(rows[0])}")
    right.legend(fontsize=8)
    return figure


def _draw(axes, rows, column, title):
    for number, (model, points) in enumerate(group_by_model(rows).items()):
        shown = [(p["image_size"], p[column]) for p in points if p[column] > 0]  # 0: none fitted
        sizes, values = zip(*shown, strict=True) if shown else ((), ())
        style = "o-" if _is_vit(model) else "s--"
        axes.plot(sizes, values, style, color=f"C{number}", label=model, markersize=4)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
    ticks = sorted({row["image_size"] for row in rows})
    axes.set_xticks(ticks, [str(size) for size in ticks], fontsize=8)
    axes.minorticks_off()
    axes.set(title=title, xlabel="side of an image, pixels")
    axes.grid(alpha=0.3)


def _how(row):
    """How the largest batch was found."""
    tried = row["memory_gib"] == "tried"
    return "tried" if tried else f"estimated for {row['memory_gib']} GiB"


def conclusion(rows):
    """States how time and memory grow, and how ViTs and ResNets compare."""
    rows = [row for row in rows if row["images_per_second"] > 0]  # 0: no batch fitted
    models = group_by_model(rows)
    families = {kind: [m for m in models if _is_vit(m) == kind] for kind in (True, False)}
    if not all(families.values()):
        return "A ViT and a ResNet or more must be measured to compare them."
    sentences = [_growth(models), _speed(rows), _memory(models)]
    return " ".join(sentence for sentence in sentences if sentence)


def group_by_model(rows):
    """Returns {model: [its rows in the order of size]}."""
    names = dict.fromkeys(row["model"] for row in rows)
    ordered = sorted(rows, key=lambda row: row["image_size"])
    return {name: [row for row in ordered if row["model"] == name] for name in names}


def _growth(models):
    """The powers of an image's pixels that its time and its multiply-adds grow with."""
    grown = []
    for name, points in models.items():
        if len(points) > 1:
            pixels = [row["image_size"] ** 2 for row in points]
            work = [row["multiply_adds"] for row in points]
            times = [row["multiply_adds"] / row["share_of_product"] for row in points]
            grown.append(f"{name} {_power(pixels, times):.2f} ({_power(pixels, work):.2f})")
    if not grown:
        return "Growth takes two sizes or more."
    return (
        "The time of an image (its multiply-adds) grows with this power of its number of pixels, "
        f"1 being in proportion and 2 the square: {', '.join(grown)}."
    )


def _power(x, y):
    logarithms = ([math.log(value) for value in values] for values in (x, y))
    return statistics.linear_regression(*logarithms).slope


def _speed(rows):
    """Multiply-adds per second of ViTs over those of ResNets, size by size."""
    shares = {}
    for row in rows:
        kinds = shares.setdefault(row["image_size"], {True: [], False: []})
        kinds[_is_vit(row["model"])].append(row["share_of_product"])
    ratios = [
        statistics.fmean(kinds[True]) / statistics.fmean(kinds[False])
        for kinds in shares.values()
        if all(kinds.values())
    ]
    if not ratios:
        return "No size was measured with both."
    low, high = min(ratios), max(ratios)
    mixed = "more at some sizes, fewer at others"
    verdict = "more at every size" if low > 1 else "fewer at every size" if high < 1 else mixed
    return (
        f"ViTs do {low:.2f} to {high:.2f} times as many multiply-adds a second as ResNets: "
        f"{verdict}."
    )


def _memory(models):
    """The largest batch of each model at its largest size."""
    size = max(points[-1]["image_size"] for points in models.values())
    last = [points[-1] for points in models.values() if points[-1]["image_size"] > 0.9 * size]
    batches = {
        kind: [row["largest_batch"] for row in last if _is_vit(row["model"]) == kind]
        for kind in (True, False)
    }
    if not all(batches.values()):
        return ""
    verdict = "the kinds overlap"
    if min(batches[True]) > max(batches[False]):
        verdict = "ViTs need less memory"
    elif max(batches[True]) < min(batches[False]):
        verdict = "ViTs need more memory"
    listed = ", ".join(f"{row['model']} {row['largest_batch']}" for row in last)
    how = f"in the largest training step, {_how(last[0])}"
    return f"Images of {size} pixels {how}: {listed}: {verdict}."


def _is_vit(model):
    return isinstance(parse(model), Variant)


def _whole(size, model):
    """The largest size of whole patches that is not above `size`."""
    return size // parse(model).patch_size * parse(model).patch_size if _is_vit(model) else size
