"""The checks of the reader's answers accept the solutions and none of the wrong answers below."""

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
LAYERS = [4, 5]  # chapters whose answers compute with Keras, on every backend

# {(chapter, answer): (a wrong definition, a part of what is said about it)}
WRONG = {
    (1, "most_probable"): ("lambda logits, names, n: [(names[0], 1.0)] * n", "probable first"),
    (1, "count_right"): ("lambda logits, y, k: (logits.argmax(1) == y).sum()", "2 largest logits"),
    (2, "cut"): ("lambda x, P: x.reshape(len(x), -1, P * P * 3)", "trade places"),
    (2, "embed"): ("lambda x, E, b, c, p: np.hstack([x @ E + b, [c[0]] * len(x)]) + p", "first"),
    (2, "as_kernel"): ("lambda E, P, C: E.reshape(C, P, P, -1).transpose(1, 2, 0, 3)", "filter j"),
    (3, "softmax"): ("lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True)", "finite.*overflows"),
    (3, "attend"): ("lambda q, k, v: (v[:3], np.ones((3, 5)) / 5)", "root of d"),
    (3, "multi_head"): ("lambda z, U, b, W, c, h: z @ W + c", "Each head takes"),
    (4, "Block"): ("type('B', (), dict(__init__=lambda s, *a: None, call=lambda s, z: z))", "add"),
    (4, "count_parameters"): ("lambda L, D, m: L * (4 * D * D + 2 * D * m)", "biases"),
    (5, "WarmupCosine"): ("lambda peak, steps, warmup: lambda step: peak", "subclass"),
    (5, "WarmupLinear"): ("lambda peak, steps, warmup: lambda step: peak", "subclass"),
    (5, "smallest_loss"): ("lambda classes, smoothing: 0.0", "predicts the targets"),
    (5, "images_needed"): ("lambda p, q: 1000", "88% and 89%"),
    (6, "scatter"): ("lambda rng, pool, n: (np.zeros((n, 16, 16, 1), 'uint8'), [0], [0])", "of 81"),
    (6, "shuffle_patches"): ("lambda image, order: image[order]", "reading order"),
    (6, "images_for"): ("lambda target, sizes, p: np.interp(target, p, sizes)", "logarithm"),
    (6, "move"): ("lambda x, rng: np.roll(x, 3, axis=1)", "whole after the move"),
    (7, "shift_and_flip"): ("lambda images, rng: images[:, :, ::-1]", "9 rows and 9 columns"),
    (7, "interval"): ("lambda p, n: (p - 1.96 * (p * (1 - p) / n) ** 0.5, 1.0)", "upper end"),
    (7, "mixup"): ("lambda x, t, share: (share * x + (1 - share) * np.roll(x, 1, 0), t)", "Targ"),
    (8, "train_head"): ("lambda x, t, rate, steps: (x.T @ t, t.mean(0), [1.1])", "one step"),
    (8, "fold"): ("lambda W, b, mean, deviation: (W / deviation[:, None], b)", "for the mean"),
    (8, "class_cosines"): ("lambda x, labels: np.corrcoef(x[:4])", "length of each"),
    (9, "rollout"): ("lambda A: A.mean((0, 1))[0, 1:].reshape(2, 2)", "from the left"),
    (9, "area"): ("lambda curve: curve.mean(axis=0)", "trapezoid"),
    (10, "wilson"): ("lambda k, n: (k / n - 0.3, k / n + 0.1)", "within 0 and 1"),
    (10, "calibration_error"): ("lambda c, r, b: abs(c.mean() - r.mean())", "by their images"),
    (10, "best_temperature"): ("lambda logits, labels: 1.0", "0.75"),
}

ECE = "calibration_error"
MEAN = "confidence[bin_of == i].sum()"
OWN = "its own class"
LOSS = "-np.log(p[np.arange(len(p)), labels]).mean()"
MLP = "D * mlp_dim + mlp_dim + mlp_dim * D + D"
SHAPE = "(B, H // P, P, W // P, P, C)"

