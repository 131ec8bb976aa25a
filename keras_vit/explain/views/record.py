"""The fields of a view's record, and the request for a view."""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from keras_vit import arguments, explain

PAPER = "https://arxiv.org/abs/2010.11929"


@dataclasses.dataclass
class Request:
    """The request for a view: a model, images and options.

    Attributes:
        model: a Keras model.
        images: (batch, height, width, channels) as the model takes them, or None.
        names: names of the images.
        class_names: names of the classes; None if they are unknown.
        options: options of the view, {name: value}: token, block, classes, heads, discard, grid,
            batch_size, other (model, images), gallery (names, images).
        results: {view: values} of the views computed so far.
        model_name: name of the model for readers; None for that in Keras.
    """

    model: object
    images: np.ndarray | None
    names: list
    class_names: list | None = None
    options: dict = dataclasses.field(default_factory=dict)
    results: dict = dataclasses.field(default_factory=dict)
    model_name: str | None = None

    @functools.cached_property
    def classes(self):
        """The class to explain for each image, (batch,)."""
        if getattr(self.model, "num_classes", 1) is None:
            raise ValueError("The model has no head, so it has no classes.")
        choose = explain.inside.forward.choose_classes
        return choose(self.model, self.images, **self.select("classes", "batch_size"))

    @functools.cached_property
    def probabilities(self):
        """The probability of each class, (batch, classes)."""
        return explain.inside.forward.probabilities(self.model, self.images, **self.batch)

    @functools.cached_property
    def encoder(self):
        """The Transformer encoder of the model."""
        return explain.inside.find_encoder.find(self.model)

    @property
    def batch(self):
        """{"batch_size": N} if a batch size was chosen."""
        return self.select("batch_size")

    @property
    def layer(self):
        """{"layer": name} if a block was chosen."""
        block = self.options.get("block")
        if block is None:
            return {}
        if len(block) > 1:
            arguments.refuse("--block must be one block for this view", {"--block": block})
        blocks = self.encoder.blocks
        return {"layer": blocks[explain.plots.drawing.check_block(block[0], len(blocks))].name}

    def select(self, *names):
        """Returns those of the options that were chosen, {name: value}."""
        chosen = {name: self.options.get(name) for name in names}
        return {name: value for name, value in chosen.items() if value is not None}

    def name_class(self, number):
        """Returns the name of a class."""
        return explain.plots.drawing.name_class(number, self.class_names)


def draw_map(axes, image, values):
    """Draws a map of values that are not negative over its image."""
    explain.plots.overlay(axes, image, values)


def draw_signed_map(axes, image, values):
    """Draws a map of positive and negative values over its image."""
    explain.plots.overlay(axes, image, values, signed=True)


class View(NamedTuple):
    """One view of a model and images.

    Attributes:
        name: name of its function in `explain` and of its plot in `explain.plots`.
        title: its name for readers.
        shows: what the view shows, in one line.
        reading: how to read it.
        limits: what it does not show.
        source: who described it.
        link: page of the source.
        compute: (request) -> values.
        plot: (values, request) -> Matplotlib figure.
        lines: (values, request) -> lines that the command prints.
        arrays: (values, request) -> {name: array}, saved beside the values.
        options: options of the command that belong to the view.
        needs_images: whether the view is about images.
        caption: (values of an image) -> words under its panel in a report; None for no panel.
        panel: (axes, image, values of the image) draws its panel.
        detail: (values, number of an image, request) -> (figure, sentence) below its panels; None
            for none.
        summary: (values, request) -> sentence below its chart in a report; None for no chart.
    """

    name: str
    title: str
    shows: str
    reading: str
    limits: str
    source: str
    link: str
    compute: Callable
    plot: Callable
    lines: Callable = lambda values, request: []
    arrays: Callable = lambda values, request: {}
    options: tuple = ()
    needs_images: bool = True
    caption: Callable | None = None
    panel: Callable = draw_map
    detail: Callable | None = None
    summary: Callable | None = None

    def save(self, values, request):
        """Returns the content of the view's file, {name: array}."""
        arrays = values._asdict() if hasattr(values, "_asdict") else values
        arrays = dict(arrays) if isinstance(arrays, dict) else {self.name: arrays}
        classes = {"classes": request.classes} if "classes" in self.options else {}
        return {**arrays, **classes, **self.arrays(values, request)}
