"""The checks of the reader's answers: they accept the solutions, and nothing that is wrong."""

import ast
import importlib
import subprocess
import sys

import jupytext
import numpy as np
import pytest
from helpers import ROOT

TUTORIALS = ROOT / "tutorials"
CHAPTERS = sorted(int(path.stem[-2:]) for path in (TUTORIALS / "checks").glob("chapter_*.py"))
LAYERS = [4]  # chapters in which the reader writes layers, which every backend must take

# {(chapter, answer): (a wrong definition, a part of what is said about it)}
WRONG = {
    (1, "most_probable"): ("lambda logits, names, n: [(names[0], 1.0)] * n", "probable first"),
    (1, "count_right"): ("lambda logits, y, k: (logits.argmax(1) == y).sum()", "2 largest logits"),
    (2, "cut"): ("lambda x, P: x.reshape(len(x), -1, P * P * 3)", "trade places"),
    (2, "embed"): ("lambda x, E, b, c, p: np.hstack([x @ E + b, [c[0]] * len(x)]) + p", "first"),
    (2, "as_kernel"): ("lambda E, P, C: E.reshape(C, P, P, -1).transpose(1, 2, 0, 3)", "filter j"),
    (3, "softmax"): ("lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True)", "overflows"),
    (3, "attend"): ("lambda q, k, v: (v[:3], np.ones((3, 5)) / 5)", "root of d"),
    (3, "multi_head"): ("lambda z, U, b, W, c, h: z @ W + c", "Head h takes columns"),
    (4, "Block"): ("type('B', (), dict(__init__=lambda s, *a: None, call=lambda s, z: z))", "add"),
    (4, "count_parameters"): ("lambda L, D, m: L * (4 * D * D + 2 * D * m)", "biases"),
    (9, "rollout"): ("lambda A: A.mean((0, 1))[0, 1:].reshape(2, 2)", "from the left"),
    (9, "area"): ("lambda curve: curve.mean(axis=0)", "trapezoid"),
    (10, "wilson"): ("lambda k, n: (k / n - 0.3, k / n + 0.1)", "within 0 and 1"),
    (10, "calibration_error"): ("lambda c, r, b: abs(c.mean() - r.mean())", "by their images"),
    (10, "best_temperature"): ("lambda logits, labels: 1.0", "0.75"),
}


@pytest.fixture
def module(monkeypatch):
    """tutorials/check.py."""
    monkeypatch.syspath_prepend(TUTORIALS)
    yield importlib.import_module("check")
    for name in [name for name in sys.modules if name == "check" or name.startswith("chapter_")]:
        del sys.modules[name]


def definitions(chapter):
    """Returns the source of a chapter's imports and of the last function or class of each name."""
    [path] = TUTORIALS.glob(f"{chapter:02}_*.py")
    code = [c.source for c in jupytext.read(path).cells if c.cell_type == "code"]
    statements, kept = ast.parse("\n".join(code)).body, {}
    for statement in statements:
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            kept[ast.unparse(statement)] = statement
        elif isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
            kept[statement.name] = statement
    return "\n".join(map(ast.unparse, kept.values()))


@pytest.mark.parametrize(
    "chapter",
    [pytest.param(c, marks=[] if c in LAYERS else pytest.mark.backend_free) for c in CHAPTERS],
)
def test_solutions_are_correct(module, capsys, chapter):
    answers = {}
    exec(definitions(chapter), answers)
    for name in module.find(chapter):
        module.check(chapter, answers[name])
    assert capsys.readouterr().out == "".join(f"{n}: correct.\n" for n in module.find(chapter))


@pytest.mark.backend_free
@pytest.mark.parametrize("chapter, name", WRONG)
def test_wrong_answers_get_a_hint(module, chapter, name):
    wrong, hint = WRONG[chapter, name]
    answer = eval(wrong, {"np": np})
    answer.__name__ = name
    with pytest.raises(module.NotYet, match=f"^{name}: .*{hint}"):
        module.check(chapter, answer)


@pytest.mark.backend_free
def test_every_exercise_has_a_wrong_answer_here(module):
    assert {(c, name) for c in CHAPTERS for name in module.find(c)} == {*WRONG}


@pytest.mark.backend_free
def test_what_is_not_written_yet_is_no_mistake(module, capsys):
    def cut(images, P):
        """Not written."""

    module.check(2, cut)
    assert capsys.readouterr().out.startswith("cut: returns nothing yet.")
    with pytest.raises(module.NotYet, match=r"no exercise 'cut'\. It has: softmax, attend, multi"):
        module.check(3, cut)
    assert module.NotYet("a sentence")._render_traceback_() == ["a sentence"]


@pytest.mark.backend_free
def test_a_file_of_answers_is_checked_at_a_terminal(tmp_path):
    answers = tmp_path / "my_answers.py"
    answers.write_text("def as_kernel(E, P, C):\n    return E.reshape(P, P, C, -1)\n\n")
    command = [sys.executable, TUTORIALS / "check.py"]
    done = subprocess.run([*command, "2", answers], capture_output=True, text=True)
    said = ["cut: not in this file.", "embed: not in this file.", "as_kernel: correct."]
    assert (done.returncode, done.stdout.splitlines()) == (0, said), done.stderr
    answers.write_text("def as_kernel(E, P, C):\n    return E.reshape(C, P, P, -1)\n\n")
    done = subprocess.run([*command, "2", answers], capture_output=True, text=True)
    assert done.returncode == 1 and "as_kernel: The shape (2, 2, 3, 4)" in done.stdout
