"""`keras-vit evaluate` and `few-shot`: how well a model performs."""

import contextlib
import functools
import json
import pathlib
import sys

from keras_vit import arguments, backend
from keras_vit.cli import progress
from keras_vit.cli.common import (
    DEFAULT,
    MODEL,
    RESIZE,
    add_columns,
    adder,
    check_model,
    command,
    is_run,
    load_model,
    load_run,
)
from keras_vit.data.sources import check_source
from keras_vit.data.sources.source import check_share, check_shares
from keras_vit.doctor import image_table
from keras_vit.io import writing
from keras_vit.training.evaluation.class_names import read_mapping, read_names
from keras_vit.training.recipes.recipe import PRECISIONS
from keras_vit.training.runs import run_folder

TEST_SHARE = 0.3  # of every class, for few-shot
FIGURES = ("confusion", "reliability", "classes")  # functions of `evaluation_plots`


def add_evaluate(commands):
    """Adds `keras-vit evaluate`."""
    parser = command(
        commands,
        "evaluate",
        _check_evaluate,
        _evaluate,
        "measure how accurate a trained model is, and where it makes mistakes",
        "Evaluates a model on labeled images: accuracy with its 95 % interval, every class, the "
        "most confused classes, calibration, and the most confident mistakes. Without DATA these "
        "are the images that a run held out from training. The accuracy counts all classes of the "
        "model, even those that DATA lacks.",
    )
    add = adder(parser)
    add("model MODEL", MODEL)
    data = "folder of class folders, named like the classes of the model, by their numbers, or by "
    add("data DATA", data + "ImageNet's ids; only a run has images of its own", nargs="?")
    add_columns(add)
    names = "text file with the class names, one per line, in the order of the logits; several "
    names += "names of one class are separated by commas. Or a .csv file with the columns folder "
    add("--classes FILE", names + "and class, a name or a number from 0")
    add("--resize", RESIZE, choices=("squash", "crop"))
    split = "split of the run's own images; default: test, or validation if it has no test images"
    add("--part", split, choices=("test", "validation"))
    add("--out DIR", "new or empty folder for evaluation.json and three figures")
    add("--json", "print all numbers as JSON instead of text")


def add_few_shot(commands):
    """Adds `keras-vit few-shot`."""
    parser = command(
        commands,
        "few-shot",
        _check_few_shot,
        _few_shot,
        "measure how well a few images per class work with a model's features",
        "Evaluates the representation of a model as section 4.1 of the paper does: least squares "
        "from the features of a few images per class to the classes. Nothing is trained.",
    )
    add = adder(parser)
    add("model MODEL", MODEL)
    add("data DATA", "folder of class folders, or another dataset")
    add_columns(add)
    shots = "images per class; default: 1 5 10 25"
    add("--shots N", shots, int, nargs="+", default=[1, 5, 10, 25])
    add("--seeds N", f"number of draws; {DEFAULT}", int, default=3)
    add("--image-size PIXELS", "side to which images are resized; default: the model's", int)
    share = f"share of every class to test on, if DATA has no test split; default: {TEST_SHARE}"
    add("--test-share SHARE", share, float)
    add("--resize", RESIZE, choices=("squash", "crop"))
    precision = "float32, or mixed_bfloat16 and mixed_float16, which are faster on a GPU or TPU; "
    add("--precision POLICY", precision + "default: the model's", choices=PRECISIONS)
    add("--layer NAME", "layer whose output is used; default: the head's input")
    probe = "also train a logistic regression on all images outside the test split"
    add("--linear-probe", probe)


def _check_evaluate(options):
    check_model(options.model)
    if options.data is not None:
        check_source(options.data)
        if options.part is not None:
            received = {"DATA": options.data, "--part": options.part}
            want = "--part chooses among the run's own images"
            arguments.refuse(want, received, "Leave one of them out.")
    elif not is_run(options.model):
        want = "a model that is not a run has no images of its own, so evaluate needs DATA"
        advice = f"Write: keras-vit evaluate {options.model} images/"
        arguments.refuse(want, {"MODEL": options.model, "DATA": None}, advice)
    image_table.check_header(options.data, options.columns)
    if options.classes is not None:
        _read_classes(options.classes)
    if options.out is not None:
        run_folder.check_out(options.out)


