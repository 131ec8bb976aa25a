"""`keras-vit explain`."""

import datetime
import pathlib
import sys

from keras_vit import arguments
from keras_vit.cli.common import MODEL, check_model, command, load_model
from keras_vit.cli.explain_images import ImageReader, find_classes, find_images, name_images
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
        "Visualizes what happens inside a model. Each view writes a figure and its numbers, "
        "DIR/NAME.png and DIR/NAME.npz; `report` writes one page with all views. Without NAME, the "
        "views are listed.",
    )
    add = parser.add_argument
    add("name", nargs="?", metavar="NAME", help="view, such as attention-rollout, or report")
    add("model", nargs="?", metavar="MODEL", help=MODEL)
    add("images", nargs="*", metavar="IMAGE", help="image files, or folders of them")
    add("--list", action="store_true", help="list the views and what they show")
    add(
        "--out",
        metavar="DIR",
        help="folder to write to; for the report also FILE.html. Existing files are never "
        "replaced. Default: a new folder in runs/",
    )
    _add_image_options(add)
    _add_view_options(add)


def _add_image_options(add):
    add(
        "--image-size",
        type=int,
        nargs="+",
        metavar="PIXELS",
        help="side of the images, or height and width, for published weights; default: their own",
    )
    add(
        "--resize",
        choices=("squash", "crop"),
        help="how images are resized: squash ignores their proportions, crop keeps the center; "
        "default: as in the run, squash for published weights",
    )
    add("--invert", action="store_true", help="invert the colors first, for dark ink on paper")
    add("--batch-size", type=int, metavar="N", help="number of images computed at once")


def _add_view_options(add):
    add(
        "--token",
        type=int,
        nargs=2,
        metavar=("ROW", "COLUMN"),
        help="patch whose attention or similarity is shown, from 0; default: the class token",
    )
    add(
        "--block",
        type=int,
        nargs="+",
        metavar="N",
        help="block to show, several for attention-scores; default: the last",
    )
    add(
        "--classes",
        nargs="+",
        metavar="CLASS",
        help="name or number of the class to explain, one for all images or one for each image; "
        "default: the most probable",
    )
    add("--heads", choices=("mean", "max", "min"), help="how rollout combines heads; default: mean")
    add(
        "--discard",
        type=float,
        metavar="SHARE",
        help="fraction of the weakest attention that rollout discards; default: 0",
    )
    add("--grid", type=int, nargs=2, metavar=("R", "C"), help="resize positions to this grid")
    add("--other", metavar="MODEL", help="second model of cka; default: the same one")
    add("--gallery", metavar="FOLDER", help="images that nearest searches")


def _start(options):
    if options.list or options.name is None:
        print(listing())
        return 0
    name = view_name(options.name)
    _check(name, options)
    _image_size(options.image_size)
    _paths(name, options.out)
    _check_files(options)


def _explain(options):
    from keras_vit import environment

    name = view_name(options.name)
    paths = _paths(name, options.out)
    files = find_images(options.images)
    request = _request(options, files)
    print(environment.description(), flush=True)
    if name == REPORT:
        _write_page(request, *paths)
    else:
        gallery = options.gallery and find_images([options.gallery])
        _write_view(VIEWS[name], request, {"files": files, "gallery": gallery}, *paths)


def _request(options, files):
    """Reads what a view is asked to show."""
    reader = ImageReader(options.resize, options.invert)
    model, metrics = load_model(options.model, _image_size(options.image_size))
    images = reader.read(files, model, metrics)
    class_names = metrics and metrics["class_names"]
    chosen = {option: getattr(options, option) for option in (*OPTIONS, "batch_size")}
    chosen["classes"] = find_classes(options.classes, class_names)
    for option in ("token", "grid"):
        chosen[option] = chosen[option] and tuple(chosen[option])
    if options.other is not None:
        other, other_metrics = load_model(options.other)
        chosen["other"] = other, reader.read(files, other, other_metrics)
    if options.gallery is not None:
        gallery = find_images([options.gallery])
        titles = [path.name for path in gallery]
        chosen["gallery"] = titles, reader.read(gallery, model, metrics)
    return Request(model, images, name_images(files), class_names, chosen)