# [(chapter, answer, a part of the solution, what is wrong instead, what is said about it)]
MISTAKES = [
    (1, "most_probable", "[(names[i], p[i]) for i in best]", "{n: 0.5 for n in names}", "pairs"),
    (1, "most_probable", "logits - logits.max()", "np.clip(logits, -50, 50)", "overflow"),
    (1, "count_right", ".any(axis=1).sum()", ".any(axis=1)", "single number"),
    (2, "cut", SHAPE, "(B, W // P, P, H // P, P, C)", "from H, which from W"),
    (2, "cut", SHAPE, "(B, P, H // P, P, W // P, C)", "trade places"),
    (2, "cut", "-1, P * P * C", "-1, P * P * 3", r"called it with shape \(1, 6, 3, 1\), 3"),
    (2, "embed", "np.concatenate([first, x], axis=1) + E_pos", "x + E_pos[:, 1:]", "class token"),
    (2, "embed", "[first, x], axis=1)", "[x_class, x[:1]], axis=1)", "2 x 6 tokens"),
    (2, "embed", "patches @ E + b", "patches @ E", "bias added"),
    (2, "as_kernel", "(P, P, C, -1)", "(P, P, 3, -1)", r"shape \(20, 4\), 2, 5"),
    (3, "softmax", "x.max(axis=-1, keepdims=True)", "x.max()", "its own largest"),
    (3, "softmax", "x - x.max(axis=-1, keepdims=True)", "np.clip(x, -700, 700)", "its own largest"),
    (3, "softmax", "e.sum(axis=-1, keepdims=True)", "e.sum()", "sum to 1"),
    (3, "attend", "np.sqrt(k.shape[-1])", "8**0.5", "root of d"),
    (3, "attend", "np.sqrt(k.shape[-1])", "len(k)**0.5", "root of d"),
    (3, "attend", "(A @ v, A)", "A @ v", "Return both"),
    (3, "multi_head", "np.split(x, heads, axis=1)", "np.split(x, 3, axis=1)", "not for 2"),
    (3, "multi_head", "z @ U_qkv + b_qkv", "z @ U_qkv", "without biases"),
    (3, "multi_head", "@ U_msa + b_msa", "@ U_msa", "without biases"),
    (4, "Block", "return z + self.mlp(self.norm_2(z))", "return (z, self.mlp(z))", "one tensor"),
    (4, "Block", "z + self.mlp(self.norm_2(z))", "z + self.mlp(self.norm_1(z))", "Eq. 3"),
    (4, "count_parameters", MLP, "8 * D * D + 5 * D", "mlp_dim = 20"),
    (4, "count_parameters", "L * (attention", "12 * (attention", "ViT-L/16"),
    (5, "WarmupCosine", "step / self.warmup if", "(step + 1) / self.warmup if", "Step 0 of"),
    (5, "WarmupCosine", "0.5 * (1 +", "(1 +", "Step 5 of"),
    (5, "WarmupCosine", "np.pi * after", "np.pi * after / 2", "half a cosine"),
    (5, "WarmupCosine", " if self.warmup else 1.0", "", "do not divide by zero"),
    (5, "WarmupCosine", "step / self.warmup if", "min(step / self.warmup, 1) if", "no value yet"),
    (5, "WarmupLinear", "fall = 1 - after", "fall = 1 - 0.5 * after", "straight"),
    (5, "smallest_loss", "share = smoothing / classes", "share = smoothing / 9", "one included"),
    (5, "images_needed", "interval(q, n)[0]", "q", "88% and 89%"),
    (6, "scatter", "(0, 9, size", "(0, 8, size", "64 of 81"),
    (6, "scatter", "rows // 3 * 3 + columns // 3", "columns // 3 * 3 + rows // 3", "reading order"),
    (6, "scatter", "(len(pool), size", "(9, size", "the whole pool"),
    (6, "scatter", "which, rows //", "pool[which], rows //", r"shape \(2000,\) is expected"),
    (6, "scatter", "np.zeros((number, 16, 16), 'uint8')", "np.zeros((number, 16, 16))", "float64"),
    (6, "shuffle_patches", "4)[order]", "4)[np.argsort(order)]", "Place i"),
    (6, "images_for", "np.log(sizes)", "sizes", "logarithm|overflow"),
    (6, "move", "16 - rows.max()", "9 - rows.min()", "120 places"),
    (6, "move", "(down, right)", "(down, down)", "whole after the move"),
    (6, "move", "-rows.min(), 16", "-rows.min(), 20", "whole after the move"),
    (7, "shift_and_flip", "rng.integers(0, 9, size=2)", "rng.integers(0, 8, size=2)", "8 rows"),
    (7, "shift_and_flip", "window[:, ::-1]", "window[::-1]", "from left to right"),
    (7, "shift_and_flip", "rng.random() < 0.5", "rng.random() < 0.2", "Mirror half"),
    (7, "shift_and_flip", "rng.random() < 0.5", "left % 2", "all 162"),
    (7, "shift_and_flip", "np.empty_like(images)", "np.empty(images.shape)", "dtype uint8"),
    (7, "mixup", "np.roll(pure, 1, axis=0)", "np.roll(pure, -1, axis=0)", "the image before it"),
    (8, "train_head", "x.T @ (p - t) / len(x)", "x.T @ (p - t)", "W: After one step"),
    (8, "train_head", "(p - t).mean(axis=0)", "(p - t).sum(axis=0)", "b: After one step"),
    (8, "train_head", "-np.log((p * t).sum(axis=1)).mean()", "((p - t) ** 2).sum()", "The losses"),
    (8, "fold", "mean / deviation", "mean", "make up for the mean"),
    (8, "fold", "W / deviation[:, None]", "W / deviation.mean()", "divided by deviation i"),
    (8, "class_cosines", "np.linalg.norm(center, axis=1, keepdims=True)", "1", "length of each"),
    (10, ECE, "(confidence * bins)", "(confidence * 10)", "not for 5"),
    (10, ECE, "np.ceil(confidence * bins) - 1", "np.floor(confidence * bins)", "with 0.44"),
    (10, ECE, "sum(gaps) / len(confidence)", "abs(confidence - right).mean()", "two are in"),
    (10, ECE, MEAN, "sum(bin_of == i) * (i + 0.5) / bins", "mean confidence"),
    (10, ECE, "right[bin_of == i].sum()", "right[bin_of == i].mean()", "An empty bin"),
    (10, "best_temperature", LOSS, "-np.log(p[:, labels]).mean()", OWN),
    (10, "best_temperature", LOSS, f"{ECE}(p.max(1), p.argmax(1) == labels)", OWN),
    (10, "best_temperature", LOSS, "((p - np.eye(p.shape[1])[labels]) ** 2).mean()", OWN),
    (10, "best_temperature", "loss(logits / T", "loss(logits * T", "0.75"),
]  # fmt: skip


