"""A run before Keras is imported: the checks of its options, and its folder."""

import contextlib
import datetime
import itertools
import json
import os
import pathlib
import re
import shlex

from keras_vit import arguments, backend
from keras_vit.checkpoints import catalogue
from keras_vit.data import dataset
from keras_vit.data.sources import check_source, groups
from keras_vit.data.sources.source import check_share
from keras_vit.data.transforms.augmentation import Augmentation, get_augmentation
from keras_vit.doctor import image_table
from keras_vit.io import files, paths, tensor_file, writing
from keras_vit.training.recipes.recipe_tables import FIELDS, recipe

SETTINGS, MODEL, METRICS, STATES = "settings.json", files.RUN, "metrics.json", "states"
UNAVERAGED = "unaveraged.weights.h5"
# The arguments of `train` without `out`: settings.json, from which a run is resumed
OPTIONS = {
    **dict.fromkeys(("data", "model", "weights", "recipe", "adapt", "image_size", "epochs")),
    **dict.fromkeys(("time", "early_stopping", "batch_size", "accumulate", "learning_rate")),
    **dict.fromkeys(("weight_decay", "layer_decay", "label_smoothing", "class_weights")),
    **dict.fromkeys(("augment", "sampling", "precision", "patch_size")),
    "seed": 0,
    **dict.fromkeys(("split_seed", "validation_share", "test_share", "columns", "group_pattern")),
    "skip_empty": False,
    "on_error": "stop",
    "tensorboard": False,
}
OF_THE_DATA = ("columns", "group_pattern", "skip_empty", "on_error")  # of `data.load`, too
OF_THE_RECIPE = [name for name in OPTIONS if name in FIELDS]
LARGEST_SEED = 2**32 - 1  # NumPy's and Keras's limit


def check(options):
    """Raises if the options of a run are invalid, without importing Keras or reading an image.

    Raises:
        FileNotFoundError: the data or the weights do not exist.
        ImportError: TensorBoard, or scikit-learn for the digits, is needed and not installed.
        ValueError: a value is invalid.
    """
    data, seed = options["data"], options["seed"]
    if arguments.natural_number("seed", seed) > LARGEST_SEED:
        arguments.refuse(f"`seed` must be at most {LARGEST_SEED}", {"seed": seed})
    if data is not None and not isinstance(data, (str, os.PathLike)):
        advice = "Write arrays to a file, numpy.savez(path, images=images, labels=labels), and "
        advice += "pass its path; or load them with keras_vit.data.load and use the model's `fit`."
        want = "`data` must be the path or the name of a dataset"
        arguments.refuse(want, {"data": type(data).__name__}, advice)
    if data is None and options["image_size"] not in (None, 8):
        received = {"image_size": options["image_size"]}
        advice = "Leave image_size out, or pass a folder of images."
        arguments.refuse("the digits are 8 x 8 pixels", received, advice)
    _check_weights(options)
    if options["time"] is not None:
        seconds("time", options["time"])
    _refuse_both(options, "time", "epochs", "either the time or the number of epochs can be given")
    if options["validation_share"] == 0:
        _refuse_both(
            options, "early_stopping", "validation_share", "early stopping needs validation images"
        )
    for name in ("validation_share", "test_share"):
        if options[name] is not None:
            check_share(name, options[name])
    if options["split_seed"] is not None:
        arguments.natural_number("split_seed", options["split_seed"])
    if options["augment"] is not None:
        get_augmentation(options["augment"])
    if options["tensorboard"]:
        check_tensorboard()
    chosen = find_recipe(options)
    if data is None and chosen.image_size not in (None, 8):
        received = {"recipe": chosen.name, "image_size": chosen.image_size}
        factor = max(arguments.height_width("image_size", chosen.image_size)) / 8
        advice = f"It enlarges them {factor:.0f}-fold. Leave --recipe out, or pass images."
        arguments.refuse("the digits are 8 x 8 pixels", received, advice)
    check_source("digits" if data is None else data, options["skip_empty"], options["on_error"])
    image_table.check_header(data, options["columns"])
    if options["group_pattern"] is not None:
        groups.check_pattern(options["group_pattern"])


def _check_weights(options):
    weights, patch_size = options["weights"], options["patch_size"]
    _refuse_both(options, "weights", "model", "weights determine the model")
    if weights is not None:
        catalogue.check_source(weights)
    if patch_size is not None:
        arguments.height_width("patch_size", patch_size)
    if patch_size is not None and weights is None:
        received = {"patch_size": patch_size, "weights": None}
        advice = "Without weights, write the patch into the name: --model ViT-Midi/8."
        arguments.refuse("`patch_size` changes the patches of weights", received, advice)


def _refuse_both(options, one, other, want):
    """Raises `ValueError` if both of two options are given."""
    received = {name: options[name] for name in (one, other)}
    if None not in received.values():
        arguments.refuse(want, received, "Leave one of them out.")


