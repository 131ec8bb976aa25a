"""What a training run prints."""

import os

from keras_vit import environment
from keras_vit.training.evaluation.classifiers import LARGEST_SIDE
from keras_vit.training.evaluation.metrics import percent
from keras_vit.training.runs.run_folder import command_line

INVERT_HINT = "The image is mostly bright; digits are light ink on black. Try --invert."
START = "The first step takes longest: it compiles the model."
FILES = {
    "curves.png": "loss and accuracy of every epoch",
    "predictions.png": "test images with their predictions, mistakes first",
    "confusion.png": "which classes were confused with which",
    "positions.png": "similarity of the learned position embeddings (Figure 7 of the paper)",
    "images.png": "training images as the model sees them",
    "example.png": "a test image to try `predict` on",
    "model.keras": "the trained model",
    "history.csv": "the numbers behind curves.png",
    "metrics.json": "the result, all settings, versions and hardware",
    "settings.json": "the arguments of this run",
}


def introduction(setup, options, target):
    """Describes what is about to be trained."""
    data, model, recipe = setup
    name = model.name if options.weights else recipe.model
    return "\n".join(
        [
            environment.description(),
            repr(data).strip("<>"),
            f"Model: {name}, {model.count_params():,} parameters, seed {options.seed}",
            recipe.summary(),
            f"Run: {target}",
        ]
    )


def references(accuracies, image_size):
    """Reports the accuracy of the baselines."""
    if not accuracies:
        return "Baselines: none (they need scikit-learn, a test split, and at most 5,000 images)"
    listed = ", ".join(f"{name} {percent(value)}" for name, value in accuracies.items())
    shrunk = f" (images shrunk to {LARGEST_SIDE} pixels)" if max(image_size) > LARGEST_SIDE else ""
    return f"Baselines, test accuracy on the same split: {listed}{shrunk}"


def epoch(number, total, logs):
    """Reports an epoch, finished or not, in one line."""
    numbers = "  ".join(
        f"{name.replace('_', ' ')} {value:.3f}"
        for name, value in logs.items()
        if name.endswith(("loss", "accuracy"))
    )
    return f"epoch {number:>{len(str(total))}}/{total}  {numbers}"


def interrupted(target):
    """Describes how to resume."""
    return f"Stopped. To resume exactly here: {command_line('train', '--resume', target)}"


def conclusion(target, metrics, options):
    """Reports the result, the files and what to try next."""
    parts = [_result(metrics), _contents(target), _next_steps(target, metrics, options)]
    return "\n" + "\n\n".join(parts)


def _result(metrics):
    rows = {metrics["model"]: metrics["test_accuracy"], **metrics["baselines"]}
    width = max(map(len, rows))
    low, high = (100 * value for value in metrics["test_interval"])
    number = metrics["test_images"] or metrics["validation_images"]
    lines = [f"Accuracy on {number:,} images that were not used for training:"]
    lines += [f"  {name:<{width}}  {percent(value):>7}" for name, value in rows.items()]
    lines.append(
        f"On other images of the same kind, expect {low:.1f} to {high:.1f} % (95 % interval). "
        f"The run took {metrics['seconds']:.0f} s."
    )
    return "\n".join(lines)


def _contents(target):
    there = {name: meaning for name, meaning in FILES.items() if (target / name).exists()}
    width = max(map(len, there))
    return "\n".join(
        [f"Written to {target}{os.sep} (look at the first two files):"]
        + [f"  {name:<{width}}  {meaning}" for name, meaning in there.items()]
    )


def _next_steps(target, metrics, options):
    steps = [
        ("classify an image with the model", "predict", target, target / "example.png"),
        ("accuracy of every class, and how far to trust a probability", "evaluate", target),
    ]
    if options.data is None:
        steps += [
            ("your own digit, dark ink on paper", "predict", target, "photo.png", "--invert"),
            ("how much the accuracy varies", "train", "--seed", options.seed + 1),
            ("your own images, in one folder per class", "train", "images"),
        ]
    elif options.weights is None:
        weights = ("train", options.data, "--weights", "ViT-Ti/16")
        few = f"{metrics['train_images']:,} images are few to train a ViT from scratch"
        steps.append((f"{few}: fine-tune published weights", *weights))
    lines = [f"  # {purpose}\n  {command_line(*words)}" for purpose, *words in steps]
    return "\n".join(["Try next:", *lines])
