"""What a training run says in words."""

import math
import os

from keras_vit.training import environment
from keras_vit.training.baselines import LARGEST_SIDE

INVERT_HINT = "The picture is mostly bright; digits are light ink on black. Try --invert."
FILES = {
    "model.keras": "the trained model",
    "history.csv": "loss and accuracy of every epoch",
    "metrics.json": "the result, all settings, versions and hardware",
    "settings.json": "what was asked for",
    "curves.png": "loss and accuracy over the epochs",
    "predictions.png": "test pictures, the mistakes first",
    "confusion.png": "which classes were taken for which",
    "pictures.png": "training pictures as the model sees them",
    "positions.png": "similarity of the learned position embeddings (Figure 7 of the paper)",
    "example.png": "a test picture to try `predict` on",
}


def introduction(made, options, target):
    """Says what is about to be trained."""
    data = made.data
    model = made.model.name if options.weights else made.settings.model
    return "\n".join(
        [
            environment.description(),
            repr(data).strip("<>"),
            f"Model: {model}, {made.model.count_params():,} parameters, seed {options.seed}",
            made.recipe.summary(),
            f"Run: {target}",
        ]
    )


def references(accuracies):
    """Says what the baselines reach."""
    if not accuracies:
        return "Baselines: none (they need scikit-learn, a test part, 5,000 pictures or fewer)"
    listed = ", ".join(f"{name} {percent(value)}" for name, value in accuracies.items())
    shrunk = f" (pictures shrunk to {LARGEST_SIDE} pixels where larger)"
    return f"Baselines, test accuracy on the same split: {listed}{shrunk}"


def epoch(number, total, logs, seconds):
    """Says how an epoch went, in one line."""
    numbers = "  ".join(
        f"{name.replace('_', ' ')} {value:.3f}"
        for name, value in logs.items()
        if name.endswith(("loss", "accuracy"))
    )
    return f"epoch {number:>{len(str(total))}}/{total}  {numbers}  {seconds:.1f} s"


def interrupted(target):
    """Says how to go on."""
    return f"Stopped. To go on exactly here: keras-vit train --resume {target}"


def conclusion(target, metrics, options):
    """Says what came out, where it is and what to try next."""
    parts = [_result(metrics), _contents(target), _next_steps(target, metrics, options)]
    return "\n" + "\n\n".join(parts)


def percent(value):
    """Writes 0.9833 as "98.3 %", and "-" for NaN."""
    return "-" if math.isnan(value) else f"{100 * value:.1f} %"


def _result(metrics):
    rows = {metrics["model"]: metrics["test_accuracy"], **metrics["baselines"]}
    width = max(map(len, rows))
    low, high = (100 * value for value in metrics["test_interval"])
    number = metrics["test_pictures"] or metrics["validation_pictures"]
    lines = [f"Accuracy on {number:,} pictures that were not trained on:"]
    lines += [f"  {name:<{width}}  {percent(value):>7}" for name, value in rows.items()]
    lines.append(
        f"On other pictures of the kind expect {low:.1f} to {high:.1f} % (95 % interval). "
        f"It took {metrics['seconds']:.0f} s."
    )
    return "\n".join(lines)


def _contents(target):
    there = {name: meaning for name, meaning in FILES.items() if not name.endswith(".png")}
    there |= {name: meaning for name, meaning in FILES.items() if (target / name).exists()}
    width = max(map(len, there))
    return "\n".join(
        [f"Written to {target}{os.sep}"]
        + [f"  {name:<{width}}  {meaning}" for name, meaning in there.items()]
    )


def _next_steps(target, metrics, options):
    data, seed = options.data, options.seed + 1
    steps = {
        f"predict {target} {target / 'example.png'}": "name a picture, with the model",
        f"evaluate {target}": "every class, and how far to trust a probability",
    }
    if data is None:
        steps[f"predict {target} photo.png --invert"] = "your own digit, dark ink on paper"
        steps[f"train --seed {seed}"] = "how far does the number move?"
        steps["train pictures/"] = "your own pictures, a folder for each class"
        return _aligned(steps)
    if options.weights is not None:
        return _aligned(steps)
    steps[f"train {data} --weights ViT-Ti/16"] = "begin with published weights"
    return (
        f"{_aligned(steps)}\nA Vision Transformer from scratch needs many pictures: "
        f"{metrics['train_pictures']:,} are few,\nthe paper pre-trains on millions."
    )


def _aligned(steps):
    width = max(map(len, steps))
    lines = [f"  keras-vit {words:<{width}}   # {purpose}" for words, purpose in steps.items()]
    return "\n".join(["Try next:", *lines])