def cases(rows):
    """Returns arguments of a test, one case each, with its mark; the first is the chapter."""
    free = pytest.mark.backend_free
    return [pytest.param(*row, marks=[] if row[0] in LAYERS else free) for row in rows]


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


@pytest.mark.parametrize("chapter", cases([[c] for c in CHAPTERS]))
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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Mean of empty slice")
@pytest.mark.parametrize("chapter, name, solution, mistake, hint", cases(MISTAKES))
def test_mistakes_in_the_solutions_are_found(module, chapter, name, solution, mistake, hint):
    source, answers = definitions(chapter), {}
    own = source.index(f" {name}(")  # other solutions may have the same line
    own = own if solution in source[own:] else 0
    assert solution in source[own:]
    exec(source[:own] + source[own:].replace(solution, mistake, 1), answers)
    with pytest.raises((module.NotYet, ValueError), match=hint):
        module.check(chapter, answers[name])


@pytest.mark.backend_free
def test_two_published_numbers_are_no_count_of_parameters(module):
    def count_parameters(L, D, mlp_dim):
        return {192: 5_717_416, 768: 86_567_656}[D] if D in (192, 768) else 0

    with pytest.raises(module.NotYet, match="ViT-L/16 has 304,326,632"):
        module.check(4, count_parameters)


@pytest.mark.backend_free
def test_a_list_of_both_is_as_good_as_a_tuple(module, capsys):
    source, answers = definitions(3), {}
    exec(source.replace("(A @ v, A)", "[A @ v, A]"), answers)
    module.check(3, answers["attend"])
    assert capsys.readouterr().out == "attend: correct.\n"


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
    with pytest.raises(
        module.NotYet, match=r"without calling it: check\(2, cut\)\. Received: ndarr"
    ):
        module.check(2, np.zeros(3))
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
    assert done.returncode == 1 and "as_kernel: The shape (2, 2, 5, 4)" in done.stdout
    answers.write_text("cut = lambda images, P: None\n\ndef embed(*x):\n    return x[9]\n")
    done = subprocess.run([*command, "2", answers], capture_output=True, text=True)
    sizes = "shape (2, 5, 12), shape (12, 4), shape (4,), shape (1, 1, 4), shape (1, 6, 4)"
    note = f"tuple index out of range. The check called it with {sizes}."
    said = ["cut: returns nothing yet. Write it, then run this cell again."]
    said += [f"embed: stops with IndexError: {note}", "as_kernel: not in this file."]
    assert (done.returncode, done.stdout.splitlines()) == (1, said), done.stderr
