"""`keras-vit explain`."""

import difflib
import os
import pathlib
import sys

import numpy as np

from keras_vit import arguments
from keras_vit.checkpoints import atomic
from keras_vit.commands import explain_views
from keras_vit.commands.explain_pictures import Asked, picture_files, pictures
from keras_vit.commands.parts import MODEL, command, load_model
from keras_vit.explain.reporting import report
from keras_vit.explain.reporting.words import VIEWS
from keras_vit.training import environment, runs

REPORT = "report"
SHOWS = {**{name: view.shows for name, view in VIEWS.items()}, REPORT: "all views on one page"}
# Options that some views have: {option: their names}. The others hold for all.
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
WITHOUT_PICTURES = ("embedding_filters", "position_similarity")


def add(commands):
    """Adds the command."""
    parser = command(
        commands,
        "explain",
        _explain,
        "draw what a model looks at",
        "Draws what is inside a model. Each view writes its figure and its numbers, DIR/NAME.png "
        "and DIR/NAME.npz; `report` writes one page with all of them. Without NAME it lists the "
        "views.",
    )
    add = parser.add_argument
    add("name", nargs="?", metavar="NAME", help="view, such as attention-rollout, or report")
    add("model", nargs="?", metavar="MODEL", help=MODEL)
    add("images", nargs="*", metavar="IMAGE", help="picture files, or folders of them")
    add("--list", action="store_true", help="list the views and what they show")
    add(
        "--out",
        metavar="DIR",
        help="folder to write to, new or not; for the report also FILE.html. Files that are there "
        "are never replaced. Default: a new folder in runs/",
    )
    _add_options_of_pictures(add)
    _add_options_of_views(add)


def _add_options_of_pictures(add):
    add(
        "--image-size",
        type=int,
        nargs="+",
        metavar="PIXELS",
        help="side of the pictures, or height and width, for published weights; default: theirs",
    )
    add(
        "--resize",
        choices=("squash", "crop"),
        help="how pictures get their size: whatever their proportions, or cut to the middle; "
        "default: the run's way, squash for published weights",
    )
    add("--invert", action="store_true", help="exchange dark and light: for dark ink on paper")
    add("--batch-size", type=int, metavar="N", help="pictures computed at once")


def _add_options_of_views(add):
    add(
        "--token",
        type=int,
        nargs=2,
        metavar=("ROW", "COLUMN"),
        help="the patch that looks or is compared, from 0; default: the class token",
    )
    add(
        "--block",
        type=int,
        nargs="+",
        metavar="N",
        help="block to look at, several for attention-scores; default: the last",
    )
    add(
        "--classes",
        nargs="+",
        metavar="CLASS",
        help="name or number of the class to explain, one for all pictures or one for each; "
        "default: the most probable",
    )
    add("--heads", choices=("mean", "max", "min"), help="how rollout joins heads; default: mean")
    add(
        "--discard",
        type=float,
        metavar="SHARE",
        help="share of the weakest attention that rollout leaves out; default: 0",
    )
    add("--grid", type=int, nargs=2, metavar=("R", "C"), help="resize positions to this grid")
    add("--other", metavar="MODEL", help="second model of cka; default: the same one")
    add("--gallery", metavar="FOLDER", help="pictures among which nearest chooses")


def _explain(options):
    if options.list or options.name is None:
        print(listing())
        return
    name = view_name(options.name)
    _check(name, options)
    wanted = _names_of_files(name, options.out)
    files = picture_files(options.images)
    model, metrics = load_model(options.model, _image_size(options.image_size))
    images = pictures(files, model, metrics, options.resize, options.invert)
    asked = Asked(model, metrics, files, images, options)
    print(environment.description(), flush=True)
    if name == REPORT:
        _write_page(asked, wanted)
    else:
        _write_view(name, asked, *wanted)


def listing():
    """Returns the views and what they show, a line for each."""
    width = max(map(len, SHOWS))
    lines = [f"  {name.replace('_', '-'):<{width}}  {shows}" for name, shows in SHOWS.items()]
    return "\n".join(["keras-vit explain NAME MODEL IMAGE... --out DIR, with NAME one of:", *lines])


