"""Which map best finds the patches that a model needs? Deletion curves on labeled photographs.

    python tests/benchmark/deletion.py MODEL FOLDER --out deletion.png

FOLDER holds images and `labels.csv` with the columns `file` and `imagenet_class`, the number of
the class among the model's outputs. Only images that the model classifies correctly count. The
patches of each are removed in the order of each map, and the probability of the class is recorded;
the smaller the area under this curve, the better the map.
"""

import argparse
import csv
import datetime
import pathlib
import shlex
import sys
import time

import numpy as np

import keras_vit
from keras_vit import environment
from keras_vit.explain.gradients import grad_cam, relevance
from keras_vit.explain.masking import FILLS, deletion_curve, occlusion
from keras_vit.explain.rollout import attention_rollout, token_attention

# Method: (its line in the figure, its map of (model, images, labels, rng)).
METHODS = {
    "random order": (
        ("#000000", ":", None),
        lambda model, images, labels, rng: rng.random((len(images), *_grid(model))),
    ),
    "attention, last block": (
        ("#E69F00", "-", "o"),
        lambda model, images, labels, rng: token_attention(model, images)[-1].mean(axis=1),
    ),
    "attention rollout": (
        ("#56B4E9", "-", "s"),
        lambda model, images, labels, rng: attention_rollout(model, images),
    ),
    "Grad-CAM": (
        ("#009E73", "-", "^"),
        lambda model, images, labels, rng: grad_cam(model, images, labels),
    ),
    "relevance": (
        ("#D55E00", "-", "D"),
        lambda model, images, labels, rng: relevance(model, images, labels),
    ),
    "occlusion": (
        ("#0072B2", "-", "v"),
        lambda model, images, labels, rng: occlusion(model, images, labels),
    ),
}
RESAMPLES = 10_000


def main(given=None):
    """Measures all methods, prints the table and draws the figure."""
    options = _parser().parse_args(given)
    print(header(sys.argv[1:] if given is None else given), flush=True)
    model = keras_vit.load_pretrained(options.model, verbose=False)
    images, labels = photographs(options.folder, model.image_size)
    right = model.predict(images, verbose=0).argmax(-1) == labels
    print(f"Named right: {right.sum()} of {len(right)} images, which are used.", flush=True)
    images, labels = images[right], labels[right]
    curves = {}
    for name, (_, view) in METHODS.items():
        started = time.perf_counter()
        maps = view(model, images, labels, np.random.default_rng(options.seed))
        seconds = time.perf_counter() - started
        curves[name] = deletion_curve(model, images, maps, labels, options.steps, options.fill)
        print(f"{name}: maps in {seconds:.0f} s", flush=True)
    if options.npz:
        np.savez(options.npz, **curves)
    print(table(curves, np.random.default_rng(options.seed)))
    figure(curves).savefig(options.out, bbox_inches="tight")


def photographs(folder, image_size):
    """Returns the images of a folder, (images, height, width, 3), and their classes."""
    folder = pathlib.Path(folder)
    with open(folder / "labels.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    images = [keras_vit.data.read(folder / row["file"], image_size) for row in rows]
    return np.stack(images), np.array([int(row["imagenet_class"]) for row in rows])


def areas(curve):
    """Returns the area under each image's curve over the share removed, (images,)."""
    return (curve[1:] + curve[:-1]).mean(axis=0) / 2


def interval(values, rng):
    """Returns the 95 % bootstrap interval of the mean over images."""
    drawn = rng.integers(0, len(values), (RESAMPLES, len(values)))
    return np.percentile(values[drawn].mean(axis=1), [2.5, 97.5])


def table(curves, rng):
    """Returns the areas of all methods, and their distance below random order."""
    lines = [
        "| order of the patches | area under the curve | 95 % | below random order by | 95 % |",
        "| --- | --- | --- | --- | --- |",
    ]
    random = areas(curves["random order"])
    for name, curve in curves.items():
        area = areas(curve)
        low, high = interval(area, rng)
        line = f"| {name} | {area.mean():.3f} | {low:.3f} to {high:.3f} |"
        if name != "random order":
            low, high = interval(random - area, rng)
            line += f" {(random - area).mean():.3f} | {low:.3f} to {high:.3f} |"
        else:
            line += " | |"
        lines.append(line)
    return "\n".join(lines)


def figure(curves):
    """Draws the mean curves of all methods."""
    drawn = keras_vit.figures.figure(7.6, 4.2)
    axes = drawn.subplots()
    for name, curve in curves.items():
        color, style, marker = METHODS[name][0]
        share = np.linspace(0, 100, len(curve))
        line = {"color": color, "linestyle": style, "marker": marker, "markersize": 4.5}
        axes.plot(share, curve.mean(axis=1), label=f"{name}, {areas(curve).mean():.2f}", **line)
    title = f"Patches removed, the most important first ({curve.shape[1]} photographs)"
    axes.set_title(title, fontsize=11)
    axes.set_xlabel("patches removed, %")
    axes.set_ylabel("mean probability of the class")
    axes.set(xlim=(0, 100), ylim=(0, None))
    axes.grid(alpha=0.3)
    drawn.legend(loc="outside right center", title="order, area below", frameon=False)
    return drawn


def header(given):
    """Returns everything that the numbers depend on."""
    hardware = environment.hardware()
    return "\n".join(
        [
            f"{environment.description()}, NumPy {np.__version__}",
            f"{hardware['processor']}, {hardware['cores']} cores",
            f"{datetime.date.today()}: python tests/benchmark/deletion.py {shlex.join(given)}",
        ]
    )


def _grid(model):
    return keras_vit.explain.inside.find_encoder.find(model).grid


def _parser():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", metavar="MODEL", help="name or file for `load_pretrained`")
    parser.add_argument("folder", metavar="FOLDER", help="images and labels.csv")
    parser.add_argument("--out", metavar="PNG", required=True, help="where to draw the curves")
    parser.add_argument("--npz", metavar="FILE", help="where to write every curve")
    parser.add_argument("--steps", type=int, default=14)
    parser.add_argument("--fill", choices=FILLS, default="mean", help="what a patch becomes")
    parser.add_argument("--seed", type=int, default=0, help="of random order and bootstrap")
    return parser


if __name__ == "__main__":
    main()
