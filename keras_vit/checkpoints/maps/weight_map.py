"""The name of each weight of a model, and how it is stored, in the files of one source.

A weight map is a table that is read in both directions: files become weights, and weights files.

    LAYERS = {  # our layer: (form, their layer)
        "block_{i}/norm_1": ("norm", "blocks.{i}.norm1"),
        "block_{i}/mlp/expand": ("dense", "blocks.{i}.mlp.fc1"),
    }
    FORMS = {  # form: the end of our name, the end of theirs, the layout
        "norm": (Rule("/gamma", ".weight"), Rule("/beta", ".bias")),
        "dense": (Rule("/kernel", ".weight", TORCH), Rule("/bias", ".bias")),
    }

If a row has several of their names, our weight consists of these tensors, as `Rule` describes.
"""

import functools
import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Dimensions(NamedTuple):
    """Sizes of a model that layouts need besides the shape of a weight."""

    patch_size: tuple = ()  # in positions of the map that is cut into patches
    num_heads: int = 1
    registers: int = 0


class Layout(NamedTuple):
    """How a weight is stored in a file.

    Attributes:
        reshape: gives a weight its shape in Flax: (height, width, in, out) or (in, out).
        is_torch: whether the last two axes come first, as in PyTorch: (out, in, height, width).
        factor: number that values are multiplied by.
    """

    reshape: Callable = lambda ours, dimensions: ours
    is_torch: bool = False
    factor: int = 1

    def store(self, ours, dimensions):
        """Returns the tensor in the file for one of our weights."""
        array = self.reshape(ours, dimensions)
        if self.is_torch:
            array = array.transpose(-1, -2, *range(array.ndim - 2))
        return array if self.factor == 1 else self.factor * array

    def load(self, theirs, shape):
        """Returns our weight, of this shape, for a tensor in the file."""
        if self.is_torch:
            theirs = theirs.transpose(*range(2, theirs.ndim), 1, 0)
        return (theirs if self.factor == 1 else theirs / self.factor).reshape(shape)

    def flax_shape(self, shape):
        """Returns the shape of a tensor in the file in the order of Flax."""
        return (*shape[2:], *shape[1::-1]) if self.is_torch else shape


def _to_patch(kernel, dimensions):
    return kernel.reshape(*dimensions.patch_size, -1, kernel.shape[-1])  # (P, P, C, D)


SAME, TORCH = Layout(), Layout(is_torch=True)
PATCH = Layout(_to_patch)
TORCH_PATCH = Layout(_to_patch, is_torch=True)
POINTWISE = Layout(lambda ours, _: ours[None, None])  # a dense layer as 1 x 1 convolution
TORCH_POINTWISE = POINTWISE._replace(is_torch=True)
HEADS = Layout(lambda ours, d: ours.reshape(*ours.shape[:-1], d.num_heads, -1))
HEADS_FIRST = Layout(lambda ours, d: ours.reshape(d.num_heads, -1, ours.shape[-1]))
CHANNELS = Layout(lambda ours, _: ours.reshape(1, 1, 1, -1))
WITHOUT_BATCH = Layout(lambda ours, _: ours[0])
TORCH_HALF = Layout(is_torch=True, factor=2)
FLAT = Layout(lambda ours, _: ours.reshape(-1))
TORCH_WIDE = Layout(lambda ours, _: ours.reshape(ours.shape[0], -1), is_torch=True)
TORCH_MERGED = Layout(lambda ours, _: ours.reshape(-1, ours.shape[-1]), is_torch=True)


class Rule(NamedTuple):
    """Which tensors in a file form one of our weights.

    Attributes:
        ours: path of the weight. {i} is the number of a block, {s}, {u} and {k} those of a stage, a
            unit and a convolution; `NUMBERS` lists how files write them.
        theirs: names of its tensors in the file. In a form: the end of these names.
        layout: how each of them is stored.
        axis: axis of our weight along which several tensors are concatenated. None if our weight
            is their mean.
        first: returns the length of the first of two tensors on that axis, from the length of our
            weight and the `Dimensions`; None if all are equally long. A tensor of length 0 is not
            in the file.
    """

    ours: str
    theirs: tuple | str
    layout: Layout = SAME
    axis: int | None = -1
    first: Callable | None = None

    def names(self, numbers):
        """Returns the names in the file for `numbers`, `{"i": 3}`."""
        return [_fill(template, numbers) for template in self.theirs]

    def split(self, array, dimensions):
        """Returns the tensors in the file that form one of our weights."""
        count = len(self.theirs)
        places = count
        if self.first is not None:
            places = [self.first(array.shape[self.axis], dimensions)]
        parts = [array] * count if self.axis is None else np.split(array, places, self.axis)
        return [self.layout.store(part, dimensions) for part in parts]

    def join(self, arrays, shape):
        """Returns one of our weights, of this shape, from its tensors in the file."""
        if self.axis is None:
            return np.mean([self.layout.load(array, shape) for array in arrays], axis=0)
        shape = list(shape)
        if len(arrays) > 1:
            shape[self.axis] = -1
        parts = [self.layout.load(array, shape) for array in arrays]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, self.axis)


