"""What a training run says in words."""

import os

from keras_vit.training import environment
from keras_vit.training.baselines import LARGEST_SIDE

INVERT_HINT = "The picture is mostly bright; digits are light ink on black. Try --invert."
FILES = {
    "model.keras": "the trained model",
    "history.csv": "loss and accuracy of every epoch",
    "metrics.json": "the result, all settings, versions and hardware",
    "curves.png": "loss and accuracy over the epochs",
    "predictions.png": "test pictures, the mistakes first",
    "positions.png": "similarity of the learned position embeddings (Figure 7 of the paper)",
    "example.png": "a test picture to try `predict` on",
}


def introduction(data, settings, seed, others=()):
    """Says what is about to be trained."""
    train, test = len(data.train_images), len(data.test_images)
    height, width, channels = data.train_images.shape[1:]
    lines = [
        environment.description(),
        f"Data: {data.name}, {len(data.class_names)} classes, {height} x {width} pixels, "
        f"{channels} channel{'s' if channels > 1 else ''}; {train:,} pictures to train on, "
        f"{test:,} to test on",
    ]
    if others:
        some = ", ".join(str(path) for path in others[:3])
        more = " ..." if len(others) > 3 else ""
        lines.append(
            f"Not read, no pictures (.jpg, .jpeg, .png): {len(others)} files: {some}{more}"
        )
    lines.append(
        f"Model: {settings.model}, {settings.epochs} epochs, batches of {settings.batch_size}, "
        f"learning rate {settings.learning_rate:g}, seed {seed}"
    )
    return "\n".join(lines)


def references(data, accuracies):
    """Says what the baselines reach."""
    side = max(data.train_images.shape[1:3])
    shrunk = f", shrunk to {LARGEST_SIDE} pixels" if side > LARGEST_SIDE else ""
    listed = ", ".join(f"{name} {percent(value)}" for name, value in accuracies.items())
    return f"Baselines, test accuracy on the same split{shrunk}: {listed}"


def epoch(number, total, logs, seconds):
    """Says how an epoch went, in one line."""
    return (
        f"epoch {number:>{len(str(total))}}/{total}  loss {logs['loss']:.3f}  "
        f"accuracy {logs['accuracy']:.3f}  test loss {logs['val_loss']:.3f}  "
        f"test accuracy {logs['val_accuracy']:.3f}  {seconds:.1f} s"
    )


def conclusion(target, metrics, data):
    """Says what came out, where it is and what to try next."""
    parts = [_result(metrics), _contents(target), _next_steps(target, metrics, data)]
    return "\n" + "\n\n".join(parts)


def percent(value):
    """Writes 0.9833 as "98.3 %"."""
    return f"{100 * value:.1f} %"


def _result(metrics):
    rows = {metrics["model"]: metrics["test_accuracy"], **metrics["baselines"]}
    width = max(map(len, rows))
    number = metrics["test_pictures"]
    lines = [f"Test accuracy on {number:,} pictures that were not trained on:"]
    lines += [f"  {name:<{width}}  {percent(value):>7}" for name, value in rows.items()]
    lines.append(
        f"One picture is {100 / number:.2g} %: differences of a few pictures are chance. "
        f"All took {metrics['seconds']:.0f} s."
    )
    return "\n".join(lines)


def _contents(target):
    width = max(map(len, FILES))
    return "\n".join(
        [f"Written to {target}{os.sep}"]
        + [f"  {name:<{width}}  {meaning}" for name, meaning in FILES.items()]
    )


def _next_steps(target, metrics, data):
    seed = metrics["seed"] + 1
    steps = {f"predict {target} {target / 'example.png'}": "name a picture, with the model"}
    if data is None:
        steps[f"predict {target} photo.png --invert"] = "your own digit, dark ink on paper"
        steps[f"train --seed {seed}"] = "how far does the number move?"
        steps["train pictures/"] = "your own pictures, a folder for each class"
        return _aligned(steps)
    steps[f"train {data} --seed {seed}"] = "how far does the number move?"
    steps[f"train {data} --epochs {2 * metrics['options']['epochs']}"] = "train for longer"
    return (
        f"{_aligned(steps)}\nA Vision Transformer from scratch needs many pictures: "
        f"{metrics['train_pictures']:,} are few,\nthe paper pre-trains on millions. "
        "Begin with published weights instead, in Python:\n"
        "  model = keras_vit.load_pretrained('ViT-Ti/16', "
        f"num_classes={len(metrics['class_names'])})"
    )


def _aligned(steps):
    width = max(map(len, steps))
    lines = [f"  keras-vit {words:<{width}}   # {purpose}" for words, purpose in steps.items()]
    return "\n".join(["Try next:", *lines])
