"""`keras-vit few-shot`."""

from keras_vit import arguments
from keras_vit.commands.parts import MODEL, check_model, command, load_model
from keras_vit.data.opening import check_source
from keras_vit.data.sources.splits import check_share


def add(commands):
    """Adds the command."""
    parser = command(
        commands,
        "few-shot",
        _start,
        _few_shot,
        "measure how well a few images per class work with a model's features",
        "Evaluates the representation of a model as section 4.1 of the paper does: least squares "
        "from the features of a few images per class to the classes. Nothing is trained.",
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help=MODEL)
    add("data", metavar="DATA", help="folder of class folders, or another dataset")
    add(
        "--shots",
        type=int,
        nargs="+",
        default=[1, 5, 10, 25],
        metavar="N",
        help="images per class; default: 1 5 10 25",
    )
    add("--seeds", type=int, default=3, metavar="N", help="number of draws; default: %(default)s")
    add(
        "--image-size",
        type=int,
        metavar="PIXELS",
        help="side to which images are resized; default: the model's",
    )
    add(
        "--test-share",
        type=float,
        default=0.3,
        metavar="SHARE",
        help="share of every class to test on, if DATA has no test split; default: %(default)s",
    )
    add(
        "--resize",
        default="squash",
        choices=("squash", "crop"),
        help="how images are resized: squash as in the paper's code, crop as in AugReg; "
        "default: %(default)s",
    )
    add("--layer", metavar="NAME", help="layer whose output is used; default: the head's input")
    add(
        "--linear-probe",
        action="store_true",
        help="also train a logistic regression on all images outside the test split",
    )


def _start(options):
    for shots in options.shots:
        arguments.positive_integer("shots", shots)
    arguments.positive_integer("seeds", options.seeds)
    if options.image_size is not None:
        arguments.positive_integer("image_size", options.image_size)
    check_share("test_share", options.test_share)
    check_model(options.model)
    check_source(options.data)


def _few_shot(options):
    from keras_vit import data, training
    from keras_vit.training import environment
    from keras_vit.training.features import collected, submodel

    model, _ = load_model(options.model, options.image_size)
    _, *size, channels = model.input_shape
    loaded = data.load(
        options.data,
        tuple(size),
        num_channels=channels,
        validation_share=0,
        test_share=options.test_share,
        resize=options.resize,
    )
    print(environment.description())
    print(f"{loaded}\nFew shots of the training images, tested on the test images", flush=True)
    representation = submodel(model, options.layer)
    splits = [*collected(representation, loaded, "train"), *collected(representation, loaded)]
    print(training.few_shot(*splits, shots=options.shots, seeds=options.seeds))
    if options.linear_probe:
        accuracy = training.linear_probe(*splits)
        print(f"logistic regression on all {len(splits[0]):,}: {100 * accuracy:.1f} %")