class Place(NamedTuple):
    """Where a tensor is in a file.

    Attributes:
        name: its name there, or that of the tensor that holds it.
        slice: its number if that tensor holds several; None if it holds one.
        parts: number of tensors concatenated on the first axis; None if they are stacked on it.
    """

    name: str
    slice: int | None = None
    parts: int | None = None

    def shape(self, shape):
        """Returns the shape of this tensor, from the shape of the one that contains it."""
        if self.slice is None:
            return shape
        return shape[1:] if self.parts is None else (shape[0] // self.parts, *shape[1:])

    def cut(self, array):
        """Returns this tensor, cut out of the one that contains it."""
        if self.slice is None:
            return array
        if self.parts is not None:
            array = array.reshape(self.parts, -1, *array.shape[1:])
        return array[self.slice]


def as_stored(specs):
    """`WeightMap.canonical` for files whose names are those in the rules."""
    return {name: Place(name) for name in specs}


class Export(NamedTuple):
    """The requirements of a file's loader besides the weights.

    Attributes:
        classes: (`model_type` or folder, class without a head, class with a head) of transformers
            or KerasHub; None for a class that does not exist.
        fits: returns whether one of these classes computes the same as a model.
        prefix: beginning of all names but those of the head, if the model has a head.
        gated: ((name of a layer, its name in a gated MLP), ...).
        layer_scale: whether files have layer scale; it is in our weights, so ones are written.
        placed: number of tokens before the patches that have a position; None for all of them.
            The positions of the others are added to these tokens.
        left_out: regular expression of tensors that are left out if they are zero; tensors with the
            same groups are left out together.
        zeros: returns {name: shape} of tensors that the loader requires but that have no effect.
        number: returns tensors under their names in files that number some of them.
        idle: regular expression of tensors that change no output and that files do not have.
    """

    classes: tuple = (None, None, None)
    fits: Callable = lambda model: getattr(model, "pooling", "token") in PLAIN_POOLINGS
    prefix: str = ""
    gated: tuple = ()
    layer_scale: bool = False
    placed: int | None = None
    left_out: str = ""
    zeros: Callable = lambda model: {}
    number: Callable = lambda tensors: tensors
    idle: str = ""


PLAIN_POOLINGS = ("token", "gap", "map", "distilled", None)


class WeightMap(NamedTuple):
    """The weight map of one kind of file.

    Attributes:
        source: the project whose naming scheme the files follow.
        models: kinds of models (see `matching.kind_of`) that the map has names for.
        rules: result of the function `rules`.
        signature: regular expression of a name that only such files have.
        lacks: regular expression of a name that such files do not have, "" for none.
        canonical: maps the specs of a file to {name in the rules: `Place`}.
        ignored: regular expressions of tensors that are not weights of the model.
        unsupported: {regular expression: description} of tensors that no layer here has.
        scales: {our layer: name of a vector} of layer scale, which multiplies the output of that
            layer; if a file has it, it becomes a part of the layer's weights.
        zeros: regular expression of tensors that files leave out if they are zero.
        defaults: arguments of the model if no file states them.
        method: how the code that such files come from resizes positions.
        architectures: regular expression of timm's names for such models; "" for any whose blocks
            are the paper's.
        only: {field of a configuration: the values that such models may have}.
        fields: {field of a configuration: (our argument, how it is checked)}.
        fused: {name of a tensor: canonical names of those concatenated in it}.
        export: the `Export` of such files; None if files are only read.
    """

    source: str
    models: tuple
    rules: tuple
    signature: str
    canonical: Callable = as_stored
    ignored: tuple = ()
    unsupported: dict = {}
    scales: dict = {}
    zeros: str = ""
    defaults: dict = {}
    method: str = "bilinear"
    lacks: str = ""
    architectures: str = ""
    only: dict = {}
    fields: dict = {}
    fused: dict = {}
    export: Export | None = Export()

    def is_for(self, names):
        """Returns whether this map can read a file with tensors of these names."""
        has = any(re.fullmatch(self.signature, name) for name in names)
        return has and not any(re.fullmatch(self.lacks, name) for name in names)

    def scale_of(self, path):
        """Returns the name of the layer scale of one of our weights, or None."""
        for layer, name in self.scales.items():
            numbers = _match(layer, path.rpartition("/")[0])
            if numbers is not None:
                return _fill(name, numbers)
        return None

    def rule_of(self, path):
        """Returns (rule, numbers) of one of our weights, or None."""
        for rule in self.rules:
            numbers = _match(rule.ours, path)
            if numbers is not None:
                return rule, numbers
        return None

    def path_of(self, name):
        """Returns (path of our weight, number of the part) of a canonical name, or None."""
        for rule in self.rules:
            for part, template in enumerate(rule.theirs):
                numbers = _match(template, name)
                if numbers is not None:
                    return _fill(rule.ours, numbers), part
        for layer, template in self.scales.items():
            numbers = _match(template, name)
            if numbers is not None:
                return _fill(layer, numbers) + "/scale", 0
        return None


def split_fused(fused, places):
    """Replaces each tensor that contains several (`WeightMap.fused`) by their places in it."""
    found = {}
    for name, place in places.items():
        for whole, parts in fused.items():
            numbers = _match(whole, name)
            if numbers is not None:
                names = (_fill(part, numbers) for part in parts)
                found |= {n: Place(place.name, i, len(parts)) for i, n in enumerate(names)}
                break
        else:
            found[name] = place
    return found


def join_fused(fused, tensors):
    """Joins the tensors that `split_fused` splits, if the second of them is present."""
    for whole, parts in fused.items():
        for name in list(tensors):
            numbers = _match(parts[1], name)
            if numbers is not None:
                names = [_fill(part, numbers) for part in parts]
                like = np.zeros_like(tensors[name])
                tensors[_fill(whole, numbers)] = np.concatenate(
                    [tensors.pop(part, like) for part in names]
                )
    return tensors


def rules(forms, layers):
    """Returns the rules of a table of layers, see the top of this module."""
    return tuple(
        rule._replace(ours=ours + rule.ours, theirs=tuple(name + rule.theirs for name in names))
        for ours, (form, *names) in layers.items()
        for rule in forms[form]
    )


class _Number(NamedTuple):
    """How a number is written in names."""

    pattern: str = "[0-9]{1,4}"
    write: Callable = str
    read: Callable = int


_from_0 = _Number(write=lambda n: str(n - 1), read=lambda text: int(text) + 1)
# The first letter names the number; blocks count from 0, all others from 1.
NUMBERS = {
    **dict.fromkeys(("i", "s", "u", "k"), _Number()),
    **dict.fromkeys(("s0", "u0"), _from_0),
    "u00": _Number("[0-9]{2}", "{:02d}".format),
    "k_abc": _Number("[abc]", lambda n: "abc"[n - 1], lambda text: "abc".index(text) + 1),
    "i_": _Number(  # "", "_1", "_2"
        "(?:_[1-9][0-9]{0,3})?", lambda n: f"_{n}" if n else "", lambda text: int(text[1:] or 0)
    ),
}
FIELD = re.compile(r"\{(\w+)\}")


def _fill(template, numbers):
    return FIELD.sub(lambda field: NUMBERS[field[1]].write(numbers[field[1][0]]), template)


def _match(template, name):
    """Returns the numbers in a name of this template, or None if the name does not match."""
    found = _pattern(template).fullmatch(name)
    return found and {f[0]: NUMBERS[f].read(text) for f, text in found.groupdict().items()}


@functools.cache
def _pattern(template):
    pieces = FIELD.split(template)  # text, field, text, field, ..., text
    pieces[::2] = map(re.escape, pieces[::2])
    pieces[1::2] = [f"(?P<{field}>{NUMBERS[field].pattern})" for field in pieces[1::2]]
    return re.compile("".join(pieces))
