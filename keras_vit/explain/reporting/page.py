"""The page of a report: no script, no other file, readable on a phone and on paper."""

import html
from typing import NamedTuple

import numpy as np

from keras_vit import environment
from keras_vit.explain import plots
from keras_vit.explain.map_words import area, highest, points, settled, times_even, times_mean
from keras_vit.explain.plots.parts import class_name
from keras_vit.explain.reporting import figures
from keras_vit.explain.reporting.style import PAGE, STYLE
from keras_vit.explain.reporting.words import VIEWS

MOST = 12  # images: some 250 kB each
TOP = 3  # classes that are named of each image
# Maps of an image: {view: (what says its range, whether it has two signs)}.
MAPS = {
    "attention_rollout": (times_even, False),
    "relevance": (times_mean, False),
    "grad_cam": (times_mean, False),
    "occlusion": (points, True),
}
OF_IMAGES = (*MAPS, "token_colors", "logit_lens")
OF_THE_MODEL = (
    "deletion_curve", "embedding_filters", "position_similarity", "mean_attention_distance",
    "attention_entropy", "token_norms", "cka",
)  # fmt: skip


class Findings(NamedTuple):
    """What a report shows.

    Attributes:
        model: the Keras model.
        images: (batch, height, width, channels).
        names: of the images.
        class_names: of the classes, None where they are not known.
        shares: (batch, classes) probabilities; None of a model without classes.
        views: {view: what its function gives}.
        missing: {view: why there is none}.
    """

    model: object
    images: np.ndarray
    names: list
    class_names: list | None
    shares: np.ndarray | None
    views: dict
    missing: dict


def page(found):
    """Returns the page."""
    count = min(len(found.images), MOST)
    shown = [name for name in OF_THE_MODEL if name in found.views]
    return PAGE.format(
        style=STYLE,
        model=_text(found.model.name),
        summary=_summary(found, count),
        contents=_contents(found, count, shown),
        predictions=_predictions(found, count),
        reading="".join(_reading(name) for name in OF_IMAGES if name in found.views),
        images="".join(_image(found, i) for i in range(count)),
        views="".join(_view(found, name) for name in shown),
        missing=_missing(found),
        made=_text(environment.description()),
    )


def _summary(found, count):
    height, width, channels = found.images.shape[1:]
    total = len(found.images)
    words = [
        f"{found.model.count_params():,} parameters, images of {height} \u00d7 {width} pixels "
        f"and {channels} channel{'s' * (channels > 1)}.",
        f"{total:,} image{'s' * (total > 1)}"
        + (f", of which the first {count} are shown; charts are of all." if count < total else "."),
    ]
    return " ".join(words)


def _contents(found, count, shown):
    images = [(f"image-{i + 1}", found.names[i]) for i in range(count)]
    views = [(name, VIEWS[name].title) for name in shown]
    return (
        '<li><a href="#says">What the model says</a></li>'
        '<li><a href="#reading">How to read the maps</a></li>'
        f'<li><a href="#images">The images</a>{_links(images)}</li>'
        f'<li><a href="#model">The model as a whole</a>{_links(views)}</li>'
    )


def _links(targets):
    items = "".join(f'<li><a href="#{mark}">{_text(name)}</a></li>' for mark, name in targets)
    return f"<ul>{items}</ul>" if items else ""


def _predictions(found, count):
    if found.shares is None:
        return f'<p class="soft">{_text(found.missing["classes"])}</p>'
    cards = "".join(
        f'<li><a href="#image-{i + 1}">{figures.thumbnail(found.images[i])}</a>'
        f'<div><p class="path">{_text(found.names[i])}</p>{_bars(found, i)}</div></li>'
        for i in range(count)
    )
    return f'<ul class="says">{cards}</ul>'


def _bars(found, i):
    shares = found.shares[i]
    best = np.argsort(-shares, kind="stable")[:TOP]
    rows = "".join(
        f"<tr><td>{_text(class_name(number, found.class_names))}</td>"
        f'<td class="number">{100 * shares[number]:.1f} %</td>'
        f'<td class="bar"><span style="width:{100 * shares[number]:.1f}%"></span></td></tr>'
        for number in best
    )
    return f"<table>{rows}</table>"


def _reading(name):
    view = VIEWS[name]
    return f"<dt>{view.title}: {view.shows}</dt><dd>{_explained(view)}</dd>"


def _explained(view):
    source = html.escape(view.source)
    if view.link:
        source = f'<a href="{view.link}">{source}</a>'
    return (
        f"{html.escape(view.reading)} <b>Limits:</b> {html.escape(view.limits)} "
        f'<span class="soft">Source: {source}.</span>'
    )


