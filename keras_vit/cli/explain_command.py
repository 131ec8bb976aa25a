"""`keras-vit explain`."""

import datetime
import difflib
import pathlib
import sys

from keras_vit import arguments
from keras_vit.cli.common import MODEL, check_model, command, load_model
from keras_vit.cli.explain_images import Asked, image_files, load_images
from keras_vit.explain.reporting.words import VIEWS
from keras_vit.io import writing

REPORT = "report"
SHOWS = {**{name: view.shows for name, view in VIEWS.items()}, REPORT: "all views on one page"}
# Options that only some views have: {option: their names}.
OF_VIEWS = {
    "token": ("attention_scores", "attention_rollout", "token_similarity"),
    "block": ("attention_scores", "token_similarity", "token_colors"),
    "classes": ("relevance", "grad_cam", "occlusion", "deletion_curve"),
    "heads": ("attention_rollout",),
    "discard": ("attention_rollout",),
    "grid": ("position_similarity",),
    "other": ("cka",),
    "gallery": ("nearest",),
}
WITHOUT_IMAGES = ("embedding_filters", "position_similarity")


def add(commands):
    """Adds the command."""
    parser = command(
        commands,
        "explain",
        _start,
        _explain,
        "visualize what a model looks at",
        "Visualizes what happens inside a model. Each view writes its figure and its numbers, "
        "DIR/NAME.png and DIR/NAME.npz; `report` writes one page with all views. Without NAME it "
        "lists the views.",
    )
    add = parser.add_argument
    add("name", nargs="?", metavar="NAME", help="view, such as attention-rollout, or report")
    add("model", nargs="?", metavar="MODEL", help=MODEL)
    add("images", nargs="*", metavar="IMAGE", help="image files, or folders of them")
    add("--list", action="store_true", help="list the views and what they show")
    add(
        "--out",
        metavar="DIR",
        help="folder to write to, new or not; for the report also FILE.html. Existing files are "
        "never replaced. Default: a new folder in runs/",
    )
    _add_options_of_images(add)
    _add_options_of_views(add)


def _add_options_of_images(add):
    add(
        "--image-size",
        type=int,
        nargs="+",
        metavar="PIXELS",
        help="side of the images, or height and width, for published weights; default: theirs",
    )
    add(
        "--resize",
        choices=("squash", "crop"),
        help="how images are resized: squash ignores their proportions, crop takes the center; "
        "default: as in the run, squash for published weights",
    )
    add("--invert", action="store_true", help="invert the colors first: for dark ink on paper")
    add("--batch-size", type=int, metavar="N", help="images computed at once")


def _add_options_of_views(add):
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
        help="name or number of the class to explain, one for all images or one for each; "
        "default: the most probable",
    )
    add("--heads", choices=("mean", "max", "min"), help="how rollout combines heads; default: mean")
    add(
        "--discard",
        type=float,
        metavar="SHARE",
        help="share of the weakest attention that rollout drops; default: 0",
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
    files = image_files(options.images)
    model, metrics = load_model(options.model, _image_size(options.image_size))
    images = load_images(files, model, metrics, options.resize, options.invert)
    asked = Asked(model, metrics, files, images, options)
    print(environment.description(), flush=True)
    if name == REPORT:
        _write_page(asked, *paths)
    else:
        _write_view(name, asked, *paths)


def listing():
    """Returns the views and what they show, one line each."""
    width = max(map(len, SHOWS))
    lines = [f"  {name.replace('_', '-'):<{width}}  {shows}" for name, shows in SHOWS.items()]
    return "\n".join(["keras-vit explain NAME MODEL IMAGE... --out DIR, with NAME one of:", *lines])


def view_name(word):
    """Returns the Python name of a view; it may be written with "-" or "_"."""
    name = word.lower().replace("-", "_")
    if name not in SHOWS:
        near = difflib.get_close_matches(name, SHOWS, n=3)
        shown = ", ".join(found.replace("_", "-") for found in near)
        advice = (f"Did you mean {shown}? " if near else "") + "keras-vit explain --list shows all."
        arguments.refuse("NAME must be a view", {"NAME": word}, advice)
    return name


def _check(name, options):
    """Raises before any work if an argument is missing or does not belong to the view."""
    shown = name.replace("_", "-")
    if options.model is None:
        arguments.refuse(f"{shown} needs a model", {"MODEL": None}, f"MODEL is a {MODEL}.")
    if not options.images and name not in WITHOUT_IMAGES:
        advice = f"keras-vit explain {shown} {options.model} cat.jpg"
        arguments.refuse(f"{shown} needs images", {"IMAGE": options.images}, advice)
    for option, views in OF_VIEWS.items():
        value = getattr(options, option)
        if value is not None and name not in views:
            known = ", ".join(view.replace("_", "-") for view in views)
            want = f"--{option} must be left out of {shown}"
            arguments.refuse(want, {f"--{option}": value}, f"It belongs to {known}.")
    if name == "nearest" and options.gallery is None:
        advice = "Give a folder of images to search: --gallery images/"
        arguments.refuse("nearest needs a gallery", {"--gallery": None}, advice)


def _paths(name, out):
    """Returns the paths of the files to write, or raises if one exists or cannot be written."""
    paths = _files(name, _folder(name) if out is None else pathlib.Path(out))
    for path in paths:
        if path.exists():
            advice = "Choose another folder, or remove it."
            want = "--out must not hold such a file yet: nothing is replaced"
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
    image_files(options.images)
    for model in filter(None, (options.model, options.other)):
        check_model(model)
    if options.gallery is not None:
        image_files([options.gallery])


def _image_size(sides):
    if sides is None or len(sides) == 1:
        return sides and sides[0]
    if len(sides) != 2:
        want = "--image-size must be one side, or height and width"
        arguments.refuse(want, {"--image-size": sides}, "Write the images before it.")
    return tuple(sides)


def _write_view(name, asked, png, npz):
    import numpy as np

    from keras_vit.cli import explain_views

    shown = getattr(explain_views, name)(asked)
    png.parent.mkdir(parents=True, exist_ok=True)
    with writing.replacing(png) as partial:
        shown.figure.savefig(partial, format="png")
    with writing.replacing(npz) as partial, open(partial, "wb") as file:
        np.savez(file, files=np.array([str(path) for path in asked.files]), **shown.arrays)
    if shown.words:
        print("\n".join(shown.words))
    print(f"Written: {png}, the figure")
    print(f"Written: {npz}, {', '.join(['files', *shown.arrays])}")


def _write_page(asked, path):
    from keras_vit import explain

    page = explain.report(asked.model, asked.images, asked.names, asked.class_names, _progress)
    path.parent.mkdir(parents=True, exist_ok=True)
    writing.write_text(path, page)
    print(f"Written: {path}, {len(page) / 1e6:.1f} MB, open it in a browser")


def _progress(name):
    """Names the view that is computed next, on its own line of stderr."""
    print(f"{name.replace('_', '-')} ...", file=sys.stderr, flush=True)
