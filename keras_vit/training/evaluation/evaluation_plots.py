"""Plots a training run and its evaluation; each function returns a Matplotlib `Figure`."""

import numpy as np

from keras_vit.figures import BLUE, GREY, ORANGE, SKY, figure, short_name
from keras_vit.training.evaluation.metrics import LONGEST_NAME, most_confused, percent, wilson

MOST_NUMBERS = 15  # largest number of classes for which the matrix shows numbers
MOST_BARS = 40


def confusion(evaluation):
    """Plots the confusion matrix: rows are true classes, columns are predicted classes.

    The color of a cell is its share of the images of the true class. With more than 15 classes
    the cells have no numbers, and a bar chart beside the matrix shows the most frequent mistakes.

    Args:
        evaluation: an `Evaluation`.
    """
    number = len(evaluation.class_names)
    if number <= MOST_NUMBERS:
        side = max(4.5, 0.55 * number + 2)
        plot = figure(side + 0.8, side)
        axes = plot.subplots()
        mesh = _plot_matrix(axes, evaluation, power=1.0)
    else:
        plot = figure(12, 6.4)
        axes, beside = plot.subplots(1, 2, width_ratios=(3, 2))
        mesh = _plot_matrix(axes, evaluation, power=0.4)  # makes rare mistakes visible
        _plot_pairs(beside, most_confused(evaluation, 20))
    plot.colorbar(mesh, ax=axes, label="share of the true class", shrink=0.8)
    return plot


def reliability(evaluation):
    """Plots accuracy against confidence, and the number of images at each confidence.

    For a calibrated model the bars end on the diagonal: of the images with 80 % confidence, 80 %
    are classified correctly. Longer bars mean too little confidence, shorter ones too much.

    Args:
        evaluation: an `Evaluation`.
    """
    rows = [row for row in evaluation.reliability if row.images]
    middles = [(row.lower + row.upper) / 2 for row in rows]
    width = 0.92 * (rows[0].upper - rows[0].lower)
    accuracy = np.array([row.accuracy for row in rows])
    plot = figure(5.2, 6)
    above, below = plot.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.bar(middles, accuracy, width, color=SKY, label="accuracy, with 95 % interval")
    _add_intervals(above.errorbar, middles, accuracy, [row.images for row in rows], "yerr")
    above.plot([0, 1], [0, 1], "--", color=GREY, label="perfectly calibrated")
    above.set(ylabel="accuracy", ylim=(0, 1.02), xlim=(0, 1))
    error, bins = percent(evaluation.calibration_error), len(evaluation.reliability)
    above.set_title(f"Calibration error {error} (ECE, {bins} bins)", fontsize=11)
    below.bar(middles, [row.images for row in rows], width, color=GREY)
    below.set(xlabel="confidence: probability of the predicted class", ylabel="images")
    _add_legend(plot, above)
    return plot


def classes(evaluation):
    """Plots recall and precision of every class, the lowest recall first.

    With more than 40 classes the 40 lowest are shown. Lines are 95 % intervals of the recall.

    Args:
        evaluation: an `Evaluation`.
    """
    rows = sorted((row for row in evaluation.classes if row.support), key=lambda row: row.recall)
    title = "Classes, the lowest recall first"
    if len(rows) > MOST_BARS:
        title = f"The {MOST_BARS} of {len(rows)} classes with the lowest recall"
        rows = rows[:MOST_BARS]
    plot = figure(7, 1.5 + 0.22 * len(rows))
    axes, places = plot.subplots(), np.arange(len(rows))
    recall = np.array([row.recall for row in rows])
    axes.barh(places, recall, 0.75, color=SKY, label="recall")
    _add_intervals(axes.errorbar, recall, places, [row.support for row in rows], "xerr")
    precision = [row.precision for row in rows]
    axes.plot(precision, places, "D", color=ORANGE, ms=4.5, label="precision")
    overall = {"color": GREY, "linestyle": "--", "linewidth": 1, "label": "overall accuracy"}
    axes.axvline(evaluation.accuracy, **overall)
    axes.set_yticks(
        places,
        [f"{short_name(row.name, LONGEST_NAME)} ({row.support:,})" for row in rows],
        fontsize=8,
    )
    limits = {"xlim": (0, 1.02), "ylim": (len(rows) - 0.4, -0.6)}
    axes.set(xlabel="share (images in parentheses)", **limits)
    axes.set_title(title, fontsize=11)
    _add_legend(plot, axes)
    return plot


