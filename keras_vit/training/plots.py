"""The figures of a training run. Each function returns a Matplotlib `Figure` to save or show."""

import numpy as np

from keras_vit import figures
from keras_vit.figures import short_name
from keras_vit.positions import similarity

# Okabe and Ito's colours, told apart by colour-blind readers too.
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#666666"
DPI = 120  # a page width of 8 inches gives 960 pixels


def curves(history, baselines=None):
    """Draws loss and accuracy over the epochs, of the training and of the part that was watched.

    Args:
        history: {"loss": [one an epoch], "accuracy": ..., and the same with "validation_" or
            "test_" before it}.
        baselines: {name: test accuracy}, drawn as level lines; None for none.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    part = "validation" if "validation_loss" in history else "test"
    figure = _figure(8, 3.6)
    for axes, quantity in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        epochs = range(1, len(history[quantity]) + 1)
        axes.plot(epochs, history[quantity], "--", color=ORANGE, label="training, as it goes")
        axes.plot(epochs, history[f"{part}_{quantity}"], "-", color=BLUE, label=part)
        axes.set(title=quantity.capitalize(), xlabel="epoch", ylabel=quantity)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        if quantity == "accuracy":
            _level_lines(axes, baselines or {})
        axes.legend(fontsize=8)
    figure.axes[0].set_ylim(bottom=0)
    return figure


def _level_lines(axes, baselines):
    for (name, value), style in zip(baselines.items(), (":", "-."), strict=False):
        label = f"{name}, test: {100 * value:.1f} %"
        axes.axhline(value, color=GREY, linestyle=style, linewidth=1, label=label)


def predictions(image, labels, probabilities, class_names, number=24):
    """Draws test images with true and predicted class, the mistakes first.

    Mistakes come in descending order of the probability that was given to the wrong class, then
    correct ones in their own order.

    Args:
        image: function from the number of an image to its pixels, (height, width, channels).
        labels: (images,).
        probabilities: (images, classes).
        class_names: name of every class.
        number: most images to draw.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = predicted != labels
    order = np.lexsort((np.where(wrong, -confidence, 0.0), ~wrong))[:number]
    rows = -(-len(order) // 6)
    figure = _figure(8, 0.5 + 1.6 * rows)
    figure.suptitle(
        f"{len(labels):,} test images, {wrong.sum():,} mistakes; mistakes first", fontsize=11
    )
    for axes, i in zip(figure.subplots(rows, 6, squeeze=False).flat, order, strict=False):
        _image(axes, image(i), wrong[i])
        said = f"{short_name(class_names[predicted[i]])} ({100 * confidence[i]:.0f} %)"
        title = f"\u2713 {said}"
        if wrong[i]:
            title = f"\u2717 {said}\ntrue: {short_name(class_names[labels[i]])}"
        axes.set_title(title, fontsize=7, color=ORANGE if wrong[i] else "black")
    for axes in figure.axes[len(order) :]:
        axes.axis("off")
    return figure


def _image(axes, image, wrong):
    axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=wrong, color=ORANGE, linewidth=3)


def positions(model):
    """Draws how similar the learned position embeddings are: Figure 7 (centre) of the paper.

    The small map in row r and column c shows the cosine similarity of the position embedding of
    the patch at (r, c) with those of all patches. Like the paper's, it leaves out the class token.

    Args:
        model: a `keras_vit.ViT`.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    rows, columns = (i // p for i, p in zip(model.image_size, model.patch_size, strict=True))
    embedding = np.asarray(model.get_layer("patch_encoder").position_embedding)[0]
    maps = similarity(embedding[-rows * columns :], (rows, columns))
    figure = _figure(6.4, 5.6)
    shown_rows, shown_columns = spread(rows), spread(columns)
    grid = figure.subplots(len(shown_rows), len(shown_columns), squeeze=False)
    for axes_row, row in zip(grid, shown_rows, strict=True):
        for axes, column in zip(axes_row, shown_columns, strict=True):
            drawn = axes.imshow(maps[row, column], cmap="viridis", vmin=-1, vmax=1)
            axes.set(xticks=[], yticks=[])
    for axes, row in zip(grid[:, 0], shown_rows, strict=True):
        axes.set_ylabel(row + 1, rotation=0, ha="right", va="center")
    for axes, column in zip(grid[-1], shown_columns, strict=True):
        axes.set_xlabel(column + 1)
    figure.suptitle("Similarity of position embeddings", fontsize=11)
    figure.supxlabel("patch column", fontsize=10)
    figure.supylabel("patch row", fontsize=10)
    figure.colorbar(drawn, ax=grid, label="cosine similarity", shrink=0.8)
    return figure


def spread(number, most=14):
    """Chooses at most `most` of `number` positions, evenly from first to last."""
    return np.unique(np.linspace(0, number - 1, min(number, most)).round().astype(int))


def _figure(width, height):
    return figures.figure(width, height, DPI)
