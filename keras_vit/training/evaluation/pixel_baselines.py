"""The accuracy of simple classifiers on the same images, for comparison."""

import numpy as np

from keras_vit import backend

LARGEST_SIDE = 32  # images are shrunk to this first: both methods slow down with every pixel
MOST = 5_000  # training images


def baselines(data):
    """Trains a linear and a kernel classifier on the pixels of a dataset.

    Both are scikit-learn's, with default settings, on pixels divided by 255 and without
    augmentation: logistic regression, and a support vector machine with RBF kernel.

    Args:
        data: a `keras_vit.data.ImageDataset`; images larger than 32 pixels are shrunk to that.

    Returns:
        Test accuracy of each, from 0 to 1: {"logistic regression": ..., "RBF SVC": ...}. Empty if
        scikit-learn is not installed, if there is no test split, or if there are more than 5,000
        training images, for which both would take minutes.

    Example:
    >>> data = keras_vit.data.load("digits", image_size=8, num_channels=1, pipeline="keras")
    >>> keras_vit.training.baselines(data)["RBF SVC"] > 0.95
    True
    """
    if not is_installed() or data.counts["train"] > MOST or not data.counts["test"]:
        return {}
    (train, labels), (test, truth) = (read_pixels(data, split) for split in ("train", "test"))
    return {
        name: float(method.fit(train, labels).score(test, truth))
        for name, method in _methods().items()
    }


def is_installed():
    """Returns whether scikit-learn can be imported."""
    return backend.is_installed("sklearn")


def read_pixels(data, split):
    """Returns pixels from 0 to 1, (images, numbers), shrunk to at most 32 a side, and labels."""
    scale = min(1.0, LARGEST_SIDE / max(data.image_size))
    size = tuple(max(1, round(scale * side)) for side in data.image_size)
    source, batches = data.sources[split], data.fixed_batches(split)
    rows = [_shrink(batches.image(i), size) for i in range(len(source))]
    return np.stack(rows), source.labels


def _methods():
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import SVC

    # Folders of photographs converge slowly; digits need about 100 steps.
    linear = LogisticRegression(max_iter=2000)
    return {"logistic regression": linear, "RBF SVC": SVC()}


def _shrink(pixels, size):
    from PIL import Image

    height, width = size
    image = Image.fromarray(pixels.squeeze())  # a grey image has no channel axis in Pillow
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR)).ravel() / 255.0
