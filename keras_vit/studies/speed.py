"""Figure 12: how do speed and memory depend on the image size?"""

import math
import statistics

import keras
import numpy as np

from keras_vit import accounting, create, figures
from keras_vit.studies.lab import paired, seeds
from keras_vit.studies.lab.runner import Study
from keras_vit.variants import Variant, parse

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
REFUSALS = ("resource_exhausted", "resource exhausted", "out of memory")
PER_WEIGHT = 16  # bytes: a weight, its gradient and Adam's two moments, in float32
MOST = 2**16  # images in the largest batch to try


def measure_speed(model, batch_sizes, rounds, matrix):
    """Times `predict_on_batch` in alternation with a product of two matrices of side `matrix`.

    Returns the results of the fastest of `batch_sizes`; zeros if none fits into memory.
    """
    factor = keras.ops.full((matrix, matrix), 0.5, model.compute_dtype)
    found = [_summarize(0, [1.0], [1.0])]
    for batch in batch_sizes:
        shape = (batch, *model.input_shape[1:])
        images = np.random.default_rng(0).integers(0, 256, shape, dtype="uint8")
        turns = {
            "model": lambda images=images: model.predict_on_batch(images),
            "product": lambda: keras.ops.convert_to_numpy(keras.ops.matmul(factor, factor)[0, 0]),
        }
        seconds = catch_refusal(lambda turns=turns: paired.measure(turns, rounds))
        if seconds:
            found.append(_summarize(batch, seconds["model"], seconds["product"]))
    return max(found, key=lambda rates: rates["images_per_second"])


def _summarize(batch, seconds, product_seconds):
    fast, slow = paired.quartiles(seconds)
    return {
        "images_per_second": paired.rate(seconds, batch),
        "lower_quartile": batch / slow,
        "upper_quartile": batch / fast,
        "images_per_product": batch * paired.speedup(seconds, product_seconds)[0],
        "best_batch": batch,
    }


