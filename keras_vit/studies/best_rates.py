"""Two comparisons that depend on the learning rate: each side has its best rate.

Figure 9 compares the class token with mean pooling, Table 7 ResNets pre-trained with Adam and SGD.
"""

import statistics

from keras_vit import ViT, figures
from keras_vit.studies.lab import seeds, tasks, trials
from keras_vit.studies.lab.paper_numbers import TABLE_7, TABLE_7_TASKS
from keras_vit.studies.lab.runner import Study, by_scale, need_images


def find_best(rates):
    """Returns the best of {rate: [each seed]} and a description; a better one may be out of range.

    Example:
    >>> keras_vit.studies.best_rates.find_best({0.1: [0.5, 0.6], 0.3: [0.4]})
    (0.1, '0.1 (the lowest rate tried)')
    """
    best = max(rates, key=lambda rate: statistics.fmean(rates[rate]))
    edges = {max(rates): " (the highest rate tried)", min(rates): " (the lowest rate tried)"}
    return best, f"{best:g}{edges.get(best, '')}"


POOLINGS = {"token": "class token", "gap": "mean (GAP)", "map": "attention (MAP)"}
POOLING_MODELS = by_scale(
    "num_layers hidden_dim mlp_dim num_heads patch_size",
    tiny=(2, 48, 96, 4, 4),
    small=(6, 192, 384, 3, 4),
    gpu=(12, 384, 1536, 6, 2),
)
POOLING_RATES = {
    "tiny": (1e-3, 3e-3, 1e-2, 3e-2),
    "small": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
    "gpu": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
}


class Figure9(Study):
    """Figure 9: class token or mean pooling, each at its best rate.

    Appendix D.3 first tried a ViT without a class token, whose image representation is the mean of
    all patch tokens (GAP), and found it much worse. The reason was neither the token nor the mean:
    GAP needs a different learning rate. The text states no numbers for the figure.

    At "tiny" a ViT of 2 layers classifies wandering digits, otherwise CIFAR-10. Attention pooling
    ("MAP", arXiv 2106.04560), which is not in the paper, is a third row. Accuracy is that of the
    task itself; the paper's is few-shot on ImageNet. The best learning rate is chosen by the mean
    test accuracy, a small advantage that all three share.
    """

    paper = (
        "Mean pooling (GAP) seemed much worse than the class token; with a learning rate of its "
        "own it is as good (D.3, Figure 9)."
    )
    num_seeds = {"tiny": 2, "small": 2, "gpu": 2}
    training = by_scale(
        "data images dtype steps batch_size",
        tiny=("wandering digits", 8000, "float32", 250, 64),
        small=("cifar10", 50_000, "float32", 8000, 128),
        gpu=("cifar10", 50_000, "mixed_bfloat16", 10_000, 512),
    )

    def variants(self, scale):
        return [
            {"pooling": pooling, "rate": rate, **POOLING_MODELS[scale]}
            for rate in POOLING_RATES[scale]
            for pooling in POOLINGS
        ]

    def run(self, data, images, steps, batch_size, rate, seed, **shape):
        """Trains one model; returns its accuracy and its mean loss in training."""
        model = trials.build(seed, lambda: ViT(**shape, **tasks.model_arguments(data)))
        loss = trials.fit(model, *tasks.load(data, images, seed), steps, batch_size, rate, seed)
        return {"accuracy": trials.accuracy(model, *tasks.test(data)), "training_loss": float(loss)}

    def plot(self, rows):
        """Plots accuracy against the learning rate, a line for each pooling."""
        figure = figures.figure(6, 4)
        axes = figure.subplots()
        found = seeds.curves(rows, "pooling", "rate", "accuracy")
        for (pooling, rates), marker in zip(found.items(), "osD", strict=False):
            seeds.draw_means(axes, rates, marker=marker, capsize=3, label=POOLINGS[pooling])
        ticks = sorted({row["rate"] for row in rows})
        seeds.set_log_ticks(axes, ticks, [f"{rate:g}" for rate in ticks])
        title = "mean of seeds, bars from lowest to highest"
        seeds.finish(axes, title, "learning rate", "test accuracy, %")
        return figure

    def conclusion(self, rows):
        found = seeds.curves(rows, "pooling", "rate", "accuracy")
        if "token" not in found or "gap" not in found or min(map(len, found.values())) < 2:
            return "A class token and mean pooling must be trained at two rates or more to compare."
        best = {pooling: find_best(rates) for pooling, rates in found.items()}
        listed = ", ".join(
            f"{POOLINGS[pooling]} {seeds.spell(found[pooling][rate])} % at {words}"
            for pooling, (rate, words) in best.items()
        )
        token, gap = (found[pooling][best[pooling][0]] for pooling in ("token", "gap"))
        verdict = "the difference between token and mean is unclear"
        if seeds.differ(token, gap):
            worse = statistics.fmean(gap) < statistics.fmean(token)
            verdict = f"mean pooling is {'worse' if worse else 'better'} at the best rate of each"
        same = "; ".join(
            f"at {rate:g} {seeds.gain(found['gap'][rate], values)}"
            for rate, values in found["token"].items()
            if rate in found["gap"]
        )
        same = same and f" At one rate for both, mean pooling gains over the class token: {same}."
        return f"Best rate of each: {listed}; {verdict}.{same}"


