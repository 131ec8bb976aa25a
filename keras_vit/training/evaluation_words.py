"""What an evaluation says in words, and as plain values for JSON."""

import math

import numpy as np

from keras_vit.training.reports import percent

MOST_ROWS = 20  # of a table: a terminal's height


def text(found):
    """Writes an `Evaluation` as a text: numbers, classes, the most confused, surest mistakes."""
    parts = [_numbers(found), _classes(found), _confused(found), _mistakes(found)]
    return "\n\n".join(part for part in parts if part)


def plain(found):
    """Returns an `Evaluation` as dictionaries and lists for JSON; NaN becomes None."""
    return _plain(found)


def most_confused(found, number=10):
    """Returns the most frequent mistakes: (true class, class said, images), descending."""
    off_diagonal = found.confusion * (1 - np.eye(len(found.class_names), dtype="int64"))
    order = np.argsort(-off_diagonal, axis=None, kind="stable")[:number]
    rows, columns = np.unravel_index(order, off_diagonal.shape)
    names, counts = found.class_names, off_diagonal[rows, columns]
    return [
        (names[i], names[j], int(count))
        for i, j, count in zip(rows, columns, counts, strict=True)
        if count
    ]


def _numbers(found):
    low, high = map(percent, found.interval)
    filled = [row for row in found.reliability if row.images]
    confidence = sum(row.images * row.confidence for row in filled) / found.images
    bins = len(found.reliability)
    rows = {
        "accuracy": f"{percent(found.accuracy)}  (95 % interval: {low} to {high})",
        "top-5 accuracy": None if found.top_5 is None else percent(found.top_5),
        "mean class accuracy": percent(found.class_accuracy),
        "loss": f"{found.loss:.4f}  (mean negative log-likelihood)",
        "Brier score": f"{found.brier:.4f}  (0 is best, 2 worst)",
        "calibration error": f"{percent(found.calibration_error)}  (ECE of {bins} bins; mean "
        f"confidence {percent(confidence)})",
    }
    lines = [f"{found.images:,} images, {len(found.class_names):,} classes"]
    return "\n".join(lines + [f"  {name:<20}{value}" for name, value in rows.items() if value])


def _classes(found):
    shown = found.classes
    title = "Classes"
    if len(shown) > MOST_ROWS:
        shown = sorted(shown, key=lambda row: math.inf if math.isnan(row.f1) else row.f1)
        shown, title = shown[:MOST_ROWS], f"Classes, the {MOST_ROWS} with the lowest F1"
    width = max(len("name"), *(len(row.name) for row in shown))
    head = f"  {'name':<{width}}{'images':>10}{'recall':>10}{'precision':>11}{'F1':>10}"
    lines = [
        f"  {row.name:<{width}}{row.support:>10,}{percent(row.recall):>10}"
        f"{percent(row.precision):>11}{percent(row.f1):>10}"
        for row in shown
    ]
    return "\n".join([title, head, *lines])


def _confused(found):
    pairs = most_confused(found, number=5)
    lines = [f"  {count:>6,}  {true} named {said}" for true, said, count in pairs]
    return "\n".join(["Most confused", *lines]) if pairs else "No mistakes."


def _mistakes(found):
    lines = [
        f"  {percent(one.probability):>8}  {one.image}: said {one.said}, true {one.true}"
        for one in found.mistakes[:10]
    ]
    return "\n".join(["Surest mistakes", *lines]) if lines else ""


def _plain(value):
    if hasattr(value, "_asdict"):
        return {name: _plain(field) for name, field in value._asdict().items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (tuple, list)):
        return [_plain(member) for member in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
