"""Table 9: what does pre-training give if a task has few labels (VTAB-1k)?

VTAB-1k has 19 tasks with 1,000 labeled images each, in three groups: natural, specialized,
structured. Section 4.2 and Appendix D.10 fine-tune pre-trained ViTs on each: 2,500 steps with 512
images at a learning rate of 0.01, the same for all tasks.

At "tiny" they are replaced by eight small tasks with 100 labels each, made of the digits 5 to 9 on
canvases of 16 x 16 pixels (`keras_vit.studies.little_vtab`): classify a digit, plain and with noise
(natural), in a negative and in outlines (specialized); find in which ninth of the canvas it is, how
many digits there are, by how many quarter turns it is rotated, which of two digits is higher
(structured). A ViT and a ResNet are pre-trained on the digits 0 to 4; the same ViT from scratch is
the control. All take the same steps of fine-tuning at the learning rate of pre-training; after 100
steps at a third of it the ViT was at chance in three of the tasks.

"small" uses nine of the real tasks, those with small downloads and at least one of each group,
"gpu" all 19, with published weights of ImageNet-21k and ImageNet; from large test splits 2,000 or
10,000 images are drawn. As in the paper, 800 + 200 images are used for training. "VTAB" in Table 2
is the mean over the tasks.
"""

import functools
import statistics

import keras
import numpy as np

from keras_vit import create, data, figures, load_pretrained
from keras_vit.studies import design, little_vtab, seeds, transfer, trials
from keras_vit.studies.paper_numbers import TABLE_9, TABLE_9_TASKS

TITLE = "Nineteen tasks with few labels (VTAB-1k)"
QUESTION = (
    "What does pre-training give with few labels, task by task, and is a ViT behind a ResNet?"
)
PAPER = (
    "With 1,000 labels a task, mean of 19 tasks: H/14 of JFT 77.6 %, L/16 of JFT 76.3 %, L/16 of "
    "ImageNet-21k 72.7 % (D.10, Table 9); BiT-L 76.3 % (Table 2)."
)
NEEDS = {
    "small": "nine sets of TensorFlow Datasets, 4 GB of downloads; 140 MB of published weights; "
    "some days of a processor",
    "gpu": "19 sets of TensorFlow Datasets, about 90 GB of downloads, resisc45 and "
    "diabetic_retinopathy_detection by hand; 1 GB of published weights; days of one large GPU",
}
LITTLE = "little VTAB"
SCRATCH, PRETRAINED = "from scratch", "pre-trained"
MODELS = {
    "tiny": (
        ("ViT 4 x 48", PRETRAINED),
        ("ResNet 1", PRETRAINED),
        ("ViT 4 x 48", SCRATCH),
    ),
    "small": (
        ("ViT-Ti/16", PRETRAINED),
        ("R50x1", PRETRAINED),
        ("ViT-Ti/16", SCRATCH),
    ),
    "gpu": (
        ("ViT-B/16", PRETRAINED),
        ("R101x1", PRETRAINED),
        ("ViT-B/16", SCRATCH),
    ),
}
TRAINING = {
    "tiny": {
        **{"data": LITTLE, "labels": 100, "test": 1000, "dtype": "float32"},
        **{"images": 25_000, "steps": 400, "batch_size": 64, "rate": 3e-3},
        **{"tuning_steps": 300, "tuning_batch": 32, "tuning_rate": 3e-3},
    },
    "small": {
        **{"data": "vtab", "image_size": 224, "test": 2000, "dtype": "float32"},
        **{"tuning_steps": 500, "tuning_batch": 64, "tuning_rate": 0.01},
    },
    "gpu": {
        **{"data": "vtab", "image_size": 384, "test": 10_000, "dtype": "mixed_bfloat16"},
        **{"tuning_steps": 2500, "tuning_batch": 512, "tuning_rate": 0.01},
    },
}
SMALL = ("flowers102", "pets", "dtd", "svhn", "eurosat")
SMALL += ("dsprites-location", "dsprites-orientation", "smallnorb-azimuth", "smallnorb-elevation")
TASKS = {
    "tiny": [(group, name) for name, (group, _) in little_vtab.TASKS.items()],
    "small": [(group, name) for group, name in TABLE_9_TASKS if name in SMALL],
    "gpu": list(TABLE_9_TASKS),
}
SEEDS = design.count_seeds(2, 2, 3)
GROUPS = ("natural", "specialized", "structured")