def _read_classes(path):
    return (read_mapping if path.lower().endswith(".csv") else read_names)(path)


def _evaluate(options):
    from keras_vit import environment, training
    from keras_vit.training.evaluation import metrics

    with contextlib.redirect_stdout(sys.stderr):  # loading prints; stdout is for the JSON only
        run = load_run(options.model, resize=options.resize)
    names = options.classes and _read_classes(options.classes)
    making = contextlib.nullcontext()
    if options.out is not None:
        making = run_folder.making(options.out, "evaluation")
    with making as target:
        evaluation = training.evaluate_run(
            run, options.data, options.part, progress.over, options.columns, class_names=names
        )
        numbers = json.dumps(metrics.to_plain(evaluation), indent=2)
        if target:
            _write_evaluation(target, evaluation, numbers)
    if options.json:
        print(numbers)
        return
    print(environment.description(), evaluation, sep="\n")
    if target:
        names = ", ".join(f"{name}.png" for name in FIGURES)
        print(f"\nWritten to {target}: evaluation.json, {names}")


def _write_evaluation(target, evaluation, numbers):
    from keras_vit.training import evaluation_plots

    def write_numbers(path):
        pathlib.Path(path).write_text(numbers + "\n", encoding="utf-8")

    writers = {"evaluation.json": write_numbers}
    for name in FIGURES:
        figure = getattr(evaluation_plots, name)(evaluation)
        writers[f"{name}.png"] = functools.partial(figure.savefig, format="png")
    writing.write_folder(target, writers, are_new=True)


def _check_few_shot(options):
    for shots in options.shots:
        arguments.positive_integer("shots", shots)
    arguments.positive_integer("seeds", options.seeds)
    if options.image_size is not None:
        arguments.positive_integer("image_size", options.image_size)
    if options.test_share is not None:
        check_share("test_share", options.test_share)
    if options.linear_probe:
        backend.check_sklearn("--linear-probe needs")
    check_model(options.model)
    check_source(options.data)
    image_table.check_header(options.data, options.columns)


def _few_shot(options):
    from keras_vit import data, environment, training
    from keras_vit.data.pipelines import Loader
    from keras_vit.data.transforms.image_transforms import find_resizing
    from keras_vit.training.evaluation import metrics
    from keras_vit.training.evaluation.representation import predict_all, submodel
    from keras_vit.training.runs import saved_run

    model, facts = load_model(options.model, options.image_size, options.precision)
    saved_run.warn_of_own_images(facts, options.data)
    _, *size, channels = model.input_shape
    how = find_resizing({**facts, **({"resize": options.resize} if options.resize else {})})
    loaded = data.load(
        options.data,
        tuple(size),
        num_channels=channels,
        validation_share=0,
        test_share=TEST_SHARE if options.test_share is None else options.test_share,
        resize=how["resize"],
        augment=data.Augmentation(interpolation=how["interpolation"]),
        cache=False,  # every image is used once
        columns=options.columns,
    )
    check_shares(loaded, {"test_share": options.test_share})
    if "test" not in loaded.sources:
        want = "there must be images to test on"
        received = {"data": options.data, "--test-share": options.test_share}
        arguments.refuse(want, received, "Use a share above 0.")
    print(environment.description())
    print(repr(loaded).strip("<>"))
    print(
        "Few-shot accuracy: trained on a few training images, tested on the test images", flush=True
    )
    representation = submodel(model, options.layer)
    splits = []
    for split in ("train", "test"):
        batches = Loader(saved_run.read_as_predicted(loaded.fixed_batches(split), facts))
        splits += predict_all(representation, progress.over(batches, loaded.counts[split]))
    given = {"shots": options.shots, "seeds": options.seeds, "class_names": loaded.class_names}
    print(training.few_shot(*splits, **given))
    if options.linear_probe:
        accuracy, tested = training.linear_probe(*splits), len(splits[-1])
        low, high = (100 * share for share in metrics.wilson(round(accuracy * tested), tested))
        interval = f"95 % interval {low:.1f} to {high:.1f} %"
        print(f"logistic regression on all {len(splits[0]):,}: {100 * accuracy:.1f} % ({interval})")
