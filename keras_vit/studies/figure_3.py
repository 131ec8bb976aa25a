"""Figure 3: after pre-training on which datasets does the larger ViT win?

Section 4.3 pre-trains ViTs on ImageNet (1.3M images), ImageNet-21k (14M) and JFT (303M) and
fine-tunes them on ImageNet: after ImageNet the large models are behind the base models, after JFT
ahead. Regularization is tuned for each dataset.

At "tiny", models are pre-trained on 250, 2500 and 25,000 images of the digits 0 to 4, each at a
random position in an image of 16 x 16 pixels, and fine-tuned on 100 images of the digits 5 to 9,
which are new to them; "small" and "gpu" use the first five classes of CIFAR-10 and 500 images of
the others. The datasets differ only in size, in the paper also in kind and in classes. All models
take the same number of steps, with one learning rate for fine-tuning, and nothing is tuned for a
dataset.

The learning rate of fine-tuning at "tiny" is the best of 3e-4, 1e-3 and 3e-3 for a ViT of 4 x 64
and nearly the best for the ResNet, tried after 2500 images with a seed that is not used here. After
400 steps the ViTs have not converged, so the order after long training remains open.
"""

import statistics

from keras_vit import accounting, figures
from keras_vit.studies import seeds, transfer
from keras_vit.studies.paper_numbers import TABLE_5, TABLE_5_TASKS

TITLE = "Fine-tuning by size of the pre-training set"
QUESTION = "Is a larger ViT better only after pre-training on many images?"
PAPER = (
    "ImageNet after fine-tuning: pre-trained on ImageNet, L/16 is behind B/16 with 76.5 to 77.9 %; "
    "on ImageNet-21k they are alike with 85.2 and 84.0 %; on JFT L/16 is ahead with 87.1 to 84.2 % "
    "(4.3, Figure 3, Table 5)."
)
NEEDS = transfer.NEEDS
SETS = {"ImageNet": 1.3e6, "ImageNet-21k": 14e6, "JFT-300M": 303e6}  # images, section 4.1


def runs(scale):
    """Returns the settings of all runs, those of the first seed first."""
    return transfer.settings(scale, transfer.SIZES[scale], **transfer.TUNING[scale])


def run(data, labels, tuning_steps, tuning_rate, batch_size, seed, **settings):
    """Pre-trains one model and fine-tunes it on few images of the new classes."""
    model = transfer.pretrain(data=data, batch_size=batch_size, seed=seed, **settings)
    train = transfer.load_half(data, "new", labels, seed)
    test = transfer.load_half(data, "new", transfer.TEST, part="test")
    tuning = {"steps": tuning_steps, "rate": tuning_rate, "batch_size": batch_size, "seed": seed}
    return {
        "accuracy": transfer.fine_tune(model, train, test, **tuning),
        "multiply_adds": accounting.count(model).multiply_adds,
    }


def plot(rows):
    """Draws accuracy after fine-tuning against images: ours, and the paper's ViTs."""
    figure = figures.figure(8, 4)
    ours, papers = figure.subplots(1, 2)
    transfer.draw_lines(ours, rows, "accuracy")
    ours.set_ylabel("new classes after fine-tuning, %")
    ours.set_title("here", fontsize=10)
    column = TABLE_5_TASKS.index("ImageNet")
    for name, marker in zip(("B/32", "B/16", "L/32", "L/16", "H/14"), "osD^v", strict=True):
        points = [
            (size, TABLE_5[kind, name][column])
            for kind, size in SETS.items()
            if (kind, name) in TABLE_5
        ]
        papers.plot(*zip(*points, strict=True), marker=marker, label=f"ViT-{name}")
    papers.set_xscale("log")
    papers.set_xticks(list(SETS.values()), SETS)
    papers.minorticks_off()
    papers.set(xlabel="set of pre-training", ylabel="ImageNet after fine-tuning, %")
    papers.set_title("paper, Figure 3 and Table 5", fontsize=10)
    papers.grid(alpha=0.3)
    papers.legend(fontsize=8)
    return figure


def conclusion(rows):
    """States by how much the larger ViT is ahead of the smaller after each set."""
    found = transfer.group_by_model(rows, "accuracy")
    vits = transfer.vits(rows)
    if len(vits) < 2:
        return "Two ViTs must be pre-trained and fine-tuned to compare them."
    small, large = (found[name] for name in (vits[0], vits[-1]))
    sizes = [size for size in small if size in large]
    if not sizes:
        return "Both ViTs must be pre-trained on the same images to compare them."
    leads = [_lead(small[size], large[size], size) for size in sizes]
    text = f"{vits[-1]} beside {vits[0]}: {'; '.join(leads)}. "
    if len(sizes) > 1:
        text += _change(small, large, sizes)
    return text + _resnet(found, sizes)


def _lead(small, large, size):
    lead = 100 * (statistics.fmean(large) - statistics.fmean(small))
    but = "" if seeds.differ(small, large) else " (within the seeds)"
    return f"{lead:+.1f} points after {size:,} images{but}"


def _change(small, large, sizes):
    """States whether the larger ViT's lead grows with the set, by the leads of each seed."""
    first, last = (
        [big - little for little, big in zip(small[n], large[n], strict=False)]
        for n in (sizes[0], sizes[-1])
    )
    if not seeds.differ(first, last):
        return "Whether its lead grows with the set, seeds do not decide. "
    grows = statistics.fmean(last) > statistics.fmean(first)
    return f"Its lead {'grows' if grows else 'shrinks'} with the set. "


def _resnet(found, sizes):
    """Compares the best ViT with the ResNet after the largest dataset."""
    best = {}
    for name, accuracies in found.items():
        values, kind = accuracies.get(sizes[-1]), name.split()[0]
        if values and statistics.fmean(values) > statistics.fmean(best.get(kind, [0.0])):
            best[kind] = values
    if set(best) != {"ViT", "ResNet"}:
        return "There is no ResNet beside them yet."
    return (
        f"After {sizes[-1]:,} images the best ViT has {seeds.spell(best['ViT'])} %, the ResNet "
        f"{seeds.spell(best['ResNet'])} %."
    )