# Patch size and heads, 0 for a ResNet
OPTIMIZED_MODELS = {
    "tiny": {"ResNet 1": (0, 0), "ViT 2 x 48": (4, 4)},
    "small": {"ResNet 1 + 1 + 1": (0, 0), "ViT 6 x 192": (4, 3)},
    "gpu": {"ResNet 3 + 4 + 6 + 3": (0, 0), "ViT 12 x 384": (4, 6)},
}
OPTIMIZER_RATES = {
    "tiny": {"adam": (1e-3, 3e-3, 1e-2), "sgd": (0.03, 0.1, 0.3)},
    "small": {"adam": (3e-4, 1e-3, 3e-3), "sgd": (0.03, 0.1, 0.3)},
    "gpu": {"adam": (3e-4, 1e-3, 3e-3), "sgd": (0.03, 0.1, 0.3)},
}
MEASURES = {
    "known_accuracy": "known classes",
    "few_shot": "new, least squares",
    "fine_tuned": "new, fine-tuned",
}
OPTIMIZERS = {"adam": "Adam", "sgd": "SGD"}


def _compare(found, measure):
    adam, sgd = ([row[measure] for row in found[name]] for name in OPTIMIZERS)
    verdict = "which is better is unclear"
    if seeds.differ(adam, sgd):
        verdict = f"{'Adam' if min(adam) > max(sgd) else 'SGD'} is better"
    return f"{MEASURES[measure]} {seeds.spell(adam)} and {seeds.spell(sgd)} %, {verdict}"


def choose_rates(rows):
    """Returns {model: {optimizer: [rows at its best rate, seed by seed]}}."""
    found = {}
    for (model, optimizer), (rate, _) in best_rates(rows).items():
        settings = {"model": model, "optimizer": optimizer, "rate": rate}
        alike = [row for row in rows if settings.items() <= row.items()]
        found.setdefault(model, {})[optimizer] = sorted(alike, key=lambda row: row["seed"])
    return found


def best_rates(rows):
    """Returns `find_best` of the accuracy on the known classes for each (model, optimizer)."""
    found = seeds.curves(rows, ("model", "optimizer"), "rate", "known_accuracy")
    return {key: find_best(rates) for key, rates in found.items()}


def adam_gains(found, measure):
    """Returns the points of Adam above SGD, for each seed that has both."""
    adam, sgd = ({row["seed"]: row[measure] for row in found.get(o, [])} for o in OPTIMIZERS)
    return [100 * (adam[seed] - sgd[seed]) for seed in adam if seed in sgd]