def view_name(word):
    """Returns the name of a view as Python has it, of one with "-" or "_" in it."""
    name = word.lower().replace("-", "_")
    if name not in SHOWS:
        near = difflib.get_close_matches(name, SHOWS, n=3)
        shown = ", ".join(found.replace("_", "-") for found in near)
        advice = (f"Did you mean {shown}? " if near else "") + "keras-vit explain --list shows all."
        arguments.refuse("NAME must be a view", {"NAME": word}, advice)
    return name


def _check(name, options):
    """Raises before any work where something is missing or has no meaning here."""
    shown = name.replace("_", "-")
    if options.model is None:
        arguments.refuse(f"{shown} needs a model", {"MODEL": None}, f"MODEL is a {MODEL}.")
    if not options.images and name not in WITHOUT_PICTURES:
        advice = f"keras-vit explain {shown} {options.model} cat.jpg"
        arguments.refuse(f"{shown} needs pictures", {"IMAGE": options.images}, advice)
    for option, views in OF_VIEWS.items():
        value = getattr(options, option)
        if value is not None and name not in views:
            known = ", ".join(view.replace("_", "-") for view in views)
            want = f"--{option} must be left out of {shown}"
            arguments.refuse(want, {f"--{option}": value}, f"It belongs to {known}.")
    if name == "nearest" and options.gallery is None:
        advice = "Give a folder of pictures to choose from: --gallery pictures/"
        arguments.refuse("nearest needs a gallery", {"--gallery": None}, advice)


def _names_of_files(name, out):
    """Returns the paths to write, none of which is there yet."""
    shown = name.replace("_", "-")
    if out is None:
        folder = runs.new_folder(None, f"explain-{shown}")
        runs.remove_if_empty(folder)  # it is made again when there is something to write
    else:
        folder = pathlib.Path(out)
    paths = [folder / f"{shown}{end}" for end in (".png", ".npz")]
    if name == REPORT:
        paths = [folder if folder.suffix.lower() in (".html", ".htm") else folder / "report.html"]
    for path in paths:
        if path.exists():
            advice = "Choose another folder, or remove it."
            want = "--out must not hold such a file yet: nothing is replaced"
            arguments.refuse(want, {"--out": str(out), "file": str(path)}, advice)
    above = next((parent for parent in paths[0].parents if parent.exists()), paths[0].parent)
    if not above.is_dir() or not os.access(above, os.W_OK):
        want = "--out must be a folder that can be written"
        arguments.refuse(want, {"--out": str(out)}, "Choose another.")
    return paths


def _image_size(sides):
    if sides is None or len(sides) == 1:
        return sides and sides[0]
    if len(sides) != 2:
        want = "--image-size must be one side, or height and width"
        arguments.refuse(want, {"--image-size": sides}, "Pictures stand before it.")
    return tuple(sides)


def _write_view(name, asked, png, npz):
    shown = getattr(explain_views, name)(asked)
    png.parent.mkdir(parents=True, exist_ok=True)
    with atomic.replacing(png) as partial:
        shown.figure.savefig(partial, format="png")
    with atomic.replacing(npz) as partial, open(partial, "wb") as file:
        np.savez(file, files=np.array([str(path) for path in asked.files]), **shown.arrays)
    if shown.words:
        print("\n".join(shown.words))
    print(f"Written: {png}, the figure")
    print(f"Written: {npz}, {', '.join(['files', *shown.arrays])}")


def _write_page(asked, paths):
    page = report(asked.model, asked.images, asked.names, asked.class_names, _progress)
    paths[0].parent.mkdir(parents=True, exist_ok=True)
    runs.write_text(paths[0], page)
    print(f"Written: {paths[0]}, {len(page) / 1e6:.1f} MB, open it in a browser")


def _progress(name):
    """Names the view that is computed next, on its own line of stderr."""
    print(f"{name.replace('_', '-')} ...", file=sys.stderr, flush=True)