def variants(scale):
    """Returns the settings that vary, model by model."""
    return [
        {"group": group, "task": task, "model": model, "start": start}
        for model, start in MODELS[scale]
        for group, task in TASKS[scale]
    ]


runs = design.vary(variants, TRAINING, SEEDS)


def run(task, data, seed, test, tuning_steps, tuning_batch, tuning_rate, group=None, **settings):
    """Fine-tunes one model on one task; returns its accuracy there."""
    tuning = {"steps": tuning_steps, "batch_size": tuning_batch, "rate": tuning_rate, "seed": seed}
    if data == LITTLE:
        train = little_vtab.load(task, settings.pop("labels"), seed)
        tuned = _little_model(seed=seed, **settings)
        _fit_anew(*tuned, *train, **tuning)
        return {"accuracy": trials.accuracy(tuned[0], *little_vtab.load(task, test, 0, "test"))}
    train, tested, classes = real_task(task, settings["image_size"], test)
    tuned = _published_model(classes=classes, seed=seed, **settings)
    trials.fit(tuned, *train, optimizer="sgd", **tuning)
    return {"accuracy": trials.accuracy(tuned, *tested)}


@functools.lru_cache(maxsize=1)  # its tasks follow each other: pre-trained, and compiled, once
def _little_model(model, start, seed, dtype, **settings):
    """A model with a new head of zeros, pre-trained on the digits 0 to 4 or fresh; its weights."""
    shape = transfer.MODELS["tiny"][model]
    shape = {"patch_size": shape.get("patch_size", 0), "num_heads": shape.get("num_heads", 0)}
    if start != PRETRAINED:
        settings["images"] = 0
    settings |= {"data": "wandering digits", "dtype": dtype, "seed": seed, **shape}
    made = transfer.replace_head(transfer.pretrain(model, **settings), little_vtab.OUTPUTS)
    return made, made.get_weights()


def _fit_anew(model, weights, images, labels, steps, batch_size, rate, seed):
    """Trains a model from `weights`; compiles it for the first task alone.

    Compiling takes longer than the steps. Settings but images and seed must be the same.
    """
    model.set_weights(weights)
    if not model.compiled:
        trials.fit(model, images, labels, steps, batch_size, rate, seed, weight_decay=0.0)
        return
    for variable in model.optimizer.variables:  # the number of steps, and moments: all begin at 0
        variable.assign(np.zeros(variable.shape))
    order = trials.shuffle(len(labels), steps * batch_size, seed).reshape(steps, batch_size)
    model.fit(trials.TrialBatches(images, labels, order), shuffle=False, verbose=0)


def _published_model(model, start, classes, seed, image_size, dtype):
    """A named model for a number of classes, with published weights or fresh ones."""
    keras.utils.set_random_seed(seed)
    more = {"num_classes": classes, "image_size": image_size, "dtype": dtype}
    if start == PRETRAINED:
        return load_pretrained(model, verbose=False, **more)
    return create(model, **more)


def real_task(name, image_size, most):
    """Returns a task of VTAB-1k: (images, labels) of 1,000, (images, labels) of the test, classes.

    Args:
        name: as in `keras_vit.data.load("vtab/NAME")`.
        image_size: in pixels.
        most: test images are that many at most, drawn evenly from all.
    """
    loaded = data.load(f"vtab/{name}", image_size)
    known = [_images(loaded, part) for part in ("train", "validation")]
    train = tuple(np.concatenate(both) for both in zip(*known, strict=True))
    return train, _images(loaded, "test", most), loaded.num_classes


def _images(loaded, part, most=None):
    batches, labels = loaded.fixed_batches(part), loaded.labels(part)
    count = len(labels)
    chosen = np.linspace(0, count - 1, min(most or count, count)).round().astype(int)
    return np.stack([batches.image(number) for number in chosen]), labels[chosen]