class Table7(Study):
    """Table 7: ResNets pre-trained with Adam or SGD.

    ResNets are usually pre-trained with SGD. Appendix D.1 pre-trains ResNet50 and ResNet152x2 on
    JFT with both and fine-tunes them on five tasks: Adam is better on average (89.33 against 88.79
    %, and 94.01 against 93.72), but not in every task, so the paper uses Adam for its ResNets,
    too.

    Here a ResNet, and unlike in the paper a ViT, are pre-trained on the known classes without
    weight decay. Transfer is to the new classes: least squares on the frozen representation (20
    images of each) and fine-tuning on 100 images, with AdamW instead of the paper's SGD. Each
    optimizer has three learning rates. The rate with the best mean accuracy on held-out images of
    the known classes is compared, never the rate with the best transfer.
    """

    paper = (
        "Mean of five tasks after pre-training with Adam and SGD: ResNet50 89.33 and 88.79 %, "
        "ResNet152x2 94.01 and 93.72 %; SGD is better for ResNet50 on ImageNet, 78.24 against "
        "77.54 %, and for ResNet152x2 on Flowers, 99.32 against 98.62 % (D.1, Table 7)."
    )
    needs = need_images("some days on a CPU", "half a day on one large GPU")
    training = by_scale(
        "data images dtype steps batch_size shots labels tuning_steps tuning_rate",
        tiny=("wandering digits", 25_000, "float32", 200, 64, 20, 100, 60, 1e-3),
        small=("cifar10", 25_000, "float32", 8000, 128, 20, 500, 1000, 3e-4),
        gpu=("cifar10", 25_000, "mixed_bfloat16", 10_000, 512, 20, 500, 1000, 3e-4),
    )

    def variants(self, scale):
        names = ("model", "optimizer", "rate", "patch_size", "num_heads")
        return [
            dict(zip(names, (model, optimizer, rate, *shape), strict=True))
            for model, shape in OPTIMIZED_MODELS[scale].items()
            for optimizer, rates in OPTIMIZER_RATES[scale].items()
            for rate in rates
        ]

    def run(self, labels, shots, tuning_steps, tuning_rate, batch_size, seed, **settings):
        """Pre-trains one model; returns its accuracy there and on the new classes in two ways."""
        model = trials.pretrain(batch_size=batch_size, seed=seed, **settings)
        train, test, known = tasks.load_transfer(settings["data"], seed)
        few = [array[:labels] for array in train]
        tuning = (tuning_steps, tuning_rate, batch_size, seed)
        return {
            "known_accuracy": trials.accuracy(model, *known),
            "few_shot": trials.few_shot_accuracy(model, train, test, shots),
            "fine_tuned": trials.fine_tune(model, few, test, *tuning),
        }

    def plot(self, rows):
        """Plots Adam's gain over SGD: ours in each measure, the paper's in each task."""
        figure = figures.figure(8.5, 3.8)
        ours, papers = figure.subplots(1, 2)
        for number, (model, found) in enumerate(choose_rates(rows).items()):
            shift, style = 0.12 * (2 * number - 1), {"color": f"C{number}", "marker": "os"[number]}
            for place, measure in enumerate(MEASURES):
                values = adam_gains(found, measure)
                label = model if place == 0 else None
                ours.plot(values, [place + shift] * len(values), **style, ls="", label=label)
        for number, model in enumerate(("ResNet50", "ResNet152x2")):
            pairs = zip(TABLE_7[model, "adam"], TABLE_7[model, "sgd"], strict=True)
            values, places = [adam - sgd for adam, sgd in pairs], range(len(TABLE_7_TASKS))
            papers.plot(values, places, "D^"[number], color=f"C{number + 2}", label=model)
        ours.set_yticks(range(len(MEASURES)), MEASURES.values())
        papers.set_yticks(range(len(TABLE_7_TASKS)), TABLE_7_TASKS)
        titles = ("here, each seed; best rate of each", "paper, Table 7")
        for axes, title in zip((ours, papers), titles, strict=True):
            axes.axvline(0, color="gray", linestyle=":", linewidth=1)
            axes.margins(y=0.2)
            axes.invert_yaxis()
            seeds.finish(axes, title, "points of Adam above SGD")
        return figure

    def conclusion(self, rows):
        best, sentences = best_rates(rows), []
        for model, found in choose_rates(rows).items():
            if len(found) < 2:
                continue
            rates = " and ".join(f"{OPTIMIZERS[o]} at {best[model, o][1]}" for o in OPTIMIZERS)
            compared = "; ".join(_compare(found, measure) for measure in ("few_shot", "fine_tuned"))
            sentences.append(f"{model}, {rates}: {compared}.")
        if not sentences:
            return "A model must be pre-trained with Adam and with SGD to compare them."
        return " ".join(sentences)