def complete(options):
    """Returns checked options with every path and default written out, as `resume` reads them."""
    check(options)
    options = {**options, "recipe": _recipe_name(options)}
    for name in ("data", "weights"):  # a run can be resumed from any folder
        if options[name] is not None and os.path.exists(options[name]):
            options[name] = os.path.abspath(options[name])
    if find_recipe(options).image_size is None:
        # The digits have one size; 224 is that of the paper's pre-training.
        options["image_size"] = 8 if options["data"] is None else 224
        if options["data"] is not None and options["weights"] is not None:
            from keras_vit.checkpoints import loading

            options["image_size"] = loading.find_image_size(options["weights"])
    if isinstance(options["augment"], Augmentation):
        options["augment"] = options["augment"].changed_fields()
    return json.loads(json.dumps(options, default=_to_plain))


def _to_plain(value):
    """Returns a number of NumPy as one of Python."""
    if not hasattr(value, "item"):
        expected = "the arguments of a run must be texts, numbers, and dictionaries of these"
        arguments.refuse(expected, {"argument": type(value).__name__})
    return value.item()


def seconds(name, value):
    """Returns a time in seconds: a number, or a string such as "2h", "1h30m" or "3600s".

    Raises:
        ValueError: the string has a different form, or the time is not above 0.

    Example:
    >>> keras_vit.training.runs.run_folder.seconds("time", "1h30m")
    5400.0
    """
    if isinstance(value, str):
        found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", value.strip())
        if not (found and value.strip()):
            advice = "Use 2h, 90m, 1h30m or 3600s."
            arguments.refuse(f"`{name}` must be hours, minutes and seconds", {name: value}, advice)
        hours, minutes, rest = (int(number or 0) for number in found.groups())
        value = 3600 * hours + 60 * minutes + rest
    return arguments.positive_number(name, value)


def find_recipe(options, data=None):
    """Returns the `Recipe` of a run, scaled to its data if these are loaded."""
    name = _recipe_name(options)
    chosen = recipe(name, data, **{field: options[field] for field in OF_THE_RECIPE})
    if options["weights"] is None and chosen.model is None:
        advice = "Pass --weights, a file or a name of `keras-vit weights`, or --model."
        arguments.refuse(f"the recipe {name!r} starts from weights", {"weights": None}, advice)
    return chosen


def _recipe_name(options):
    usual = "digits" if options["data"] is None else "folder"
    return options["recipe"] or ("finetune" if options["weights"] is not None else usual)


def load_images(options):
    """Loads the images of completed options with `keras_vit.data.load`."""
    import keras

    chosen, is_digits = find_recipe(options), options["data"] is None
    augment, split_seed = options["augment"], options["split_seed"]
    augment = Augmentation(**augment) if isinstance(augment, dict) else augment
    if split_seed is None:
        split_seed = options["seed"] if is_digits else 0
    shares = {name: options[name] for name in ("validation_share", "test_share")}
    if is_digits and shares["validation_share"] is None and chosen.early_stopping is None:
        shares["validation_share"] = 0.0  # not used for selection, so all images can be trained on
    loaded = dataset.load(
        "digits" if is_digits else options["data"],
        image_size=chosen.image_size,
        batch_size=chosen.batch_size,
        augment=chosen.augmentation if augment is None else augment,
        resize=chosen.resize,
        sampling=chosen.sampling,
        seed=options["seed"],
        split_seed=split_seed,
        num_channels=chosen.num_channels,
        # TensorFlow takes seconds to import, and only its own backend benefits from tf.data.
        pipeline=None if keras.backend.backend() == "tensorflow" and not is_digits else "keras",
        **{name: options[name] for name in OF_THE_DATA},
        **{name: share for name, share in shares.items() if share is not None},
    )
    if not loaded.counts["test"] and not loaded.counts["validation"]:
        want = "a run needs images that it does not train on, which it evaluates at the end"
        arguments.refuse(want, loaded.counts, "Leave test_share out, or make it larger than 0.")
    return loaded


def check_tensorboard():
    """Raises `ImportError` unless TensorFlow and TensorBoard are installed."""
    missing = [n for n in ("tensorflow", "tensorboard") if not backend.is_installed(n)]
    if missing:
        raise ImportError(
            f"The logs need TensorFlow and TensorBoard; not installed: {', '.join(missing)}. "
            f"Run: pip install {' '.join(missing)}"
        )


# --- The folder ----------------------------------------------------------------------------------


def command_line(*words):
    """Returns a `keras-vit` command for the shell; paths with spaces are quoted.

    Example:
    >>> keras_vit.training.runs.run_folder.command_line("evaluate", "my runs/first")
    "keras-vit evaluate 'my runs/first'"
    """
    return shlex.join(["keras-vit", *map(str, words)])


