"""One page of all views, without scripts or other files, for screens and for paper.

`templates/` has the fragments of the page, and its style.
"""

import base64
import importlib.resources
import io

import numpy as np

from keras_vit import arguments, environment, figures
from keras_vit.explain.captions import locate_highest
from keras_vit.explain.inside import batched
from keras_vit.explain.plots.drawing import fill_names
from keras_vit.explain.views import VIEWS
from keras_vit.explain.views.record import Request
from keras_vit.figures import show, to_pixels
from keras_vit.io import html_page

MOST = 12  # images on the page, about 250 kB each
TOP = 3  # classes listed for each image
PER_IMAGE = [view for view in VIEWS.values() if view.caption or view.detail]
PER_MODEL = [view for view in VIEWS.values() if view.summary]


def report(model, images, names=None, class_names=None, progress=None, model_name=None):
    """Builds one page of all views: a model's predictions for images, and its inner workings.

    The page is a single file without scripts that needs no network. It shows at most twelve images;
    the charts of the model as a whole are computed from all images. Occlusion needs as many forward
    passes per image as the image has patches.

    Args:
        model: a Keras model of images. Without attention, the page has the views that need none and
            lists those that do not apply.
        images: (batch, height, width, channels) as the model takes them, pixels 0 to 255.
        names: names of the images; None for numbers.
        class_names: names of the classes; None for those of the model, or their numbers.
        progress: function called with the name of each view before it is computed, or None.
        model_name: name of the model on the page; None for that of the Keras model.

    Returns:
        The page as HTML, a string.

    Raises:
        ValueError: the model does not take these images, or the number of names is not the number
            of images.

    Example:
    >>> page = keras_vit.explain.report(model, images, names)  # doctest: +SKIP
    >>> pathlib.Path("report.html").write_text(page)  # doctest: +SKIP
    """
    images = batched.check_images(model, images)
    names = (
        fill_names(names, len(images)) if names else [f"image {i + 1}" for i in range(len(images))]
    )
    class_names = class_names or getattr(model, "class_names", None)
    if class_names and len(class_names) != model.output_shape[-1]:
        received = {"class_names": len(class_names), "logits": model.output_shape[-1]}
        advice = "Pass them in the order of the logits."
        arguments.refuse("there must be a name for each of the logits", received, advice)
    request = Request(model, images, names, class_names, model_name=model_name)
    missing = compute_views(request, progress or (lambda name: None))
    return build_page(request, missing)


def compute_views(request, progress):
    """Computes all views of a report into `request.results`; returns {view: why it is missing}."""
    missing = {}
    for view in (*PER_IMAGE, *PER_MODEL):
        progress(view.name)
        try:
            request.results[view.name] = view.compute(request)
        except ValueError as error:  # the view explains what it needs
            missing[view.name] = str(error)
    return missing


def build_page(request, missing):
    """Returns the page of computed views, HTML."""
    shown = range(min(len(request.images), MOST))
    charts = [view for view in PER_MODEL if view.name in request.results]
    reading = [view for view in PER_IMAGE if view.name in request.results]
    return fill_page(
        model=request.model_name or request.model.name,
        summary=_summarize(request, len(shown)),
        image_links=_link([(_mark(i), request.names[i]) for i in shown]),
        view_links=_link([(view.name, view.title) for view in charts]),
        predictions=_predictions(request, shown),
        reading=[_reading(view) for view in reading],
        images=[_image(request, i) for i in shown],
        views=[_chart(view, request) for view in charts],
        missing=_missing(missing),
        environment=environment.description(),
    )


def _mark(i):
    return f"image-{i + 1}"


def _summarize(request, count):
    height, width, channels = request.images.shape[1:]
    total = len(request.images)
    shown = f"; the first {count} are shown, charts cover all" if count < total else ""
    return (
        f"{request.model.count_params():,} parameters, images of {height} \u00d7 {width} pixels "
        f"and {channels} channel{'s' * (channels > 1)}. "
        f"{total:,} image{'s' * (total > 1)}{shown}."
    )


def _link(targets):
    items = [fill("link", mark=mark, title=title) for mark, title in targets]
    return fill("links", items=items) if items else ""


def _predictions(request, shown):
    try:
        request.classes  # noqa: B018, raises if the model has none
    except ValueError as error:
        return fill("note", text=error)
    items = [_prediction(request, i, request.probabilities[i]) for i in shown]
    return fill("predictions", items=items)


