"""`keras-vit explain`."""

import datetime
import functools
import os
import pathlib
import sys

from keras_vit import arguments
from keras_vit.cli.common import (
    INVERT,
    MODEL,
    RESIZE,
    adder,
    check_model,
    command,
    load_model,
    name_model,
)
from keras_vit.data import images as image_files
from keras_vit.data.sources.folders import find_images
from keras_vit.explain.views import VIEWS
from keras_vit.explain.views.record import Request
from keras_vit.io import writing

REPORT = "report"
SHOWS = {**{name: view.shows for name, view in VIEWS.items()}, REPORT: "all views on one page"}
OPTIONS = sorted({option for view in VIEWS.values() for option in view.options})


def add(commands):
    """Adds the command."""
    parser = command(
        commands,
        "explain",
        _start,
        _explain,
        "visualize what a model looks at",
        "Visualizes what happens inside a model. Each view writes a figure and its values, "
        "DIR/NAME.png and DIR/NAME.npz; `report` writes one page with all views. Without NAME, the "
        "views are listed.",
    )
    add = adder(parser)
    add("name NAME", "view, such as attention-rollout, or report", nargs="?")
    add("model MODEL", MODEL, nargs="?")
    add("images IMAGE", "image files, or folders of them", nargs="*")
    add("--list", "list the views and what they show")
    add(
        "--out DIR",
        "folder to write to; for the report also FILE.html. Existing files are never "
        "replaced. Default: a new folder in runs/",
    )
    add(
        "--image-size PIXELS",
        "side of the images, or height and width, for published weights; default: their own",
        int,
        nargs="+",
    )
    add("--resize", RESIZE, choices=("squash", "crop"))
    add("--invert", INVERT)
    add("--batch-size N", "number of images computed at once", int)
    _add_view_options(add)


def _add_view_options(add):
    token = "patch whose attention or similarity is shown, from 0; default: the class token"
    add("--token", token, int, nargs=2, metavar=("ROW", "COLUMN"))
    block = "block to show, several for attention-scores; default: the last"
    add("--block N", block, int, nargs="+")
    add(
        "--classes CLASS",
        "name or number of the class to explain, one for all images or one for each image; "
        "default: the most probable",
        nargs="+",
    )
    heads = "how rollout combines heads; default: mean"
    add("--heads", heads, choices=("mean", "max", "min"))
    discard = "fraction of the weakest attention that rollout discards; default: 0"
    add("--discard SHARE", discard, float)
    add("--grid", "resize positions to this grid", int, nargs=2, metavar=("R", "C"))
    add("--other MODEL", "second model of cka; default: the same one")
    add("--gallery FOLDER", "images that nearest searches")


def listing():
    """Returns the list of views and what they show, one line each."""
    width = max(map(len, SHOWS))
    lines = [f"  {_spell(name):<{width}}  {shows}" for name, shows in SHOWS.items()]
    return "\n".join(["keras-vit explain NAME MODEL IMAGE... --out DIR, with NAME one of:", *lines])


def _spell(name):
    return name.replace("_", "-")


def _start(options):
    if options.list or options.name is None:
        print(listing())
        return 0
    name = _view_name(options.name)
    _check(name, options)
    _image_size(options.image_size)
    _paths(name, options.out)
    find_images(options.images)
    for model in filter(None, (options.model, options.other)):
        check_model(model)
    if options.gallery is not None:
        find_images([options.gallery])


def _explain(options):
    from keras_vit import environment

    name = _view_name(options.name)
    paths = _paths(name, options.out)
    files = find_images(options.images)
    gallery = options.gallery and find_images([options.gallery])
    request = _request(options, files, gallery)
    print(environment.description(), flush=True)
    if name == REPORT:
        _write_page(request, *paths)
    else:
        _write_view(VIEWS[name], request, {"files": files, "gallery": gallery}, *paths)


def _request(options, files, gallery):
    """Reads the options of a view."""
    reading = options.resize, options.invert
    model, metrics = load_model(options.model, _image_size(options.image_size))
    images = read_images(files, model, metrics, *reading)
    class_names = metrics.get("class_names")
    chosen = {option: getattr(options, option) for option in (*OPTIONS, "batch_size")}
    chosen["classes"] = _find_classes(options.classes, class_names)
    for option in ("token", "grid"):
        chosen[option] = chosen[option] and tuple(chosen[option])
    if options.other is not None:
        other, other_metrics = load_model(options.other)
        chosen["other"] = other, read_images(files, other, other_metrics, *reading)
    if gallery is not None:
        titles = [os.path.basename(path) for path in gallery]
        chosen["gallery"] = titles, read_images(gallery, model, metrics, *reading)
    model_name = (metrics or {}).get("model") or name_model(options.model)
    return Request(model, images, name_images(files), class_names, chosen, model_name=model_name)


def _view_name(word):
    """Returns the Python name of a view, which may be written with "-" or "_"."""
    name = word.lower().replace("-", "_")
    if name not in SHOWS:
        advice = arguments.suggest(_spell(name), map(_spell, SHOWS), number=3)
        advice += "keras-vit explain --list shows all."
        arguments.refuse("NAME must be a view", {"NAME": word}, advice)
    return name