def _image(found, i):
    name = found.names[i]
    cards = [_card("The image", figures.plain(found.images[i], name), "as the model sees it")]
    for view, (note, signed) in MAPS.items():
        if view in found.views:
            values = found.views[view][i]
            said = f"{note(values)}, {highest(values)}"
            drawn = figures.over(
                found.images[i], values, signed, f"{VIEWS[view].title} of {name}: {said}"
            )
            cards.append(_card(VIEWS[view].title, drawn, note(values)))
    if "token_colors" in found.views:
        words = f"Tokens of {name} as colours"
        drawn = figures.colors(found.images[i], found.views["token_colors"][i], words)
        cards.append(_card(VIEWS["token_colors"].title, drawn, "same colour: alike"))
    return (
        f'<article id="image-{i + 1}"><h3>{_text(name)}</h3>{_maps_of(found, i)}'
        f'<div class="cards">{"".join(cards)}</div>{_lens(found, i)}</article>'
    )


def _maps_of(found, i):
    if "classes" not in found.views:
        return ""
    number = found.views["classes"][i]
    label = _text(class_name(number, found.class_names))
    return f"<p>Maps of a class are of the most probable one: <b>{label}</b>.</p>"


def _card(title, image, note):
    return (
        f"<figure>{image}<figcaption><b>{title}</b><br>"
        f'<span class="soft">{note}</span></figcaption></figure>'
    )


def _lens(found, i):
    if "logit_lens" not in found.views:
        return ""
    logits = found.views["logit_lens"][:, i : i + 1]
    depth = settled(plots.probabilities(logits)[:, 0].argmax(-1))
    said = f"The last answer comes first from block {depth} of {len(logits) - 1} on."
    figure = plots.logit_lens(logits, class_names=found.class_names)
    words = f"Logit lens of {found.names[i]}: probabilities of classes after each block. {said}"
    return _titled_chart(figure, words, said)


def _titled_chart(figure, words, title):
    drawn = figures.chart(figure, words)
    return f'<figure class="chart">{drawn}<figcaption>{_text(title)}</figcaption></figure>'


def _view(found, name):
    view = VIEWS[name]
    figure, words = _chart(name, found.views[name], found)
    return (
        f'<section id="{name}"><h3>{view.title}</h3><p>Shown: {html.escape(view.shows)}.</p>'
        f"{_titled_chart(figure, f'{view.title}: {words}', words)}"
        f"<p>{_explained(view)}</p></section>"
    )


def _chart(name, values, found):
    """Returns (figure, what it shows in numbers) of a view of the model."""
    if name == "deletion_curve":
        titled = {VIEWS[n].title if n in VIEWS else n: curve for n, curve in values.items()}
        return plots.deletion_curve(titled), _areas(titled)
    if name == "embedding_filters":
        return plots.embedding_filters(values), "The strongest component first; middle grey is 0."
    if name == "position_similarity":
        rows, columns = values.shape[:2]
        return plots.position_similarity(values), f"A grid of {rows} \u00d7 {columns} patches."
    if name == "mean_attention_distance":
        return plots.mean_attention_distance(values), _from_to(values, "pixels")
    if name == "attention_entropy":
        entropies, tokens = values
        return plots.attention_entropy(entropies, tokens), _from_to(entropies, "nats")
    if name == "token_norms":
        norms, first = values
        return plots.token_norms(norms, first), _lengths(norms[:, :, first:])
    few = " Few images: the values are rough." if len(found.images) < 64 else ""
    return plots.cka(values), f"{len(values.layers_a)} layers, {len(found.images)} images.{few}"


def _areas(curves):
    listed = ", ".join(f"{name} {area(curve):.2f}" for name, curve in curves.items())
    return f"Area under the mean curve: {listed}."


def _from_to(values, unit):
    first, last = (f"{row.min():.1f} to {row.max():.1f}" for row in (values[0], values[-1]))
    return f"First block: {first} {unit}; last block: {last} {unit}."


def _lengths(norms):
    last = norms[-1]
    return f"Patches after the last block: median {np.median(last):.0f}, longest {last.max():.0f}."


def _missing(found):
    missing = {name: why for name, why in found.missing.items() if name in VIEWS}
    if not missing:
        return ""
    items = "".join(
        f"<li><b>{VIEWS[name].title}</b>: {_text(why)}</li>" for name, why in missing.items()
    )
    return f'<section id="missing"><h2>Views that do not apply here</h2><ul>{items}</ul></section>'


def _text(text):
    return html.escape(str(text).encode("utf-8", "replace").decode())