def plot(rows):
    """Draws every task's accuracy, ours and below the paper's."""
    figure = figures.figure(9, 6.4)
    ours, papers = figure.subplots(2, 1)
    tasks = list(dict.fromkeys((row["group"], row["task"]) for row in rows))
    for name, marker, shift in zip(models(rows), "osD", (-0.18, 0, 0.18), strict=False):
        for place, (_, task) in enumerate(tasks):
            values = [100 * value for value in _of(rows, name, task)]
            if values:
                x = place + shift
                ours.plot([x] * len(values), values, "_", color="gray", ms=6)
                mean, color = statistics.fmean(values), COLOURS[marker]
                label = name if task == _tasks(rows, name)[0] else None
                ours.plot([x], [mean], marker, color=color, label=label)
    chance = [100 / little_vtab.CLASSES.get(task, np.inf) for _, task in tasks]
    if any(chance):
        ours.plot(chance, "x", color="gray", ms=4, label="chance")
    _name_tasks(ours, tasks)
    ours.set_title("here: dashes are seeds", fontsize=10)
    for (name, values), marker in zip(TABLE_9.items(), "osD", strict=True):
        papers.plot(values, marker, color=COLOURS[marker], label=name, ms=5)
    _name_tasks(papers, TABLE_9_TASKS)
    papers.set_title("paper, Table 9", fontsize=10)
    return figure


COLOURS = {"o": "C0", "s": "C1", "D": "C2"}


def _name_tasks(axes, tasks):
    """Names of tasks below, groups divided by lines."""
    axes.set_xticks(range(len(tasks)), [name for _, name in tasks], fontsize=8)
    if len(tasks) > 8:
        axes.tick_params(axis="x", rotation=35)
        for label in axes.get_xticklabels():
            label.set_ha("right")
    groups = [group for group, _ in tasks]
    for group in dict.fromkeys(groups):
        first, count = groups.index(group), groups.count(group)
        if first:
            axes.axvline(first - 0.5, color="gray", linewidth=0.8)
        place = (first + (count - 1) / 2, 0.02)
        axes.text(*place, group, transform=axes.get_xaxis_transform(), ha="center", fontsize=8)
    axes.set_ylabel("accuracy, %")
    axes.set_ylim(0, 102)
    axes.grid(alpha=0.3, axis="y")
    axes.legend(fontsize=8, bbox_to_anchor=(1.01, 1), loc="upper left")


def conclusion(rows):
    """States what the models reach in the mean, and in which tasks they differ."""
    names = models(rows)
    if len(names) < 2:
        return "Two models must be fine-tuned on the same tasks to compare them."
    shared = [task for task in _tasks(rows, names[0]) if all(_of(rows, n, task) for n in names)]
    if not shared:
        return "Two models must be fine-tuned on the same tasks to compare them."
    means = {name: task_means(rows, name, shared) for name in names}
    listed = ", ".join(f"{n} {seeds.spell(v)} %" for n, v in means.items() if v)
    sentences = f"Mean of {len(shared)} tasks: {listed}."
    first = names[0]
    for other in names[1:]:
        sentences += f" {_compare(rows, first, other, shared)}"
    return sentences


def _compare(rows, first, other, tasks):
    """States in which tasks one model is beyond another by more than seeds differ."""
    better, worse = [], []
    for task in tasks:
        a, b = _of(rows, first, task), _of(rows, other, task)
        gain = 100 * (statistics.fmean(a) - statistics.fmean(b))
        if seeds.differ(a, b):
            (better if gain > 0 else worse).append(f"{task} ({gain:+.0f})")
    return (
        f"{first} beside {other}: more in {', '.join(better) or 'none'}, less in "
        f"{', '.join(worse) or 'none'}, within the seeds in the others."
    )


def models(rows):
    """Returns the names of the models, with how they started, in the order of the rows."""
    return list(dict.fromkeys(name_of(row) for row in rows))


def name_of(row):
    """Returns the name of a row's model with how it started."""
    return f"{row['model']}, {row['start']}"


def task_means(rows, name, tasks):
    """Returns a model's mean over tasks, for each seed that has all of them."""
    found = {}
    for row in rows:
        if name_of(row) == name and row["task"] in tasks:
            found.setdefault(row["seed"], []).append(row["accuracy"])
    return [statistics.fmean(values) for values in found.values() if len(values) == len(tasks)]


def _tasks(rows, name):
    return list(dict.fromkeys(row["task"] for row in rows if name_of(row) == name))


def _of(rows, name, task):
    return [row["accuracy"] for row in rows if name_of(row) == name and row["task"] == task]
