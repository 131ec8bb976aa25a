"""`keras-vit few-shot`."""

from keras_vit import data
from keras_vit.commands.parts import MODEL, command, load_model
from keras_vit.training import environment, fewshot
from keras_vit.training.features import collected, submodel


def add(commands):
    """Adds the command."""
    parser = command(
        commands,
        "few-shot",
        _few_shot,
        "say how far a few pictures of each class go with a model",
        "Measures the representation of a model as section 4.1 of the paper does: least squares "
        "from the features of a few pictures of each class to the classes. Nothing is trained.",
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help=MODEL)
    add("data", metavar="DATA", help="folder of class folders, or another source of pictures")
    add(
        "--shots",
        type=int,
        nargs="+",
        default=[1, 5, 10, 25],
        metavar="N",
        help="pictures of each class; default: 1 5 10 25",
    )
    add("--seeds", type=int, default=3, metavar="N", help="number of draws; default: %(default)s")
    add(
        "--image-size",
        type=int,
        metavar="PIXELS",
        help="side to which pictures are resized; default: the model's",
    )
    add(
        "--test-share",
        type=float,
        default=0.3,
        metavar="SHARE",
        help="share of every class that is tested on, where DATA has no test part of its own; "
        "default: %(default)s",
    )
    add(
        "--resize",
        default="squash",
        choices=("squash", "crop"),
        help="how pictures get their size, the paper's code or AugReg's way; default: %(default)s",
    )
    add(
        "--layer",
        metavar="NAME",
        help="layer whose output is taken; default: what the head sees",
    )
    add(
        "--linear-probe",
        action="store_true",
        help="also train a logistic regression on all pictures that are not tested on",
    )


def _few_shot(options):
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
    print(f"{loaded}\nfew shots of the training pictures, tested on the test pictures", flush=True)
    representation = submodel(model, options.layer)
    parts = [*collected(representation, loaded, "train"), *collected(representation, loaded)]
    print(fewshot.few_shot(*parts, shots=options.shots, seeds=options.seeds))
    if options.linear_probe:
        accuracy = fewshot.linear_probe(*parts)
        print(f"logistic regression on all {len(parts[0]):,}: {100 * accuracy:.1f} %")
