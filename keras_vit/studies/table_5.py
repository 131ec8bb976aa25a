"""Table 5: which tasks gain from a larger pre-training dataset?

The paper fine-tunes ViTs on CIFAR-10, CIFAR-100, ImageNet (with its original and with ReaL labels),
Flowers and Pets after pre-training on ImageNet, ImageNet-21k and JFT. Almost every number rises
from the first dataset to the second, most in difficult tasks.

At "tiny", ViTs are pre-trained on 0 (from scratch), 250, 2500 and 25,000 images of the digits 0 to
4, each at a random position in an image of 16 x 16 pixels, and fine-tuned on 100 images of the
digits 5 to 9 for each of three tasks: classify the digit, classify it in a negative, find by how
many quarter turns it is rotated. "small" and "gpu" use the first five classes of CIFAR-10 and 500
images of the others. The datasets differ only in size. Steps and learning rates are the same for
all datasets and tasks, unlike in the paper; a model from scratch takes only the fine-tuning steps.
"""

import statistics

import numpy as np

from keras_vit import accounting, figures
from keras_vit.studies import seeds, transfer
from keras_vit.studies.paper_numbers import TABLE_5, TABLE_5_TASKS

TITLE = "Transfer to several tasks by pre-training set"
QUESTION = "Does a larger pre-training set help a ViT in every task?"
PAPER = (
    "B/16 pre-trained on ImageNet, ImageNet-21k, JFT: CIFAR-10 98.1, 99.0, 99.0 %; CIFAR-100 87.1, "
    "91.7, 91.9 %; ImageNet 77.9, 84.0, 84.2 %; Flowers 89.5, 99.4, 99.6 %; Pets 93.8, 94.4, "
    "95.8 % (Table 5)."
)
NEEDS = transfer.NEEDS
TASKS = ("new", "negative", "turned")
WORDS = {"new": "new classes", "negative": "new classes, negative", "turned": "quarter turns"}
SETS = ("ImageNet", "ImageNet-21k", "JFT-300M")


def runs(scale):
    """Returns the settings of all runs, those of the first seed first."""
    sizes = (0, *transfer.SIZES[scale])
    found = transfer.settings(scale, sizes, **transfer.TUNING[scale])
    return [settings for settings in found if settings["model"].startswith("ViT")]


def run(data, labels, tuning_steps, tuning_rate, batch_size, seed, **settings):
    """Pre-trains one model and fine-tunes it on each task, each time from the same weights."""
    model = transfer.pretrain(data=data, batch_size=batch_size, seed=seed, **settings)
    train = transfer.load_half(data, "new", labels, seed)
    test = transfer.load_half(data, "new", transfer.TEST, part="test")
    tuning = {"steps": tuning_steps, "rate": tuning_rate, "batch_size": batch_size, "seed": seed}
    return {
        **{
            name: transfer.fine_tune(model, task(name, *train), task(name, *test), **tuning)
            for name in TASKS
        },
        "multiply_adds": accounting.count(model).multiply_adds,
    }


def task(name, images, labels):
    """Returns the images and labels of a task.

    Example:
    >>> image = np.array([[[[10], [20]], [[30], [40]]]], "uint8")
    >>> keras_vit.studies.table_5.task("negative", image, np.array([3]))[0].ravel().tolist()
    [245, 235, 225, 215]
    """
    if name == "negative":
        return 255 - images, labels
    if name == "turned":
        turns = np.arange(len(images), dtype="int32") % 4
        turned = [np.rot90(image, k) for image, k in zip(images, turns, strict=True)]
        return np.stack(turned), turns
    return images, labels


def plot(rows):
    """Draws a panel for each task, accuracy by pre-training set, and the paper's B/16 and L/16."""
    figure = figures.figure(10, 3.8)
    *ours, papers = figure.subplots(1, 4)
    for axes in ours[1:]:
        axes.sharey(ours[0])
        axes.tick_params(labelleft=False)
    sizes = sorted({row["images"] for row in rows})
    for axes, name in zip(ours, TASKS, strict=True):
        for model, marker in zip(transfer.vits(rows), "os", strict=False):
            found = transfer.group_by_model(rows, name)[model]
            for size, values in found.items():
                place = [sizes.index(size)] * len(values)
                axes.plot(place, [100 * v for v in values], marker, color="black", ms=2, zorder=3)
            means = [100 * statistics.fmean(values) for values in found.values()]
            places = [sizes.index(size) for size in found]
            axes.plot(places, means, marker=marker, label=transfer.label(model, rows))
        axes.set_title(WORDS[name], fontsize=10)
        axes.set_xticks(range(len(sizes)), [f"{n:,}" if n else "scratch" for n in sizes])
    ours[0].set_ylabel("accuracy after fine-tuning, %")
    ours[1].set_xlabel("images of pre-training")
    ours[2].legend(fontsize=7, title="dots: each seed", title_fontsize=7)
    for column, name in enumerate(TABLE_5_TASKS):
        values = [TABLE_5[kind, "B/16"][column] for kind in SETS]
        papers.plot(range(len(SETS)), values, marker=".", label=name)
    papers.set_xticks(range(len(SETS)), ["IN", "IN-21k", "JFT"])
    papers.set_title("paper, Table 5, ViT-B/16", fontsize=10)
    papers.set_ylim(66, 101)
    papers.legend(fontsize=6, ncols=2, loc="lower center")
    for axes in (*ours, papers):
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
    return figure


def conclusion(rows):
    """States what each task gains by pre-training, and by the largest set beside the smallest."""
    sentences = [_gain(model, rows) for model in transfer.vits(rows)]
    sentences = [sentence for sentence in sentences if sentence]
    if not sentences:
        return "A model must be trained after two pre-training sets, or one and none, to compare."
    return " ".join(sentences)


def _gain(model, rows):
    found = {name: transfer.group_by_model(rows, name)[model] for name in TASKS}
    sizes = list(found[TASKS[0]])
    if len(sizes) < 2:
        return ""
    first, last = sizes[0], sizes[-1]
    gains = []
    for name, accuracies in found.items():
        low, high = accuracies[first], accuracies[last]
        but = "" if seeds.differ(low, high) else " (within the seeds)"
        gains.append(f"{WORDS[name]} {seeds.spell(low)} to {seeds.spell(high)} %{but}")
    before = f"{first:,} images" if first else "scratch"
    return f"{model}, from {before} to {last:,} images: {'; '.join(gains)}.{_rises(found, sizes)}"


def _rises(found, sizes):
    """States in how many tasks the mean grows with every dataset, or is below that from scratch."""
    trained = [size for size in sizes if size]
    means = {name: {n: statistics.fmean(found[name][n]) for n in sizes} for name in found}
    text = ""
    if len(trained) > 1:
        steps = list(zip(trained, trained[1:], strict=False))
        rising = sum(all(mean[a] < mean[b] for a, b in steps) for mean in means.values())
        text += f" In {rising} of {len(means)} tasks each larger set has the higher mean."
    if 0 in sizes and trained:
        behind = sum(mean[trained[0]] < mean[0] for mean in means.values())
        text += f" After {trained[0]:,} images it is behind scratch in {behind} of {len(means)}."
    return text
