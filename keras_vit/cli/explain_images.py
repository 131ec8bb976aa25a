"""The images and classes that `keras-vit explain` is asked about."""

import difflib
import pathlib
from typing import NamedTuple

from keras_vit import arguments
from keras_vit.data import images


class Asked(NamedTuple):
    """What a view is asked to show: the model, metrics of its run or None, images, options."""

    model: object
    metrics: dict | None
    files: list
    images: object
    options: object

    @property
    def names(self):
        """A name for each image: that of its file, with its folder if two have the same."""
        names = [path.name for path in self.files]
        return names if len(set(names)) == len(names) else [str(path) for path in self.files]

    @property
    def class_names(self):
        """Names of a run's classes; None if they are unknown."""
        return self.metrics and self.metrics["class_names"]

    @property
    def batch(self):
        """{"batch_size": N} if one was given."""
        size = self.options.batch_size
        return {} if size is None else {"batch_size": size}

    @property
    def classes(self):
        """Numbers of the classes to explain, or None for the most probable ones."""
        words = self.options.classes
        if words is None:
            return None
        numbers = [class_number(word, self.class_names) for word in words]
        return numbers[0] if len(numbers) == 1 else numbers

    def read(self, folder):
        """Returns (paths, pixels) of other images for the same model."""
        files = image_files([folder])
        options = self.options
        return files, load_images(files, self.model, self.metrics, options.resize, options.invert)


def image_files(words):
    """Returns the paths of images, in folders at any depth, in alphabetical order.

    Raises:
        FileNotFoundError: a file or folder does not exist.
        ValueError: a folder contains no images.
    """
    found = []
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
        found += inside
    return found


def _is_image(path):
    shown = not path.name.startswith(".")
    return shown and path.suffix.lower() in images.SUFFIXES and path.is_file()


def load_images(files, model, metrics=None, resize=None, invert=False):
    """Reads images as a model takes them; for a run as `keras-vit predict` does.

    Args:
        files: paths of images.
        model: a Keras model.
        metrics: of its run; None for a model of no run.
        resize: "squash" or "crop"; None for that of the run, otherwise "squash".
        invert: whether colors are inverted.

    Returns:
        uint8 array (images, height, width, channels); None if there are no files.

    Raises:
        ValueError: a file cannot be read as an image, or the model does not take images.
    """
    if not files:
        return None
    import numpy as np

    from keras_vit.data import transforms

    if metrics is not None:
        from keras_vit.training.runs import saved_run

        settings = metrics if resize is None else {**metrics, "resize": resize}
        return np.stack([saved_run.read_pixels(path, settings, invert) for path in files])
    *size, channels = _input(model)
    loaded = (images.open_image(path, channels, invert) for path in files)
    return np.stack([transforms.resize_image(image, size, resize or "squash") for image in loaded])


def _input(model):
    """(height, width, channels) of the images that a model takes."""
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 4 or None in shape[1:]:
        want = "the model must take images of one known size, (batch, height, width, channels)"
        arguments.refuse(want, {"model": model.name, "input shape": shape})
    return shape[1:]


def class_number(word, class_names):
    """Returns the number of a class that is given by name or number."""
    if class_names and word in class_names:
        return list(class_names).index(word)
    if word.isascii() and word.isdigit():
        return int(word)
    near = difflib.get_close_matches(word, class_names or (), n=3)
    advice = f"Did you mean {', '.join(map(repr, near))}?" if near else "Give its number, from 0."
    if class_names and not near:
        advice = f"The classes are {', '.join(class_names[:20])}."
    return arguments.refuse("--classes must name classes of the model", {"class": word}, advice)
