"""Figure 4: whose representation gains more from more images, a ViT's or a ResNet's?

Section 4.3 pre-trains on 9M, 30M, 90M and 300M images of JFT and measures linear 5-shot accuracy
on ImageNet. ResNets lead after the smallest dataset and flatten; ViTs overtake them.

At "tiny", models are pre-trained on 100 to 25,000 images of the handwritten digits 0 to 4, each at
a random position in an image of 16 x 16 pixels. The frozen representation is tested on the digits 5
to 9, which are new to it, by least squares from 5 images of each. "small" and "gpu" use the first
five classes of CIFAR-10 and the others. The smaller datasets are subsets of the larger.

As in the paper, only the images change with the size of the dataset. The number of steps, not of
epochs, is the same for all sizes, and there is no early stopping. There are five classes, and all
images show one of some 700 handwritten digits: no dataset here is large in the sense of JFT. At
"tiny", 400 steps show each image of the largest dataset once, so the ViTs have not converged. Twice
the steps with half the batch, tried with another seed and ViTs of 4 x 32 and 4 x 64, left the
ResNet 9 points ahead.
"""

import statistics

from keras_vit import accounting, figures
from keras_vit.studies import seeds, transfer, trials
from keras_vit.training import few_shot

TITLE = "Few-shot accuracy by size of the pre-training set"
QUESTION = "Does a ViT's representation gain more by more images than a ResNet's?"
PAPER = (
    "Linear 5-shot on ImageNet: ResNets lead after 9M images of JFT and flatten sooner; ViT-B/32 "
    "is much worse than a ResNet-50 after 9M, and better from 90M on (4.3, Figure 4)."
)
NEEDS = transfer.NEEDS
SIZES = {
    "tiny": (100, 600, 4000, 25_000),
    "small": (100, 400, 1600, 6400, 25_000),
    "gpu": (100, 400, 1600, 6400, 25_000),
}


def runs(scale):
    """Returns the settings of all runs, those of the first seed first."""
    return transfer.settings(scale, SIZES[scale])


def run(data, seed, **settings):
    """Pre-trains one model; returns 5-shot accuracy of its features, and of the bare pixels."""
    model = transfer.pretrain(data=data, seed=seed, **settings)
    train = transfer.load_half(data, "new", transfer.TEST, seed)
    test = transfer.load_half(data, "new", transfer.TEST, part="test")
    known = transfer.load_half(data, "known", transfer.TEST, part="test")
    shots = transfer.TRANSFER_SHOTS
    flat = [(images.reshape(len(images), -1), labels) for images, labels in (train, test)]
    pixels = few_shot(*flat[0], *flat[1], shots=shots, seeds=transfer.DRAWS)
    return {
        "few_shot": trials.few_shot_accuracy(model, train, test, shots, transfer.DRAWS),
        "pixels": float(pixels.mean(shots)),
        "known_accuracy": trials.accuracy(model, *known),
        "multiply_adds": accounting.count(model).multiply_adds,
    }


def plot(rows):
    """Draws few-shot accuracy, and that of the known classes, against images."""
    figure = figures.figure(8, 4)
    panels = figure.subplots(1, 2)
    titles = {"few_shot": "new classes, linear 5-shot", "known_accuracy": "known classes"}
    for axes, (value, title) in zip(panels, titles.items(), strict=True):
        transfer.draw_lines(axes, rows, value)
        axes.set_title(title, fontsize=10)
        axes.set_ylabel("test accuracy, %")
    floor = 100 * statistics.fmean(row["pixels"] for row in rows)
    panels[0].axhline(floor, color="gray", linestyle=":", label="pixels")
    panels[0].get_legend().remove()
    handles, labels = panels[0].get_legend_handles_labels()
    panels[1].legend(handles, labels, fontsize=8, title="model (multiply-adds)", title_fontsize=8)
    return figure


def conclusion(rows):
    """States who leads after the smallest and the largest set, and who still gains."""
    found = transfer.group_by_model(rows, "few_shot")
    complete = {name: sizes for name, sizes in found.items() if len(sizes) >= 2}
    if len(complete) < 2:
        return "Two models must be pre-trained on two numbers of images to compare them."
    sizes = sorted(set.intersection(*(set(values) for values in complete.values())))
    if len(sizes) < 2:
        return "All models need at least two numbers of images in common to compare them."
    floor = [row["pixels"] for row in rows]
    after = [_leader(complete, size) for size in (sizes[0], sizes[-1])]
    return (
        f"5-shot on the new classes: {after[0]}; {after[1]}. {_gains(complete, sizes)} "
        f"{_overtaking(complete, sizes)} The bare pixels give {100 * _mean(floor):.1f} %."
    )


def _gains(models, sizes):
    """States what each model gains from the smallest set to the largest, and by the last step."""
    first, before, last = sizes[0], sizes[-2], sizes[-1]
    gains = {
        name: [b - a for a, b in zip(found[first], found[last], strict=False)]
        for name, found in models.items()
    }
    listed = ", ".join(f"{name} {seeds.spell(values, '+.1f')}" for name, values in gains.items())
    best, second, *_ = sorted(gains.values(), key=_mean, reverse=True)
    but = "" if seeds.differ(best, second) else " (who gains most, seeds do not decide)"
    steps = ", ".join(
        f"{name} {100 * (_mean(found[last]) - _mean(found[before])):+.1f}"
        for name, found in models.items()
    )
    return (
        f"Gained by {last:,} images in place of {first:,}: {listed}{but}; in place of "
        f"{before:,}: {steps} points."
    )


def _leader(models, size):
    """States which model is best after `size` images, and whether seeds decide that."""
    order = sorted(models, key=lambda name: -_mean(models[name][size]))
    best, second = (models[name][size] for name in order[:2])
    but = "" if seeds.differ(best, second) else ", which seeds do not decide"
    return (
        f"after {size:,} images {order[0]} leads with {seeds.spell(best)} % before {order[1]} "
        f"with {seeds.spell(second)} %{but}"
    )


def _overtaking(models, sizes):
    """States from how many images on the best ViT is ahead of the ResNet."""
    vits = [found for name, found in models.items() if name.startswith("ViT")]
    resnets = [found for name, found in models.items() if name.startswith("ResNet")]
    if not vits or not resnets:
        return "Without a ViT and a ResNet nobody overtakes."
    ahead = [
        max(_mean(found[n]) for found in vits) > max(_mean(found[n]) for found in resnets)
        for n in sizes
    ]
    if all(ahead):
        return "A ViT is ahead of the ResNet at all sizes."
    if not ahead[-1]:
        return "No ViT is ahead of the ResNet after the largest set."
    first = max(i for i, leads in enumerate(ahead) if not leads) + 1
    return f"A ViT is ahead of the ResNet from {sizes[first]:,} images on."


def _mean(values):
    return statistics.fmean(values)