def curves(history, baselines=None):
    """Plots loss and accuracy over the epochs, for training and the split that is evaluated.

    Args:
        history: {"loss": [one per epoch], "accuracy": ..., and the same with the prefix
            "validation_" or "test_"}.
        baselines: {name: test accuracy}, plotted as horizontal lines, or None.
    """
    split = "validation" if "validation_loss" in history else "test"
    plot = figure(8, 3.6)
    epochs = range(1, len(history["loss"]) + 1)
    for axes, quantity in zip(plot.subplots(1, 2), ("loss", "accuracy"), strict=True):
        axes.plot(epochs, history[quantity], "--", color=ORANGE, label="training")
        axes.plot(epochs, history[f"{split}_{quantity}"], "-", color=BLUE, label=split)
        axes.set(title=quantity.capitalize(), xlabel="epoch", ylabel=quantity)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    loss, accuracy = plot.axes
    for (name, value), style in zip((baselines or {}).items(), (":", "-."), strict=False):
        label = f"{name}, test: {100 * value:.1f} %"
        accuracy.axhline(value, color=GREY, linestyle=style, linewidth=1, label=label)
    loss.set_ylim(0, 1.05 * loss.get_ylim()[1])
    _add_legend(plot, accuracy)
    return plot


def predictions(image, labels, probabilities, class_names):
    """Plots 24 images with true and predicted class, mistakes first.

    Mistakes are in descending order of the probability of the predicted class; correct images keep
    their order.

    Args:
        image: function from the number of an image to its pixels, (height, width, channels).
        labels: (images,).
        probabilities: (images, classes).
        class_names: names of the classes.
    """
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = predicted != labels
    order = np.lexsort((np.where(wrong, -confidence, 0.0), ~wrong))[:24]
    rows = -(-len(order) // 6)
    plot = figure(8, 0.5 + 1.6 * rows)
    plot.suptitle(f"{len(labels):,} images, {wrong.sum():,} mistakes; mistakes first", fontsize=11)
    for axes, i in zip(plot.subplots(rows, 6, squeeze=False).flat, order, strict=False):
        axes.imshow(image(i).squeeze(), cmap="gray", vmin=0, vmax=255)
        axes.set(xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set(visible=wrong[i], color=ORANGE, linewidth=3)
        prediction = f"{short_name(class_names[predicted[i]])} ({100 * confidence[i]:.0f} %)"
        title = f"\u2713 {prediction}"
        if wrong[i]:
            title = f"\u2717 {prediction}\ntrue: {short_name(class_names[labels[i]])}"
        axes.set_title(title, fontsize=6, color=ORANGE if wrong[i] else "black")
    for axes in plot.axes[len(order) :]:
        axes.axis("off")
    return plot


def _plot_matrix(axes, evaluation, power):
    from matplotlib.colors import PowerNorm

    counts, number = evaluation.confusion, len(evaluation.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    mesh = axes.imshow(shares, cmap="Blues", norm=PowerNorm(power, 0, 1))
    if number <= MOST_BARS:  # with more, the names would be illegible
        size = 9 if number <= MOST_NUMBERS else 6
        names = [short_name(name, LONGEST_NAME) for name in evaluation.class_names]
        axes.set_xticks(range(number), names, rotation=90, fontsize=size)
        axes.set_yticks(range(number), names, fontsize=size)
    if number <= MOST_NUMBERS:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                style = {"fontsize": 8, "color": "white" if shares[row, column] > 0.5 else "black"}
                axes.text(column, row, f"{count:,}", ha="center", va="center", **style)
    axes.set(xlabel="predicted", ylabel="true")
    title = f"{evaluation.images:,} images, accuracy {percent(evaluation.accuracy)}"
    axes.set_title(title, fontsize=11)
    return mesh


def _plot_pairs(axes, pairs):
    """Plots the most frequent mistakes as bars."""
    if not pairs:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no mistakes", ha="center", fontsize=11)
        return
    places = range(len(pairs))
    bars = axes.barh(places, [count for *_, count in pairs], color=ORANGE)
    axes.bar_label(bars, padding=3, fontsize=8)
    shown = [[short_name(name, LONGEST_NAME) for name in pair[:2]] for pair in pairs]
    names = [f"{true} \u2192 {said}" for true, said in shown]
    axes.set_yticks(places, names, fontsize=8)
    axes.invert_yaxis()
    axes.set_title("Most frequent mistakes: true \u2192 predicted", fontsize=11)
    axes.set(xlabel="images")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.spines[["top", "right"]].set_visible(False)


def _add_legend(plot, axes):
    plot.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)


def _add_intervals(errorbar, x, y, images, direction):
    """Adds the 95 % interval of each share as a line."""
    shares = np.asarray(y if direction == "yerr" else x)
    ends = np.array([wilson(s * n, n) for s, n in zip(shares, images, strict=True)])  # (bars, 2)
    lengths = np.abs(ends.T - shares)
    errorbar(x, y, **{direction: lengths}, fmt="none", ecolor="black", elinewidth=1, capsize=2)
