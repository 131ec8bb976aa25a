"""What each weight of ours is called, and how it lies, in the files of one source.

A table is read in both directions: a file becomes weights, weights become a file. It knows names
and shapes, and nothing of files.
"""

import functools
import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Dimensions(NamedTuple):
    """What the layouts must know of a model that the shape of a weight does not tell."""

    patch_size: tuple = ()  # on the map that is cut into patches
    num_heads: int = 1


class Layout(NamedTuple):
    """How a tensor lies in the file: there(ours, dimensions), and back: here(theirs, our shape)."""

    there: Callable
    here: Callable


def _reshaped(array, shape):
    return array.reshape(shape)


def _patches_first(kernel, dimensions):
    return kernel.reshape(*dimensions.patch_size, -1, kernel.shape[-1])  # (P, P, C, D)


SAME = Layout(lambda ours, _: ours, _reshaped)
# Flax: (in, out), kernels (height, width, in, out), heads apart.
PATCH = Layout(_patches_first, _reshaped)
HEADS = Layout(lambda ours, d: ours.reshape(*ours.shape[:-1], d.num_heads, -1), _reshaped)
HEADS_FIRST = Layout(lambda ours, d: ours.reshape(d.num_heads, -1, ours.shape[-1]), _reshaped)
CHANNELS = Layout(lambda ours, _: ours.reshape(1, 1, 1, -1), _reshaped)
POINTWISE = Layout(
    lambda ours, _: ours[None, None], _reshaped
)  # a dense layer as 1 x 1 convolution
TABLE = Layout(lambda ours, _: ours[0], _reshaped)
# PyTorch: (out, in), kernels (out, in, height, width).
TORCH_DENSE = Layout(lambda ours, _: ours.T, lambda theirs, _: theirs.T)
TORCH_CONV = Layout(
    lambda ours, _: ours.transpose(3, 2, 0, 1), lambda theirs, _: theirs.transpose(2, 3, 1, 0)
)
TORCH_PATCH = Layout(
    lambda ours, d: _patches_first(ours, d).transpose(3, 2, 0, 1),
    lambda theirs, shape: theirs.transpose(2, 3, 1, 0).reshape(shape),
)
TORCH_POINTWISE = Layout(
    lambda ours, _: ours.T[:, :, None, None], lambda theirs, _: theirs[:, :, 0, 0].T
)
# DeiT's answer is the mean of two heads: ours is one head of half their weights.
TORCH_HALF = Layout(lambda ours, _: 2 * ours.T, lambda theirs, _: theirs.T / 2)


TORCH = (TORCH_DENSE, TORCH_CONV, TORCH_PATCH, TORCH_POINTWISE, TORCH_HALF)


def flax_order(layout, shape):
    """Returns the shape of a file's tensor as (height, width, in, out) or (in, out)."""
    return (*shape[2:], *shape[1::-1]) if layout in TORCH else shape


class Rule(NamedTuple):
    """One line of a table.

    `ours` is the path of a weight, with {i} for a block, {s} and {u} for a stage and a unit.
    `theirs` are its names in the file ({i}, {s}, {u}, and {s0}, {u0} counted from 0). Where they
    are several, their tensors lie side by side in ours along `axis`; without axis, ours is their
    mean.
    """

    ours: str
    theirs: tuple
    layout: Layout = SAME
    axis: int | None = -1


class Part(NamedTuple):
    """One tensor that a file must hold: for which weight of ours, as which of its parts."""

    ours: str
    number: int
    shape: tuple


class Place(NamedTuple):
    """Where a tensor is found in a file: under which name, and as which slice of it (or whole)."""

    name: str
    slice: int | None = None


class Table(NamedTuple):
    """All rules of a source, and what to know of its files.

    `kinds` are those of `kind_of` that it has names for. `canonical` brings the names of a file to
    those in the rules: {name in the rules: Place}. `signature` is a name that only its files hold.
    `ignored` names tensors that carry no weights of the model; `unsupported` says {pattern: words}
    of what we have no layer for.
    """

    source: str
    kinds: tuple
    rules: tuple
    signature: str
    canonical: Callable
    suffix: str
    ignored: tuple = ()
    unsupported: dict = {}


def rule_of(table, path):
    """Returns the rule of a weight, and its numbers; None where the table has none."""
    for rule in table.rules:
        match = _pattern(rule.ours).fullmatch(path)
        if match:
            return rule, _numbers(match.groupdict())
    return None


def names_of(rule, numbers):
    """Returns the names of a rule's tensors in the file."""
    return [name.format(**numbers) for name in rule.theirs]


def path_of(table, name):
    """Returns (path of ours, number of the part) of a tensor by its canonical name, or None."""
    for rule in table.rules:
        for number, template in enumerate(rule.theirs):
            match = _pattern(template).fullmatch(name)
            if match:
                found = _from_theirs(match.groupdict())
                return rule.ours.format(**found), number
    return None


def parts(rule, path, shape, numbers, dimensions):
    """Returns {canonical name: Part} of a weight of ours with this shape."""
    blank = np.broadcast_to(np.float32(0), shape)
    arrays = split(rule, blank, dimensions)
    return {
        name: Part(path, number, array.shape)
        for number, (name, array) in enumerate(zip(names_of(rule, numbers), arrays, strict=True))
    }


def split(rule, array, dimensions):
    """Returns the tensors that a weight of ours is in the file."""
    number = len(rule.theirs)
    pieces = [array] * number if rule.axis is None else np.split(array, number, rule.axis)
    return [rule.layout.there(piece, dimensions) for piece in pieces]


def join(rule, arrays, shape):
    """Returns a weight of ours, of this shape, from its tensors in the file."""
    if rule.axis is None:
        return np.mean([rule.layout.here(array, shape) for array in arrays], axis=0)
    part_shape = list(shape)
    part_shape[rule.axis] //= len(arrays)
    pieces = [rule.layout.here(array, tuple(part_shape)) for array in arrays]
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces, rule.axis)


@functools.cache
def _pattern(template):
    """Returns block_{i}/norm as a regular expression with a group for each number."""
    escaped = re.escape(template).replace(r"\{", "{").replace(r"\}", "}")
    escaped = re.sub(r"\{i_\}", r"(?:_(?P<i_>[1-9]\\d*))?", escaped)
    escaped = re.sub(r"\{(s|u|i|s0|u0)\}", r"(?P<\1>\\d+)", escaped)
    return re.compile(re.sub(r"\{(\w+):02d\}", r"(?P<\1>\\d{2})", escaped))


def _numbers(groups):
    """All forms of the numbers in a path of ours."""
    numbers = {name: int(value) for name, value in groups.items()}
    if "i" in numbers:
        numbers["i_"] = f"_{numbers['i']}" if numbers["i"] else ""
    for name in {"s", "u"} & numbers.keys():
        numbers[f"{name}0"] = numbers[name] - 1
    return numbers


def _from_theirs(groups):
    """The numbers of a path of ours from those in a name of theirs."""
    numbers = {name: int(value or 0) for name, value in groups.items()}
    if "i_" in numbers:
        numbers["i"] = numbers["i_"]
    for name in {"s0", "u0"} & numbers.keys():
        numbers[name[0]] = numbers[name] + 1
    return numbers


def as_they_are(specs):
    """The `canonical` of sources with one way of naming."""
    return {name: Place(name) for name in specs}