def _prediction(request, i, shares):
    best = np.argsort(-shares, kind="stable")[:TOP]
    rows = [
        fill("class", name=request.name_class(number), percent=f"{100 * shares[number]:.1f}")
        for number in best
    ]
    thumbnail = show_thumbnail(request.images[i])
    return fill("prediction", mark=_mark(i), thumbnail=thumbnail, name=request.names[i], rows=rows)


def _reading(view):
    return fill("reading", title=view.title, shows=view.shows, explanation=_explain(view))


def _explain(view):
    words = {name: getattr(view, name) for name in ("reading", "limits", "source", "link")}
    return fill("explanation", **words)


def _image(request, i):
    image, name = request.images[i], request.names[i]
    views = [view for view in PER_IMAGE if view.name in request.results]
    unchanged = show_image(image, name)
    cards = [fill("card", image=unchanged, title="The image", caption="as the model sees it")]
    cards += [_card(view, request, i) for view in views if view.caption]
    details = [_detail(view, request, i) for view in views if view.detail]
    note = ""
    if any("classes" in view.options for view in views):
        note = fill("class_note", name=request.name_class(request.classes[i]))
    return fill("image", mark=_mark(i), name=name, class_note=note, cards=cards, details=details)


def _card(view, request, i):
    values = request.results[view.name][i]
    caption = view.caption(values)
    highest = f", {locate_highest(values)}" if values.ndim == 2 else ""
    words = f"{view.title} of {request.names[i]}: {caption}{highest}"
    panel = show_panel(request.images[i], values, view.panel, words)
    return fill("card", image=panel, title=view.title, caption=caption)


def _detail(view, request, i):
    figure, sentence = view.detail(request.results[view.name], i, request)
    chart = show_chart(figure, f"{view.title} of {request.names[i]}: {sentence}")
    return fill("chart", image=chart, caption=sentence)


def _chart(view, request):
    values = request.results[view.name]
    sentence = view.summary(values, request)
    chart = show_chart(view.plot(values, request), f"{view.title}: {sentence}")
    chart = fill("chart", image=chart, caption=sentence)
    words = {name: getattr(view, name) for name in ("name", "title", "shows")}
    return fill("view", **words, chart=chart, explanation=_explain(view))


def _missing(missing):
    items = [
        fill("missing_view", title=VIEWS[name].title, reason=why) for name, why in missing.items()
    ]
    return fill("missing", items=items) if items else ""


# --- Elements of the page -------------------------------------------------------------------------

INCHES, DPI = 2.4, 140  # 336 pixels: sharp at 168 on a screen of double density
THUMBNAIL = 96  # pixels
COLORS = 256  # a palette takes a third of the bytes of full colors


def fill(name, /, **values):
    """Fills a fragment of `templates/fragments.html`, as `html_page.fill` does.

    Example:
    >>> keras_vit.explain.reporting.fill("link", mark="a", title="Cats & dogs")
    '<li><a href="#a">Cats &amp; dogs</a></li>'
    """
    return html_page.fill(
        html_page.fragments(__package__, "templates/fragments.html")[name], **values
    )


def fill_page(**values):
    """Fills the fragment "page"; values as in `fill`."""
    style = importlib.resources.files(__package__) / "templates" / "style.css"
    style = html_page.Html(style.read_text(encoding="utf-8"))
    return html_page.page(f"Inside {values['model']}", style, fill("page", **values))


def show_image(image, name):
    """Returns an image, unchanged."""
    return _draw(image, lambda axes: show(axes, image), name)


def show_panel(image, values, panel, words):
    """Returns the panel of a view for one image, drawn by `panel(axes, image, values)`."""
    return _draw(image, lambda axes: panel(axes, image, values), words)


def show_thumbnail(image):
    """Returns a small image to show beside the text that describes it."""
    from PIL import Image

    small = Image.fromarray(to_pixels(image))
    small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return _embed(small, "")


def show_chart(figure, words):
    """Returns a Matplotlib figure as an element."""
    return _embed(_render(figure), words)


def _draw(image, draw, words):
    height, width = image.shape[:2]
    scale = INCHES / max(width, height / 1.5)  # a tall image is narrower than the others
    figure = figures.figure(width * scale, height * scale, DPI, layout=None)
    draw(figure.add_axes((0, 0, 1, 1)))
    return _embed(_render(figure).quantize(COLORS), words)


def _render(figure):
    """Returns the pixels of a figure; `savefig` would write a PNG that has to be read again."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def _embed(image, words):
    file = io.BytesIO()
    image.save(file, "png")  # optimizing would take three times as long for 3 % fewer bytes
    data = base64.b64encode(file.getvalue()).decode()
    return fill("img", words=words, width=image.width, height=image.height, data=data)
