"""What simple methods reach on the same images: without them an accuracy says little."""

import numpy as np

from keras_vit import backend

LARGEST_SIDE = 32  # images are shrunk to this first: both methods slow down with every pixel
MOST = 5_000  # training images


def baselines(data):
    """Trains a linear and a kernel classifier on the pixels of a `Data`.

    Both are scikit-learn's, with its default settings: logistic regression on pixels divided by
    255, and a support vector machine with RBF kernel. Neither sees varied images.

    Args:
        data: a `keras_vit.data.ImageDataset`; images larger than 32 pixels are shrunk to that.

    Returns:
        Accuracy of each on the test part, 0 to 1: {"logistic regression": ..., "RBF SVC": ...}.
        Nothing where scikit-learn is not installed, where there are more training images than
        5,000, for which both would take minutes, or where there is no test part.

    Example:
    >>> data = keras_vit.data.load("digits", image_size=8, num_channels=1, pipeline="keras")
    >>> keras_vit.training.baselines(data)["RBF SVC"] > 0.95
    True
    """
    if not is_installed() or data.counts["train"] > MOST or not data.counts["test"]:
        return {}
    (train, labels), (test, truth) = (_pixels(data, part) for part in ("train", "test"))
    return {
        name: float(method.fit(train, labels).score(test, truth))
        for name, method in _methods().items()
    }


def is_installed():
    """Whether scikit-learn can be imported."""
    return backend.is_installed("sklearn")


def _methods():
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import SVC

    # Folders of photographs converge slowly; digits need about 100 steps.
    linear = LogisticRegression(max_iter=2000)
    return {"logistic regression": linear, "RBF SVC": SVC()}


def _pixels(data, part):
    """Images as rows of numbers 0 to 1, shrunk to 32 pixels a side where larger, and classes."""
    scale = min(1.0, LARGEST_SIDE / max(data.image_size))
    size = tuple(max(1, round(scale * side)) for side in data.image_size)
    source, batches = data.sources[part], data.fixed_batches(part)
    rows = [_row(batches.image(i), size) for i in range(len(source))]
    return np.stack(rows), source.labels


def _row(pixels, size):
    from PIL import Image

    height, width = size
    image = Image.fromarray(pixels.squeeze())  # a grey image has no channel axis in Pillow
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR)).ravel() / 255.0
