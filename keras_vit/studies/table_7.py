"""Table 7: are ResNets better pre-trained with Adam or with SGD?

ResNets are usually pre-trained with SGD. Appendix D.1 pre-trains ResNet50 and ResNet152x2 on JFT
with both and fine-tunes them on five tasks: Adam is better on average (89.33 against 88.79 %, and
94.01 against 93.72), but not in every task, so the paper uses Adam for its ResNets, too.

At "tiny" a ResNet of one unit is pre-trained on the handwritten digits 0 to 4, each at a random
position in an image of 16 x 16 pixels, and also a ViT, unlike in the paper; neither optimizer has
weight decay. Transfer is to the digits 5 to 9: least squares on the frozen representation (20
images of each) and fine-tuning on 100 images, with AdamW instead of the paper's SGD. "small" and
"gpu" use the first five classes of CIFAR-10 and the others.

Each optimizer has three learning rates. The rate with the best mean accuracy on held-out images of
the known classes is compared, never the rate with the best transfer.
"""

import statistics

from keras_vit import figures
from keras_vit.studies import design, seeds, transfer, trials
from keras_vit.studies.paper_numbers import TABLE_7, TABLE_7_TASKS

TITLE = "Adam or SGD for pre-training"
QUESTION = "Does a ResNet transfer better when it is pre-trained with Adam, or with SGD?"
PAPER = (
    "Mean of five tasks after pre-training with Adam and SGD: ResNet50 89.33 and 88.79 %, "
    "ResNet152x2 94.01 and 93.72 %; SGD is better for ResNet50 on ImageNet, 78.24 against 77.54 %, "
    "and for ResNet152x2 on Flowers, 99.32 against 98.62 % (D.1, Table 7)."
)
NEEDS = transfer.NEEDS
MODELS = {
    "tiny": {"ResNet 1": (0, 0), "ViT 2 x 48": (4, 4)},  # patch size and heads
    "small": {"ResNet 1 + 1 + 1": (0, 0), "ViT 6 x 192": (4, 3)},
    "gpu": {"ResNet 3 + 4 + 6 + 3": (0, 0), "ViT 12 x 384": (4, 6)},
}
RATES = {
    "tiny": {"adam": (1e-3, 3e-3, 1e-2), "sgd": (0.03, 0.1, 0.3)},
    "small": {"adam": (3e-4, 1e-3, 3e-3), "sgd": (0.03, 0.1, 0.3)},
    "gpu": {"adam": (3e-4, 1e-3, 3e-3), "sgd": (0.03, 0.1, 0.3)},
}
TRAINING = design.by_scale(
    "data images dtype steps batch_size shots labels tuning_steps tuning_rate",
    tiny=("wandering digits", 25_000, "float32", 200, 64, 20, 100, 60, 1e-3),
    small=("cifar10", 25_000, "float32", 8000, 128, 20, 500, 1000, 3e-4),
    gpu=("cifar10", 25_000, "mixed_bfloat16", 10_000, 512, 20, 500, 1000, 3e-4),
)
SEEDS = design.count_seeds(2, 3, 2)
MEASURES = {
    "known_accuracy": "known classes",
    "few_shot": "new, least squares",
    "fine_tuned": "new, fine-tuned",
}
TRANSFERS = ("few_shot", "fine_tuned")
SPELLED = {"adam": "Adam", "sgd": "SGD"}


def variants(scale):
    """Returns the settings that vary."""
    return [
        {
            **{"model": model, "optimizer": optimizer, "rate": rate},
            **{"patch_size": patch_size, "num_heads": num_heads},
        }
        for model, (patch_size, num_heads) in MODELS[scale].items()
        for optimizer, rates in RATES[scale].items()
        for rate in rates
    ]


runs = design.vary(variants, TRAINING, SEEDS)


def run(
    optimizer,
    rate,
    data,
    images,
    steps,
    batch_size,
    shots,
    labels,
    tuning_steps,
    tuning_rate,
    seed,
    **shape,
):
    """Pre-trains one model; returns its accuracy there and on the new classes in two ways."""
    num_classes = transfer.known_classes(data)
    model = transfer.build(data=data, num_classes=num_classes, seed=seed, **shape)
    few = transfer.load_half(data, "known", images, seed)
    trials.fit(model, *few, steps, batch_size, rate, seed, optimizer)
    drawn = transfer.load_half(data, "new", transfer.TEST, seed)
    known = transfer.load_half(data, "known", transfer.TEST, part="test")
    test = transfer.load_half(data, "new", transfer.TEST, part="test")
    tuning = {"steps": tuning_steps, "rate": tuning_rate, "batch_size": batch_size, "seed": seed}
    train = tuple(array[:labels] for array in drawn)
    return {
        "known_accuracy": trials.accuracy(model, *known),
        "few_shot": trials.few_shot_accuracy(model, drawn, test, shots, transfer.DRAWS),
        "fine_tuned": transfer.fine_tune(model, train, test, **tuning),
    }


