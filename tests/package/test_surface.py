"""Everything public of version 0.1 is still there, renamed, or gone for a stated reason.

Each line of surface_0_1.txt is a name or an option of 0.1; `-> new` if it is renamed, `removed:
reason` if it is gone.
"""

import argparse
import functools
import importlib
import pathlib

import pytest

import keras_vit
from keras_vit import cli

pytestmark = pytest.mark.backend_free
LINES = (pathlib.Path(__file__).parents[1] / "surface_0_1.txt").read_text().splitlines()


def parse(line):
    """Returns (name of 0.1, the name it has now or None, why it was removed or None)."""
    name, removed, reason = line.partition(" removed: ")
    name, renamed, new = name.partition(" -> ")
    return name, None if removed else (new if renamed else name), reason or None


def find(name):
    """Returns the object of a dotted name, or None. Modules need not be imported already."""
    found = keras_vit
    for part in name.split(".")[1:]:
        try:
            found = getattr(found, part, None) or importlib.import_module(
                f"{found.__name__}.{part}"
            )
        except ImportError:
            return None
    return found


@functools.cache
def options(parser=None, name="keras-vit"):
    """Returns every command with each of its options and arguments, as surface_0_1.txt has them."""
    names = set()
    for action in (parser or cli.parser())._actions:
        if isinstance(action, argparse._SubParsersAction):
            names |= set().union(*(options(p, f"{name} {k}") for k, p in action.choices.items()))
        else:
            last = action.option_strings[-1] if action.option_strings else action.dest.upper()
            names.add(f"{name} {last}")
    return frozenset(names)


def exists(name):
    return name in options() if name.startswith("keras-vit ") else callable(find(name))


@pytest.mark.parametrize("line", LINES)
def test_nothing_of_0_1_is_lost(line):
    name, now, reason = parse(line)
    if now is None:
        assert reason and not exists(name)
    else:
        assert exists(now)
    assert now == name or not exists(name)  # the old name of a renamed object is gone


def test_a_missing_name_is_noticed():
    assert exists("keras_vit.ViT") and exists("keras-vit train --epochs")
    assert not exists("keras_vit.data.Data") and not exists("keras-vit train --epoch")
