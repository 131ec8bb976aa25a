"""Everything that can be seen of a model and some images, on one page."""

import math

import numpy as np

from keras_vit.explain import (
    alignment,
    cam,
    computing,
    deleting,
    distance,
    encoder,
    filters,
    forward,
    gradient_rollout,
    heads,
    lens,
    occluding,
    rollout,
    tokens,
)
from keras_vit.explain.plots.parts import names_of
from keras_vit.explain.reporting.page import Findings, page

OF_CLASSES = ("relevance", "grad_cam", "occlusion", "deletion_curve", "logit_lens")
MAPS = ("relevance", "attention_rollout", "grad_cam", "occlusion")  # which deletion compares
RANDOM = "random order"


def report(model, images, names=None, class_names=None, progress=None):
    """Makes one page of all views: what a model says of images, and what is inside of it.

    The page is a single file that needs no network and no script. Twelve images are shown at
    most; the charts of the model as a whole are of all of them. Occlusion takes as many passes for
    an image as it has patches.

    Args:
        model: a Keras model of images. One without attention gets the views that need none, and
            the page says which do not apply.
        images: (batch, height, width, channels) as the model takes them, pixels 0 to 255.
        names: of the images; None for numbers.
        class_names: name of every class; None for numbers.
        progress: function that is told the name of each view before it is computed; None for none.

    Returns:
        The page, HTML.

    Raises:
        ValueError: the model takes other images, or names are missing.

    Example:
    >>> page = keras_vit.explain.report(model, images, names)  # doctest: +SKIP
    >>> pathlib.Path("report.html").write_text(page)  # doctest: +SKIP
    """
    images = computing.check_images(model, images)
    names = names_of(names, len(images)) if names else _numbered(len(images))
    views, missing = _found(model, images, progress or (lambda name: None))
    shares = None
    if "classes" in views:
        shares = forward.probabilities(model, images)
    findings = Findings(model, images, names, class_names, shares, views, missing)
    return page(findings)


def _numbered(count):
    return [f"image {i + 1}" for i in range(count)]


def _found(model, images, progress):
    """Returns ({view: what its function gives}, {view: why there is none})."""
    views, missing = {}, {}
    for name, compute in VIEWS.items():
        progress(name)
        try:
            if name in OF_CLASSES and "classes" not in views:
                raise ValueError(missing["classes"])
            views[name] = compute(model, images, views)
        except ValueError as error:  # what a view refuses, it refuses in words
            missing[name] = str(error)
    return views, missing


def _classes(model, images, views):
    if getattr(model, "num_classes", 1) is None:
        raise ValueError("The model has no head, so no classes.")
    return forward.chosen_classes(model, images)


def _entropy(model, images, views):
    found = encoder.find(model)
    tokens_of_all = found.prefix_tokens + math.prod(found.grid)
    return heads.attention_entropy(model, images), tokens_of_all


def _norms(model, images, views):
    return heads.token_norms(model, images), encoder.find(model).prefix_tokens


def _deletion(model, images, views):
    maps = {name: views[name] for name in MAPS if name in views}
    shape = next(iter(maps.values())).shape
    maps[RANDOM] = np.random.default_rng(0).random(shape)
    of = views["classes"]
    return {name: deleting.deletion_curve(model, images, maps[name], of) for name in maps}


# What is computed, in this order; later views may use earlier ones.
VIEWS = {
    "classes": _classes,
    "attention_rollout": lambda model, x, views: rollout.attention_rollout(model, x),
    "relevance": lambda model, x, views: gradient_rollout.relevance(model, x, views["classes"]),
    "grad_cam": lambda model, x, views: cam.grad_cam(model, x, views["classes"]),
    "occlusion": lambda model, x, views: occluding.occlusion(model, x, views["classes"]),
    "token_colors": lambda model, x, views: tokens.token_colors(model, x),
    "logit_lens": lambda model, x, views: lens.logit_lens(model, x),
    "deletion_curve": _deletion,
    "embedding_filters": lambda model, x, views: filters.embedding_filters(model),
    "position_similarity": lambda model, x, views: filters.position_similarity(model),
    "mean_attention_distance": lambda model, x, views: distance.mean_attention_distance(model, x),
    "attention_entropy": _entropy,
    "token_norms": _norms,
    "cka": lambda model, x, views: alignment.cka(model, model, x),
}
