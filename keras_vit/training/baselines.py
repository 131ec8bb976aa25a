"""What simple methods reach on the same pictures: without them an accuracy says little."""

import numpy as np

LARGEST_SIDE = 32  # pictures are shrunk to this first: both methods slow down with every pixel


def baselines(data):
    """Trains a linear and a kernel classifier on the pixels of a `Dataset`.

    Both are scikit-learn's, with its default settings: logistic regression on pixels divided by
    255, and a support vector machine with RBF kernel. Neither sees shifted or mirrored pictures.

    Args:
        data: a `keras_vit.data.Dataset`; pictures larger than 32 pixels are shrunk to that.

    Returns:
        Test accuracy of each, 0 to 1: {"logistic regression": ..., "RBF SVC": ...}.

    Raises:
        ImportError: scikit-learn is not installed.

    Example:
    >>> keras_vit.training.baselines(keras_vit.data.digits())["RBF SVC"] > 0.95
    True
    """
    methods = _methods()
    train, test = _pixels(data.train_images), _pixels(data.test_images)
    return {
        name: float(method.fit(train, data.train_labels).score(test, data.test_labels))
        for name, method in methods.items()
    }


def ensure_installed():
    """Raises `ImportError` unless scikit-learn can be imported."""
    _methods()


def _methods():
    try:
        from sklearn.linear_model import LogisticRegression
        from sklearn.svm import SVC
    except ImportError as error:
        raise ImportError(
            "The baselines need scikit-learn, which is not installed. "
            'Run: pip install "keras-vit[tutorials]"'
        ) from error
    # Folders of photographs converge slowly; digits need about 100 steps.
    linear = LogisticRegression(max_iter=2000)
    return {"logistic regression": linear, "RBF SVC": SVC()}


def _pixels(images):
    """Flattens pictures to rows of numbers 0 to 1, shrunk to 32 pixels a side where larger."""
    height, width = images.shape[1:3]
    if max(height, width) > LARGEST_SIDE:
        images = np.stack([_shrunk(image) for image in images])
    return images.reshape(len(images), -1) / 255.0


def _shrunk(image):
    from PIL import Image

    scale = LARGEST_SIDE / max(image.shape[:2])
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    picture = Image.fromarray(image.squeeze())  # a grey picture has no channel axis in Pillow
    return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))
