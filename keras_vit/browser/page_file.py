"""Writes the page: one HTML file that holds the model, the code and the examples."""

import base64
import importlib.resources
import json
import zlib

import numpy as np

from keras_vit import arguments, environment
from keras_vit.browser import facts, records
from keras_vit.data.images import CROP_RATIO
from keras_vit.data.transforms.image_transforms import find_resizing
from keras_vit.io import writing
from keras_vit.io.html_page import Html, fill
from keras_vit.resizing import read_weights
from keras_vit.training.evaluation.class_names import name_both

MODEL = ("matrices", "engine", "descendants", "convolutions")
ENGINE = [f"engine/{name}.js" for name in (*MODEL, "weights", "pixels", "maps")]


def write_page(
    model, path, class_names=None, examples=None, *, metrics=None, precision="float16", title=None
):
    """Writes a model as one HTML file that classifies images in a browser.

    The file needs no server and no network: it contains the weights, the classes, example images
    and the engine, which computes the same as the model, except for the rounding of the weights. It
    shows attention, rollout and occlusion, and states how the model was trained.

    Args:
        model: a `ViT`, a hybrid or a model of `keras_vit.descendants`, with a head.
        path: file to write. One that exists and ends in .html is replaced once the new one is
            complete.
        class_names: names of the classes in the order of the logits; None for those of `metrics`
            or of the model, or numbers.
        examples: an image, a folder of images or a folder of class folders, up to twelve of which
            the page shows; None for no examples.
        metrics: metrics.json of a run, a dictionary: how images are resized, and the page's
            statements about training and accuracy; None for no statements.
        precision: format of the weights: "float16", or "int8" for half the size and slightly lower
            accuracy; with "int8", each output of a dense layer has its own scale.
        title: title of the page; None for the data and classes of a run, or the name of the model.

    Raises:
        FileNotFoundError: an example or the folder of `path` does not exist.
        ValueError: the model has a layer that the page cannot compute, or an argument is invalid.

    Example:
    >>> model = keras_vit.load_pretrained("ViT-Mini/4", verbose=False)
    >>> keras_vit.browser.write_page(model, "page.html", precision="int8")  # doctest: +SKIP
    """
    arguments.one_of(*facts.PRECISIONS)("precision", precision)
    writing.check_file(path, "Choose another file.", ".html")
    found = facts.find_examples(examples) if examples else []
    content, text = pack(model, class_names, metrics or {}, precision, title)
    channels = content["sizes"]["channels"]
    content["examples"] = [facts.read_example(*row, channels) for row in found]
    page = fill_page(
        read("page/page.html"),
        content,
        text,
        style=read("page/base.css", "page/page.css"),
        script=read("page/shared.js", "page/colors.js", "page/page.js"),
        worker=read(*ENGINE, "engine/worker.js"),
    )
    writing.write_text(path, page)


def pack(model, class_names, metrics, precision, title):
    """Returns (content, weights): the content of a model's page, and its weights as text."""
    layers, sizes = records.describe(model)
    names = class_names or metrics.get("class_names") or getattr(model, "class_names", None)
    count = max(2, model.output_shape[-1])  # one logit is that of class 1 of two
    names = list(names or range(count))
    if model.output_shape[-1] == 1:
        names = list(name_both(names))
    if len(names) != count:
        received = {"class names": len(names), "logits": model.output_shape[-1]}
        advice = "Pass them in the order of the logits."
        arguments.refuse("there must be a name for each of the logits", received, advice)
    entries, text = pack_weights(model, precision)
    how = {"resize": "digits"} if metrics.get("data") == "digits" else find_resizing(metrics)
    model_name = metrics.get("model") or model.name
    title = title or facts.make_title(metrics, names) or model_name
    content = {
        "title": title,
        "layers": layers,
        "sizes": {**sizes, **how, "ratio": CROP_RATIO},
        "classes": [str(name) for name in names],
        "facts": facts.describe_model(model, metrics, precision, model_name),
        "tensors": entries,
    }
    return content, text


def read(*names, package=__package__):
    """Returns the text of files of a package, one after another; by default of this one."""
    folder = importlib.resources.files(package)
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in names)


def embed(content):
    """Returns JSON that is safe inside a <script>: no "<" in it, so nothing ends or opens a tag.

    Example:
    >>> keras_vit.browser.page_file.embed(["</script>"])
    '["\\\\u003c/script>"]'
    """
    return json.dumps(content).replace("<", "\\u003c")


def fill_page(template, content, text, style, script, worker, **values):
    """Returns a page; `style`, `script` and `worker` are the texts of its files."""
    return fill(
        template + read("page/end.html"),
        title=content["title"],
        version=environment.__version__,
        style=Html(style),
        content=Html(embed(content)),
        weights=Html(text),
        worker=Html(worker),
        script=Html(script),
        **values,
    )


# --- Weights as text, which weights.js reads ------------------------------------------------------

UNSAVED = "seed_generator"
OUTPUT = "attention_output/kernel"  # (heads, d, D)


def pack_weights(model, precision):
    """Returns (entries, text): each tensor's name, shape and place, and the tensors as text.

    A kernel is transposed, one row for each output. With int8, each row has its own scale, so that
    its largest number is 127; everything else is float16. Each tensor is compressed and written in
    Base64.

    Raises:
        ValueError: a weight is not finite, or too large for float16.
    """
    entries, texts, start = [], [], 0
    for path, value in read_weights(model).items():
        if UNSAVED in path:
            continue
        value = _arrange(path, value)
        kind = precision if value.ndim == 2 else "float16"
        data = (_int8 if kind == "int8" else _float16)(path, value)
        text = base64.b64encode(zlib.compress(data)).decode()
        place = {"start": start, "end": start + len(text)}
        entries.append({"name": path, "shape": value.shape, "kind": kind, **place})
        texts.append(text)
        start += len(text)
    return entries, "".join(texts)


def _arrange(path, value):
    """Returns a kernel as (outputs, inputs), and everything else as a vector."""
    if not path.endswith("kernel"):
        return value.astype("float32").ravel()
    is_split = value.ndim == 3 and not path.endswith(OUTPUT)  # (D, heads, d), of Keras's attention
    inputs = (len(value), -1) if is_split else (-1, value.shape[-1])
    return value.astype("float32").reshape(inputs).T


def _float16(path, value):
    with np.errstate(over="ignore"):
        data = value.astype("<f2")
    if not np.isfinite(data).all():
        advice = "The model cannot be put on a page; was its training stable?"
        arguments.refuse("weights must be finite and below 65,504", {"weight": path}, advice)
    return data.tobytes()


def _int8(path, value):
    _float16(path, value)  # checks
    scales = np.abs(value).max(axis=1, keepdims=True) / np.float32(127)
    numbers = np.rint(value / np.where(scales > 0, scales, 1)).astype("int8")
    return scales.astype("<f4").tobytes() + numbers.tobytes()
