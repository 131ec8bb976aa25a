"""The figures of an evaluation. Each function returns a Matplotlib `Figure` to save or show."""

import numpy as np

from keras_vit.training.calibration import wilson
from keras_vit.training.evaluation_words import most_confused, percent
from keras_vit.training.plots import GREY, ORANGE, _figure

MOST_NUMBERS = 15  # classes up to which every field of the matrix holds its number
MOST_BARS = 40
SKY = "#56B4E9"  # Okabe and Ito's too


def confusion(found):
    """Draws which classes are taken for which: rows are true classes, columns what was said.

    A field's colour is its share of the true class's images. With more than 15 classes it holds
    no number; the most frequent mistakes stand beside the matrix instead.

    Args:
        found: an `Evaluation`.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    number = len(found.class_names)
    if number <= MOST_NUMBERS:
        side = max(4.5, 0.55 * number + 2)
        figure = _figure(side + 0.8, side)
        axes = figure.subplots()
        drawn = _matrix(axes, found, power=1.0)
        _numbers(axes, found.confusion)
    else:
        figure = _figure(12, 6.4)
        axes, beside = figure.subplots(1, 2, width_ratios=(3, 2))
        drawn = _matrix(axes, found, power=0.4)  # one mistake in a hundred shall be seen
        _pairs(beside, most_confused(found, 20))
    figure.colorbar(drawn, ax=axes, label="share of the true class", shrink=0.8)
    return figure


def reliability(found):
    """Draws how often a model is right when it says how sure it is, and how often it says so.

    A bar that ends on the diagonal is right: of the images with 80 % confidence, 80 % are named
    rightly. Longer bars mean too little confidence, shorter ones too much.

    Args:
        found: an `Evaluation`.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    rows = [row for row in found.reliability if row.images]
    middles = [(row.lower + row.upper) / 2 for row in rows]
    width = 0.92 * (rows[0].upper - rows[0].lower)
    accuracy = np.array([row.accuracy for row in rows])
    figure = _figure(5.2, 6)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.bar(middles, accuracy, width, color=SKY, label="accuracy, with 95 % interval")
    _intervals(above.errorbar, middles, accuracy, [row.images for row in rows], "yerr")
    above.plot([0, 1], [0, 1], "--", color=GREY, label="as sure as right")
    above.set(ylabel="accuracy", ylim=(0, 1.02), xlim=(0, 1))
    error, bins = percent(found.calibration_error), len(found.reliability)
    above.set_title(f"Calibration error {error} (ECE, {bins} bins)", fontsize=11)
    below.bar(middles, [row.images for row in rows], width, color=GREY)
    below.set(xlabel="confidence: probability of the class that was named", ylabel="images")
    _legend(figure, above)
    return figure


def classes(found):
    """Draws recall and precision of every class, the lowest recall first.

    Of more than 40 classes the 40 lowest are drawn. Lines are 95 % intervals of the recall.

    Args:
        found: an `Evaluation`.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    rows = sorted((row for row in found.classes if row.support), key=lambda row: row.recall)
    title = "Classes, the lowest recall first"
    if len(rows) > MOST_BARS:
        title = f"The {MOST_BARS} of {len(rows)} classes with the lowest recall"
        rows = rows[:MOST_BARS]
    figure = _figure(7, 1.5 + 0.22 * len(rows))
    axes, places = figure.subplots(), np.arange(len(rows))
    recall = np.array([row.recall for row in rows])
    axes.barh(places, recall, 0.75, color=SKY, label="recall")
    _intervals(axes.errorbar, recall, places, [row.support for row in rows], "xerr")
    precision = [row.precision for row in rows]
    axes.plot(precision, places, "D", color=ORANGE, ms=4.5, label="precision")
    axes.axvline(found.accuracy, color=GREY, linestyle="--", linewidth=1, label="accuracy of all")
    axes.set_yticks(places, [f"{row.name} ({row.support:,})" for row in rows], fontsize=8)
    axes.set(xlim=(0, 1.02), ylim=(len(rows) - 0.4, -0.6), xlabel="share (images in brackets)")
    axes.set_title(title, fontsize=11)
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8
    )
    return figure


def _matrix(axes, found, power):
    from matplotlib.colors import PowerNorm

    support = found.confusion.sum(axis=1, keepdims=True)
    shares = found.confusion / np.maximum(support, 1)
    drawn = axes.imshow(shares, cmap="Blues", norm=PowerNorm(power, 0, 1))
    few = len(shares) <= MOST_BARS  # more names could not be read
    size = 9 if len(shares) <= MOST_NUMBERS else 6
    if few:
        axes.set_xticks(range(len(shares)), found.class_names, rotation=90, fontsize=size)
        axes.set_yticks(range(len(shares)), found.class_names, fontsize=size)
    axes.set(xlabel="said", ylabel="true")
    title = f"{found.images:,} images, accuracy {percent(found.accuracy)}"
    axes.set_title(title, fontsize=11)
    return drawn


def _numbers(axes, counts):
    support = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            color = "white" if count / support[row, 0] > 0.5 else "black"
            axes.text(column, row, f"{count:,}", ha="center", va="center", fontsize=8, color=color)


def _pairs(axes, pairs):
    """Bars of the most frequent mistakes, a line of words before each."""
    if not pairs:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no mistakes", ha="center", fontsize=11)
        return
    places = range(len(pairs))
    bars = axes.barh(places, [count for *_, count in pairs], color=ORANGE)
    axes.bar_label(bars, padding=3, fontsize=8)
    names = [f"{true} \u2192 {said}" for true, said, _ in pairs]
    axes.set_yticks(places, names, fontsize=8)
    axes.invert_yaxis()
    axes.set_title("Most frequent mistakes: true \u2192 said", fontsize=11)
    axes.set(xlabel="images")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.spines[["top", "right"]].set_visible(False)


def _legend(figure, axes):
    words = axes.get_legend_handles_labels()
    figure.legend(*words, loc="outside lower center", ncols=3, fontsize=8)


def _intervals(errorbar, x, y, images, direction):
    """Lines from the lower to the upper end of each share's 95 % interval."""
    shares = np.asarray(y if direction == "yerr" else x)
    ends = np.array([wilson(s * n, n) for s, n in zip(shares, images, strict=True)])  # (bars, 2)
    lengths = np.abs(ends.T - shares)
    errorbar(x, y, **{direction: lengths}, fmt="none", ecolor="black", elinewidth=1, capsize=2)