def plot(rows):
    """Draws what Adam gives above SGD: ours in each measure and seed, the paper's in each task."""
    figure = figures.figure(8.5, 3.8)
    ours, papers = figure.subplots(1, 2)
    for number, (model, found) in enumerate(chosen(rows).items()):
        shift, style = 0.12 * (2 * number - 1), {"color": f"C{number}", "marker": "os"[number]}
        for place, measure in enumerate(MEASURES):
            values = gains(found, measure)
            label = model if place == 0 else None
            ours.plot(values, [place + shift] * len(values), **style, ls="", label=label)
    for number, model in enumerate(("ResNet50", "ResNet152x2")):
        pairs = zip(TABLE_7[model, "adam"], TABLE_7[model, "sgd"], strict=True)
        values, places = [adam - sgd for adam, sgd in pairs], range(len(TABLE_7_TASKS))
        papers.plot(values, places, "D^"[number], color=f"C{number + 2}", label=model)
    ours.set_yticks(range(len(MEASURES)), MEASURES.values())
    papers.set_yticks(range(len(TABLE_7_TASKS)), TABLE_7_TASKS)
    ours.set_title("here, each seed; best rate of each", fontsize=10)
    papers.set_title("paper, Table 7", fontsize=10)
    for axes in (ours, papers):
        axes.axvline(0, color="gray", linestyle=":", linewidth=1)
        axes.set_xlabel("points of Adam above SGD")
        axes.margins(y=0.2)
        axes.invert_yaxis()
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8)
    return figure


def conclusion(rows):
    """States for each model which optimizer transfers better, each at its best rate."""
    outer = {key: edge for key, (_, edge) in best_rates(rows).items()}
    sentences = [_compare(model, found, outer) for model, found in chosen(rows).items()]
    sentences = [sentence for sentence in sentences if sentence]
    return (
        " ".join(sentences) or "A model must be pre-trained with Adam and with SGD to compare them."
    )


def chosen(rows):
    """Returns {model: {optimizer: [rows at its best rate, seed by seed]}}.

    The best rate is that of the highest mean accuracy on the known classes.
    """
    found = {}
    for (model, optimizer), (rate, _) in best_rates(rows).items():
        settings = {"model": model, "optimizer": optimizer, "rate": rate}
        alike = [row for row in rows if settings.items() <= row.items()]
        found.setdefault(model, {})[optimizer] = sorted(alike, key=lambda row: row["seed"])
    return found


def best_rates(rows):
    """Returns {(model, optimizer): (best rate, whether it is the first or last one tried)}."""
    groups = seeds.group(rows, ("model", "optimizer", "rate"), "known_accuracy")
    means = {}
    for (model, optimizer, rate), values in groups.items():
        means.setdefault((model, optimizer), {})[rate] = statistics.fmean(values)
    best = {key: max(rates, key=rates.get) for key, rates in means.items()}
    return {key: (rate, rate in (min(means[key]), max(means[key]))) for key, rate in best.items()}


def gains(found, measure):
    """Returns the points of Adam above SGD, for each seed that has both."""
    values = [
        {row["seed"]: row[measure] for row in found.get(optimizer, [])} for optimizer in SPELLED
    ]
    return [100 * (values[0][seed] - values[1][seed]) for seed in values[0] if seed in values[1]]


def _compare(model, found, outer):
    if len(found) < 2:
        return ""
    rates = " and ".join(
        f"{SPELLED[name]} at {found[name][0]['rate']:g}"
        f"{' (the first or last rate tried)' * outer[model, name]}"
        for name in SPELLED
    )
    sentences = []
    for measure in TRANSFERS:
        adam, sgd = ([row[measure] for row in found[name]] for name in SPELLED)
        verdict = "seeds do not decide"
        if seeds.differ(adam, sgd):
            verdict = f"{'Adam' if min(adam) > max(sgd) else 'SGD'} is better"
        words = f"{MEASURES[measure]} {seeds.spell(adam)} and {seeds.spell(sgd)} %"
        sentences.append(f"{words}: {verdict}")
    return f"{model}, {rates}: {'; '.join(sentences)}."
