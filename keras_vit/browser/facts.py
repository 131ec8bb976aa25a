"""Content of a page besides predictions: facts about the model, and example images."""

import base64
import io
import os
import pathlib

from keras_vit import arguments
from keras_vit.data import images

PRECISIONS = ("float16", "int8")  # of the weights
MOST = 12  # example images
LARGEST = 512  # longest side of an example in pixels; saves space in the page
QUALITY = 90  # of JPEG
TITLE = 3  # classes in the title of a run's page


def make_title(metrics, names):
    """Returns a title from a run's data and classes, None for a model that is not from a run.

    Example:
    >>> names = ["Abyssinian", "Bengal", "Birman", "Bombay", "Sphynx"]
    >>> keras_vit.browser.facts.make_title({"data": "/home/me/pets"}, names)
    'pets: Abyssinian, Bengal, Birman and 2 more'
    """
    if not metrics.get("data"):
        return None
    *first, last = [*map(str, names[:TITLE]), f"{len(names) - TITLE} more"][: len(names)]
    return f"{pathlib.Path(metrics['data']).stem}: {', '.join(first)} and {last}"


def describe_model(model, metrics, precision, name):
    """Returns the known facts about a model as pairs of strings, (name, value)."""
    height, width, channels = model.input_shape[1:]
    colors = "color" if channels == 3 else "grayscale"
    rows = {
        "Model": name,
        "Parameters": f"{model.count_params():,}, here as {precision}",
        "Images": f"{height} \u00d7 {width} pixels, {colors}",
        "Classes": f"{max(2, model.output_shape[-1]):,}",
        "Weights": metrics.get("weights"),
        **_accuracy(metrics),
        **_training(metrics),
    }
    return [(name, str(value)) for name, value in rows.items() if value]


def _training(metrics):
    options = metrics.get("options") or {}
    data, seconds = metrics.get("data"), metrics.get("seconds")
    count, epochs = metrics.get("train_images"), metrics.get("epochs")
    versions = metrics.get("versions") or {}
    source = "scikit-learn's handwritten digits" if data == "digits" else _last(data)
    amount = f"{count:,} images" if count else ""
    length = f"{epochs} epochs" if epochs else ""
    return {
        "Trained on": ", ".join(filter(None, (source, amount, length))),
        "Started from": _last(options.get("weights")),
        "Training took": f"{seconds:,.0f} seconds" if seconds else "",
        "Date": (metrics.get("date") or "")[:10],
        "Made with": ", ".join(f"{name} {v}" for name, v in versions.items() if "keras" in name),
    }


def _accuracy(metrics):
    accuracy, count = metrics.get("test_accuracy"), metrics.get("test_images")
    if accuracy is None:
        return {}
    low, high = metrics["test_interval"]
    rows = {
        "Accuracy": f"{100 * accuracy:.1f} % of {count or 'the'} test images, which it was not "
        f"trained on; 95 % interval {100 * low:.1f} to {100 * high:.1f} %"
    }
    for name, share in (metrics.get("baselines") or {}).items():
        rows[f"For comparison: {name}"] = f"{100 * share:.1f} %"
    return rows


def _last(source):
    """Returns the last part of a path, because a page does not show its author's folders.

    A run stores absolute paths, so everything else is a name: "ViT-Ti/16".
    """
    return os.path.basename(source) if os.path.isabs(source or "") else source or ""


def find_examples(source, most=MOST):
    """Returns [(file, class or None)] of an image, a folder of images or a folder of class folders.

    With class folders, the first image of each comes first, then the second of each, up to `most`.
    """
    source = pathlib.Path(source)
    if source.is_file():
        return [(source, None)]
    if not source.is_dir():
        want = "`examples` must be an image, a folder of images or a folder of class folders"
        arguments.refuse(want, {"examples": str(source)}, "Check the path.")
    folders = sorted(path for path in source.iterdir() if path.is_dir())
    found = [(_images(source), None), *((_images(folder), folder.name) for folder in folders)]
    ranked = [(i, path, name) for paths, name in found for i, path in enumerate(paths)]
    ranked.sort(key=lambda row: row[0])
    if not ranked:
        arguments.refuse("`examples` must contain images", {"examples": str(source)})
    return [(path, name) for _, path, name in ranked[:most]]


def _images(folder):
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in images.SUFFIXES)


def read_example(path, label, channels, largest=LARGEST):
    """Reads an image file as an example for a page, at most `largest` pixels wide and high."""
    image = images.open_image(path, channels)
    return encode_example(image, os.path.basename(path), label, largest)


def encode_example(image, name, label, largest=LARGEST):
    """Returns an example for a page: its name, its class and the Pillow image as text."""
    image.thumbnail((largest, largest))
    small = max(image.size) <= 64  # JPEG would blur it
    kind, options = ("PNG", {}) if small else ("JPEG", {"quality": QUALITY})
    file = io.BytesIO()
    image.save(file, kind, **options)
    data = base64.b64encode(file.getvalue()).decode()
    address = f"data:image/{kind.lower()};base64,{data}"
    return {"name": name, "label": label, "address": address}
