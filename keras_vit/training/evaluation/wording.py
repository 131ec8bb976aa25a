"""An `Evaluation` as text, and as plain values for JSON."""

import math

import numpy as np

MOST_ROWS = 20  # of a table: a terminal's height


def percent(value):
    """Returns 0.9833 as "98.3 %", and NaN as "-"."""
    return "-" if math.isnan(value) else f"{100 * value:.1f} %"


def format_text(evaluation):
    """Returns the numbers, the classes, the most frequent and the most confident mistakes."""
    parts = (_numbers, _classes, _confused, _mistakes)
    return "\n\n".join(text for part in parts if (text := part(evaluation)))


def to_plain(value):
    """Returns an `Evaluation` as dictionaries and lists for JSON; NaN becomes None."""
    if hasattr(value, "_asdict"):
        return {name: to_plain(field) for name, field in value._asdict().items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (tuple, list)):
        return [to_plain(member) for member in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def most_confused(evaluation, number=10):
    """Returns the most frequent mistakes, (true class, predicted class, images), descending."""
    names, confusion = evaluation.class_names, evaluation.confusion
    off_diagonal = confusion * (1 - np.eye(len(names), dtype="int64"))
    order = np.argsort(-off_diagonal, axis=None, kind="stable")[:number]
    rows, columns = np.unravel_index(order, off_diagonal.shape)
    return [
        (names[i], names[j], int(count))
        for i, j, count in zip(rows, columns, off_diagonal[rows, columns], strict=True)
        if count
    ]


def _numbers(evaluation):
    low, high = map(percent, evaluation.interval)
    filled = [row for row in evaluation.reliability if row.images]
    confidence = sum(row.images * row.confidence for row in filled) / evaluation.images
    bins = len(evaluation.reliability)
    rows = {
        "accuracy": f"{percent(evaluation.accuracy)}  (95 % interval: {low} to {high})",
        "top-5 accuracy": None if evaluation.top_5 is None else percent(evaluation.top_5),
        "mean class accuracy": percent(evaluation.class_accuracy),
        "loss": f"{evaluation.loss:.4f}  (mean negative log-likelihood)",
        "Brier score": f"{evaluation.brier:.4f}  (0 is best, 2 worst)",
        "calibration error": f"{percent(evaluation.calibration_error)}  (ECE of {bins} bins; mean "
        f"confidence {percent(confidence)})",
    }
    lines = [f"{evaluation.images:,} images, {len(evaluation.class_names):,} classes"]
    return "\n".join(lines + [f"  {name:<20}{value}" for name, value in rows.items() if value])


def _classes(evaluation):
    rows, title = evaluation.classes, "Classes"
    if len(rows) > MOST_ROWS:
        rows = sorted(rows, key=lambda row: math.inf if math.isnan(row.f1) else row.f1)
        rows, title = rows[:MOST_ROWS], f"Classes, the {MOST_ROWS} with the lowest F1"
    width = max(len("name"), *(len(row.name) for row in rows))
    head = f"  {'name':<{width}}{'images':>10}{'recall':>10}{'precision':>11}{'F1':>10}"
    lines = [
        f"  {row.name:<{width}}{row.support:>10,}{percent(row.recall):>10}"
        f"{percent(row.precision):>11}{percent(row.f1):>10}"
        for row in rows
    ]
    return "\n".join([title, head, *lines])


def _confused(evaluation):
    pairs = most_confused(evaluation, number=5)
    lines = [f"  {count:>6,}  {true} predicted as {said}" for true, said, count in pairs]
    return "\n".join(["Most frequent mistakes", *lines]) if pairs else "No mistakes."


def _mistakes(evaluation):
    lines = [
        f"  {percent(one.probability):>8}  {one.image}: predicted {one.said}, true {one.true}"
        for one in evaluation.mistakes[:10]
    ]
    return "\n".join(["Most confident mistakes", *lines]) if lines else ""