def listing():
    """Returns the list of views and what they show, one line each."""
    width = max(map(len, SHOWS))
    lines = [f"  {name.replace('_', '-'):<{width}}  {shows}" for name, shows in SHOWS.items()]
    return "\n".join(["keras-vit explain NAME MODEL IMAGE... --out DIR, with NAME one of:", *lines])


def view_name(word):
    """Returns the Python name of a view, which may be written with "-" or "_"."""
    name = word.lower().replace("-", "_")
    if name not in SHOWS:
        shown = [view.replace("_", "-") for view in SHOWS]
        advice = arguments.suggest(name.replace("_", "-"), shown, number=3)
        advice += "keras-vit explain --list shows all."
        arguments.refuse("NAME must be a view", {"NAME": word}, advice)
    return name


def _check(name, options):
    """Raises, before any work, if an argument is missing or does not belong to the view."""
    shown = name.replace("_", "-")
    if options.model is None:
        arguments.refuse(f"{shown} needs a model", {"MODEL": None}, f"MODEL is a {MODEL}.")
    if not options.images and (name == REPORT or VIEWS[name].needs_images):
        advice = f"keras-vit explain {shown} {options.model} cat.jpg"
        arguments.refuse(f"{shown} needs images", {"IMAGE": options.images}, advice)
    for option in OPTIONS:
        value = getattr(options, option)
        views = [view.name for view in VIEWS.values() if option in view.options]
        if value is not None and name not in views:
            known = ", ".join(view.replace("_", "-") for view in views)
            want = f"--{option} is not an option of {shown}"
            arguments.refuse(want, {f"--{option}": value}, f"It belongs to {known}.")
    if name == "nearest" and options.gallery is None:
        advice = "Give a folder of images to search: --gallery images/"
        arguments.refuse("nearest needs a gallery", {"--gallery": None}, advice)


def _paths(name, out):
    """Returns the paths of the files to write, or raises if one exists or cannot be written."""
    paths = _files(name, _folder(name) if out is None else pathlib.Path(out))
    for path in paths:
        if path.exists():
            advice = "Choose another folder, or remove the file."
            want = "--out must not contain the file yet: nothing is replaced"
            arguments.refuse(want, {"--out": str(out), "file": str(path)}, advice)
    writing.check_folder(paths[0].parent if out is not None else "runs")
    return paths


def _files(name, out):
    shown = name.replace("_", "-")
    if name != REPORT:
        return [out / f"{shown}.png", out / f"{shown}.npz"]
    return [out if out.suffix.lower() in (".html", ".htm") else out / "report.html"]


def _folder(name):
    now = datetime.datetime.now().strftime("%Y-%m-%d-%H%M%S")
    return pathlib.Path("runs", f"{now}-explain-{name.replace('_', '-')}")


def _check_files(options):
    """Raises if an image, a model or the gallery does not exist."""
    find_images(options.images)
    for model in filter(None, (options.model, options.other)):
        check_model(model)
    if options.gallery is not None:
        find_images([options.gallery])


def _image_size(sides):
    if sides is None or len(sides) == 1:
        return sides and sides[0]
    if len(sides) != 2:
        want = "--image-size must be one side, or height and width"
        arguments.refuse(want, {"--image-size": sides}, "Write the images before it.")
    return tuple(sides)


def _write_view(view, request, sources, png, npz):
    import numpy as np

    values = view.compute(request)
    names = {
        name: np.array(list(map(str, paths)))
        for name, paths in sources.items()
        if paths is not None
    }
    arrays = {**names, **view.save(values, request)}
    png.parent.mkdir(parents=True, exist_ok=True)
    with writing.replacing(png) as partial:
        view.plot(values, request).savefig(partial, format="png")
    with writing.replacing(npz) as partial, open(partial, "wb") as file:
        np.savez(file, **arrays)
    for line in view.lines(values, request):
        print(line)
    print(f"Written: {png}, the figure")
    print(f"Written: {npz}, {', '.join(arrays)}")


def _write_page(request, path):
    from keras_vit import explain

    shown = request.model, request.images, request.names, request.class_names
    page = explain.report(*shown, _report_progress)
    path.parent.mkdir(parents=True, exist_ok=True)
    writing.write_text(path, page)
    print(f"Written: {path}, {len(page) / 1e6:.1f} MB, open it in a browser")


def _report_progress(name):
    """Prints the name of the view that is computed next to stderr."""
    print(f"{name.replace('_', '-')} ...", file=sys.stderr, flush=True)
