"""`keras-vit page` and `keras-vit explorer`: a model as one HTML file."""

import os
import pathlib

from keras_vit.browser import facts
from keras_vit.checkpoints import catalogue
from keras_vit.cli.common import (
    DEFAULT,
    MODEL,
    RESIZE,
    adder,
    check_model,
    command,
    is_run,
    load_model,
    name_model,
)
from keras_vit.io import writing
from keras_vit.training.evaluation.class_names import read_names

EXAMPLE = "example.png"  # a test image that every run has in its folder


def add(commands):
    """Adds `keras-vit page`."""
    parser = command(
        commands,
        "page",
        _check,
        _page,
        "write a model as one web page that classifies images",
        "Writes one HTML file with the model in it. Open it in a browser, directly from disk: it "
        "classifies images that you drop on it, shows attention, rollout and which parts matter, "
        "and states how the model was trained. It needs no server and uses no network.",
    )
    option = adder(parser)
    option("model MODEL", MODEL)
    option("--out FILE", "HTML file to write; " + DEFAULT, default="page.html")
    examples = "image, folder of images or folder of class folders: up to twelve are on the page; "
    option("--examples PATH", examples + "default: the test image in a run's folder")
    option(
        "--title TEXT",
        "title of the page; default: a run's data and classes, else the name of the model",
    )
    names = "text file with the class names, one per line, in the order of the logits"
    option("--classes FILE", names)
    precision = "of the weights; int8 makes the file half as large and costs a little accuracy; "
    option("--precision", precision + DEFAULT, default="float16", choices=facts.PRECISIONS)
    option("--resize", RESIZE, choices=("squash", "crop"))


def add_explorer(commands):
    """Adds `keras-vit explorer`."""
    parser = command(
        commands,
        "explorer",
        _check_explorer,
        _explorer,
        "write a web page that shows how a Vision Transformer works",
        "Writes one HTML file that leads in eight steps from an image to a prediction, with a "
        "small model that runs in it. Open it in a browser, directly from disk. It needs no server "
        "and uses no network.",
    )
    option = adder(parser)
    option("--out FILE", "HTML file to write; " + DEFAULT, default="explorer.html")
    images = "image, folder of images or folder of class folders, up to twenty; or: drawings, "
    images += "which the package has; default: test images of CIFAR-10 if this machine has them, "
    images += "otherwise the drawings"
    option("--images PATH", images)


def _check(options):
    check_model(options.model)
    writing.check_file(options.out, "Choose another file: --out FILE.", ".html")
    if options.classes is not None:
        read_names(options.classes)
    if options.examples is not None:
        facts.find_examples(options.examples)


def _check_explorer(options):
    writing.check_file(options.out, "Choose another file: --out FILE.", ".html")
    if options.images not in (None, "drawings"):
        facts.find_examples(options.images)


def _explorer(options):
    from keras_vit import browser

    browser.write_explorer(options.out, options.images)
    _report(options.out)


def _page(options):
    from keras_vit import browser
    from keras_vit.training.runs.saved_run import default_metrics

    model, metrics = load_model(options.model)
    known = {"model": name_model(options.model), **_published(options.model)}
    metrics = {**known, **default_metrics(model), **metrics}
    if options.resize:
        metrics = {**metrics, "resize": options.resize}
    examples = options.examples
    if examples is None and is_run(options.model):
        path = pathlib.Path(options.model)
        path = (path if path.is_dir() else path.parent) / EXAMPLE
        examples = path if path.is_file() else None
    browser.write_page(
        model,
        options.out,
        options.classes and read_names(options.classes),
        examples,
        metrics=metrics,
        precision=options.precision,
        title=options.title,
    )
    _report(options.out)


def _published(name):
    """Returns facts from the catalog about published weights, for `facts`; {} for others."""
    entry = catalogue.entries().get(catalogue.published.RECOMMENDED.get(name, name))
    if entry is None or os.path.exists(name):
        return {}
    share = f", {entry.accuracy:.1f} % of test images right" if entry.accuracy else ""
    text = f"{entry.name}, {entry.licence}{share}, as published"
    return {"model": entry.variant, "weights": text}


def _report(path):
    print(f"Written: {path}, {os.path.getsize(path) / 1e6:.1f} MB. Open it in a browser.")