def _check(name, options):
    """Raises, before any work, if an argument is missing or does not belong to the view."""
    shown = _spell(name)
    if options.model is None:
        arguments.refuse(f"{shown} needs a model", {"MODEL": None}, f"MODEL is a {MODEL}.")
    if not options.images and (name == REPORT or VIEWS[name].needs_images):
        advice = f"keras-vit explain {shown} {options.model} cat.jpg"
        arguments.refuse(f"{shown} needs images", {"IMAGE": options.images}, advice)
    if name != REPORT and not VIEWS[name].needs_images:
        _check_no_images(shown, options)
    if name == REPORT and options.batch_size is not None:
        received = {"--batch-size": options.batch_size}
        arguments.refuse("--batch-size is an option of single views", received, "Leave it out.")
    for option in OPTIONS:
        value = getattr(options, option)
        views = [view.name for view in VIEWS.values() if option in view.options]
        if value is not None and name not in views:
            want = f"--{option} is not an option of {shown}"
            advice = f"It belongs to {', '.join(map(_spell, views))}."
            arguments.refuse(want, {f"--{option}": value}, advice)
    if name == "nearest" and options.gallery is None:
        advice = "Pass a folder of images to search: --gallery images/"
        arguments.refuse("nearest needs a gallery", {"--gallery": None}, advice)


def _check_no_images(shown, options):
    """Raises if images, or an option about them, are given to a view of the model alone."""
    received = {"IMAGE": options.images, "--resize": options.resize, "--invert": options.invert}
    received["--batch-size"] = options.batch_size
    given = {name: value for name, value in received.items() if value}
    if given:
        want = f"{shown} is a view of the model alone, without images"
        arguments.refuse(want, given, f"Leave out {' and '.join(given)}.")


def _paths(name, out):
    """Returns the paths of the files to write, or raises if one exists or cannot be written."""
    now = datetime.datetime.now().strftime("%Y-%m-%d-%H%M%S")
    folder = pathlib.Path(f"runs/{now}-explain-{_spell(name)}" if out is None else out)
    if name != REPORT:
        paths = [folder / f"{_spell(name)}.png", folder / f"{_spell(name)}.npz"]
    else:
        is_file = folder.suffix.lower() in (".html", ".htm")
        paths = [folder if is_file else folder / "report.html"]
    for path in paths:
        if path.exists():
            advice = "Choose another folder, or remove the file."
            want = "--out must not contain the file yet: nothing is replaced"
            arguments.refuse(want, {"--out": str(out), "file": str(path)}, advice)
    writing.check_folder(paths[0].parent if out is not None else "runs")
    return paths


def _image_size(sides):
    if sides is None or len(sides) == 1:
        return sides and sides[0]
    if len(sides) != 2:
        want = "--image-size must be one side, or height and width"
        arguments.refuse(want, {"--image-size": sides}, "Put the images before this option.")
    return tuple(sides)


def name_images(files):
    """Returns a name for each image: that of its file, or its path if two names are the same."""
    names = [os.path.basename(path) for path in files]
    return names if len(set(names)) == len(names) else files


def read_images(files, model, metrics=None, resize=None, invert=False):
    """Returns images as the model takes them, uint8 (images, height, width, channels), or None.

    With the metrics of a run, they are read as `keras-vit predict` reads them. `resize` is "squash"
    or "crop"; None for that of the metrics.
    """
    if not files:
        return None
    import numpy as np

    from keras_vit.data import transforms
    from keras_vit.data.transforms.image_transforms import find_resizing
    from keras_vit.training.runs import prediction

    settings = {**(metrics or {}), **({"resize": resize} if resize else {})}
    if "data" in settings:
        return np.stack([prediction.read_pixels(path, settings, invert) for path in files])
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 4 or None in shape[1:]:
        want = "the model must take images of one fixed size, (batch, height, width, channels)"
        arguments.refuse(want, {"model": model.name, "input shape": shape})
    _, *size, channels = shape
    opened = (image_files.open_image(path, channels, invert) for path in files)
    how = find_resizing(settings)
    return np.stack([transforms.resize_image(x, size, **how) for x in opened])


def _find_classes(words, class_names):
    """Returns a class number or a list of them, given as names or numbers; None stays None."""
    numbers = []
    for word in words or ():
        if class_names and word in class_names:
            alone = len(class_names) == 1  # the name of class 1 of a model with one logit
            numbers.append(1 if alone else list(class_names).index(word))
        elif word.isascii() and word.isdigit():
            numbers.append(int(word))
        else:
            advice = "Pass its number, from 0."
            if class_names:
                advice = f"The classes are {', '.join(class_names[:20])}."
                advice = arguments.suggest(word, class_names, number=3) or advice
            expected = "--classes must name classes of the model"
            arguments.refuse(expected, {"class": word}, advice)
    return numbers[0] if len(numbers) == 1 else numbers or None


def _write_view(view, request, sources, png, npz):
    import numpy as np

    values = view.compute(request)
    given = {name: paths for name, paths in sources.items() if paths is not None}
    arrays = {name: np.array([*map(str, paths)]) for name, paths in given.items()}
    arrays |= view.save(values, request)
    figure = view.plot(values, request)

    def write_arrays(path):
        with open(path, "wb") as file:  # to a path, NumPy would add the suffix
            np.savez(file, **arrays)

    draw = functools.partial(figure.savefig, format="png")
    writing.write_folder(png.parent, {png.name: draw, npz.name: write_arrays}, are_new=True)
    for line in view.lines(values, request):
        print(line)
    print(f"Written: {png}, the figure")
    print(f"Written: {npz}, the arrays {', '.join(arrays)}")


def _write_page(request, path):
    from keras_vit import explain

    def report_progress(name):
        print(f"{_spell(name)} ...", file=sys.stderr, flush=True)

    shown = request.model, request.images, request.names, request.class_names
    page = explain.report(*shown, report_progress, request.model_name)

    def write(partial):
        pathlib.Path(partial).write_text(page, encoding="utf-8")

    writing.write_folder(path.parent, {path.name: write}, are_new=True)
    print(f"Written: {path}, {len(page) / 1e6:.1f} MB. Open it in a browser.")