def estimate_batch(name, image_size, gib):
    """Estimates the largest batch of a training step in a memory of `gib` GiB.

    Weights, gradients and Adam's moments are float32, and everything that the backward pass reads
    is kept, see `keras_vit.accounting.activation_memory`.

    Example:
    >>> keras_vit.studies.speed.estimate_batch("ViT-B/16", 224, gib=16)
    113
    """
    weights = PER_WEIGHT * accounting.count(name, image_size).parameters
    image = accounting.activation_memory(name, 1, image_size)
    return max(0, int((gib * 2**30 - weights) // image))


def find_batch(model):
    """Returns the largest batch that a training step can take: 0 or a power of two up to `MOST`."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-6), loss)
    batch = 1
    while batch <= MOST and catch_refusal(lambda: _step(model, batch)):  # noqa: B023
        batch *= 2
    return batch // 2


def catch_refusal(function):
    """Returns the result of a function; None if the device runs out of memory."""
    try:
        return function()
    except Exception as error:  # each backend has its own class of error
        if isinstance(error, MemoryError) or any(r in str(error).lower() for r in REFUSALS):
            return None
        raise


def _step(model, batch):
    images = np.zeros((batch, *model.input_shape[1:]), "uint8")
    model.train_on_batch(images, np.zeros(batch, "int32"))
    return True


def _draw(axes, rows, column, title):
    for number, (model, points) in enumerate(group_by_model(rows).items()):
        shown = [p for p in points if p[column] > 0]  # 0: no batch fits
        sizes, values = ([p[key] for p in shown] for key in ("image_size", column))
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


def _origin(row):
    """Describes how the largest batch was found."""
    tried = row["memory_gib"] == "tried"
    return "tried" if tried else f"estimated for {row['memory_gib']} GiB"


def group_by_model(rows):
    """Returns {model: [its rows in the order of size]}."""
    groups = seeds.group([{**row, "row": row} for row in rows], "model", "row")
    return {name: sorted(of, key=lambda row: row["image_size"]) for name, of in groups.items()}


def _growth(models):
    """States the powers of the number of pixels with which time and multiply-adds grow."""
    grown = []
    for name, points in models.items():
        if len(points) > 1:
            pixels = [math.log(row["image_size"] ** 2) for row in points]
            work = [math.log(row["multiply_adds"]) for row in points]
            times = [math.log(row["multiply_adds"] / row["share_of_product"]) for row in points]
            powers = (statistics.linear_regression(pixels, y).slope for y in (times, work))
            grown.append("{} {:.2f} ({:.2f})".format(name, *powers))
    if not grown:
        return "Two sizes are needed to measure growth."
    return (
        "The time of an image (its multiply-adds) grows with this power of its number of pixels, "
        f"1 being proportional and 2 the square: {', '.join(grown)}."
    )


def _speed(rows):
    """Compares the multiply-adds per second of ViTs and ResNets, size by size."""
    kinds = [{**row, "vit": _is_vit(row["model"])} for row in rows]
    shares = seeds.group(kinds, ("image_size", "vit"), "share_of_product")
    ratios = [
        statistics.fmean(values) / statistics.fmean(shares[size, False])
        for (size, vit), values in shares.items()
        if vit and (size, False) in shares
    ]
    if not ratios:
        return "No size was measured with both."
    low, high = min(ratios), max(ratios)
    mixed = "more at some sizes, fewer at others"
    verdict = "more at every size" if low > 1 else "fewer at every size" if high < 1 else mixed
    return (
        f"ViTs do {low:.2f} to {high:.2f} times as many multiply-adds per second as ResNets: "
        f"{verdict}."
    )


def _memory(models):
    """Compares the largest batches of the models at their largest size."""
    size = max(points[-1]["image_size"] for points in models.values())
    last = [points[-1] for points in models.values() if points[-1]["image_size"] > 0.9 * size]
    vits, resnets = (
        [row["largest_batch"] for row in last if _is_vit(row["model"]) == kind]
        for kind in (True, False)
    )
    if not vits or not resnets:
        return ""
    verdict = "the two families overlap"
    if min(vits) > max(resnets):
        verdict = "ViTs need less memory"
    elif max(vits) < min(resnets):
        verdict = "ViTs need more memory"
    listed = ", ".join(f"{row['model']} {row['largest_batch']}" for row in last)
    return (
        f"Largest batch in training with images of {size} pixels, {_origin(last[0])}: {listed}; "
        f"{verdict}."
    )


def _is_vit(model):
    return type(parse(model)) is Variant


class Figure12(Study):
    """Figure 12: speed and memory by image size.

    Appendix D.5 times the inference of ViTs and ResNets on a TPUv3 over a range of input sizes, at
    the best batch size, and finds the largest batch that fits into the memory of a core.

    At "tiny", small models run on the CPU with one batch size; "small" uses the paper's smaller
    models and larger images; "gpu" its larger models and several batch sizes, of which the best
    counts. Images go through `predict_on_batch`, including their transfer to the device.

    A matrix product is timed in alternation with each batch. The speed of a model relative to the
    product does not depend on other load on the machine, whereas images per second do.

    The largest batch is that of a training step. At "tiny" and "small" it is estimated, not
    measured: what fits into the 16 GiB of a TPUv3 core if weights, gradients and Adam's two
    moments are float32 and everything that the backward pass reads is kept (`accounting`). At
    "gpu" it is measured: batches are doubled until the device runs out of memory in a step with
    Adam.
    """

    paper = (
        "ViTs are about as fast as ResNets of their size. That their work grows with the square of "
        "the number of patches barely begins to show, for the largest models and images. Large "
        "ViTs clearly need less memory (D.5, Figure 12)."
    )
    needs = {
        "small": "no images; 8 GiB of memory; about an hour on a CPU",
        "gpu": "no images; one GPU of 40 GiB or more; about two hours",
    }
    num_seeds = None

    def variants(self, scale):
        models, sizes, fixed = GROUPS[scale]
        found = []
        for size in sizes:
            for model in models:
                patch = parse(model).patch_size if _is_vit(model) else 1
                found.append({"model": model, "image_size": size // patch * patch, **fixed})
        return found

    def run(self, model, image_size, batch_sizes, rounds, dtype, matrix, memory_gib):
        """Times one model at one size, and finds its largest batch."""
        network = create(model, image_size=image_size, dtype=dtype)
        batches = [int(size) for size in str(batch_sizes).split()]
        found = measure_speed(network, batches, rounds, matrix)
        work = accounting.count(model, image_size).multiply_adds
        # The share of the product's multiply-adds per second that the model reaches
        share = found.pop("images_per_product") * work / matrix**3
        if memory_gib == "tried":
            largest = find_batch(network)
        else:
            largest = estimate_batch(model, image_size, memory_gib)
        return {**found, "share_of_product": share, "multiply_adds": work, "largest_batch": largest}

    def plot(self, rows):
        """Plots images per second, and the largest batch, against the size of images."""
        figure = figures.figure(8, 3.9)
        left, right = figure.subplots(1, 2)
        _draw(left, rows, "images_per_second", "images per second: median, quartiles")
        for number, points in enumerate(group_by_model(rows).values()):
            ends = ([p[end] for p in points] for end in ("lower_quartile", "upper_quartile"))
            sizes = [p["image_size"] for p in points]
            left.fill_between(sizes, *ends, color=f"C{number}", alpha=0.15, linewidth=0)
        _draw(right, rows, "largest_batch", f"largest batch, {_origin(rows[0])}")
        right.legend(fontsize=8)
        return figure

    def conclusion(self, rows):
        rows = [row for row in rows if row["images_per_second"] > 0]  # 0: no batch fits
        models = group_by_model(rows)
        if {_is_vit(model) for model in models} != {True, False}:
            return "A ViT and a ResNet must be measured to compare them."
        return " ".join(filter(None, (_growth(models), _speed(rows), _memory(models))))
