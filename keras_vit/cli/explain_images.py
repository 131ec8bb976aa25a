"""The images and classes of `keras-vit explain`."""

import pathlib
from typing import NamedTuple

from keras_vit import arguments
from keras_vit.data import images


class ImageReader(NamedTuple):
    """Reads images as a model takes them; for a run as `keras-vit predict` does.

    Attributes:
        resize: "squash" or "crop"; None for that of the run, "squash" without a run.
        invert: whether colors are inverted.
    """

    resize: str | None = None
    invert: bool = False

    def read(self, files, model, metrics=None):
        """Reads images.

        Args:
            files: paths of images.
            model: a Keras model.
            metrics: metrics of its run; None for a model without a run.

        Returns:
            uint8 array (images, height, width, channels); None if there are no files.

        Raises:
            ValueError: a file cannot be read as an image, or the model does not take images.
        """
        if not files:
            return None
        import numpy as np

        if metrics is not None:
            from keras_vit.training.runs import saved_run

            settings = metrics if self.resize is None else {**metrics, "resize": self.resize}
            return np.stack([saved_run.read_pixels(path, settings, self.invert) for path in files])
        return np.stack([self._read(path, *_input_shape(model)) for path in files])

    def _read(self, path, height, width, channels):
        from keras_vit.data import transforms

        image = images.open_image(path, channels, self.invert)
        return transforms.resize_image(image, (height, width), self.resize or "squash")


def find_images(words):
    """Returns the paths of images, in folders at any depth, in alphabetical order.

    Raises:
        FileNotFoundError: a file or folder does not exist.
        ValueError: a folder contains no images.
    """
    paths = []
    for path in map(pathlib.Path, words):
        if not path.exists():
            raise FileNotFoundError(
                f"An image file or folder was expected. Received: {str(path)!r}, which does not "
                "exist."
            )
        inside = [path] if path.is_file() else [p for p in sorted(path.rglob("*")) if _is_image(p)]
        if not inside:
            advice = f"Their names end in {', '.join(images.SUFFIXES)}."
            arguments.refuse("the folder must contain images", {"folder": str(path)}, advice)
        paths += inside
    return paths


def _is_image(path):
    visible = not path.name.startswith(".")
    return visible and path.suffix.lower() in images.SUFFIXES and path.is_file()


def name_images(files):
    """Returns a name for each image: that of its file, or its path if two names are the same."""
    names = [path.name for path in files]
    return names if len(set(names)) == len(names) else [str(path) for path in files]


def find_classes(words, class_names):
    """Returns the number of a class, or a list of numbers, by names or numbers; None for None."""
    if words is None:
        return None
    numbers = [_find_class(word, class_names) for word in words]
    return numbers[0] if len(numbers) == 1 else numbers


def _find_class(word, class_names):
    if class_names and word in class_names:
        return list(class_names).index(word)
    if word.isascii() and word.isdigit():
        return int(word)
    advice = "Give its number, from 0."
    if class_names:
        listed = f"The classes are {', '.join(class_names[:20])}."
        advice = arguments.suggest(word, class_names, number=3) or listed
    return arguments.refuse("--classes must name classes of the model", {"class": word}, advice)


def _input_shape(model):
    """(height, width, channels) of the images that a model takes."""
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 4 or None in shape[1:]:
        want = "the model must take images of one fixed size, (batch, height, width, channels)"
        arguments.refuse(want, {"model": model.name, "input shape": shape})
    return shape[1:]
