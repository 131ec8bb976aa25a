"""Checks your answers to the exercises of the chapters.

In a notebook, `check(2, cut)` checks one answer: a function or a class, found by its name. For
answers that you keep in a file, all of one chapter:

    python tutorials/check.py 2 my_answers.py

The file runs by itself: what an answer uses, such as the `Attention` and `MLP` of chapter 4's
`Block` and their imports, has to be in it. A message says what was expected and where to look, not what to write. The solutions in the
chapters pass the same checks, which are in checks/: a function for each answer.
"""

import argparse
import importlib
import pathlib
import runpy
import sys

import numpy as np

sys.path.append(str(pathlib.Path(__file__).parent / "checks"))  # a notebook has them beside it


class NotYet(AssertionError):
    """An answer that is not right yet. A notebook shows its sentence without a traceback."""

    def _render_traceback_(self):
        return [str(self)]


class Unwritten(Exception):
    """A function that returns nothing, as it does before the reader writes it."""


def check(chapter, answer):
    """Prints that an answer is right, or that it is still to be written; otherwise raises.

    Args:
        chapter: number of the chapter.
        answer: a function or a class with the name that the exercise gives.

    Raises:
        NotYet: the answer is wrong; the message says what to look at.
    """
    example = f"Pass the function or the class itself, without calling it: check({chapter}, cut)."
    expect(hasattr(answer, "__name__"), f"{example} Received: {type(answer).__name__}.")
    _, sentence = judge(chapter, answer.__name__, answer)
    print(sentence)


def judge(chapter, name, answer):
    """Returns whether an answer is written, and a sentence; raises `NotYet` if it is wrong."""
    if name not in (checks := find(chapter)):
        known = f"It has: {', '.join(checks)}." if checks else "It has none that can be checked."
        raise NotYet(f"Chapter {chapter} has no exercise {name!r}. {known}")
    try:
        checks[name](answer)
    except Unwritten:
        return False, f"{name}: returns nothing yet. Write it, then run this cell again."
    except NotYet as wrong:
        raise NotYet(f"{name}: {wrong}") from None
    return True, f"{name}: correct."


def find(chapter):
    """Returns {name of the answer: function that raises if it is wrong} of a chapter."""
    try:
        module = importlib.import_module(f"chapter_{chapter:02}")
    except ModuleNotFoundError:
        return {}
    own = {n: f for n, f in vars(module).items() if getattr(f, "__module__", "") == module.__name__}
    return {name: function for name, function in own.items() if not name.startswith("_")}


def call(function, *arguments):
    """Calls the reader's function with copies of arrays, which it may change."""
    copies = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
    try:
        result = function(*copies)
    except Exception as error:
        sizes = [f"shape {a.shape}" if isinstance(a, np.ndarray) else repr(a) for a in arguments]
        error.add_note(f"The check called it with {', '.join(sizes)}.")
        raise
    if result is None or result is ...:
        raise Unwritten
    return result


def expect(condition, sentence):
    """Raises `NotYet` with a sentence unless a condition holds."""
    if not condition:
        raise NotYet(sentence)


def close(received, expected, hint, tolerance=1e-5):
    """Raises `NotYet` unless two arrays have the same shape and nearly the same values."""
    expected = np.asarray(expected)
    shape = f"The shape {expected.shape}" if expected.ndim else "A single number"
    try:
        array = np.asarray(received, "float64")
    except (TypeError, ValueError):
        raise NotYet(f"{shape} is expected. Received: {received!r:.80}. {hint}") from None
    got = array.shape or "a single number"
    expect(array.shape == expected.shape, f"{shape} is expected. Received: {got}. {hint}")
    expect(np.isfinite(array).all(), f"Every value must be finite. Received nan or inf. {hint}")
    far = float(np.abs(array - expected).max(initial=0))
    values = f"The shape is right, the values differ by up to {far:.2g}."
    values = values if expected.ndim else f"The value {array:.10g} differs by {far:.2g}."
    expect(far <= tolerance * max(1, np.abs(expected).max(initial=0)), f"{values} {hint}")


def numbers(*shape, seed=0):
    """Returns random numbers of a shape."""
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def main():
    """Checks all answers of a chapter in one file. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("chapter", type=int)
    parser.add_argument("file", help="a Python file with your functions and classes")
    options = parser.parse_args()
    if not (checks := find(options.chapter)):
        parser.error(f"chapter {options.chapter} has no exercise that can be checked")
    if not pathlib.Path(options.file).is_file():
        parser.error(f"there is no file {options.file}")
    answers, status = runpy.run_path(options.file), 0
    for name in checks:
        if name not in answers:
            print(f"{name}: not in this file.")
            continue
        try:
            written, sentence = judge(options.chapter, name, answers[name])
        except NotYet as wrong:
            written, sentence = False, wrong
        except Exception as error:  # of the reader's code: the other answers are still checked
            written, sentence = False, f"{name}: stops with {type(error).__name__}: {error}."
            sentence = " ".join([sentence, *getattr(error, "__notes__", [])])
        print(sentence)
        status = status if written else 1
    return status


if __name__ == "__main__":
    import check as module  # the chapters' checks import it by this name

    raise SystemExit(module.main())