def fine_tuning(data, columns=None, group_pattern=None, skip_empty=False, on_error="stop"):
    """Returns the command that fine-tunes published weights on these images, for the shell.

    Example:
    >>> keras_vit.training.runs.run_folder.fine_tuning("pets.csv", {"label": "breed"})
    'keras-vit train pets.csv --label-column breed --weights ViT-Ti/16'
    """
    given = [word for role, name in (columns or {}).items() for word in (f"--{role}-column", name)]
    given += ["--group-pattern", group_pattern] if group_pattern is not None else []
    given += ["--skip-empty"] * skip_empty + ["--on-error", on_error] * (on_error != "stop")
    return command_line("train", data, *given, "--weights", "ViT-Ti/16")


def find(path):
    """Returns the folder of a complete run from its path or from the path of its model.keras.

    Raises:
        FileNotFoundError: model.keras or metrics.json does not exist.
    """
    advice = "Pass the folder of a run, or Run(None, model, metrics) for a model."
    path = paths.check("run", path, advice)
    target = path if path.is_dir() else path.parent
    complete = (target / METRICS).is_file() and (target / MODEL).is_file()
    if (target / SETTINGS).is_file() and not complete:
        raise FileNotFoundError(
            f"A complete run was expected. Received: {str(target)!r}, which was interrupted. "
            f"Run: {command_line('train', '--resume', target)}"
        )
    for name in (MODEL, METRICS):
        if not path.exists() or not (target / name).is_file():
            problem = f"without {name}" if path.exists() else "which does not exist"
            raise FileNotFoundError(
                f"A run of `keras-vit train` with model.keras and metrics.json was expected. "
                f"Received: {str(path)!r}, {problem}. "
                f"{_name_newest(path) or 'Train one with: keras-vit train'}"
            )
    return target


def _name_newest(path):
    """Returns a sentence with the newest run in a folder of runs, or "" if it has none."""
    folder = path if path.is_dir() else path.parent
    runs = sorted(folder.glob(f"*/{SETTINGS}"), key=lambda file: file.stat().st_mtime)
    return f"The newest run in {str(folder)!r} is {str(runs[-1].parent)!r}." if runs else ""


def is_complete(target):
    """Returns whether a run is complete; its states are removed at the very end."""
    return (target / METRICS).is_file() and not (target / STATES).exists()


def read_settings(folder):
    """Returns (folder, options) of a run, complete or not."""
    target = paths.check("folder", folder, "Pass the folder of a run.")
    path = target / SETTINGS
    if not path.is_file():
        problem = "which has none" if target.exists() else "which does not exist"
        raise FileNotFoundError(
            "A folder of `keras-vit train` with settings.json was expected. "
            f"Received: {str(target)!r}, {problem}. {_name_newest(target) or 'Check the path.'}"
        )
    try:
        options = {**OPTIONS, **files.read_json(path)}
        if unknown := options.keys() - OPTIONS:
            raise ValueError(f"{', '.join(sorted(unknown))} is not an argument of `train`")
    except (ValueError, TypeError) as error:
        reason = str(error).removesuffix(tensor_file.DOWNLOAD).rstrip(". ")
        raise ValueError(f"{str(path)!r} cannot be read: {reason}. Train again.") from error
    return target, options


def write_settings(target, options):
    """Writes the options of a new run, whose folder this process holds; see `check_unused`."""
    check_unused(target)
    writing.write_json(target / SETTINGS, options)


def check_unused(target):
    """Raises `ValueError` if another run has just begun in a folder."""
    if (target / SETTINGS).exists():
        advice = "Another run has begun there. Choose another folder."
        arguments.refuse("`out` must be a new or an empty folder", {"out": str(target)}, advice)


def check_out(out):
    """Raises `ValueError` unless `out`, None for runs/, is a new or empty folder."""
    target = pathlib.Path("runs") if out is None else paths.check("out", out)
    if out is not None and target.exists() and (not target.is_dir() or any(target.iterdir())):
        advice = "Choose another, or remove it."
        if (target / SETTINGS).is_file() and not is_complete(target):
            resume = command_line("train", "--resume", target)
            advice = f"It contains an interrupted run. Resume it with {resume}, or choose another."
        arguments.refuse("`out` must be a new or an empty folder", {"out": str(target)}, advice)
    writing.check_folder(target)


def check_resumable(folder):
    """Raises unless the folder of a run is writable, so it can be resumed; see `read_settings`."""
    target, _ = read_settings(folder)
    if not is_complete(target):
        writing.check_folder(target, "Make it writable, or copy the run to another disk.")


def make(out, name):
    """Creates the folder of a run and returns it; for None a new one, runs/<time>-<name>."""
    check_out(out)
    target = pathlib.Path("runs" if out is None else out)
    writing.make_folder(target)
    if out is not None:
        return target
    now = datetime.datetime.now().strftime("%Y-%m-%d-%H%M%S")
    for number in itertools.count(1):  # several runs may begin in the same second
        new = target / (f"{now}-{name}" + (f"-{number}" if number > 1 else ""))
        with contextlib.suppress(FileExistsError):
            new.mkdir()
            return new


def making(out, name):
    """Returns a context with the folder of `make`, which is removed after an error if it is new."""
    check_out(out)
    outer = pathlib.Path("runs" if out is None else out)
    return writing.making(outer, lambda: make(out, name))
