"""`keras-vit train`."""

from keras_vit import arguments
from keras_vit.cli.common import DEFAULT, add_columns, adder, command
from keras_vit.data.sampler import SAMPLINGS
from keras_vit.training.recipes.recipe import ADAPTATIONS, PRECISIONS
from keras_vit.training.recipes.recipe_tables import RECIPES, names
from keras_vit.training.runs import run_folder

DESCRIPTION = """Trains a Vision Transformer and writes the model, its metrics and figures to a
folder. Without DATA it trains a small one on the 1,797 handwritten digits of scikit-learn: no
download, about a minute. With --weights it fine-tunes published weights. A run may be killed at any
moment: --resume continues it exactly where it stopped."""
# Options without an effect on --find-learning-rate
OF_A_TRAINING = ("epochs", "time", "early_stopping", "tensorboard")


def add(commands):
    """Adds the command."""
    summary = "train on handwritten digits, or on your own images"
    parser = command(commands, "train", _check_train, _train, summary, DESCRIPTION)
    adder(parser)(
        "data DATA",
        "folder with a folder of images for each class, .csv table, .npz file, or the name of a "
        "TensorFlow dataset; default: the digits",
        nargs="?",
    )
    _add_model(adder(parser.add_argument_group("model and data")))
    _add_training(adder(parser.add_argument_group("training")))
    _add_optimizer(adder(parser.add_argument_group("optimizer and loss")))
    _add_images(adder(parser.add_argument_group("training images")))
    _add_results(adder(parser.add_argument_group("results")))


def _add_model(add):
    add(
        "--weights NAME",
        "file, folder, hf://owner/name or name of `keras-vit weights` to start from",
    )
    add(
        "--model NAME",
        "start from random weights: a name of `keras-vit variants`, with any patch after the "
        f"size; {_default('model')}",
    )
    add(
        "--image-size PIXELS",
        "side to which images are resized, divisible by the patch; "
        f"{_default('image_size')}, or the size of the --weights",
        int,
    )
    add(
        "--patch-size PIXELS",
        "side of a patch, with --weights that have another: the kernel of the patch embedding is "
        "resized; default: that of the weights",
        int,
    )
    validation = "share of the training images for validation while training; default: 0.1"
    add("--validation-share SHARE", validation, float)
    test = "share of all images for testing, once, at the end; default: 0.2"
    add("--test-share SHARE", test, float)
    add("--split-seed N", "seed of these splits; default: 0", int)
    add_columns(add)
    pattern = "regular expression that finds the group of an image in its name: '(patient\\d+)_'"
    add("--group-pattern REGEX", pattern)
    add("--skip-empty", "leave out class folders without images")
    error = "what to do about an image that cannot be read: stop, or take the next one of its class"
    add("--on-error", f"{error}; {DEFAULT}", choices=("skip", "stop"), default="stop")


def _add_training(add):
    recipes = f"{', '.join(names())}; default: digits; folder with DATA; finetune with --weights"
    add("--recipe NAME", recipes)
    adapt = "which weights are trained; default: the recipe's, usually all"
    add("--adapt", adapt, choices=ADAPTATIONS)
    add("--epochs N", f"passes over the images; {_default('epochs')}", int)
    add(
        "--time TIME",
        "train as many epochs as fit into 2h, 90m, 1h30m or 3600s, instead of --epochs",
    )
    add(
        "--early-stopping N",
        "end after N epochs without a lower validation loss; the result has the weights of the "
        "best epoch; default: train all epochs, keep the last weights",
        int,
    )
    add("--batch-size N", f"images per step; {_default('batch_size')}", int)
    add("--accumulate N", "steps whose gradients make one update; default: the recipe's", int)
    add(
        "--precision POLICY",
        "float32, mixed_bfloat16 (half the memory; faster on GPU and TPU), or mixed_float16 with "
        "loss scaling; default: float32",
        choices=PRECISIONS,
    )
    seed = f"seed of the weights and the order of images; {DEFAULT}"
    add("--seed N", seed, int, default=0)


def _add_optimizer(add):
    add("--learning-rate RATE", f"peak of the schedule; {_default('learning_rate')}", float)
    add("--find-learning-rate", "train briefly with a rising rate, plot the loss, suggest a rate")
    decay = "relative to the learning rate; default: the recipe's"
    add("--weight-decay RATE", decay, float)
    layers = "factor of the learning rate from each block to the one before it; default: 1.0"
    add("--layer-decay FACTOR", layers, float)
    smoothing = "share of every label that is distributed evenly over the classes; default: 0.0"
    add("--label-smoothing SHARE", smoothing, float)
    add(
        "--class-weights WEIGHTS",
        "balanced: rare classes weigh more in the loss, all contribute equally; or weights, "
        "such as cat=2,dog=0.5, 1 for other classes; default: 1 for all",
    )


def _add_images(add):
    add(
        "--augment NAME",
        "augmentation of the training images: none, flip, gentle, inception, cifar, "
        "light1 ... strong2, deit, deit3, small; default: the recipe's",
    )
    sampling = "balanced: rare classes are drawn more often, all equally often in an epoch; "
    sampling += "default: shuffled, every image once"
    add("--sampling KIND", sampling, choices=SAMPLINGS)


def _add_results(add):
    add("--out DIR", "new or empty folder for the results; default: runs/<time>-<name>")
    add("--tensorboard", "also log for TensorBoard, in DIR/logs")
    add("--resume RUN", "resume an interrupted run; takes no other argument")


def _default(field):
    """Returns the default of a setting for the help."""
    values = {name: getattr(RECIPES[name], field) for name in ("digits", "folder")}
    listed = [str(values["digits"])]
    if values["folder"] != values["digits"]:
        listed.append(f"with DATA {values['folder']}")
    return f"default: {', '.join(listed)}"


def _check_train(options):
    values = _values(options)
    if options.resume is None:
        if options.find_learning_rate:
            _check_search(values)
        run_folder.check({name: values[name] for name in run_folder.OPTIONS})
        run_folder.check_out(options.out)
        return
    values["find_learning_rate"] = options.find_learning_rate
    usual = {**run_folder.OPTIONS, "out": None, "find_learning_rate": False}
    given = {name: value for name, value in values.items() if value != usual[name]}
    if given:
        advice = f"Write: {run_folder.command_line('train', '--resume', options.resume)}"
        arguments.refuse("--resume takes no other argument", given, advice)
    run_folder.check_resumable(options.resume)


def _check_search(values):
    """Raises if an option of a training would have no effect on the search for a rate."""
    if values["learning_rate"] is not None:
        received = {"--learning-rate": values["learning_rate"]}
        arguments.refuse("--find-learning-rate tries all rates", received, "Leave one out.")
    usual = {name: run_folder.OPTIONS[name] for name in OF_A_TRAINING}
    given = {n: values[n] for n, value in usual.items() if values[n] != value}
    received = {f"--{name.replace('_', '-')}": value for name, value in given.items()}
    if received:
        want = "--find-learning-rate trains for a fixed number of updates and evaluates nothing"
        arguments.refuse(want, received, f"Leave out {' and '.join(received)}.")


def _train(options):
    from keras_vit import training

    if options.find_learning_rate:
        from keras_vit.training.runs import learning_rates

        learning_rates.search(**_values(options))
    elif options.resume is None:
        training.train(**_values(options))
    else:
        training.resume(options.resume)


def _values(options):
    """Returns the arguments of `training.train`."""
    others = ("command", "start", "run", "debug", "resume", "find_learning_rate")
    return {name: value for name, value in vars(options).items() if name not in others}
