"""The figures of a training run. Each function returns a Matplotlib `Figure` to save or show."""

import numpy as np

from keras_vit import figures
from keras_vit.ablations.positions import similarity
from keras_vit.figures import short_name


def curves(history, baselines=None):
    """Plots loss and accuracy over the epochs, for training and the split that is evaluated.

    Args:
        history: {"loss": [one per epoch], "accuracy": ..., and the same with the prefix
            "validation_" or "test_"}.
        baselines: {name: test accuracy}, plotted as horizontal lines; None for none.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    split = "validation" if "validation_loss" in history else "test"
    plot = figures.figure(8, 3.6)
    for axes, quantity in zip(plot.subplots(1, 2), ("loss", "accuracy"), strict=True):
        epochs = range(1, len(history[quantity]) + 1)
        axes.plot(epochs, history[quantity], "--", color=figures.ORANGE, label="training")
        axes.plot(epochs, history[f"{split}_{quantity}"], "-", color=figures.BLUE, label=split)
        axes.set(title=quantity.capitalize(), xlabel="epoch", ylabel=quantity)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        if quantity == "accuracy":
            _add_baselines(axes, baselines or {})
        axes.legend(fontsize=8)
    plot.axes[0].set_ylim(bottom=0)
    return plot


def _add_baselines(axes, baselines):
    for (name, value), style in zip(baselines.items(), (":", "-."), strict=False):
        label = f"{name}, test: {100 * value:.1f} %"
        axes.axhline(value, color=figures.GREY, linestyle=style, linewidth=1, label=label)


def predictions(image, labels, probabilities, class_names, number=24):
    """Plots test images with true and predicted class, mistakes first.

    Mistakes are in descending order of the probability of the predicted class; correct images keep
    their order.

    Args:
        image: function from the number of an image to its pixels, (height, width, channels).
        labels: (images,).
        probabilities: (images, classes).
        class_names: names of the classes.
        number: maximum number of images.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = predicted != labels
    order = np.lexsort((np.where(wrong, -confidence, 0.0), ~wrong))[:number]
    rows = -(-len(order) // 6)
    plot = figures.figure(8, 0.5 + 1.6 * rows)
    plot.suptitle(
        f"{len(labels):,} test images, {wrong.sum():,} mistakes; mistakes first", fontsize=11
    )
    for axes, i in zip(plot.subplots(rows, 6, squeeze=False).flat, order, strict=False):
        _image(axes, image(i), wrong[i])
        prediction = f"{short_name(class_names[predicted[i]])} ({100 * confidence[i]:.0f} %)"
        title = f"\u2713 {prediction}"
        if wrong[i]:
            title = f"\u2717 {prediction}\ntrue: {short_name(class_names[labels[i]])}"
        axes.set_title(title, fontsize=7, color=figures.ORANGE if wrong[i] else "black")
    for axes in plot.axes[len(order) :]:
        axes.axis("off")
    return plot


def _image(axes, image, wrong):
    axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=wrong, color=figures.ORANGE, linewidth=3)


def positions(model):
    """Plots the similarity of the learned position embeddings: Figure 7 (center) of the paper.

    The map in row r and column c shows the cosine similarity between the position embedding of the
    patch at (r, c) and those of all patches. As in the paper, the class token is left out.

    Args:
        model: a `keras_vit.ViT`.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    rows, columns = (i // p for i, p in zip(model.image_size, model.patch_size, strict=True))
    embedding = np.asarray(model.get_layer("patch_encoder").position_embedding)[0]
    maps = similarity(embedding[-rows * columns :], (rows, columns))
    plot = figures.figure(6.4, 5.6)
    shown_rows, shown_columns = figures.spread(rows), figures.spread(columns)
    grid = plot.subplots(len(shown_rows), len(shown_columns), squeeze=False)
    for axes_row, row in zip(grid, shown_rows, strict=True):
        for axes, column in zip(axes_row, shown_columns, strict=True):
            heatmap = axes.imshow(maps[row, column], cmap="viridis", vmin=-1, vmax=1)
            axes.set(xticks=[], yticks=[])
    for axes, row in zip(grid[:, 0], shown_rows, strict=True):
        axes.set_ylabel(row + 1, rotation=0, ha="right", va="center")
    for axes, column in zip(grid[-1], shown_columns, strict=True):
        axes.set_xlabel(column + 1)
    plot.suptitle("Similarity of position embeddings", fontsize=11)
    plot.supxlabel("patch column", fontsize=10)
    plot.supylabel("patch row", fontsize=10)
    plot.colorbar(heatmap, ax=grid, label="cosine similarity", shrink=0.8)
    return plot
